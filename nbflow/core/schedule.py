# SPDX-License-Identifier: BSD-3-Clause
"""What a person says about when a flow runs, understood: its timetable, between which dates, and how runs get along with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final

from nbflow.core.occasions import Starts
from nbflow.core.timetable import MISFIRE_GRACE, Catchup, Interval, PlannedRun, Restriction, Timetable

#: Shorthands of crons.
PRESETS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class ScheduleKind(StrEnum):
    """Whether a run is about an instant or about the time between two."""

    TICK = "tick"
    INTERVAL = "interval"


class Overlap(StrEnum):
    """What happens to a run that is due while as many as may are active."""

    QUEUE = "queue"
    SKIP = "skip"
    CANCEL_PREVIOUS = "cancel_previous"


#: A notebook leaves its files in one folder: two runs of it at once are something to ask for.
MAX_ACTIVE_RUNS: Final = 1


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a flow runs. Its timetable starts it, and what it waits for does; without either only people do."""

    #: As typed: one schedule, or several crons; nothing without one.
    texts: tuple[str, ...] = ()
    timetable: Timetable | None = None
    kind: ScheduleKind = ScheduleKind.TICK
    #: The zone's name, and the zone.
    timezone: str
    zone: tzinfo
    start_date: datetime | None = None
    end_date: datetime | None = None
    catchup: Catchup = "latest"
    misfire_grace: timedelta = MISFIRE_GRACE
    max_active_runs: int = MAX_ACTIVE_RUNS
    on_overlap: Overlap = Overlap.QUEUE
    #: This many failed runs in a row pause the flow; 0: never.
    max_consecutive_failed_runs: int = 0
    #: Files, assets and flows that start it.
    starts: Starts = Starts()

    def next_run(self, last: Interval | None, now: datetime, since: datetime | None = None) -> PlannedRun | None:
        """The run after the one about `last`. `since`: what happened before this flow was there is not missed."""
        if self.timetable is None:
            return None
        restriction = Restriction(earliest=self.start_date or since, latest=self.end_date, catchup=self.catchup, grace=self.misfire_grace)
        return self.timetable.next_run(last, now, restriction)

    def coming(self, start: datetime) -> Iterator[PlannedRun]:
        """The runs from `start` on, one after the other, as if each was made in time."""
        begins = max(start, self.start_date) if self.start_date is not None else start
        each, last = replace(self, start_date=begins, catchup="all"), None
        while (planned := each.next_run(last, begins)) is not None:
            yield planned
            last = planned.interval
            if not each.timetable or not each.timetable.is_periodic:
                return  # what comes then depends on how long the run takes
