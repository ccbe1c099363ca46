# SPDX-License-Identifier: BSD-3-Clause
"""The states of a task instance and of a run, the sets rules speak of, and the legal moves (semantics.md 2)."""

from __future__ import annotations

from enum import StrEnum


class TaskState(StrEnum):
    """Where one task instance stands."""

    PENDING = "pending"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    DEFERRED = "deferred"
    AWAITING_INPUT = "awaiting_input"
    REMOVED = "removed"

    @property
    def is_finished(self) -> bool:
        return self in FINISHED


class RunState(StrEnum):
    """Where one run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self in {RunState.SUCCESS, RunState.FAILED, RunState.CANCELLED}


S = TaskState
FINISHED = frozenset({S.SUCCESS, S.FAILED, S.CANCELLED, S.SKIPPED, S.UPSTREAM_FAILED, S.REMOVED})
#: Good enough for the run's state and for depends_on_past.
SUCCESS_LIKE = frozenset({S.SUCCESS, S.SKIPPED})
FAILED_LIKE = frozenset({S.FAILED, S.CANCELLED, S.UPSTREAM_FAILED})
#: Holds a pool slot and counts against parallelism.
OCCUPYING = frozenset({S.QUEUED, S.RUNNING})
#: Counts against per-task limits: also those that gave their slot back while they wait.
ACTIVE = OCCUPYING | {S.DEFERRED, S.AWAITING_INPUT}
SCHEDULABLE = frozenset({S.PENDING, S.UP_FOR_RETRY, S.UP_FOR_RESCHEDULE})
UNFINISHED = frozenset(TaskState) - FINISHED
