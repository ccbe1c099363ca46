# SPDX-License-Identifier: BSD-3-Clause
"""Run a notebook now, or go on with a run, in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nbflow.app import Workspace
from nbflow.core.errors import RunFailed, UserError
from nbflow.core.ids import RunId, manual_run_id
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.core.records import RunRecord
from nbflow.core.states import RunState
from nbflow.headless.host import WorkspaceHost

if TYPE_CHECKING:
    from nbflow.operators.notebook_run import ExecutedNotebook

#: Triggers of runs whose notebook is executed by a host of ours.
_EXECUTED: Final = ("cli", "papermill")
#: Seconds between two looks at whether somebody interrupts.
_TICK: Final = 0.5
#: Seconds an interrupted run has to end in order.
_CANCEL_PATIENCE: Final = 20.0


#: A flow as it is now, with what its tasks are given.
Now = tuple[Flow, CaptureSet]


@dataclass(frozen=True, kw_only=True)
class NotebookOutcome:
    """How a headless run ended."""

    run_id: RunId
    succeeded: bool
    sentence: str
    #: The executed notebook; None for a run that was started live, whose notebook is not executed.
    output: Path | None
    #: Of the failed tasks, coloured for a terminal.
    tracebacks: tuple[str, ...] = ()


def run_notebook(
    workspace: Workspace,
    path: Path | str,
    *,
    params: Mapping[str, Any] | None = None,
    output: Path | str | None = None,
    kernel: str | None = None,
    cwd: Path | str | None = None,
    fresh: bool = False,
    ignore_past: bool = False,
    observers: Sequence[Any] = (),
) -> NotebookOutcome:
    """Run a notebook now and return how it went; `fresh`: without results of earlier runs. Raises UserError, SetupError when it cannot be run at all.

    Without `output` the executed notebook goes to the home, in a folder named after the run.
    """
    from nbflow.operators.notebook_run import execute_notebook  # noqa: PLC0415 - papermill is loaded when a notebook is to run

    source = Path(path)
    run_id = manual_run_id(workspace.clock.now())
    target = Path(output) if output else workspace.settings.home / "runs" / run_id / source.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The executed notebook cannot be written to {target}: {error.strerror}.") from None
    workspace.warm()
    host = WorkspaceHost(workspace, run_id=run_id, trigger="cli", fresh=fresh, ignore_past=ignore_past, observers=observers)
    return _outcome(execute_notebook(source, target, parameters=dict(params or {}), host=host, kernel_name=kernel, cwd=cwd))


def resume_notebook(
    workspace: Workspace,
    run_id: str,
    *,
    tasks: Sequence[str] = (),
    latest: bool = False,
    now: Now | None = None,
    kernel: str | None = None,
    cwd: Path | str | None = None,
    observers: Sequence[Any] = (),
) -> NotebookOutcome:
    """Go on with a run, in this process: what succeeded is loaded, the rest runs. `latest` is the newest run.

    With `tasks`, these and what depends on them run again, whatever became of them; all else stays as it is.

    With `latest`, what runs again does so with the code as its file is now; of a run without a notebook, `now` is that.

    The notebook of a headless run is executed again, into the same file; a live run is driven without its kernel.
    Raises UserError when there is nothing to go on with, a living process drives it, or the notebook was changed since; SetupError.
    """
    run = workspace.run(run_id)
    if not (run.deployment and latest):  # which may have other tasks
        workspace.refuse_to_resume(run, tasks)
    workspace.warm()
    if run.deployment:
        from nbflow.headless.deployed import resume_deployed  # noqa: PLC0415 - papermill, as above

        resume_deployed(workspace, run, tasks, latest=latest)
        return _recorded(workspace, run.run_id)
    if run.trigger not in _EXECUTED or not run.path:
        return _drive_directly(workspace, run, tasks, observers, latest=latest, now=now)
    from nbflow.operators.notebook_run import execute_notebook  # noqa: PLC0415 - as above

    source = Path(run.path)
    _refuse_changed(workspace, run, latest=latest)
    target = Path(run.output) if run.output else workspace.settings.home / "runs" / run.run_id / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    flow = workspace.flow_of(run)
    known = {parameter.name for parameter in flow.parameters}
    params = {name: value for name, value in run.params.items() if name in known or not flow.parameters}
    host = WorkspaceHost(workspace, resume=run.run_id, again=tasks, latest=latest, trigger=run.trigger, observers=observers)
    return _outcome(execute_notebook(source, target, parameters=params, host=host, kernel_name=kernel, cwd=cwd))


def _recorded(workspace: Workspace, run_id: str) -> NotebookOutcome:
    """How a run ended, from what is recorded."""
    snapshot = workspace.snapshot(run_id)
    run = snapshot.run
    return NotebookOutcome(
        run_id=run.run_id,
        succeeded=run.state is RunState.SUCCESS,
        sentence=snapshot.sentence(workspace.clock.now()),
        output=Path(run.output) if run.output else None,
    )


def _refuse_changed(workspace: Workspace, run: RunRecord, *, latest: bool) -> None:
    if not Path(run.path).is_file():
        raise UserError(f"Run {run.run_id} cannot go on: its notebook {run.path} is not there any more.")
    flow = workspace.flow_of(run)
    if any(task.operator == "notebook" and not task.cell.number for task in flow.tasks):
        return  # a notebook without tasks runs as it was stored
    if latest:
        return
    now = workspace.load_flow(run.path)
    if workspace.store.save_flow(now) != run.version and _undocumented(now) != _undocumented(flow):
        raise UserError(
            f"{run.path} was changed since run {run.run_id}: take the changes back to go on with it, type "
            f"nbflow runs retry {run.run_id} --latest to go on with the code as it is now, or nbflow run {run.path} for a new run."
        )


def _undocumented(flow: Flow) -> Flow:
    """What it does, without what is said of it."""
    return replace(flow, tasks=tuple(replace(task, doc="") for task in flow.tasks))


def _drive_directly(
    workspace: Workspace, run: RunRecord, tasks: Sequence[str], observers: Sequence[Any], *, latest: bool, now: Now | None
) -> NotebookOutcome:
    if latest and now is None:
        raise UserError(
            f"Only its notebook knows the code of run {run.run_id} as it is now: type %nbflow retry there, or leave out --latest."
        )
    flow, captures = now or (None, None)
    handle = workspace.resume_run(run.run_id, captures, tasks=tasks, flow=flow, observers=observers)
    try:
        while not handle.wait(_TICK):
            pass
    except KeyboardInterrupt:
        handle.cancel()
        handle.wait(_CANCEL_PATIENCE)
        raise
    advanced = handle.advanced()
    tracebacks = tuple("\n".join(failure.error.traceback) for failure in advanced.failures if failure.error.traceback)
    succeeded = advanced.state is RunState.SUCCESS
    return NotebookOutcome(
        run_id=run.run_id, succeeded=succeeded, sentence=advanced.sentence, output=None, tracebacks=() if succeeded else tracebacks
    )


def _outcome(done: ExecutedNotebook) -> NotebookOutcome:
    if done.run is None:
        raise RunFailed(done.error.sentence if done.error else "The notebook failed before there was a run.")
    tracebacks = tuple("\n".join(failure.error.traceback) for failure in done.run.failures if failure.error.traceback)
    if done.error is not None and not tracebacks:
        tracebacks = ("\n".join(done.error.traceback) or done.error.sentence,)
    return NotebookOutcome(
        run_id=done.run.run_id,
        succeeded=done.succeeded and done.run.state is RunState.SUCCESS,
        sentence=done.run.sentence,
        output=done.output.resolve(),
        tracebacks=tracebacks,
    )
