# SPDX-License-Identifier: BSD-3-Clause
"""A child process is gone: whose doing was it, and what is said of it?

Killed from outside (SIGKILL, SIGTERM, a system out of memory), the attempt is *lost*, which nobody pays for. Anything else user code did itself:
it crashed in compiled code, or ended its process. That is a failed attempt, counted under `retries` like an exception.
"""

from __future__ import annotations

import os
import re
import signal
from typing import Final

from nbflow.core.job import ErrorInfo, Report
from nbflow.executors import endings

#: Signals that other processes send to end one; the rest comes of what a process does.
_FROM_OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT})
#: `ErrorInfo.ename` of an attempt that took its process along, for --retry-on.
CRASHED: Final = "TaskCrashed"
#: A line of what Python's faulthandler writes, the innermost call first.
_FRAME: Final = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)$')
#: Where the frames of user code end.
_NOT_THE_USERS: Final = re.compile(r"[/\\](IPython[/\\]core|nbflow[/\\]operators)[/\\]")


def of_attempt(facts: endings.Facts, status: int | None, *, oom_kills: int | None, trace: str) -> Report:
    """The report about an attempt whose process is gone. `oom_kills`: `oom_kill_count()` when the attempt began; `trace`: faulthandler's."""
    if status is None or facts.started_at is None or _ended_from_outside(status):
        return endings.lost(facts, say(status, oom_kills))
    error = ErrorInfo(ename=CRASHED, evalue=_crash(status), traceback=_traceback(trace), line=_line(trace))
    return endings.failed(facts, error)


def say(status: int | None, oom_kills: int | None = None) -> str:
    """Why a process is gone, from its wait status (None: nobody could tell)."""
    if status is None:
        return "its process disappeared"
    if not os.WIFSIGNALED(status):
        return f"its process ended by itself with exit code {os.WEXITSTATUS(status)}"
    if os.WTERMSIG(status) != signal.SIGKILL:
        return f"its process was ended by {_name(status)}"
    now = oom_kill_count()
    if now is None or oom_kills is None:
        return "its process was ended by SIGKILL (perhaps the system was out of memory)"
    if now > oom_kills:
        return "the system ran out of memory and killed its process: let it use less, or let fewer run at once (the setting workers)"
    return "its process was ended by SIGKILL, from outside"


def oom_kill_count() -> int | None:
    """How many processes this system has killed for want of memory since it started; None where it does not say. Takes 16 microseconds."""
    try:
        statistics = os.open("/proc/vmstat", os.O_RDONLY)
    except OSError:
        return None
    try:
        found = re.search(rb"^oom_kill (\d+)$", os.read(statistics, 1 << 16), re.MULTILINE)
    finally:
        os.close(statistics)
    return int(found[1]) if found else None


def _ended_from_outside(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in _FROM_OUTSIDE


def _crash(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {_name(status)}: compiled code it called crashed; update that library, or call it in another way"
    return f"it ended its own process with exit code {os.WEXITSTATUS(status)}; let it come to its end, or raise an exception"


def _name(status: int) -> str:
    number = os.WTERMSIG(status)
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _traceback(trace: str) -> tuple[str, ...]:
    """As Python shows tracebacks: the user's frames, the innermost last."""
    frames = []
    for frame in filter(None, map(_FRAME.match, trace.splitlines())):
        if _NOT_THE_USERS.search(frame["file"]):
            break
        frames.append(f'  File "{frame["file"]}", line {frame["line"]}, in {frame["name"]}')
    if not frames:
        return ()
    return (trace.splitlines()[0], "Traceback (most recent call last):", *reversed(frames))


def _line(trace: str) -> int:
    """The line of the cell's own code."""
    frames = filter(None, map(_FRAME.match, trace.splitlines()))
    return next((int(frame["line"]) for frame in frames if frame["file"].startswith("<cell ") and frame["name"] == "<module>"), 0)
