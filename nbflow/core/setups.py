# SPDX-License-Identifier: BSD-3-Clause
"""Which setups a task stands on, and what a teardown waits for besides the tasks directly above it (semantics.md 1 "Extra rules", 9)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId


class Scopes:
    """The setups and teardowns of a graph. A setup's teardowns are those that stand directly below it.

    A setup above a task is the task's own when one of its teardowns stands below the task, or when it has none.
    """

    def __init__(self, graph: Graph, setups: Collection[TaskId], teardowns: Collection[TaskId]) -> None:
        self._graph, self._setups, self._teardowns = graph, frozenset(setups), frozenset(teardowns)
        #: Setups a task depends on without an edge of its own to them. Teardowns are exempt.
        self.indirect: dict[TaskId, tuple[TaskId, ...]] = {}
        #: What lies between the setups of a teardown and itself.
        self.between: dict[TaskId, tuple[TaskId, ...]] = {}
        if self._setups:
            self._find()
        #: Tasks to judge again when this one ends, besides those directly below.
        self.concerned: dict[TaskId, list[TaskId]] = {}
        for found in (self.indirect, self.between):
            for id, others in found.items():
                for other in others:
                    self.concerned.setdefault(other, []).append(id)

    def _find(self) -> None:
        for id in self._graph.ids:
            if id in self._teardowns:
                setups = [above for above in self._graph.upstream(id) if above in self._setups]
                inside = self._graph.descendants(*setups) & self._graph.ancestors(id)
                if inside:
                    self.between[id] = self._in_order(inside)
            else:
                indirect = tuple(setup for setup in self.setups_of(id) if setup not in self._graph.upstream(id))
                if indirect:
                    self.indirect[id] = indirect

    def setups_of(self, id: TaskId) -> tuple[TaskId, ...]:
        """The setups a task stands on, directly or not, in the order written."""
        below = self._graph.descendants(id) & self._teardowns
        above = self._in_order(self._graph.ancestors(id) & self._setups)
        return tuple(setup for setup in above if not (own := self._own_teardowns(setup)) or own & below)

    def with_scope(self, ids: Iterable[TaskId]) -> tuple[TaskId, ...]:
        """These tasks with the setups they stand on and the teardowns of those: what runs again when they do."""
        found: dict[TaskId, None] = {}
        for id in ids:
            found[id] = None
            if id in self._teardowns or not self._setups:
                continue
            for setup in self.setups_of(id):
                found[setup] = None
                found.update(dict.fromkeys(self._in_order(self._own_teardowns(setup))))
        return tuple(found)

    def _own_teardowns(self, setup: TaskId) -> frozenset[TaskId]:
        return frozenset(self._graph.downstream(setup)) & self._teardowns

    def _in_order(self, ids: Collection[TaskId]) -> tuple[TaskId, ...]:
        return tuple(sorted(ids, key=self._graph.position.__getitem__))
