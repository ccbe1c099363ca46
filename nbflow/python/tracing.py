# SPDX-License-Identifier: BSD-3-Clause
"""Runs of flows of `.py` files, in this process; the file's own code runs in a child, and where its tasks do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nbflow.app.tracing import trace_for_run
from nbflow.authoring.python_file import Target
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
    traced = trace_for_run(
        target,
        params=params,
        texts=texts,
        artifacts_url=url,
        defaults=workspace.settings.task_defaults,
        logical_date=logical_date,
        cwd=cwd,
    )
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
    settings = workspace.settings
    traced = trace_for_run(target, params=run.params, texts={}, artifacts_url=settings.artifacts, defaults=settings.task_defaults)
    assert traced.flow is not None
    return traced.flow, traced.captures
