# SPDX-License-Identifier: BSD-3-Clause
"""Who records and drives the run of a notebook that is executed here: what papermill's engine asks for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from nbflow.app import RunHandle, Workspace
from nbflow.core.errors import FlowError, NbflowError
from nbflow.core.hosting import Advance, Advanced
from nbflow.core.ids import RunId, TaskId, TaskKey, slug
from nbflow.core.job import CaptureSet, ExecutorEvent
from nbflow.core.model import Flow, Task
from nbflow.core.records import Change
from nbflow.core.states import RunState
from nbflow.engine.reaping import way_on
from nbflow.headless.cells import CellsExecutor
from nbflow.headless.view import NotebookView
from nbflow.operators.notebook_host import Ending, EndKind, NotebookInfo, RunInfo, Show, TaskInfo

_log = logging.getLogger("nbflow.driver")
#: Seconds between two looks at whether a run whose cells wait for their slot is over.
_TICK: Final = 0.1


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
        again: Sequence[str] = (),
        latest: bool = False,
        fresh: bool = False,
        ignore_past: bool = False,
        observers: Sequence[Any] = (),
    ) -> None:
        """With `resume`, the notebook goes on with that run; else it makes one, `run_id` if given.

        The tasks `again`, if any, are those that run again, in their `latest` code if wanted.
        A `fresh` run uses no results of earlier ones; with `ignore_past` no task depends on its past.
        """
        self._workspace, self._trigger, self._observers, self._again = workspace, trigger, tuple(observers), tuple(again)
        self._run_id, self._resumes, self._fresh, self._latest = resume or run_id, resume is not None, fresh, latest
        self._ignore_past = ignore_past

    def begin(self, info: NotebookInfo, stop: Callable[[str], None]) -> HostedRun:
        """Raises FlowError when the notebook has errors: then no cell is executed."""
        errors = [problem for problem in self._problems(info) if problem.severity == "error"]
        if errors:
            raise FlowError(errors, info.path)
        return HostedRun(
            self._workspace,
            info,
            stop,
            trigger=self._trigger,
            run_id=self._run_id,
            resumes=self._resumes,
            again=self._again,
            latest=self._latest,
            fresh=self._fresh,
            ignore_past=self._ignore_past,
            observers=self._observers,
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
        again: Sequence[str],
        latest: bool,
        fresh: bool,
        ignore_past: bool,
        observers: Sequence[Any],
    ) -> None:
        self.artifacts_url = workspace.settings.artifacts
        self.installation: Mapping[str, Any] = workspace.settings.task_defaults
        self._workspace, self._info, self._stop = workspace, info, stop
        self._trigger, self._run_id, self._resumes, self._again, self._observers = trigger, run_id, resumes, again, observers
        self._fresh, self._latest, self._ignore_past = fresh, latest, ignore_past
        #: The tasks whose cells have been executed.
        self._asked: set[TaskId] = set()
        #: Those of them whose earlier outputs are not in the executed notebook yet.
        self._unshown: set[TaskId] = set()
        self._handle: RunHandle | None = None
        self._cells: CellsExecutor | None = None
        self._view = NotebookView(workspace)
        self._ending = False
        self._is_cancelled = False
        #: Held while the run is started: there is one, and it is not missed by whoever ends it meanwhile.
        self._lock = threading.Lock()

    # --- what the engine calls --------------------------------------------------------------------------------------

    def advance(self, request: Advance, show: Show) -> Advanced:
        with self._lock:
            self._view.show = show
            handle = self._handle
            if handle is None:
                self._fresh |= request.fresh
                held = () if request.final else tuple(task.id for task in request.flow.tasks if task.id not in set(request.tasks))
                handle = self._start(request.flow, request.captures, held=held, params=request.params)
            else:
                handle.release(_all_of(handle) if request.final else request.tasks, request.captures)
            asked = set(_all_of(handle) if request.final else request.tasks)
            if self._resumes:
                self._unshown |= asked - self._asked
                self._show_recorded()
            self._asked |= asked
        if request.final:
            handle.wait()
        else:
            handle.wait_for(request.tasks)
        if self._workspace.stops_when_done and all(record.state.is_finished for record in handle.snapshot().tasks.values()):
            self._stop("What was to run has run.")  # before the kernel hears of it, and goes on to the next cell
        self._view.draw()
        return handle.advanced(self._asked)  # of a run that goes on, tasks further down may have succeeded already

    def before_cells(self) -> None:
        """Returns also when the run is over already. Raises what ended its driver."""
        if not self._info.is_flow:
            self._start_plain()
        if self._cells is None or self._handle is None:
            return
        while not self._cells.may_run(_TICK) and not self._handle.wait(0):
            continue

    def _start_plain(self) -> None:
        name = slug(Path(self._info.path).stem) if self._info.path else slug("notebook")
        flow = Flow(name=name, tasks=(Task(id=TaskId(name), operator="notebook", source=self._info.source),), path=self._info.path)
        self._cells = CellsExecutor(self._stop)
        with self._lock:
            self._start(flow, CaptureSet(), executor=self._cells)

    def cancel(self) -> None:
        """Once, however many ask: a run that is cancelled again loses its teardowns."""
        self._ending = True
        with self._lock:
            if self._handle is not None and not self._is_cancelled:
                self._handle.cancel()
            self._is_cancelled = True

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
        with self._lock:
            handle = self._handle or self._never_advanced(ending)
        if handle is None:
            return None
        if self._cells is not None:
            self._cells.finish(ending)
        elif not handle.is_over:
            self._end_early(handle, ending)
        handle.wait()
        self._show_recorded()
        self._view.draw()
        return self.info()

    # --- how ---------------------------------------------------------------------------------------------------------

    def _never_advanced(self, ending: Ending) -> RunHandle | None:
        """The run of a notebook that asked for nothing; None of one that stays as it was, or that nobody can read."""
        flow = None if self._resumes else self._flow_of_file()
        if flow is None:
            return None
        held = () if ending.kind is EndKind.COMPLETE and not flow.tasks else tuple(task.id for task in flow.tasks)
        return self._start(flow, CaptureSet(), held=held)

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
            self._handle = self._workspace.resume_run(
                self._run_id,
                captures,
                tasks=self._again,
                flow=flow if self._latest else None,
                held=held,
                executor=executor,
                observers=observers,
            )
        else:
            self._handle = self._workspace.start_run(
                flow,
                captures,
                held=held,
                params={**self._info.params, **(params or {})},
                trigger=self._trigger,
                output=self._info.output,
                run_id=self._run_id,
                fresh=self._fresh,
                ignore_past=self._ignore_past,
                executor=executor,
                observers=observers,
            )
        self._view.handle = self._handle
        if self._is_cancelled:  # before there was a run
            self._handle.cancel()
        return self._handle

    def watch(self) -> None:
        """When its driver stops, its cells do: somebody else goes on with the run, and executes them again."""
        threading.Thread(target=self._stop_with_driver, name="nbflow-watch", daemon=True).start()

    def _stop_with_driver(self) -> None:
        assert self._handle is not None
        try:
            self._handle.wait()
        except NbflowError as error:
            self._stop(str(error))
        except BaseException as error:  # noqa: BLE001 - whatever ended the driver
            self._stop(f"The driver of this run stopped: {type(error).__name__}: {error}")

    def _show_recorded(self) -> None:
        """What cannot be read now (the database is away for this query) is shown later, and keeps no run from going on."""
        if not self._unshown:
            return
        try:
            self._view.show_recorded(self._unshown)
        except NbflowError as error:
            _log.warning("What run %s gave before is not shown yet: %s", self._run_id, error)
        else:
            self._unshown = set()

    def _end_early(self, handle: RunHandle, ending: Ending) -> None:
        if self._is_cancelled:
            handle.wait_for(self._asked)  # its teardowns; the cells of others will never be executed
            handle.cancel()
        elif ending.kind is EndKind.INTERRUPTED:
            handle.cancel()
        elif ending.kind is EndKind.COMPLETE:
            handle.abandon("The notebook ended before these tasks were defined.")
        elif ending.kind is EndKind.KERNEL_ENDED:
            handle.abandon(way_on(ending.reason, handle.run_id))
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


def _all_of(handle: RunHandle) -> tuple[TaskId, ...]:
    return tuple(dict.fromkeys(key.task_id for key in handle.snapshot().tasks))
