# SPDX-License-Identifier: BSD-3-Clause
"""When a flow runs: the last interval in, the next planned run out (semantics.md 4). Nothing here knows what time it is or remembers anything.

A *tick* schedule makes a run at each point, for that instant. An *interval* schedule makes a run at the end of each stretch between two
points, for the stretch; its logical date is the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from nbflow.core.points import Points, at_or_after, at_or_before

#: What becomes of runs that were missed: the newest, all, the newest N, or none but those noticed within the grace.
Catchup = Literal["latest", "all", "none"] | int
MISFIRE_GRACE: Final = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True, order=True)
class Interval:
    """The data a run is about: [start, end), or one instant."""

    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run that will be, or should be by now."""

    logical_date: datetime
    interval: Interval
    #: When it is due.
    run_after: datetime
    #: Due before it, and passed over: logical dates of the first and the last one.
    missed: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """Between which dates, and what about the past."""

    earliest: datetime | None = None
    latest: datetime | None = None
    catchup: Catchup = "latest"
    grace: timedelta = MISFIRE_GRACE
    #: Without any date to begin from, the newest point is due at once instead of the next one.
    run_immediately: bool = False


class Timetable(Protocol):
    """A schedule."""

    @property
    def is_periodic(self) -> bool:
        """It can be counted off, so a range of it can be backfilled."""
        ...

    def next_run(self, last: Interval | None, now: datetime, restriction: Restriction) -> PlannedRun | None:
        """The run after the one about `last`: overdue, or still to come; None when there is none any more."""
        ...

    def manual_interval(self, at: datetime) -> Interval:
        """What a run is about that a person starts at this instant."""
        ...

    def neighbours(self, interval: Interval) -> tuple[datetime | None, datetime | None]:
        """Where the interval before this one ends, and the one after it."""
        ...


@dataclass(frozen=True)
class TickTimetable:
    """A run at each point."""

    points: Points
    is_periodic: bool = True

    def next_run(self, last: Interval | None, now: datetime, restriction: Restriction) -> PlannedRun | None:
        first = _first(self.points.after(last.end) if last else None, last, self.points, now, restriction)
        if first is None:
            return None
        until = now if restriction.latest is None else min(now, restriction.latest)
        chosen = max(first, _skip_to(self.points, at_or_before(self.points, until), first=first, now=now, restriction=restriction) or first)
        if restriction.latest is not None and chosen > restriction.latest:
            return None
        missed = self.points.before(chosen) if chosen > first else None
        return PlannedRun(
            logical_date=chosen,
            interval=Interval(start=chosen, end=chosen),
            run_after=chosen,
            missed=(first, missed) if missed is not None else None,
        )

    def manual_interval(self, at: datetime) -> Interval:
        return Interval(start=at, end=at)

    def neighbours(self, interval: Interval) -> tuple[datetime | None, datetime | None]:
        return self.points.before(interval.start), self.points.after(interval.end)


@dataclass(frozen=True)
class IntervalTimetable:
    """A run at the end of each stretch between two points. `step`: the stretches are of this length and follow a person's start."""

    points: Points
    step: timedelta | None = None
    is_periodic: bool = True

    def next_run(self, last: Interval | None, now: datetime, restriction: Restriction) -> PlannedRun | None:
        first = _first(at_or_after(self.points, last.end) if last else None, last, self.points, now, restriction)
        if first is None:
            return None
        if last is None and restriction.earliest is None and restriction.catchup != "all" and not restriction.run_immediately:
            first = self.points.before(first) or first  # the stretch that is under way ends next
        chosen = max(first, self._skip(first, now, restriction) or first)
        end = self.points.after(chosen)
        if end is None or (restriction.latest is not None and chosen > restriction.latest):
            return None
        missed = self.points.before(chosen) if chosen > first else None
        return PlannedRun(
            logical_date=chosen,
            interval=Interval(start=chosen, end=end),
            run_after=end,
            missed=(first, missed) if missed is not None else None,
        )

    def _skip(self, first: datetime, now: datetime, restriction: Restriction) -> datetime | None:
        newest = self._last_complete(now, restriction.latest)
        return _skip_to(self.points, newest, first=first, now=now, restriction=restriction, due=self.points.after)

    def _last_complete(self, now: datetime, latest: datetime | None) -> datetime | None:
        """Where the newest stretch begins that has ended and may still run."""
        ended = at_or_before(self.points, now)
        start = self.points.before(ended) if ended is not None else None
        if start is not None and latest is not None and start > latest:
            start = at_or_before(self.points, latest)
        return start

    def manual_interval(self, at: datetime) -> Interval:
        if self.step is not None:
            return Interval(start=at - self.step, end=at)
        end = at_or_before(self.points, at)
        start = self.points.before(end) if end is not None else None
        return Interval(start=at, end=at) if end is None or start is None else Interval(start=start, end=end)

    def neighbours(self, interval: Interval) -> tuple[datetime | None, datetime | None]:
        return interval.start, self.points.after(interval.end)


@dataclass(frozen=True)
class OnceTimetable:
    """One run, at the start date or at once."""

    is_periodic: bool = False

    def next_run(self, last: Interval | None, now: datetime, restriction: Restriction) -> PlannedRun | None:
        at = restriction.earliest or now
        if last is not None or (restriction.latest is not None and at > restriction.latest):
            return None
        return PlannedRun(logical_date=at, interval=Interval(start=at, end=at), run_after=at)

    def manual_interval(self, at: datetime) -> Interval:
        return Interval(start=at, end=at)

    def neighbours(self, interval: Interval) -> tuple[datetime | None, datetime | None]:  # noqa: ARG002 - there are none
        return None, None


@dataclass(frozen=True)
class ContinuousTimetable:
    """Again as soon as the last run has ended, about the time since it began. Whoever makes the runs has only one active."""

    is_periodic: bool = False

    def next_run(self, last: Interval | None, now: datetime, restriction: Restriction) -> PlannedRun | None:
        start = last.end if last else restriction.earliest or now
        if restriction.latest is not None and start > restriction.latest:
            return None
        end = max(now, start)
        return PlannedRun(logical_date=start, interval=Interval(start=start, end=end), run_after=end)

    def manual_interval(self, at: datetime) -> Interval:
        return Interval(start=at, end=at)

    def neighbours(self, interval: Interval) -> tuple[datetime | None, datetime | None]:  # noqa: ARG002 - there are none
        return None, None


def _first(following: datetime | None, last: Interval | None, points: Points, now: datetime, restriction: Restriction) -> datetime | None:
    """The first point not run yet, before anything is skipped."""
    if last is not None:
        if following is None or restriction.earliest is None:
            return following
        return max(following, at_or_after(points, restriction.earliest) or following)
    if restriction.earliest is not None:
        return at_or_after(points, restriction.earliest)
    if restriction.catchup == "all":
        return None
    if restriction.run_immediately:
        return at_or_before(points, now)
    return points.after(now)


def _itself(point: datetime) -> datetime | None:
    return point


def _skip_to(
    points: Points,
    newest: datetime | None,
    *,
    first: datetime,
    now: datetime,
    restriction: Restriction,
    due: Callable[[datetime], datetime | None] = _itself,
) -> datetime | None:
    """Where to go on, given the newest point whose run is due: what lies before it is passed over."""
    catchup = restriction.catchup
    if newest is None or newest < first or catchup == "all":
        return first
    if catchup == "latest":
        return newest
    if isinstance(catchup, int) and catchup > 0:
        for _ in range(catchup - 1):
            newest = (points.before(newest) if newest > first else None) or first
        return newest
    grace = restriction.grace if catchup == "none" else timedelta()
    due_at = due(newest)
    return newest if due_at is not None and due_at >= now - grace else points.after(newest)
