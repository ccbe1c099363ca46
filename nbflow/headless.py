# SPDX-License-Identifier: BSD-3-Clause
"""Notebooks without a browser: the same driver as in a kernel, in the process that executes the notebook.

`WorkspaceHost` is what papermill's engine asks for a run (`operators/notebook_host.py` is the seam); `run_notebook` is what the command line calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nbflow.app import RunHandle, SystemClock, Workspace
from nbflow.core.errors import FlowError, NbflowError, RunFailed, UserError
from nbflow.core.hosting import Advance, Advanced
from nbflow.core.ids import RunId, TaskId, TaskKey, Token, manual_run_id, slug
from nbflow.core.job import AttemptBegan, CaptureSet, ErrorInfo, ExecutorEvent, Job, Outcome, OutputMade, Report
from nbflow.core.mapping import summary
from nbflow.core.model import Flow, Task
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.operators.notebook_host import (
    AttemptShown,
    CardShown,
    Ending,
    EndKind,
    GraphShown,
    NotebookInfo,
    OutputShown,
    RunInfo,
    Show,
    Shown,
    TaskInfo,
)
from nbflow.views import bundles

if TYPE_CHECKING:
    from nbflow.operators.notebook_run import ExecutedNotebook

#: Triggers of runs whose notebook is executed by a host of ours.
_EXECUTED: Final = ("cli", "papermill")
#: Seconds between two looks at whether somebody interrupts.
_TICK: Final = 0.5
#: Seconds an interrupted run has to end in order.
_CANCEL_PATIENCE: Final = 20.0
#: Seconds between two pictures of the graph in the executed notebook while it grows.
_GRAPH_PERIOD: Final = 2.0


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
    observers: Sequence[Any] = (),
) -> NotebookOutcome:
    """Run a notebook now and return how it went. Raises UserError, SetupError when it cannot be run at all.

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
    host = WorkspaceHost(workspace, run_id=run_id, trigger="cli", observers=observers)
    return _outcome(execute_notebook(source, target, parameters=dict(params or {}), host=host, kernel_name=kernel, cwd=cwd))


def resume_notebook(
    workspace: Workspace, run_id: str, *, kernel: str | None = None, cwd: Path | str | None = None, observers: Sequence[Any] = ()
) -> NotebookOutcome:
    """Go on with a run, in this process: what succeeded is loaded, the rest runs. `latest` is the newest run.

    The notebook of a headless run is executed again, into the same file; a live run is driven without its kernel.
    Raises UserError when there is nothing to go on with, a living process drives it, or the notebook was changed since; SetupError.
    """
    run = workspace.run(run_id)
    workspace.refuse_to_resume(run)
    workspace.warm()
    if run.trigger not in _EXECUTED or not run.path:
        return _drive_directly(workspace, run, observers)
    from nbflow.operators.notebook_run import execute_notebook  # noqa: PLC0415 - as above

    source = Path(run.path)
    _refuse_changed(workspace, run)
    target = Path(run.output) if run.output else workspace.settings.home / "runs" / run.run_id / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    flow = workspace.flow_of(run)
    known = {parameter.name for parameter in flow.parameters}
    params = {name: value for name, value in run.params.items() if name in known or not flow.parameters}
    host = WorkspaceHost(workspace, resume=run.run_id, trigger=run.trigger, observers=observers)
    return _outcome(execute_notebook(source, target, parameters=params, host=host, kernel_name=kernel, cwd=cwd))


def _refuse_changed(workspace: Workspace, run: RunRecord) -> None:
    if not Path(run.path).is_file():
        raise UserError(f"Run {run.run_id} cannot go on: its notebook {run.path} is not there any more.")
    flow = workspace.flow_of(run)
    if any(task.operator == "notebook" and not task.cell.number for task in flow.tasks):
        return  # a notebook without tasks runs as it was stored
    if workspace.store.save_flow(workspace.load_flow(run.path)) != run.version:
        raise UserError(
            f"{run.path} was changed since run {run.run_id}: take the changes back to go on with it, or type nbflow run {run.path} for a new run."
        )


def _drive_directly(workspace: Workspace, run: RunRecord, observers: Sequence[Any]) -> NotebookOutcome:
    handle = workspace.resume_run(run.run_id, observers=observers)
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


def notebook_html(path: Path) -> Path:
    """The web page of an executed notebook, written beside it when it is not there yet or older. Raises UserError."""
    page = path.with_suffix(".html")
    try:
        if page.exists() and page.stat().st_mtime >= path.stat().st_mtime:
            return page.resolve()
        from nbconvert import HTMLExporter  # noqa: PLC0415 - slow to import

        text, _ = HTMLExporter().from_filename(str(path))
        page.write_text(text, encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"The executed notebook {path} is not there any more.") from None
    except OSError as error:
        raise UserError(f"{page} cannot be written: {error.strerror}.") from None
    return page.resolve()


def notebook_host() -> WorkspaceHost:
    """What `papermill --engine nbflow` finds by the entry point: the workspace of the settings in force."""
    return WorkspaceHost(Workspace.open(), trigger="papermill")


class WorkspaceHost:
    """Records and drives the runs of notebooks in a workspace."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        trigger: str,
        run_id: RunId | None = None,
        resume: RunId | None = None,
        observers: Sequence[Any] = (),
    ) -> None:
        """With `resume`, the notebook goes on with that run; else it makes one, `run_id` if given."""
        self._workspace, self._trigger, self._observers = workspace, trigger, tuple(observers)
        self._run_id, self._resumes = resume or run_id, resume is not None

    def begin(self, info: NotebookInfo, stop: Callable[[str], None]) -> HostedRun:
        """Raises FlowError when the notebook has errors: then no cell is executed."""
        errors = [problem for problem in self._problems(info) if problem.severity == "error"]
        if errors:
            raise FlowError(errors, info.path)
        return HostedRun(
            self._workspace, info, stop, trigger=self._trigger, run_id=self._run_id, resumes=self._resumes, observers=self._observers
        )

    def _problems(self, info: NotebookInfo) -> Sequence[Any]:
        return self._workspace.problems(info.path) if info.is_flow and info.path else ()


class HostedRun:
    """The run of one notebook, from its first cell to its last."""

    def __init__(
        self,
        workspace: Workspace,
        info: NotebookInfo,
        stop: Callable[[str], None],
        *,
        trigger: str,
        run_id: RunId | None,
        resumes: bool,
        observers: Sequence[Any],
    ) -> None:
        self.artifacts_url = workspace.settings.artifacts
        self._workspace, self._info, self._stop = workspace, info, stop
        self._trigger, self._run_id, self._resumes, self._observers = trigger, run_id, resumes, observers
        #: The tasks whose cells have been executed.
        self._asked: set[TaskId] = set()
        self._handle: RunHandle | None = None
        self._cells: _CellsExecutor | None = None
        self._view = _NotebookView(workspace)
        self._ending = False
        self._lock = threading.Lock()

    # --- what the engine calls --------------------------------------------------------------------------------------

    def advance(self, request: Advance, show: Show) -> Advanced:
        with self._lock:
            self._view.show = show
            handle = self._handle
            if handle is None:
                held = () if request.final else tuple(task.id for task in request.flow.tasks if task.id not in set(request.tasks))
                handle = self._start(request.flow, request.captures, held=held, params=request.params)
            else:
                handle.release(_all_of(handle) if request.final else request.tasks, request.captures)
            asked = set(_all_of(handle) if request.final else request.tasks)
            if self._resumes:
                self._view.show_recorded(asked - self._asked)
            self._asked |= asked
        if request.final:
            handle.wait()
        else:
            handle.wait_for(request.tasks)
        self._view.draw()
        return handle.advanced(self._asked)  # of a run that goes on, tasks further down may have succeeded already

    def plain_notebook(self) -> None:
        name = slug(Path(self._info.path).stem) if self._info.path else slug("notebook")
        flow = Flow(name=name, tasks=(Task(id=TaskId(name), operator="notebook", source=self._info.source),), path=self._info.path)
        self._cells = _CellsExecutor(self._stop)
        self._start(flow, CaptureSet(), executor=self._cells)

    def cancel(self) -> None:
        self._ending = True
        if self._handle is not None:
            self._handle.cancel()

    def info(self) -> RunInfo | None:
        if self._handle is None:
            return None
        snapshot, advanced = self._handle.snapshot(), self._handle.advanced()
        tasks = {
            str(key): TaskInfo(state=record.state, attempt=record.attempt, reason=record.reason) for key, record in snapshot.tasks.items()
        }
        failures = advanced.failures if snapshot.run.state in {RunState.FAILED, RunState.RUNNING} else ()
        return RunInfo(
            run_id=snapshot.run.run_id,
            flow=snapshot.run.flow,
            version=snapshot.run.version,
            state=snapshot.run.state,
            sentence=advanced.sentence,
            tasks=tasks,
            failures=failures,
        )

    def finish(self, ending: Ending) -> RunInfo | None:
        self._ending = True
        if self._handle is None and self._resumes:
            return None  # it stays as it was
        if self._handle is None:
            flow = self._flow_of_file()
            if flow is None:
                return None
            held = () if ending.kind is EndKind.COMPLETE and not flow.tasks else tuple(task.id for task in flow.tasks)
            self._start(flow, CaptureSet(), held=held)
        handle = self._handle
        assert handle is not None
        if self._cells is not None:
            self._cells.finish(ending)
        elif not handle.is_over:
            self._end_early(handle, ending)
        handle.wait()
        self._view.draw()
        return self.info()

    # --- how ---------------------------------------------------------------------------------------------------------

    def _start(
        self,
        flow: Flow,
        captures: CaptureSet,
        *,
        held: Sequence[TaskId] = (),
        params: Mapping[str, Any] | None = None,
        executor: Any = None,
    ) -> RunHandle:
        flow = replace(flow, path=flow.path or self._info.path)
        self._view.flow = flow
        observers = [self._view, self, *self._observers]
        if self._resumes:
            assert self._run_id is not None
            self._handle = self._workspace.resume_run(self._run_id, captures, held=held, executor=executor, observers=observers)
            self._view.handle = self._handle
            return self._handle
        self._handle = self._workspace.start_run(
            flow,
            captures,
            held=held,
            params={**self._info.params, **(params or {})},
            trigger=self._trigger,
            output=self._info.output,
            run_id=self._run_id,
            executor=executor,
            observers=observers,
        )
        self._view.handle = self._handle
        return self._handle

    def _end_early(self, handle: RunHandle, ending: Ending) -> None:
        if ending.kind is EndKind.INTERRUPTED:
            handle.cancel()
        elif ending.kind is EndKind.COMPLETE:
            handle.abandon("The notebook ended before these tasks were defined.")
        else:
            handle.abandon(ending.reason)

    def _flow_of_file(self) -> Flow | None:
        try:
            return self._workspace.load_flow(self._info.path) if self._info.path else None
        except NbflowError:
            return None

    # --- as an observer: a run that somebody ends from outside ends the execution of its cells too ----------------------

    def changed(self, changes: Sequence[Change]) -> None:
        """A run that was cancelled from outside stops the notebook's plain cells too."""
        run = changes[-1].run if changes else None
        if run is not None and run.state is RunState.CANCELLED and not self._ending:
            self._stop(run.reason or f"Run {run.run_id} was cancelled.")

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        """Outputs are the view's."""


class _NotebookView:
    """Draws a run into the executed notebook: outputs as they come, cards as tasks end, the graph now and then and at the end."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.flow: Flow | None = None
        self.handle: RunHandle | None = None
        self.show: Show | None = None
        self._drawn = workspace.clock.now()

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        """An output, or the end of an attempt."""
        if isinstance(event, OutputMade):
            self._show(OutputShown(key=key, attempt=attempt, output=event.output))
        elif isinstance(event, Report):
            outputs = self._workspace.outputs(event.outputs)
            self._show(AttemptShown(key=key, attempt=attempt, outputs=_with_error(outputs, event.error)))

    def changed(self, changes: Sequence[Change]) -> None:
        """Cards follow every change of state that ends something or begins it."""
        if self.flow is None:
            return
        now = self._workspace.clock.now()
        for change in changes:
            if change.task is not None and (change.task.state.is_finished or change.task.reason):
                task = self.flow.task(change.task.key.task_id)
                self._show(CardShown(task=task.id, data=bundles.task_bundle(self.flow, task, self._stands(change.task), now)))
        if (now - self._drawn).total_seconds() >= _GRAPH_PERIOD:
            self.draw()

    def show_recorded(self, tasks: Collection[TaskId]) -> None:
        """What tasks gave that had ended before this process: their outputs stand under their cells again."""
        assert self.flow is not None
        assert self.handle is not None
        now, snapshot = self._workspace.clock.now(), self.handle.snapshot()
        newest = {attempt.key: attempt for attempt in self._workspace.attempts(self.handle.run_id)}
        for key, record in snapshot.tasks.items():
            if key.task_id not in tasks or record.state not in {TaskState.SUCCESS, TaskState.SKIPPED}:
                continue
            attempt = newest.get(key)
            if attempt is not None and attempt.attempt == record.attempt:
                outputs = self._workspace.outputs(attempt.outputs)
                self._show(AttemptShown(key=key, attempt=record.attempt, outputs=_with_error(outputs, attempt.error)))
            task = self.flow.task(key.task_id)
            self._show(CardShown(task=task.id, data=bundles.task_bundle(self.flow, task, record, now)))

    def _stands(self, record: TaskRecord) -> TaskRecord:
        """The record, or the one that stands for all copies of a mapped task."""
        if self.handle is None or record.key.map_index < 0:
            return record
        return summary(self.handle.snapshot().tasks, record.key.task_id) or record

    def draw(self) -> None:
        """The graph as it stands."""
        if self.flow is None or self.handle is None:
            return
        self._drawn = now = self._workspace.clock.now()
        snapshot = self.handle.snapshot()
        self._show(GraphShown(data=bundles.graph_bundle(self.flow, snapshot.tasks, snapshot.run, now)))

    def _show(self, shown: Shown) -> None:
        if self.show is not None:
            self.show(shown)


class _CellsExecutor:
    """The executor of a plain notebook: its one attempt is the execution of the cells, which the engine does and reports through `finish`."""

    def __init__(self, stop: Callable[[str], None]) -> None:
        self._stop = stop
        self._tell: Callable[[ExecutorEvent], None] = lambda _: None
        self._begun = threading.Event()
        self._token: Token | None = None
        self._at: datetime | None = None

    def slots(self) -> int | None:
        return 1

    def start(self, tell: Callable[[ExecutorEvent], None]) -> None:
        self._tell = tell

    def submit(self, jobs: Sequence[Job]) -> None:
        """The cells are about to run."""
        self._token, self._at = jobs[0].token, _now()
        self._tell(AttemptBegan(token=self._token, at=self._at, worker="this process"))
        self._begun.set()

    def cancel(self, tokens: Sequence[Token]) -> None:
        """Stop the execution of the cells."""
        if self._token in tokens:
            self._stop("The run was cancelled.")

    def end(self, tokens: Sequence[Token]) -> None:
        """The kernel of a host that is gone ends by itself."""

    def finish(self, ending: Ending) -> None:
        """The engine is done with the cells."""
        self._begun.wait(10)
        assert self._token is not None
        outcome = Outcome.SUCCESS if ending.kind is EndKind.COMPLETE else Outcome.FAILED
        error = None if outcome is Outcome.SUCCESS else ending.error or ErrorInfo(ename="NotebookError", evalue=ending.reason)
        if error is not None:
            error = replace(error, may_retry=False)
        self._tell(Report(token=self._token, outcome=outcome, worker="this process", started_at=self._at, ended_at=_now(), error=error))

    def close(self) -> None:
        """Nothing is held."""


def _now() -> datetime:
    return SystemClock().now()


def _all_of(handle: RunHandle) -> tuple[TaskId, ...]:
    return tuple(dict.fromkeys(key.task_id for key in handle.snapshot().tasks))


def _with_error(outputs: Sequence[Mapping[str, Any]], error: ErrorInfo | None) -> list[Mapping[str, Any]]:
    shown = list(outputs)
    if error is not None and not any(output.get("output_type") == "error" for output in shown):
        traceback = list(error.traceback) or [error.sentence]
        shown.append({"output_type": "error", "ename": error.ename, "evalue": error.evalue, "traceback": traceback})
    return shown
