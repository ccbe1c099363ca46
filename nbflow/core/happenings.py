# SPDX-License-Identifier: BSD-3-Clause
"""What happened that somebody may want to hear of, derived from the change log and from nothing else (semantics.md 11).

Callbacks, and whoever sends messages, read the same happenings. Reading the log again gives the same ones with the same keys: what was done for a
key need not be done again, and a crash between happening and doing loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from nbflow.core.ids import FlowName, RunId, TaskKey
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState

S = TaskState


class Kind(StrEnum):
    """What callbacks and messages are about."""

    #: An attempt begins.
    EXECUTE = "execute"
    #: It failed, and another attempt follows.
    RETRY = "retry"
    #: It failed and none follows, whatever that means for the task.
    FAILURE = "failure"
    SUCCESS = "success"
    #: Its own code said so.
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One thing that happened, once."""

    #: The same whenever the log is read again.
    key: str
    kind: Kind
    flow: FlowName
    run_id: RunId
    #: None: the run itself.
    task: TaskKey | None
    attempt: int = 0
    at: datetime
    #: The sentence every view shows.
    reason: str = ""
    #: Of the end of a run: `success`, `task_failure`, `all_tasks_deadlocked`, `timed_out`, `abandoned`.
    cause: str = ""
    logical_date: datetime | None = None

    def document(self) -> dict[str, Any]:
        """As JSON, for callbacks and for other programs."""
        task = self.task
        return {
            "key": self.key,
            "kind": self.kind.value,
            "flow": self.flow,
            "run_id": self.run_id,
            "task": str(task.task_id) if task is not None else None,
            "map_index": task.map_index if task is not None else None,
            "attempt": self.attempt,
            "at": self.at.isoformat(),
            "reason": self.reason,
            "cause": self.cause,
            "logical_date": self.logical_date.isoformat() if self.logical_date is not None else None,
        }


def happenings(run: RunRecord, changes: Iterable[Change]) -> Iterator[Happening]:
    """What these changes of the run (with their cursors, in order) mean to those who listen.

    What a person marked, and what ended with its run, is told of the run or not at all.
    """
    for change in changes:
        if change.run is not None and change.key is None:
            kind = _of_run(change, change.run)
            if kind is not None:
                yield _happening(run, change, kind, cause=change.run.cause)
        elif change.task is not None:
            kind = _of_task(S(change.before), change.task)
            if kind is not None:
                yield _happening(run, change, kind, attempt=change.task.attempt)


def _happening(run: RunRecord, change: Change, kind: Kind, **more: Any) -> Happening:
    return Happening(
        key=f"{run.run_id}/{change.cursor}",
        kind=kind,
        flow=run.flow,
        run_id=run.run_id,
        task=change.key,
        at=change.at,
        reason=change.reason,
        logical_date=run.logical_date,
        **more,
    )


def _of_run(change: Change, run: RunRecord) -> Kind | None:
    if change.before == change.after or not run.state.is_finished or run.by_hand:
        return None
    return {RunState.SUCCESS: Kind.SUCCESS, RunState.FAILED: Kind.FAILURE}.get(run.state)


def _of_task(before: TaskState, task: TaskRecord) -> Kind | None:
    cause, note = task.note.get("cause"), task.note
    if cause in {"run", "mark"}:
        return None
    if task.state is S.FAILED or cause == "failure" or note.get("last_good"):
        return Kind.FAILURE
    if before is S.QUEUED and task.state is S.RUNNING:
        return None if "looks" in note or "resumed" in note else Kind.EXECUTE  # it is the same attempt as before
    if before is not S.RUNNING:
        return None
    return {S.UP_FOR_RETRY: Kind.RETRY, S.SUCCESS: Kind.SUCCESS, S.SKIPPED: Kind.SKIPPED if cause == "itself" else None}.get(task.state)
