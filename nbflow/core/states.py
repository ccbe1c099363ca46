# SPDX-License-Identifier: BSD-3-Clause
"""The states of a task instance and of a run, the sets rules speak of, and the legal moves (semantics.md 2)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


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
#: Waits for an instant, without a worker.
SLEEPING = frozenset({S.UP_FOR_RETRY, S.UP_FOR_RESCHEDULE})
#: Waits for something outside or for a person, without a worker.
WATCHING = frozenset({S.DEFERRED, S.AWAITING_INPUT})
SCHEDULABLE = frozenset({S.PENDING, S.UP_FOR_RETRY, S.UP_FOR_RESCHEDULE})
UNFINISHED = frozenset(TaskState) - FINISHED


def _moves() -> dict[tuple[TaskState, TaskState], str]:
    table = {
        (S.PENDING, S.SCHEDULED): "the run is running and every dependency passes",
        (S.PENDING, S.UPSTREAM_FAILED): "the trigger rule cannot be met any more, or nothing can run any more",
        (S.SCHEDULED, S.QUEUED): "slots and limits allow it: handed to the executor under a fresh token",
        (S.QUEUED, S.RUNNING): "the worker reports the start",
        (S.QUEUED, S.SCHEDULED): "lost before it started: handed over again, free of charge",
        (S.RUNNING, S.UP_FOR_RETRY): "failed with attempts left",
        (S.RUNNING, S.UP_FOR_RESCHEDULE): "a sensor that is not there yet",
        (S.RUNNING, S.DEFERRED): "a trigger was registered; the slot is released",
        (S.RUNNING, S.AWAITING_INPUT): "a person is asked",
        (S.RUNNING, S.SCHEDULED): "lost with restarts left",
        (S.DEFERRED, S.SCHEDULED): "the trigger fired or timed out",
        (S.AWAITING_INPUT, S.SCHEDULED): "the answer came or its default applies",
        (S.UP_FOR_RETRY, S.SCHEDULED): "the instant of the next attempt is reached",
        (S.UP_FOR_RESCHEDULE, S.SCHEDULED): "the instant of the next look is reached",
    }
    # What a person (or the run's end) may do to any instance; the reports of a running attempt share three of these edges.
    anywhere = {
        S.SUCCESS: "an empty task, the worker's report, a result found in the cache, or a person's mark",
        S.FAILED: "the worker's report, a loss with no restarts left, fail_fast, or a person's mark",
        S.SKIPPED: "a trigger rule, a branch, the body's SkipTask, the end of the run, or a person's mark",
        S.PENDING: "cleared by a person; a running attempt is cancelled first",
        S.REMOVED: "the task is gone from the flow version",
    }
    for before in TaskState:
        for after, why in anywhere.items():
            if before is not after:
                table[before, after] = why
        if before in UNFINISHED:
            table[before, S.CANCELLED] = "a person cancels the task or the run, or the run was abandoned"
    return table


#: Every legal move of a task instance, and when it happens (semantics.md 2). Any other move is a bug: `InvalidTransition`.
TRANSITIONS: Mapping[tuple[TaskState, TaskState], str] = MappingProxyType(_moves())

_R = RunState
#: Every legal move of a run. A finished run moves only when a person marks or clears.
RUN_TRANSITIONS: Mapping[tuple[RunState, RunState], str] = MappingProxyType(
    {
        (_R.QUEUED, _R.RUNNING): "a driver holds its lease",
        (_R.QUEUED, _R.CANCELLED): "cancelled before it started",
        (_R.QUEUED, _R.SUCCESS): "marked by a person",
        (_R.QUEUED, _R.FAILED): "marked by a person, or abandoned before it started",
        (_R.RUNNING, _R.SUCCESS): "everything has ended and the leaves are well",
        (_R.RUNNING, _R.FAILED): "everything has ended and a leaf is not well, or the run was ended",
        (_R.RUNNING, _R.CANCELLED): "a person cancelled it",
        (_R.SUCCESS, _R.RUNNING): "cleared by a person",
        (_R.FAILED, _R.RUNNING): "cleared by a person",
        (_R.CANCELLED, _R.RUNNING): "cleared by a person",
        (_R.SUCCESS, _R.QUEUED): "cleared by a person; nobody drives it yet",
        (_R.FAILED, _R.QUEUED): "cleared by a person; nobody drives it yet",
        (_R.CANCELLED, _R.QUEUED): "cleared by a person; nobody drives it yet",
        (_R.SUCCESS, _R.FAILED): "a person marked the run or a task of it",
        (_R.FAILED, _R.SUCCESS): "a person marked the run or a task of it",
        (_R.CANCELLED, _R.SUCCESS): "marked by a person",
        (_R.CANCELLED, _R.FAILED): "marked by a person",
        (_R.SUCCESS, _R.CANCELLED): "marked by a person",
        (_R.FAILED, _R.CANCELLED): "marked by a person",
    }
)
