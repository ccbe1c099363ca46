# SPDX-License-Identifier: BSD-3-Clause
"""A NotebookHost in memory that runs each task's text here, one after the other, as a host may: cards, live outputs, complete outputs, graph."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable

from nbflow.core.hosting import Advance, Advanced, TaskFailure
from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey
from nbflow.core.job import ErrorInfo
from nbflow.core.model import Task
from nbflow.core.states import RunState, TaskState
from nbflow.operators.notebook_host import (
    AttemptShown,
    CardShown,
    Ending,
    EndKind,
    GraphShown,
    HostedRun,
    NotebookInfo,
    OutputShown,
    RunInfo,
    Show,
    TaskInfo,
)

GRAPH = "application/vnd.nbflow.graph+json"


class MemoryHost:
    """Remembers what it was asked. `handled` tasks may fail without failing the run; `silent` ones fail without an output."""

    def __init__(self, *, handled: tuple[str, ...] = (), silent: tuple[str, ...] = (), cancelled_by_somebody: bool = False) -> None:
        self.handled, self.silent, self.cancelled_by_somebody = handled, silent, cancelled_by_somebody
        self.runs: list[MemoryRun] = []
        #: Called when a run's first task starts.
        self.started: Callable[[MemoryRun], None] = lambda run: None

    def begin(self, info: NotebookInfo, stop: Callable[[str], None]) -> HostedRun:
        self.runs.append(MemoryRun(self, info, stop))
        if self.cancelled_by_somebody:
            self.runs[-1].cancel()
        return self.runs[-1]

    @property
    def run(self) -> MemoryRun:
        (only,) = self.runs
        return only


class MemoryRun:
    """One run."""

    def __init__(self, host: MemoryHost, info: NotebookInfo, stop: Callable[[str], None]) -> None:
        self.host, self.notebook, self.stop = host, info, stop
        self.artifacts_url = ""
        self.installation: dict = {}
        self.ending: Ending | None = None
        self.is_plain = False
        self.cancelled, self.over = threading.Event(), threading.Event()
        self.advances: list[Advance] = []
        self.tasks: dict[str, TaskInfo] = {}
        self.failures: list[TaskFailure] = []
        self.namespace: dict[str, object] = {"cancelled": self.cancelled, "over": self.over}

    def advance(self, request: Advance, show: Show) -> Advanced:
        self.advances.append(request)
        for task in request.flow.tasks:
            self.tasks.setdefault(task.id, TaskInfo(state=TaskState.PENDING))
        for id in request.tasks:
            if self.tasks[id].state is TaskState.PENDING:
                self._run_task(request.flow.task(id), show)
                show(
                    GraphShown(
                        data={"text/plain": "graph after " + id, GRAPH: {"states": {name: one.state for name, one in self.tasks.items()}}}
                    )
                )
        if self.cancelled.is_set():
            raise KeyboardInterrupt
        state = RunState.RUNNING if not request.final else self._state()
        return Advanced(run_id=RunId("run-1"), state=state, failures=tuple(self.failures), sentence=f"{len(self.tasks)} tasks seen")

    def _run_task(self, task: Task, show: Show) -> None:
        if self.failures:
            self._end(task.id, TaskState.UPSTREAM_FAILED, "Not run: a task above it failed.", show, attempt=0)
            return
        self.host.started(self)
        key, printed = TaskKey(task.id), io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(task.source, self.namespace)
        except Exception as error:  # noqa: BLE001 - a task may raise anything
            self._failed(task, error, printed.getvalue(), show)
            return
        text = printed.getvalue()
        for line in text.splitlines(keepends=True):
            show(OutputShown(key=key, attempt=1, output={"output_type": "stream", "name": "stdout", "text": line}))
        outputs = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
        show(AttemptShown(key=key, attempt=1, outputs=[*outputs, *self.namespace.pop("extra", [])]))  # type: ignore[misc]
        self._end(task.id, TaskState.SUCCESS, "", show)

    def _failed(self, task: Task, error: Exception, text: str, show: Show) -> None:
        info = ErrorInfo(ename=type(error).__name__, evalue=str(error), traceback=(f"traceback of {task.id}",))
        outputs = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
        if task.id not in self.host.silent:
            outputs.append({"output_type": "error", "ename": info.ename, "evalue": info.evalue, "traceback": list(info.traceback)})
        show(AttemptShown(key=TaskKey(task.id), attempt=1, outputs=outputs))
        self._end(task.id, TaskState.FAILED, info.sentence, show)
        if task.id not in self.host.handled:
            self.failures.append(TaskFailure(task=task.id, cell=task.cell, error=info, reason=info.sentence))

    def _end(self, id: TaskId, state: TaskState, reason: str, show: Show, attempt: int = 1) -> None:
        self.tasks[id] = TaskInfo(state=state, attempt=attempt, reason=reason)
        show(CardShown(task=id, data={"text/plain": f"card {id}: {state}"}))

    def before_cells(self) -> None:
        if self.notebook.is_flow:
            return
        self.is_plain = True
        self.tasks["notebook"] = TaskInfo(state=TaskState.RUNNING, attempt=1)

    def cancel(self) -> None:
        self.cancelled.set()

    def info(self) -> RunInfo | None:
        if not self.tasks:
            return None
        return RunInfo(
            run_id=RunId("run-1"),
            flow=FlowName("standin"),
            version="v1",
            state=self._state() if self.ending else RunState.RUNNING,
            sentence="It did not end well.",
            tasks=self.tasks,
            failures=tuple(self.failures),
        )

    def finish(self, ending: Ending) -> RunInfo | None:
        self.ending = ending
        self.over.set()
        if self.is_plain:
            state = TaskState.SUCCESS if ending.kind is EndKind.COMPLETE else TaskState.FAILED
            self.tasks["notebook"] = TaskInfo(state=state, attempt=1, reason=ending.reason)
        return self.info()

    def _state(self) -> RunState:
        if self.cancelled.is_set():
            return RunState.CANCELLED
        bad = self.failures or (self.ending is not None and self.ending.kind is not EndKind.COMPLETE)
        return RunState.FAILED if bad else RunState.SUCCESS
