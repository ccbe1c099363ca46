# SPDX-License-Identifier: BSD-3-Clause
"""Mapped tasks: one instance for each element of a value, numbered from 0 (semantics.md 10).

Until its elements are counted, a mapped task has one record with index -1, its placeholder; then the copies 0 .. k-1 take its place.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Final

from nbflow.core import messages
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import ValueRef
from nbflow.core.model import Read, Shape, Task
from nbflow.core.records import TaskRecord
from nbflow.core.states import TaskState

#: Most copies of one task in one run.
MAP_LIMIT: Final = 1024


def map_sources(task: Task) -> tuple[Read, ...]:
    """What the task maps over, the slowest varying first; empty for a task that is not mapped."""
    return tuple(read for read in task.reads if read.element)


def is_mapped(task: Task) -> bool:
    return any(read.element for read in task.reads)


def shape_of(task: Task) -> Shape:
    """How the elements of a mapped task are put together."""
    if task.shape is not None:
        return task.shape
    return Shape(how="product", parts=tuple(Shape(read=number) for number in range(len(map_sources(task)))))


def size_of(shape: Shape, sizes: Sequence[int]) -> int:
    """How many copies there are; `sizes` are those of the values mapped over."""
    if shape.how == "element":
        return sizes[shape.read]
    parts = [size_of(part, sizes) for part in shape.parts]
    match shape.how:
        case "zip":
            return min(parts)
        case "fill":
            return max(parts)
        case "concat":
            return sum(parts)
    return prod(parts)


def places(shape: Shape, index: int, sizes: Sequence[int]) -> dict[int, int]:
    """Which element of which value copy `index` gets: number of the read -> place."""
    if shape.how == "element":
        return {shape.read: index}
    found: dict[int, int] = {}
    if shape.how == "concat":
        for part in shape.parts:
            size = size_of(part, sizes)
            if index < size:
                return places(part, index, sizes)
            index -= size
        return found
    for part in reversed(shape.parts):
        size = size_of(part, sizes)
        if shape.how == "product":
            index, place = divmod(index, size)
        else:
            place = index
        if place < size:
            found.update(places(part, place, sizes))
    return found


def list_ref(items: Sequence[ValueRef]) -> ValueRef:
    """The list of these values as one value, without copying a byte of them."""
    digest = hashlib.sha256("\0".join(item.hash for item in items).encode()).hexdigest()
    needs = tuple(dict.fromkeys(need for item in items for need in item.needs))
    shown = f"list, {messages.plural(len(items), 'item')}"
    return ValueRef(hash=digest, format="list", size=sum(item.size for item in items), shown=shown, needs=needs, items=tuple(items))


def copy_heading(key: TaskKey) -> dict[str, str]:
    """What stands above the outputs of one copy, as a MIME bundle. A task's name has no character that HTML would read."""
    return {"text/html": f'<div style="font-size:11px;font-weight:600;opacity:.75">{key}</div>', "text/plain": str(key)}


# --- records ------------------------------------------------------------------------------------------------------------


def in_place(records: Iterable[TaskRecord]) -> dict[TaskKey, TaskRecord]:
    """The records with those of one task together, where its first one stood, by index; a placeholder goes once there are copies."""
    together: dict[TaskId, list[TaskRecord]] = {}
    for record in records:
        together.setdefault(record.key.task_id, []).append(record)
    ordered: dict[TaskKey, TaskRecord] = {}
    for copies in together.values():
        if len(copies) > 1:
            copies = sorted(copies, key=lambda record: record.key.map_index)  # noqa: PLW2901 - the same records in order
            copies = copies[1:] if copies[0].key.map_index < 0 else copies  # noqa: PLW2901 - as above
        ordered.update((record.key, record) for record in copies)
    return ordered


def copies_of(records: Mapping[TaskKey, TaskRecord], id: TaskId) -> tuple[TaskRecord, ...]:
    """The copies of a mapped task, in map order; its only record for any other task."""
    found: list[TaskRecord] = []
    index = 0
    while (record := records.get(TaskKey(id, index))) is not None:
        found.append(record)
        index += 1
    if found:
        return tuple(found)
    only = records.get(TaskKey(id))
    return () if only is None else (only,)


#: What a mapped task shows as its own state: the first of these that a copy is in. While some still run, what has ended is not told.
_UNFINISHED: Final = (
    TaskState.RUNNING,
    TaskState.AWAITING_INPUT,
    TaskState.DEFERRED,
    TaskState.QUEUED,
    TaskState.UP_FOR_RETRY,
    TaskState.UP_FOR_RESCHEDULE,
    TaskState.SCHEDULED,
    TaskState.PENDING,
)
_ENDED: Final = (
    TaskState.FAILED,
    TaskState.CANCELLED,
    TaskState.UPSTREAM_FAILED,
    TaskState.SUCCESS,
    TaskState.SKIPPED,
    TaskState.REMOVED,
)


def summary(records: Mapping[TaskKey, TaskRecord], id: TaskId) -> TaskRecord | None:
    """One record that stands for all copies, with how many are in which state as its reason; the record itself where there is one only."""
    copies = copies_of(records, id)
    if not copies or copies[0].key.map_index < 0:
        return copies[0] if copies else None
    counts = Counter(copy.state for copy in copies)
    state = next(state for state in (*_UNFINISHED, *_ENDED) if counts[state])
    began = [copy.started_at for copy in copies if copy.started_at]
    ended = [copy.ended_at for copy in copies if copy.ended_at]
    blamed = [copy for copy in copies if copy.state is state] if state in _ENDED[:3] else []
    return TaskRecord(
        key=TaskKey(id),
        state=state,
        attempt=max(copy.attempt for copy in copies),
        reason=messages.copies_stand(counts, [(str(copy.key.map_index), copy.reason) for copy in blamed]),
        started_at=min(began, default=None),
        ended_at=max(ended, default=None) if state.is_finished else None,
        worker=copies[0].worker if len({copy.worker for copy in copies}) == 1 else "",
        note={"copies": len(copies), "states": {state.value: count for state, count in counts.items()}},
    )


def without_items(refs: Mapping[str, ValueRef]) -> dict[str, ValueRef]:
    """As a record keeps inputs: a list of what copies gave is known by its hash, its items stand in the records of the copies."""
    return {name: replace(ref, items=()) if ref.items else ref for name, ref in refs.items()}
