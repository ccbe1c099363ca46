# SPDX-License-Identifier: BSD-3-Clause
"""Records as rows and back: the columns that queries look at, beside the record itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import ValueRef
from nbflow.core.records import AttemptRecord, Change, RunRecord, TaskRecord
from nbflow.core.states import ACTIVE
from nbflow.store.codec import decode, dump, encode, instant, micros

#: Of a task instance that was not there when the run was created: it stands with the other instances of its task.
LATER: Final = -1
#: Slots of an instance that goes on holding what it holds, and of one that holds nothing.
KEPT: Final = 0
NONE: Final = -1


def column_text(text: str) -> str:
    """`text` as both databases take it: file names may hold half characters, which only JSON can write down."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def run_row(run: RunRecord, record: str) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "flow": run.flow,
        "state": run.state.value,
        "path": column_text(run.path),
        "created_at": micros(run.created_at),
        "record": record,
        "deployment": column_text(run.deployment) or None,
        "logical_date": micros(run.logical_date) if run.deployment and run.logical_date else None,
        "idempotency_key": column_text(run.idempotency_key) or None,
        "run_type": column_text(run.run_type)[:16],
        "run_after": micros(run.run_after or run.created_at),
        "backfill": run.backfill or None,
        "place": run.place,
    }


def task_row(run_id: str, task: TaskRecord, record: str, position: int = LATER) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "task_id": task.key.task_id,
        "map_index": task.key.map_index,
        "position": position,
        "state": task.state.value,
        "record": record,
        "pool": None,
        "slots": KEPT if task.state in ACTIVE else NONE,
    }


def attempt_row(run_id: str, attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "token": attempt.token,
        "run_id": run_id,
        "task_id": attempt.key.task_id,
        "map_index": attempt.key.map_index,
        "outcome": str(attempt.outcome),
        "record": encode(attempt),
    }


def change_row(run_id: str, cursor: int, change: Change, task: str | None, run: str | None) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "cursor": cursor,
        "task_id": change.key.task_id if change.key else None,
        "map_index": change.key.map_index if change.key else None,
        "at": micros(change.at),
        "record": dump([change.before, change.after, change.reason, *([list(change.updates)] if change.updates else ())], "A change"),
        "task": task,
        "run": run,
    }


def read_change(row: Sequence[Any], moved: Sequence[Any]) -> Change:
    """From (cursor, task_id, map_index, at, record, task, run); `moved` is the record, decoded."""
    cursor, task_id, map_index, at, _, task, run = row
    before, after, reason, *updates = moved
    return Change(
        cursor=cursor,
        key=None if task_id is None else TaskKey(TaskId(task_id), map_index),
        at=instant(at),
        before=before,
        after=after,
        reason=reason,
        task=None if task is None else decode(TaskRecord, task),
        run=None if run is None else decode(RunRecord, run),
        updates=tuple(updates[0]) if updates else (),
    )


def in_order(rows: Iterable[tuple[int, TaskRecord]]) -> tuple[TaskRecord, ...]:
    """Task instances (with their positions) in the run's order; those that came later stand with the others of their task."""
    pairs = list(rows)
    places: dict[str, int] = {}
    for position, task in pairs:
        if position != LATER:
            places[task.key.task_id] = min(position, places.get(task.key.task_id, position))
    last = len(pairs)
    return tuple(sorted((task for _, task in pairs), key=lambda task: (places.get(task.key.task_id, last), *task.key)))


def artifact_hashes(attempts: Iterable[AttemptRecord]) -> set[str]:
    """The artifacts these attempts refer to; what stands inline in the record is none."""
    found: set[str] = set()
    for attempt in attempts:
        found |= _hashes(attempt.values.values()) | _hashes(attempt.inputs.values())
        for elements in attempt.elements.values():
            found |= _hashes(elements)
        if attempt.outputs.hash:
            found.add(attempt.outputs.hash)
        if attempt.error is not None and attempt.error.frames:
            found.add(attempt.error.frames)
    return found


def _hashes(values: Iterable[ValueRef]) -> set[str]:
    """Of a list that the copies of a mapped task gave, the items stand in their own records: it has no bytes itself."""
    return {ref.hash for ref in values if ref.inline is None and not ref.let_go and ref.format != "list"}
