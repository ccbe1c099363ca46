# SPDX-License-Identifier: BSD-3-Clause
"""Flows of `.py` files without running their code in this process: a child imports the file, traces its flows and answers with plain data."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from nbflow.authoring.moving_dates import DATES, refuse_moving_dates
from nbflow.authoring.python_file import Target
from nbflow.core.errors import Problem, SetupError, UserError
from nbflow.core.ids import TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow

#: Seconds between two looks at whether an answer is still wanted.
_LOOK: Final = 0.5
#: Seconds that a file may take to be read for a deployment.
PATIENCE: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the child is asked."""

    path: str
    name: str = ""
    #: Trace every flow of the file, or the one of that name: the graphs of those that can be, what is wrong with the others.
    everything: bool = False
    #: Trace for a run: with values of the parameters, and with what the tasks are given.
    for_run: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    #: Parameters as typed, for those that take text.
    texts: Mapping[str, str] = field(default_factory=dict)
    #: Options of tasks that the installation says.
    defaults: Mapping[str, Any] = field(default_factory=dict)
    artifacts_url: str = ""
    #: The logical date of the run, as an ISO instant; "" is now.
    logical_date: str = ""
    #: The working directory of the tasks.
    cwd: str = ""


@dataclass(frozen=True, kw_only=True)
class FileTrace:
    """What the child answers."""

    flow: Flow | None = None
    captures: CaptureSet = field(default_factory=CaptureSet)
    #: As the run's record has them.
    params: Mapping[str, Any] = field(default_factory=dict)
    logical_date: datetime | None = None
    #: What callables said about depending on the past.
    past: Mapping[TaskId, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    #: A sentence: what is wrong with the installation rather than with the file.
    in_the_way: str = ""
    #: The flows of the file that could be traced, in the order written.
    flows: tuple[Flow, ...] = ()
    #: Those that could not be: name -> why.
    broken: Mapping[str, Problem] = field(default_factory=dict)


class NotWanted(UserError):
    """Nobody waits for the answer any more."""


def trace_flow(target: Target, defaults: Mapping[str, Any] | None = None) -> Flow:
    """The flow of a file, with the defaults of its parameters. Raises UserError naming the line of what is wrong."""
    flow = _asked(Request(path=str(target.path), name=target.name, defaults=defaults or {})).flow
    assert flow is not None
    return flow


def trace_file(
    target: Target,
    *,
    params: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    is_wanted: Callable[[], bool] | None = None,
) -> FileTrace:
    """The flows of a file as they would be deployed, or the one the target names, and what is wrong with those that cannot be.

    Raises UserError naming the line when the file cannot be read, or a date of a schedule is another one each time it is read, and when it takes
    longer than PATIENCE seconds; NotWanted as soon as `is_wanted` says so.
    """
    until = time.monotonic() + PATIENCE

    def goes_on() -> bool:
        if time.monotonic() > until:
            raise UserError(f"Reading {target.path} took longer than {PATIENCE:.0f} s: what takes long belongs into its tasks.")
        return is_wanted is None or is_wanted()

    path = target.path.resolve()
    request = Request(path=str(path), name=target.name, everything=True, params=params or {}, defaults=defaults or {}, cwd=str(path.parent))
    found = _asked(request, folder=request.cwd, is_wanted=goes_on)
    refuse_moving_dates(path, found.flows, _asked(request, folder=request.cwd, is_wanted=goes_on).flows if _has_dates(found.flows) else ())
    return found


def trace_for_run(
    target: Target,
    *,
    params: Mapping[str, Any],
    texts: Mapping[str, str],
    artifacts_url: str,
    defaults: Mapping[str, Any] | None = None,
    logical_date: datetime | None = None,
    cwd: Path | None = None,
    folder: str | None = None,
    is_wanted: Callable[[], bool] | None = None,
) -> FileTrace:
    """The flow of a file with these parameters, and everything its tasks are given. Raises UserError naming the line of what is wrong.

    The child begins in `folder`, so that modules there can be imported. Raises NotWanted as soon as `is_wanted` says so.
    """
    here = cwd or target.path.resolve().parent
    request = Request(
        path=str(target.path.resolve()),
        name=target.name,
        for_run=True,
        params=params,
        texts=texts,
        defaults=defaults or {},
        artifacts_url=artifacts_url,
        logical_date=logical_date.isoformat() if logical_date else "",
        cwd=str(here.resolve()),
    )
    return _asked(request, folder=folder, is_wanted=is_wanted)


def find_problems(target: Target, defaults: Mapping[str, Any] | None = None) -> tuple[Problem, ...]:
    """Everything wrong with the flows of a file, or with one of them."""
    return examined(target, defaults)[0]


def examined(target: Target, defaults: Mapping[str, Any] | None = None) -> tuple[tuple[Problem, ...], tuple[Flow, ...]]:
    """Everything wrong with the flows of a file, or with one of them, and those with which nothing is."""
    request = Request(path=str(target.path), name=target.name, everything=True, defaults=defaults or {})
    found = _ask(request)
    if found.problems or found.broken:
        return (*found.problems, *found.broken.values()), found.flows
    try:
        refuse_moving_dates(target.path, found.flows, _asked(request).flows if _has_dates(found.flows) else ())
    except UserError as error:
        return (Problem(message=str(error), code="schedule"),), ()
    return (), found.flows


def _has_dates(flows: Sequence[Flow]) -> bool:
    return any(flow.options.schedule.keys() & set(DATES) for flow in flows)


def _asked(request: Request, *, folder: str | None = None, is_wanted: Callable[[], bool] | None = None) -> FileTrace:
    answer = _ask(request, folder=folder, is_wanted=is_wanted)
    if answer.problems:
        raise UserError(located(answer.problems[0], request.path))
    return answer


def located(problem: Problem, path: str | Path) -> str:
    """The sentence with the file and the line it is about."""
    where = f"{Path(path).name}, line {problem.line}: " if problem.line else ""
    return f"{where}{problem.message}"


def _ask(request: Request, *, folder: str | None = None, is_wanted: Callable[[], bool] | None = None) -> FileTrace:
    with tempfile.TemporaryDirectory(prefix="nbflow-trace-") as temporary:
        result = Path(temporary) / "answer"
        with subprocess.Popen(  # noqa: S603 - this very interpreter, with our own module
            [sys.executable, "-m", "nbflow.python.child", str(result)],
            stdin=subprocess.PIPE,
            stdout=sys.stderr.fileno() if _has_descriptor() else subprocess.DEVNULL,  # what the file prints is not the command's answer
            env=dict(os.environ),
            cwd=folder,
        ) as child:
            try:
                _wait(child, json.dumps(asdict(request), default=str).encode(), is_wanted)
            except BaseException:
                child.kill()
                raise
        if not result.exists():
            raise SetupError(
                f"Reading {request.path} ended with exit code {child.returncode} and no answer: import the file in Python to see why."
            )
        answer = pickle.loads(result.read_bytes())  # noqa: S301 - written by our child, for us alone
    assert isinstance(answer, FileTrace)
    if answer.in_the_way:
        raise SetupError(answer.in_the_way)
    return answer


def _wait(child: subprocess.Popen[bytes], text: bytes, is_wanted: Callable[[], bool] | None) -> None:
    """Tell the child what it is asked, and wait for its end."""
    assert child.stdin is not None
    with contextlib.suppress(OSError):  # it ended before it had read that: there is no answer, and that is said
        child.stdin.write(text)
        child.stdin.close()
    while is_wanted is not None and child.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_LOOK)
            return
        if not is_wanted():
            raise NotWanted("Nobody waits for this flow any more.")
    child.wait()


def _has_descriptor() -> bool:
    try:
        sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True
