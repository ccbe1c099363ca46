# SPDX-License-Identifier: BSD-3-Clause
"""A run under another version of its flow: tasks that are gone are removed, new ones wait, all else stays as it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from nbflow.core import messages
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.mapping import in_place, is_mapped
from nbflow.core.model import Flow
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import TaskState


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """The run and its instances as they stand under the other version, and what has changed for that."""

    run: RunRecord
    records: tuple[TaskRecord, ...]
    changes: tuple[Change, ...]


def renewed(run: RunRecord, records: Iterable[TaskRecord], flow: Flow, version: str, now: datetime) -> Renewed:
    """The run under this version of its flow."""
    chosen = set(run.tasks) or {task.id for task in flow.tasks}
    mapped = {task.id: is_mapped(task) for task in flow.tasks if task.id in chosen}
    kept: list[TaskRecord] = []
    changes: list[Change] = []
    standing: set[TaskId] = set()
    for record in in_place(records).values():
        id = record.key.task_id
        if id in mapped and _fits(record, is_mapped=mapped[id]):
            kept.append(record)
            standing.add(id)
        elif record.state is not TaskState.REMOVED:
            gone = replace(record, state=TaskState.REMOVED, token=None, wake_at=None, ended_at=now, reason=messages.GONE, note={})
            changes.append(Change(at=now, key=record.key, before=record.state, after=gone.state, reason=gone.reason, task=gone))
    for id in mapped:
        if id not in standing:
            fresh = TaskRecord(key=TaskKey(id))
            kept.append(fresh)
            changes.append(Change(at=now, key=fresh.key, before=TaskState.REMOVED, after=fresh.state, task=fresh))
    tasks = tuple(id for id in mapped if run.tasks)
    after = replace(run, version=version, tasks=tasks)
    if version != run.version:
        changes.append(Change(at=now, key=None, before=run.state, after=run.state, reason=run.reason, run=after))
    return Renewed(run=after, records=tuple(kept), changes=tuple(changes))


def _fits(record: TaskRecord, *, is_mapped: bool) -> bool:
    """Whether this is an instance of the task as it is now: a copy of a mapped one, the only one of any other."""
    if record.key.map_index >= 0:
        return is_mapped
    return record.state is not TaskState.REMOVED
