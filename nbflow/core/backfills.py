# SPDX-License-Identifier: BSD-3-Clause
"""Backfills: runs for a range of past dates, a few at a time. What is kept of one, and what the store promises about it.

waiting -> taken -> made        a scheduler has taken the date, then its run was made, or cleared
                 -> passed      it had its run meanwhile; so had those that are passed from the start
        -> dropped              the backfill was cancelled first
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from nbflow.core.ids import FlowName, RunId
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import RunState

#: `RunRecord.run_type` of its runs.
BACKFILL: Final = "backfill"
MAX_ACTIVE: Final = 10


class Reprocess(StrEnum):
    """Which dates that have their run already get it again."""

    NONE = "none"
    #: Those whose run failed.
    FAILED = "failed"
    #: Those whose run has ended.
    COMPLETED = "completed"


class DateVerdict(StrEnum):
    """What a backfill does about a date."""

    CREATE = "create"
    RERUN = "rerun"
    EXISTS = "exists"
    IN_FLIGHT = "in_flight"

    @property
    def is_work(self) -> bool:
        return self in {DateVerdict.CREATE, DateVerdict.RERUN}


class DateState(StrEnum):
    """How far a backfill is with a date."""

    WAITING = "waiting"
    TAKEN = "taken"
    MADE = "made"
    PASSED = "passed"
    DROPPED = "dropped"


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """What was asked for, and how it stands."""

    id: int = 0
    flow: FlowName
    #: Logical dates from here until there, both included.
    start: datetime
    until: datetime
    reprocess: Reprocess = Reprocess.NONE
    #: At most so many of its runs at once; they do not count for the flow's own `max_active_runs`.
    max_active: int = MAX_ACTIVE
    #: The latest date first.
    reverse: bool = False
    #: Tasks do not ask how they went the last time.
    ignores_past: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime
    by: str = ""
    paused: bool = False
    #: Who cancelled it; "" when nobody did.
    cancelled_by: str = ""
    ended_at: datetime | None = None

    @property
    def is_cancelled(self) -> bool:
        return bool(self.cancelled_by)

    @property
    def state(self) -> str:
        """`active`, `paused`, `cancelling`, then `cancelled` or `completed`."""
        if self.ended_at is not None:
            return "cancelled" if self.is_cancelled else "completed"
        return "cancelling" if self.is_cancelled else "paused" if self.paused else "active"


@dataclass(frozen=True, kw_only=True)
class BackfillDate:
    """One date of a backfill."""

    #: In the order of starting, from 0.
    place: int
    logical_date: datetime
    interval_start: datetime
    interval_end: datetime
    verdict: DateVerdict
    state: DateState = DateState.WAITING
    #: The run it has; "" while it has none.
    run_id: str = ""
    #: The first one that runs: its tasks do not depend on their past.
    is_first: bool = False
    #: How its run stands when this is read; None: it has none, or it was deleted.
    run_state: RunState | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How many dates of a backfill stand how."""

    waiting: int = 0
    taken: int = 0
    passed: int = 0
    dropped: int = 0
    #: Of those whose run was made.
    queued: int = 0
    running: int = 0
    success: int = 0
    #: Failed or cancelled.
    failed: int = 0
    #: Their run was deleted.
    gone: int = 0

    @property
    def unfinished(self) -> int:
        return self.queued + self.running

    @property
    def ended(self) -> int:
        return self.success + self.failed + self.gone

    @property
    def total(self) -> int:
        """Dates that are to run, or would have been."""
        return self.waiting + self.taken + self.unfinished + self.ended + self.dropped

    @property
    def is_over(self) -> bool:
        return not (self.waiting or self.taken or self.unfinished)


def counted(rows: Mapping[tuple[DateState, RunState | None], int]) -> Progress:
    """From how many dates have which state and a run in which state."""
    found = dict.fromkeys(("waiting", "taken", "passed", "dropped", "queued", "running", "success", "failed", "gone"), 0)
    for (state, run), count in rows.items():
        if state is not DateState.MADE:
            found[state.value] += count
        elif run is None:
            found["gone"] += count
        else:
            found["failed" if run is RunState.CANCELLED else run.value] += count
    return Progress(**found)


class BackfillStore(Protocol):
    """Backfills and their dates. A flow has at most one that has not ended."""

    def create(self, backfill: Backfill, dates: Sequence[BackfillDate]) -> Backfill:
        """Keep it with its dates; its id is given here. Raises UserError when the flow has one that has not ended."""
        ...

    def get(self, id: int) -> Backfill:
        """Raises UserError."""
        ...

    def find(self, flow: str = "", *, before: int = 0, limit: int = 50) -> tuple[Backfill, ...]:
        """The newest first, those older than `before` if given."""
        ...

    def unfinished(self) -> tuple[Backfill, ...]:
        """Those that have not ended, the oldest first."""
        ...

    def change(self, id: int, change: Callable[[Backfill], Backfill]) -> Backfill:
        """Read, change and write it, alone. Raises UserError when there is none; what `change` raises leaves everything as it was."""
        ...

    def cancel(self, id: int, by: str) -> Backfill:
        """Pause it for good: dates that wait are dropped. Nothing changes when it has ended. Raises UserError when there is none."""
        ...

    def delete_of(self, flow: str) -> None:
        """Forget those of this flow that have ended."""
        ...

    # dates
    def dates(self, id: int, *, after: int = -1, limit: int = 1000) -> tuple[BackfillDate, ...]:
        """In their order, those behind place `after`."""
        ...

    def progress(self, id: int) -> Progress: ...

    def ahead(self, id: int) -> Progress:
        """As `progress`, of what waits or runs only: as quick for a long backfill as for a short one."""
        ...

    def runs_at(self, flow: str, start: datetime, until: datetime) -> Mapping[datetime, tuple[RunId, RunState]]:
        """The runs of a deployment that have a logical date from `start` until `until`."""
        ...

    # what schedulers do
    def take(self, id: int, *, more: bool = True) -> tuple[BackfillDate, ...]:
        """Take the next dates (if `more`), as many as may be active; returns all that are taken, by anybody, and whose run is not made yet.

        Under any number of callers never more than `max_active` dates are taken or have a run that has not ended. Takes none when it is paused.
        """
        ...

    def make_run(self, id: int, date: BackfillDate, run: RunRecord, tasks: Sequence[TaskRecord]) -> bool:
        """Create the run of a taken date and write it down, both or neither; False when nothing was created.

        Where the date has its run meanwhile, it is passed; where the backfill was cancelled meanwhile, it is dropped.
        """
        ...

    def settle(self, id: int, date: BackfillDate) -> None:
        """Write down what became of a date that is taken; nothing changes when somebody else did."""
        ...

    def queued(self, id: int) -> tuple[RunRecord, ...]:
        """Its runs that nobody has taken yet."""
        ...

    def close(self, id: int, now: datetime) -> bool:
        """It has ended, if nothing of it waits or runs; whether it has."""
        ...
