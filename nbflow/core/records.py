# SPDX-License-Identifier: BSD-3-Clause
"""What happened: the rows that describe a run, its task instances and their attempts. The store keeps them, the machine moves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey, Token
from nbflow.core.job import ErrorInfo, OutputsRef, ValueRef
from nbflow.core.states import RunState, TaskState


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """One task instance now."""

    key: TaskKey
    state: TaskState = TaskState.PENDING
    #: 1 for the first attempt; 0 before it. Never decreases.
    attempt: int = 0
    #: The hand-over in force; reports with another token are refused.
    token: Token | None = None
    #: Failed attempts since the last clear (lost ones not counted).
    failures: int = 0
    #: Lost attempts since the last clear.
    losses: int = 0
    #: When to look again (up_for_retry, up_for_reschedule).
    wake_at: datetime | None = None
    #: The sentence every view shows.
    reason: str = ""
    #: Of the newest attempt.
    started_at: datetime | None = None
    ended_at: datetime | None = None
    worker: str = ""
    #: A branch's recorded decision: {"followed": [ids]}; other facts about how the state came to be. JSON.
    #: `last_good` is the run whose value stands for that of a task that failed.
    #: `from_cache` is the run that made the result, `already` the URL that existed: it succeeded without running.
    #: `cause` says who ended it where that was not its own outcome: "run" (the run's end), "mark" (a person), "itself" (it skipped itself),
    #: "failure" (it failed, which means to it that it is skipped).
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run now."""

    run_id: RunId
    flow: FlowName
    #: Content hash of the flow version the run is pinned to.
    version: str = ""
    state: RunState = RunState.QUEUED
    #: The state it takes once its teardowns are done, while it is being ended.
    ending: RunState | None = None
    reason: str = ""
    logical_date: datetime | None = None
    #: The span of time the run is about, the end excluded; None: the logical date itself.
    interval_start: datetime | None = None
    interval_end: datetime | None = None
    #: `manual`, `scheduled`, `backfill`; `asset`, `flow` or `file` where one of these started it.
    run_type: str = "manual"
    #: What started it: the documents of its occasions (core/occasions.py), oldest first.
    events: tuple[Mapping[str, Any], ...] = ()
    #: Of a scheduled run: it is the latest one after the first instant, until the second one inclusive (semantics.md 8.5). These are the end of
    #: the interval before its own and the end of the interval after its own; None: there is no such interval.
    latest_after: datetime | None = None
    latest_until: datetime | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    #: Who asked: `live` (a kernel), `cli`, `papermill`, `deployed` (a scheduler starts it).
    trigger: str = ""
    #: The deployment it belongs to; "" for a run that was started from a file or a kernel.
    deployment: str = ""
    #: When it is due, for a run that a scheduler starts.
    run_after: datetime | None = None
    #: The backfill it belongs to, and its place there; 0: none.
    backfill: int = 0
    place: int = 0
    #: Of a run that was asked for: asking again with the same key gives the same run.
    idempotency_key: str = ""
    #: The notebook that was run, absolute; "" when there was no file.
    path: str = ""
    #: The executed notebook; "" until there is one.
    output: str = ""
    #: Tasks do not ask how they went the last time.
    ignores_past: bool = False
    #: What callables said about depending on the past: `no`, `wait` or `skip`, by task.
    past: Mapping[TaskId, str] = field(default_factory=dict)
    #: Versions of Python, nbflow and of the packages its code imports, where it began.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: How often it was cleared after it had ended.
    clear_number: int = 0
    #: How many processes have hosted it since it began, or was cleared, without those that gave it back.
    hosts: int = 0
    #: Results of earlier runs are not used.
    fresh: bool = False
    #: Why it ended, or is being ended, as it does: `success`, `task_failure`, `all_tasks_deadlocked`, `timed_out`, `abandoned`; "" else.
    cause: str = ""
    #: The state was set by a person and is not recomputed until cleared.
    by_hand: bool = False
    #: Ids of the tasks of the run; others of the version are not part of it.
    tasks: tuple[TaskId, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AttemptRecord:
    """One finished attempt, or one that has started: the history of a task instance."""

    key: TaskKey
    attempt: int
    token: Token
    #: How it ended: success, failed, skipped, cancelled, lost; "running" until then.
    outcome: str
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    worker: str = ""
    error: ErrorInfo | None = None
    values: Mapping[str, ValueRef] = field(default_factory=dict)
    #: The values that were taken apart for mapped tasks, element by element.
    elements: Mapping[str, tuple[ValueRef, ...]] = field(default_factory=dict)
    #: Inputs it was given, by name.
    inputs: Mapping[str, ValueRef] = field(default_factory=dict)
    outputs: OutputsRef = field(default_factory=OutputsRef)
    #: What its last expression was, as JSON, where that decides something: whoever takes its result again decides the same.
    decision: Any = None
    #: What existed already, so that the body did not run.
    already: str = ""
    #: Names it bound that were not kept, and why.
    left_out: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    peak_bytes: int = 0
    cpu_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Change:
    """One state change of a task instance (`key`) or of the run (`key` is None); the change log is made of these.

    `task` or `run` is the record after the change. `cursor` counts within the run from 1 and is given by the store at commit.
    """

    at: datetime
    key: TaskKey | None
    before: str
    after: str
    reason: str = ""
    task: TaskRecord | None = None
    run: RunRecord | None = None
    #: Assets that are updated by it.
    updates: tuple[str, ...] = ()
    cursor: int = 0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody who does not drive the run asks of its driver.

    `kind`: `cancel` (keys empty: the whole run), `clear`, `mark` (arguments: {"state": "success"}), `answer` (arguments: {"answer": "yes"}).
    """

    kind: str
    keys: tuple[TaskKey, ...] = ()
    by: str = ""
    at: datetime
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to advance one run. Each claim raises the epoch; a commit with an older epoch is refused."""

    run_id: RunId
    owner: str
    epoch: int
    seconds: float
