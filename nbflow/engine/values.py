# SPDX-License-Identifier: BSD-3-Clause
"""What the succeeded task instances of a run gave; the copies of a mapped task together give lists, in map order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import ValueRef
from nbflow.core.mapping import list_ref
from nbflow.core.model import Task


@dataclass(frozen=True, kw_only=True)
class Given:
    """What one instance gave, or the copies of a mapped task together."""

    values: Mapping[str, ValueRef] = field(default_factory=dict)
    #: Names that were bound and not kept, and why.
    left_out: Mapping[str, str] = field(default_factory=dict)
    #: Values that a mapped task maps over, element by element.
    elements: Mapping[str, tuple[ValueRef, ...]] = field(default_factory=dict)


class Values:
    """The values of one run, by task and map index."""

    def __init__(self) -> None:
        self._given: dict[TaskId, dict[int, Given]] = {}
        self._together: dict[TaskId, Given] = {}

    def keep(
        self,
        key: TaskKey,
        values: Mapping[str, ValueRef],
        left_out: Mapping[str, str],
        elements: Mapping[str, tuple[ValueRef, ...]] | None = None,
    ) -> None:
        """This instance succeeded and gave these."""
        self._given.setdefault(key.task_id, {})[key.map_index] = Given(values=values, left_out=left_out, elements=elements or {})
        self._together.pop(key.task_id, None)

    def forget(self, key: TaskKey) -> None:
        """The instance does not stand as succeeded any more."""
        copies = self._given.get(key.task_id, {})
        copies.pop(key.map_index, None)
        if not copies:
            self._given.pop(key.task_id, None)
        self._together.pop(key.task_id, None)

    def adopt(self, task: TaskId, other: Values) -> None:
        """Take over what `task` gave in another run."""
        if task in other:
            self._given[task] = dict(other._given[task])
            self._together.pop(task, None)

    def __contains__(self, task: object) -> bool:
        return task in self._given

    def tasks(self) -> frozenset[TaskId]:
        """The tasks that gave something, even nothing: those with an instance that succeeded."""
        return frozenset(self._given)

    def of_copy(self, key: TaskKey) -> Given:
        """What one instance gave. Raises KeyError when it did not succeed."""
        return self._given[key.task_id][key.map_index]

    def of(self, task: TaskId) -> Given:
        """What the task gave. Raises KeyError when no instance of it succeeded."""
        if task not in self._together:
            copies = self._given[task]
            self._together[task] = (
                copies[-1] if set(copies) == {-1} else _together([copies[index] for index in sorted(copies) if index >= 0])
            )
        return self._together[task]

    def find(self, key: TaskKey) -> Given | None:
        """What one instance gave; without an index, the task. None when it did not succeed."""
        copies = self._given.get(key.task_id, {})
        return copies.get(key.map_index) if key.map_index >= 0 else self.of(key.task_id) if copies else None


def _together(copies: Iterable[Given]) -> Given:
    """Lists in map order. A name that a copy could not keep is not given at all: a list that is too short would be a wrong value."""
    items: dict[str, list[ValueRef]] = {}
    left_out: dict[str, str] = {}
    for copy in copies:
        for name, value in copy.values.items():
            items.setdefault(name, []).append(value)
        left_out.update({name: why for name, why in copy.left_out.items() if name not in left_out})
    whole = {name: tuple(found) for name, found in items.items() if name not in left_out}
    return Given(values={name: list_ref(found) for name, found in whole.items()}, left_out=left_out, elements=whole)


def namespace_after(tasks: Iterable[Task], values: Values) -> dict[str, ValueRef]:
    """The names a kernel holds after these tasks, top to bottom: the last succeeded writer of each wins, a deleted name is gone."""
    names: dict[str, ValueRef] = {}
    for task in tasks:
        if task.id not in values:
            continue
        for name in task.writes:
            names.pop(name, None)
        names.update(values.of(task.id).values)
    return names
