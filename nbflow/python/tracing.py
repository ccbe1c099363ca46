# SPDX-License-Identifier: BSD-3-Clause
"""Flows of `.py` files without running their code in this process: a child imports the file, traces its flows and answers with plain data."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nbflow.authoring.python_file import Target
from nbflow.core.errors import Problem, SetupError, UserError
from nbflow.core.ids import TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.core.states import RunState

if TYPE_CHECKING:
    from nbflow.app import Workspace
    from nbflow.core.protocols import RunObserver
    from nbflow.core.records import RunRecord
    from nbflow.headless import NotebookOutcome

#: Seconds between two looks at whether the command was interrupted, and those an interrupted run has to end.
_TICK: Final = 0.1
_CANCEL_PATIENCE: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the child is asked."""

    path: str
    name: str = ""
    #: Look at every flow of the file and tell what is wrong with each.
    everything: bool = False
    #: Trace for a run: with values of the parameters, and with what the tasks are given.
    for_run: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    #: Parameters as typed, for those that take text.
    texts: Mapping[str, str] = field(default_factory=dict)
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


def trace_flow(target: Target) -> Flow:
    """The flow of a file, with the defaults of its parameters. Raises UserError naming the line of what is wrong."""
    flow = _asked(Request(path=str(target.path), name=target.name)).flow
    assert flow is not None
    _refuse_moving_start(target, flow)
    return flow


def _refuse_moving_start(target: Target, flow: Flow) -> None:
    """A start date with fractions of a second was computed: it is read again, and must be the same. Raises UserError."""
    start = str(flow.options.schedule.get("start_date", ""))
    if "." not in start:
        return
    again = _asked(Request(path=str(target.path), name=target.name)).flow
    other = str(again.options.schedule.get("start_date", "")) if again is not None else ""
    if other != start:
        raise UserError(
            f"start_date of flow {flow.name} is another one each time it is read ({start}, then {other}): write a date, such as 2026-01-01."
        )


def trace_for_run(
    target: Target,
    *,
    params: Mapping[str, Any],
    texts: Mapping[str, str],
    artifacts_url: str,
    logical_date: datetime | None = None,
    cwd: Path | None = None,
) -> FileTrace:
    """The flow of a file with these parameters, and everything its tasks are given. Raises UserError naming the line of what is wrong."""
    folder = cwd or target.path.resolve().parent
    return _asked(
        Request(
            path=str(target.path),
            name=target.name,
            for_run=True,
            params=params,
            texts=texts,
            artifacts_url=artifacts_url,
            logical_date=logical_date.isoformat() if logical_date else "",
            cwd=str(folder.resolve()),
        )
    )


def run_file(
    workspace: Workspace,
    target: Target,
    *,
    params: Mapping[str, Any],
    texts: Mapping[str, str],
    cwd: Path | None = None,
    fresh: bool = False,
    ignore_past: bool = False,
    logical_date: datetime | None = None,
    observers: Sequence[RunObserver] = (),
) -> NotebookOutcome:
    """Run a flow of a file now and return how it went; an interrupt cancels it. Raises UserError, SetupError when it cannot be run at all."""
    from nbflow.headless import NotebookOutcome  # noqa: PLC0415 - looking at a graph needs none of it

    workspace.warm()
    url = workspace.settings.artifacts
    traced = trace_for_run(target, params=params, texts=texts, artifacts_url=url, logical_date=logical_date, cwd=cwd)
    assert traced.flow is not None
    handle = workspace.start_run(
        traced.flow,
        traced.captures,
        params=traced.params,
        logical_date=traced.logical_date,
        past=traced.past,
        trigger="python",
        fresh=fresh,
        ignore_past=ignore_past,
        observers=observers,
    )
    try:
        while not handle.wait(_TICK):
            pass
    except KeyboardInterrupt:
        handle.cancel()
        handle.wait(_CANCEL_PATIENCE)
    advanced = handle.advanced()
    return NotebookOutcome(
        run_id=handle.run_id,
        succeeded=advanced.state is RunState.SUCCESS,
        sentence=advanced.sentence,
        output=None,
        tracebacks=tuple("\n".join(failure.error.traceback) for failure in advanced.failures if failure.error.traceback),
    )


def trace_again(workspace: Workspace, run: RunRecord) -> tuple[Flow, CaptureSet] | None:
    """The flow of a run as its `.py` file is now, with what its tasks are given; None for a run of anything else. Raises UserError."""
    if not run.path.endswith(".py"):
        return None
    target = Target(Path(run.path), run.flow)
    traced = trace_for_run(target, params=run.params, texts={}, artifacts_url=workspace.settings.artifacts)
    assert traced.flow is not None
    return traced.flow, traced.captures


def find_problems(target: Target) -> tuple[Problem, ...]:
    """Everything wrong with the flows of a file, or with one of them."""
    return _ask(Request(path=str(target.path), name=target.name, everything=True)).problems


def _asked(request: Request) -> FileTrace:
    answer = _ask(request)
    if answer.problems:
        problem = answer.problems[0]
        where = f"{Path(request.path).name}, line {problem.line}: " if problem.line else ""
        raise UserError(f"{where}{problem.message}")
    return answer


def _ask(request: Request) -> FileTrace:
    with tempfile.TemporaryDirectory(prefix="nbflow-trace-") as folder:
        result = Path(folder) / "answer"
        text = json.dumps(asdict(request), default=str)
        done = subprocess.run(  # noqa: S603 - this very interpreter, with our own module
            [sys.executable, "-m", "nbflow.python.child", str(result)],
            input=text.encode(),
            stdout=sys.stderr.fileno() if _has_descriptor() else subprocess.DEVNULL,  # what the file prints is not the command's answer
            check=False,
            env=dict(os.environ),
        )
        if not result.exists():
            raise SetupError(
                f"Reading {request.path} ended with exit code {done.returncode} and no answer: import the file in Python to see why."
            )
        answer = pickle.loads(result.read_bytes())  # noqa: S301 - written by our child, for us alone
    assert isinstance(answer, FileTrace)
    return answer


def _has_descriptor() -> bool:
    try:
        sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True
