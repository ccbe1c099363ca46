# SPDX-License-Identifier: BSD-3-Clause
"""Which processes belong to a child, how much memory they use, and how to end them all.

On Linux a supervisor and its child are *subreapers*: whatever user code starts and orphans comes back as their child, so the process tree is
complete however often a daemon forks or changes its session. Elsewhere the environment mark `NBFLOW_CHILD` finds what left the tree, as far as
the system lets us read environments.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final

#: Environment variable that names the child a process descends from.
MARK: Final = "NBFLOW_CHILD"
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_LINUX: Final = sys.platform == "linux"
#: Whether everything user code starts stays below its supervisor.
TREE_IS_COMPLETE: Final = _LINUX
#: How long the kernel may take to remove killed processes; more means a process hangs inside the kernel.
_GRACE: Final = 5.0


def become_subreaper() -> None:
    """Orphaned descendants become children of this process (Linux; nothing elsewhere)."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """SIGKILL this process when its parent thread ends (Linux). `parent` closes the race with a parent that is gone already."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def has_children() -> bool:
    """Whether this process has any child, zombies included: one system call."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return bool(descendants(os.getpid()))
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants(root: int) -> list[int]:
    """Living processes below `root`, without zombies and without `root`."""
    if not _LINUX:
        import psutil  # noqa: PLC0415 - not needed on Linux

        try:
            return [process.pid for process in psutil.Process(root).children(recursive=True) if process.status() != psutil.STATUS_ZOMBIE]
        except psutil.Error:
            return []
    below: dict[int, list[int]] = {}
    zombies: set[int] = set()
    for pid in _pids():
        stat = _read(pid, "stat")
        state, parent = stat[stat.rfind(b")") + 2 :].split()[:2] if stat else (b"X", b"0")
        below.setdefault(int(parent), []).append(pid)
        if state in b"ZX":
            zombies.add(pid)
    found: list[int] = []
    waiting = list(below.get(root, ()))
    while waiting:
        pid = waiting.pop()
        waiting += below.get(pid, ())
        if pid not in zombies:
            found.append(pid)
    return found


def marked(child_id: str) -> list[int]:
    """Living processes whose environment says that they descend from this child."""
    wanted = f"{MARK}={child_id}".encode()
    if _LINUX:
        return [pid for pid in _pids() if wanted in _read(pid, "environ").split(b"\0")]
    import psutil  # noqa: PLC0415 - as above

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == child_id:
                found.append(process.pid)
    return found


def end_all(find: Callable[[], Iterable[int]], grace: float = _GRACE) -> bool:
    """SIGKILL what `find` finds until it finds nothing. False when something is still there after `grace` seconds."""
    limit = time.monotonic() + grace
    pause = 0.0005
    while True:
        pids = list(find())
        if not pids:
            return True
        for pid in pids:
            kill(pid)
        reap()
        if time.monotonic() > limit:
            return False
        time.sleep(pause)  # the kernel needs a moment to remove them
        pause = min(pause * 2, 0.05)


def kill(pid: int) -> None:
    """SIGKILL; a process that is gone, or not ours to kill, is left alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def reap() -> dict[int, int]:
    """Collect this process's ended children: pid -> wait status."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            ended[pid] = status
    return ended


def resident_bytes(root: int) -> int:
    """Resident memory of everything below `root` now, in bytes; pages that several of them share count several times."""
    return sum(map(_resident, descendants(root)))


def proportional_bytes(root: int) -> int:
    """Like `resident_bytes`, each shared page counted once (slower; where the system does not say, resident memory)."""
    return sum(_proportional(pid) for pid in descendants(root))


def own_resident_bytes() -> int:
    """Resident memory of this process, in bytes."""
    return _resident(os.getpid())


def _resident(pid: int) -> int:
    if _LINUX:
        fields = _read(pid, "statm").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else 0
    import psutil  # noqa: PLC0415 - as above

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(pid: int) -> int:
    for line in _read(pid, "smaps_rollup").splitlines() if _LINUX else ():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return _resident(pid)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - a Path for each process is what this avoids


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - as above
            return file.readall() or b""
    except OSError:
        return b""
