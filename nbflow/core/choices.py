# SPDX-License-Identifier: BSD-3-Clause
"""What deciding tasks leave out: branches, short circuits, latest-only tasks, approvals that were answered no (semantics.md 8)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from nbflow.core import branching, messages
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId
from nbflow.core.model import Task
from nbflow.core.options import TaskKind
from nbflow.core.records import RunRecord


def is_deciding(task: Task) -> bool:
    """Whether its success may leave out tasks below it."""
    return task.options.as_ in {TaskKind.BRANCH, TaskKind.SHORT_CIRCUIT, TaskKind.LATEST_ONLY, TaskKind.APPROVAL}


def is_latest(run: RunRecord, now: datetime) -> bool:
    """Whether a run is the latest scheduled one; one started by hand always is."""
    if run.latest_after is None or run.run_type == "manual":
        return True
    return run.latest_after < now and (run.latest_until is None or now <= run.latest_until)


def left_out(id: TaskId, note: Mapping[str, Any], *, graph: Graph) -> frozenset[TaskId] | None:
    """What a success with this note leaves out; None where it decided nothing. `graph` is the whole flow's."""
    if "followed" in note:
        followed = tuple(TaskId(other) for other in note["followed"] if other in graph)
        return branching.left_out(id, followed, graph=graph)
    if "skipped" in note:
        return frozenset(TaskId(other) for other in note["skipped"])
    return None


def left_out_together(id: TaskId, notes: Iterable[Mapping[str, Any]], *, graph: Graph) -> frozenset[TaskId]:
    """What the copies of a mapped decider leave out: no more than each of them does."""
    found = [out for note in notes if (out := left_out(id, note, graph=graph)) is not None]
    return frozenset.intersection(*found) if found else frozenset()


def below(id: TaskId, *, graph: Graph, teardowns: Collection[TaskId], deep: bool) -> list[TaskId]:
    """What stops with a task that does not go on, in the order written: all below it, or what stands directly below. Teardowns never stop."""
    found = graph.descendants(id) if deep else frozenset(graph.downstream(id))
    return sorted(found - frozenset(teardowns), key=graph.position.__getitem__)


def sentence(name: str, kind: TaskKind, notes: Iterable[Mapping[str, Any]], names: Mapping[TaskId, str]) -> str:
    """Why a task was left out by this one."""
    notes = [note for note in notes if "followed" in note or "skipped" in note]
    followed = {TaskId(id) for note in notes for id in note.get("followed", ())}
    if kind is TaskKind.SHORT_CIRCUIT:
        return messages.stopped_here(name)
    if kind is TaskKind.LATEST_ONLY:
        return messages.not_latest(name)
    if kind is TaskKind.APPROVAL and not followed:
        return messages.answered_no(name, str(notes[0].get("by", "")) if notes else "")
    return messages.branch_chose(name, [shown for id, shown in names.items() if id in followed])
