# SPDX-License-Identifier: BSD-3-Clause
"""Who waits for whom: a read-only graph over task ids, in the order the tasks were written."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from functools import cached_property

from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId
from nbflow.core.model import Flow


class CycleError(UserError):
    """Tasks that wait for each other; `path` begins and ends with the one written first."""

    def __init__(self, path: tuple[TaskId, ...]) -> None:
        self.path = path
        super().__init__(f"These tasks wait for each other: {' -> '.join(path)}. Remove one of these dependencies.")


class Graph:
    """Edges between the ids given; an edge to or from any other id counts as not there."""

    def __init__(self, ids: Iterable[TaskId], edges: Iterable[tuple[TaskId, TaskId]]) -> None:
        #: In the order written.
        self.ids: tuple[TaskId, ...] = tuple(ids)
        #: Place of an id in the order written.
        self.position: dict[TaskId, int] = {id: place for place, id in enumerate(self.ids)}
        upstream: dict[TaskId, set[TaskId]] = {id: set() for id in self.ids}
        downstream: dict[TaskId, set[TaskId]] = {id: set() for id in self.ids}
        for above, below in edges:
            if above in upstream and below in upstream:
                upstream[below].add(above)
                downstream[above].add(below)
        self._upstream = {id: self._written(found) for id, found in upstream.items()}
        self._downstream = {id: self._written(found) for id, found in downstream.items()}

    @classmethod
    def of(cls, flow: Flow, tasks: Collection[TaskId] = ()) -> Graph:
        """The graph of `flow`, or of these of its tasks only."""
        chosen = set(tasks)
        ids = (task.id for task in flow.tasks if not chosen or task.id in chosen)
        return cls(ids, ((edge.upstream, edge.downstream) for edge in flow.edges))

    def __contains__(self, id: object) -> bool:
        return id in self.position

    def upstream(self, id: TaskId) -> tuple[TaskId, ...]:
        """The tasks it waits for directly, in the order written."""
        return self._upstream[id]

    def downstream(self, id: TaskId) -> tuple[TaskId, ...]:
        """The tasks that wait for it directly, in the order written."""
        return self._downstream[id]

    def ancestors(self, *ids: TaskId) -> frozenset[TaskId]:
        """Everything above these tasks, without themselves unless one is above another."""
        return _reach(self._upstream, ids)

    def descendants(self, *ids: TaskId) -> frozenset[TaskId]:
        """Everything below these tasks, without themselves unless one is below another."""
        return _reach(self._downstream, ids)

    def group_roots(self, group: str) -> tuple[TaskId, ...]:
        """The tasks of a group that wait for nothing inside it; empty when there is no such group."""
        inside = [id for id in self.ids if id.startswith(group + ".")]
        members = set(inside)
        return tuple(id for id in inside if not members.intersection(self._upstream[id]))

    @cached_property
    def order(self) -> tuple[TaskId, ...]:
        """Every task after all it waits for; ties go to the one written first. Raises CycleError."""
        missing = {id: len(above) for id, above in self._upstream.items()}
        ready = [place for place, id in enumerate(self.ids) if not missing[id]]
        ordered: list[TaskId] = []
        while ready:
            id = self.ids[heapq.heappop(ready)]
            ordered.append(id)
            for below in self._downstream[id]:
                missing[below] -= 1
                if not missing[below]:
                    heapq.heappush(ready, self.position[below])
        if len(ordered) < len(self.ids):
            raise CycleError(self._cycle({id for id, count in missing.items() if count}))
        return tuple(ordered)

    def _written(self, ids: set[TaskId]) -> tuple[TaskId, ...]:
        return tuple(sorted(ids, key=self.position.__getitem__))

    def _cycle(self, stuck: set[TaskId]) -> tuple[TaskId, ...]:
        """Walking up among stuck tasks never ends, so it comes back to a task it has seen: that closes the path."""
        seen: dict[TaskId, int] = {}
        walk: list[TaskId] = []
        here = min(stuck, key=self.position.__getitem__)
        while here not in seen:
            seen[here] = len(walk)
            walk.append(here)
            here = next(above for above in self._upstream[here] if above in stuck)
        cycle = walk[seen[here] :][::-1]
        first = cycle.index(min(cycle, key=self.position.__getitem__))
        return (*cycle[first:], *cycle[:first], cycle[first])


def _reach(neighbours: dict[TaskId, tuple[TaskId, ...]], ids: Iterable[TaskId]) -> frozenset[TaskId]:
    found: set[TaskId] = set()
    todo = list(ids)
    while todo:
        for near in neighbours[todo.pop()]:
            if near not in found:
                found.add(near)
                todo.append(near)
    return frozenset(found)
