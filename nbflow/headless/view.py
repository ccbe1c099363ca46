# SPDX-License-Identifier: BSD-3-Clause
"""What a run looks like in the executed notebook while it goes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from nbflow.app import RunHandle, Workspace
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import ErrorInfo, ExecutorEvent, OutputMade, Report
from nbflow.core.mapping import summary
from nbflow.core.model import Flow
from nbflow.core.records import Change, TaskRecord
from nbflow.core.states import TaskState
from nbflow.operators.notebook_host import AttemptShown, CardShown, GraphShown, OutputShown, Show, Shown

#: Seconds between two pictures of the graph in the executed notebook while it grows.
_GRAPH_PERIOD: Final = 2.0


class NotebookView:
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
        if self.flow is None or self.show is None:
            return
        from nbflow.views import bundles  # noqa: PLC0415 - a notebook without tasks shows nothing

        now = self._workspace.clock.now()
        for change in changes:
            if change.task is not None and (change.task.state.is_finished or change.task.reason):
                task = self.flow.task(change.task.key.task_id)
                self._show(CardShown(task=task.id, data=bundles.task_bundle(self.flow, task, self._stands(change.task), now)))
        if (now - self._drawn).total_seconds() >= _GRAPH_PERIOD:
            self.draw()

    def show_recorded(self, tasks: Collection[TaskId]) -> None:
        """What tasks gave that had ended before this process: their outputs stand under their cells again."""
        from nbflow.views import bundles  # noqa: PLC0415 - as above

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
        if self.flow is None or self.handle is None or self.show is None:
            return
        from nbflow.views import bundles  # noqa: PLC0415 - as above

        self._drawn = now = self._workspace.clock.now()
        snapshot = self.handle.snapshot()
        self._show(GraphShown(data=bundles.graph_bundle(self.flow, snapshot.tasks, snapshot.run, now)))

    def _show(self, shown: Shown) -> None:
        if self.show is not None:
            self.show(shown)


def _with_error(outputs: Sequence[Mapping[str, Any]], error: ErrorInfo | None) -> list[Mapping[str, Any]]:
    shown = list(outputs)
    if error is not None and not any(output.get("output_type") == "error" for output in shown):
        traceback = list(error.traceback) or [error.sentence]
        shown.append({"output_type": "error", "ename": error.ename, "evalue": error.evalue, "traceback": traceback})
    return shown
