# SPDX-License-Identifier: BSD-3-Clause
"""Which task instances of a run a person means, when clearing or marking (semantics.md 12)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.records import TaskRecord
from nbflow.core.states import FAILED_LIKE, OCCUPYING, TaskState


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Tasks by name, widened over the graph, then narrowed by state."""

    #: Tasks, or copies of mapped ones; a mapped task's name means all its copies. Empty: every task of the run.
    keys: tuple[TaskKey, ...] = ()
    upstream: bool = False
    downstream: bool = False
    #: Also in the runs of the flow before, and after, this one.
    past: bool = False
    future: bool = False
    only_failed: bool = False
    only_running: bool = False

    def of(
        self,
        graph: Graph,
        records: Mapping[TaskKey, TaskRecord],
        *,
        setups: Collection[TaskId] = (),
        teardowns: Collection[TaskId] = (),
    ) -> tuple[TaskKey, ...]:
        """The instances, in the order written. A task brings the setups before it and the teardowns after it along."""
        asked = [key for key in self.keys if key.task_id in graph]
        whole = {key.task_id for key in asked if key.map_index < 0} if self.keys else set(graph.ids)
        names = {key.task_id for key in asked} or whole
        above, below = graph.ancestors(*names), graph.descendants(*names)
        whole |= (set(above) if self.upstream else set()) | (set(below) if self.downstream else set())
        copies = set(asked)
        found = [key for key in records if (key.task_id in whole or key in copies) and self._has_state(records[key])]
        work = {key.task_id for key in found}
        along = (graph.ancestors(*work) & set(setups)) | (graph.descendants(*work) & set(teardowns)) if work else set()
        chosen = {*found, *(key for key in records if key.task_id in along)}
        return tuple(key for key in records if key in chosen)

    def _has_state(self, record: TaskRecord) -> bool:
        if record.state is TaskState.REMOVED:
            return False
        if self.only_failed and self.only_running:
            return record.state in FAILED_LIKE | OCCUPYING
        if self.only_failed:
            return record.state in FAILED_LIKE
        return record.state in OCCUPYING if self.only_running else True


def names_of(keys: Iterable[TaskKey]) -> tuple[str, ...]:
    """As a person writes them."""
    return tuple(map(str, keys))
