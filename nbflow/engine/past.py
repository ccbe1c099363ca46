# SPDX-License-Identifier: BSD-3-Clause
"""How tasks that depend on their past went the last time, as the store has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nbflow.core.events import PastSeen
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId
from nbflow.core.model import Flow
from nbflow.core.options import PastCheck
from nbflow.core.past import Past, check_of
from nbflow.core.protocols import Store
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import TaskState

#: How many runs back a task is looked for that the run before does not have.
_LOOK_BACK: Final = 50


class PastRuns:
    """Looks at the run before this one; a driver asks again and again, since that may still be going on."""

    def __init__(self, store: Store, flow: Flow, run: RunRecord) -> None:
        self._store, self._flow, self._run = store, flow, run
        chosen = set(run.tasks) or {task.id for task in flow.tasks}
        asking = [task for task in flow.tasks if task.id in chosen and check_of(task.options, run.past, task.id) is not PastCheck.NO]
        self._asking = {task.id: task.options for task in asking}
        self._told: Mapping[TaskId, Past] | None = None
        self._was_there: dict[TaskId, bool] = {}

    @cached_property
    def _graph(self) -> Graph:
        return Graph.of(self._flow)

    @property
    def is_wanted(self) -> bool:
        """Whether any task depends on its past."""
        return bool(self._asking)

    def news(self, records: Iterable[TaskRecord]) -> list[PastSeen]:
        """What has changed since the last call, while a task of them has not run yet."""
        if not any(record.state is TaskState.PENDING and record.key.task_id in self._asking for record in records):
            return []
        facts = self.facts()
        if facts == self._told:
            return []
        self._told = facts
        return [PastSeen(facts=facts)]

    def facts(self) -> dict[TaskId, Past]:
        """What is known now."""
        run = self._run
        if run.ignores_past or not self._asking:
            return dict.fromkeys(self._asking, Past(is_ignored=True))
        before = self._store.earlier_runs(run, manual=not self._is_catching_up, limit=1)
        if not before:
            return dict.fromkeys(self._asking, Past())
        previous = before[0]
        states: dict[TaskId, list[TaskState]] = {}
        for record in self._store.task_records(previous.run_id):
            states.setdefault(record.key.task_id, []).append(record.state)
        at = self._local(previous.logical_date)
        return {id: self._fact(id, previous, at, states) for id in self._asking}

    def _fact(self, id: TaskId, previous: RunRecord, at: datetime | None, states: Mapping[TaskId, list[TaskState]]) -> Past:
        begins = self._begins()
        return Past(
            previous=previous.run_id,
            at=at,
            is_before_start=bool(self._is_catching_up and begins and previous.logical_date and begins > previous.logical_date),
            states=_copies(states.get(id, ())),
            below=tuple((below, state) for below in self._graph.downstream(id) for state in _copies(states.get(below, ()))),
            was_there_before=id not in states and self._has_been_there(id),
        )

    def _has_been_there(self, id: TaskId) -> bool:
        if id not in self._was_there:
            earlier = self._store.earlier_runs(self._run, manual=True, limit=_LOOK_BACK)
            self._was_there[id] = any(record.key.task_id == id for run in earlier for record in self._store.task_records(run.run_id))
        return self._was_there[id]

    @property
    def _is_catching_up(self) -> bool:
        return self._flow.options.schedule.get("catchup") == "all"

    def _begins(self) -> datetime | None:
        begins = self._flow.options.schedule.get("start_date")
        if isinstance(begins, str):
            try:
                begins = datetime.fromisoformat(begins)
            except ValueError:
                return None
        if not isinstance(begins, datetime):
            return None
        return begins if begins.tzinfo else begins.replace(tzinfo=self._zone())

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(str(self._flow.options.schedule.get("timezone") or "UTC"))
        except (ZoneInfoNotFoundError, ValueError):
            return ZoneInfo("UTC")

    def _local(self, instant: datetime | None) -> datetime | None:
        return instant.astimezone(self._zone()) if instant is not None else None


def _copies(states: Iterable[TaskState]) -> tuple[TaskState, ...]:
    """Without the placeholder and the surplus copies of a mapped task, when there are others."""
    found = tuple(states)
    return tuple(state for state in found if state is not TaskState.REMOVED) or found
