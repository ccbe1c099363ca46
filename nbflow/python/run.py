# SPDX-License-Identifier: BSD-3-Clause
"""A run of a flow, as its handle shows it: states, logs, results. It is the same for Python flows and for notebooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nbflow.core.calls import result_name
from nbflow.core.errors import RunFailed, UserError, nearest
from nbflow.core.ids import TaskId, TaskKey, task_key
from nbflow.core.job import ValueRef
from nbflow.core.states import TaskState

if TYPE_CHECKING:
    from nbflow.app import RunHandle, Workspace
    from nbflow.core.records import TaskRecord
    from nbflow.core.snapshot import RunSnapshot

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class TaskRun:
    """One task of a run."""

    run: Run
    task_id: str
    map_index: int = -1

    @property
    def state(self) -> str:
        """`success`, `failed`, `running` ..."""
        return str(self._record().state)

    @property
    def reason(self) -> str:
        """Why it is in that state."""
        return self._record().reason

    @property
    def attempt(self) -> int:
        """How often it was tried."""
        return self._record().attempt

    def result(self, name: str = "") -> Any:
        """What its function returned; of a mapped task, the list. Waits for it.

        Of a notebook's task: the value of the name, or all it gave as a dict. Raises RunFailed when it did not succeed.
        """
        return self.run._result(self.task_id, self.map_index, name)  # noqa: SLF001 - one object in two parts

    def logs(self, attempt: int | None = None) -> str:
        """What it printed, in its newest attempt or in the one of that number."""
        return self.run.logs(str(TaskKey(TaskId(self.task_id), self.map_index)), attempt)

    def _record(self) -> TaskRecord:
        return self.run._record(self.task_id, self.map_index)  # noqa: SLF001 - as above

    def __repr__(self) -> str:
        return f"<task {TaskKey(TaskId(self.task_id), self.map_index)} of {self.run.run_id}: {self.state}>"


class Run:
    """A run of a flow, going on or ended: `.state`, `.task("load").result()`, `.logs("load")`."""

    def __init__(self, workspace: Workspace, run_id: str, handle: RunHandle | None = None) -> None:
        self._workspace, self.run_id, self._handle = workspace, run_id, handle

    # --- how it goes ------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """`running`, `success`, `failed`, `cancelled`: as recorded."""
        return str(self.snapshot().run.state)

    @property
    def sentence(self) -> str:
        """How it went, in a sentence."""
        return self.snapshot().sentence(self._workspace.clock.now())

    def snapshot(self) -> RunSnapshot:
        """Every state of the run as recorded."""
        return self._handle.snapshot() if self._handle is not None else self._workspace.snapshot(self.run_id)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; False when `timeout` seconds passed first. An interrupt cancels the run."""
        if self._handle is None:
            return True
        return self._handle.wait(timeout)

    def block(self) -> Run:
        """Wait for its end; an interrupt cancels it and is raised again when it has ended."""
        try:
            while not self.wait(0.2):
                pass
        except KeyboardInterrupt:
            self.cancel()
            self.wait(10)
            raise
        return self

    def cancel(self) -> None:
        """Cancel it; returns at once. Nothing happens when it has ended."""
        if self._handle is not None and not self._handle.is_over:
            self._handle.cancel()

    # --- what came of it ----------------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> tuple[TaskRun, ...]:
        """Its tasks, in the flow's order."""
        return tuple(TaskRun(self, key.task_id, key.map_index) for key in self.snapshot().tasks)

    def task(self, task_id: str, map_index: int = -1) -> TaskRun:
        """One of its tasks, or one copy of a mapped one: `task("score", 3)`. Raises UserError for a name it does not have."""
        self._record(task_id, map_index)
        return TaskRun(self, task_id, map_index)

    def logs(self, task_id: str, attempt: int | None = None) -> str:
        """What a task printed, or one copy of a mapped one (`score[3]`), in its newest attempt or in the one of that number. Raises UserError."""
        key = task_key(task_id)
        self._record(key.task_id, key.map_index)
        self._wait_for(key.task_id)
        return "".join(_text_of(output) for output in self._workspace.logs(self.run_id, task_id, attempt))

    def _record(self, task_id: str, map_index: int = -1) -> TaskRecord:
        from nbflow.core.mapping import summary  # noqa: PLC0415 - `import nbflow` stays quick

        records = self.snapshot().tasks
        for key, record in records.items():
            if key.task_id == task_id and key.map_index == map_index:
                return record
        found = summary(records, TaskId(task_id)) if map_index < 0 else None
        if found is None:
            known = {key.task_id for key in records}
            which = task_id if map_index < 0 else f"{task_id}[{map_index}]"
            raise UserError(f'Run {self.run_id} has no task "{which}".{nearest(task_id, known)}')
        return found

    def _wait_for(self, task_id: str) -> None:
        if self._handle is not None:
            self._handle.wait_for([TaskId(task_id)])

    def _result(self, task_id: str, map_index: int, name: str) -> Any:
        from nbflow.engine.attempts import values_of  # noqa: PLC0415 - as above

        self._wait_for(task_id)
        record = self._record(task_id, map_index)
        values = values_of(self._workspace.store, self.run_id)
        if record.state is not TaskState.SUCCESS or task_id not in values:
            why = f": {record.reason}" if record.reason else ""
            raise RunFailed(f"Task {task_id} of run {self.run_id} has no result, since it is {record.state.value.replace('_', ' ')}{why}")
        given = values.of(TaskId(task_id)) if map_index < 0 else values.of_copy(TaskKey(TaskId(task_id), map_index))
        wanted = name or result_name(task_id)
        if wanted in given.values:
            return self._decoded(given.values[wanted])
        if wanted in given.left_out:
            raise RunFailed(f"The result of task {task_id} was not kept: it {given.left_out[wanted]}.")
        if name:
            raise UserError(
                f'Task {task_id} gave no "{name}".{nearest(name, given.values)} It gave {", ".join(given.values) or "nothing"}.'
            )
        return {each: self._decoded(ref) for each, ref in given.values.items()}

    def _decoded(self, ref: ValueRef) -> Any:
        from nbflow.operators.values import decode  # noqa: PLC0415 - as above

        return decode(ref, self._workspace.artifacts)

    def __repr__(self) -> str:
        return self.sentence if self.snapshot().run.state.is_finished else f"Run {self.run_id} is {self.state}."

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """In a notebook: the graph with its states."""
        from nbflow.views import bundles  # noqa: PLC0415 - as above

        snapshot = self.snapshot()
        flow = self._workspace.flow_of(snapshot.run)
        return dict(bundles.graph_bundle(flow, snapshot.tasks, snapshot.run, self._workspace.clock.now()))


def _text_of(output: Mapping[str, Any]) -> str:
    """An output as text, ending with a line end unless it is a stream."""
    match output.get("output_type"):
        case "stream":
            return "".join(output["text"])
        case "error":
            return _COLOUR.sub("", "\n".join([*output["traceback"], ""]))
        case "display_data" | "execute_result":
            return "".join(output.get("data", {}).get("text/plain", "")) + "\n"
    return ""
