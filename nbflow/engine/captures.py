# SPDX-License-Identifier: BSD-3-Clause
"""Which captures each task takes: those that came with its release, also when it runs again, and when its run goes on in another process."""

from __future__ import annotations

import pickle
from collections.abc import Iterable

from nbflow.core.ids import TaskId
from nbflow.core.job import CaptureSet


class HandedOver:
    """What a kernel handed over for the tasks of one run, release by release."""

    def __init__(self, first: CaptureSet | None = None, tasks: Iterable[TaskId] = ()) -> None:
        self._sets: list[tuple[tuple[TaskId, ...], CaptureSet]] = []
        self._of: dict[TaskId, CaptureSet] = {}
        if first is not None:
            self.add(tasks, first)

    def add(self, tasks: Iterable[TaskId], captures: CaptureSet) -> bool:
        """These tasks are released with these captures; those that were before keep what they have. False when that is all of them."""
        new = tuple(task for task in tasks if task not in self._of)
        if new or not self._sets:
            self._sets.append((new, captures))
            self._of.update(dict.fromkeys(new, captures))
        return bool(new)

    def forget(self, tasks: Iterable[TaskId]) -> None:
        """These tasks take what is handed over from now on."""
        gone = set(tasks)
        self._sets = [(tuple(task for task in known if task not in gone), captures) for known, captures in self._sets]
        self._of = {task: captures for task, captures in self._of.items() if task not in gone}

    def of(self, task: TaskId) -> CaptureSet:
        """Raises KeyError for a task that was never released."""
        return self._of[task]

    def __contains__(self, task: TaskId) -> bool:
        return task in self._of

    def newest(self) -> CaptureSet:
        return self._sets[-1][1] if self._sets else CaptureSet()

    def encode(self) -> bytes:
        return pickle.dumps(self._sets, protocol=5)

    @classmethod
    def decode(cls, data: bytes | None) -> HandedOver:
        """What `encode` wrote; empty when nothing was recorded."""
        found = cls()
        for tasks, captures in pickle.loads(data) if data else ():  # noqa: S301 - written by `encode` into the workspace's own database
            found.add(tasks, captures)
        return found

    def hashes(self) -> tuple[str, ...]:
        """The artifacts it refers to."""
        sets = [captures for _, captures in self._sets]
        every = [capture for one in sets for capture in one.names.values()]
        every += [capture for one in sets for early in one.early.values() for capture in early.values()]
        refs = [ref for capture in every for ref in (capture.value, *(capture.elements or ())) if ref is not None]
        return tuple({ref.hash for ref in refs if ref.inline is None})
