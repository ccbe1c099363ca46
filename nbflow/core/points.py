# SPDX-License-Identifier: BSD-3-Clause
"""The instants a schedule is made of: crons in a time zone, fixed steps, months. Strictly increasing, the same from wherever one looks.

For crons the tiling rule of semantics.md 5 holds. A local time that the clocks jump over counts as the first instant after the gap; one that
comes twice counts once, the first time, unless the cron runs every hour: then it counts both times, and an hour that is skipped is skipped.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Protocol

from nbflow.core.clock_changes import LAST_YEAR, Stretch, offset_at, stretches_back_from, stretches_from

_TINY: Final = timedelta(microseconds=1)
#: A year with every day of the week for each date: after as many years a cron without a next time never has one.
_NEVER: Final = 40


class WallTimes(Protocol):
    """The local times that match one cron, as naive datetimes in whole seconds; whoever parses crons makes them."""

    @property
    def every_hour(self) -> bool:
        """The hour field is `*`."""
        ...

    def after(self, wall: datetime) -> datetime | None:
        """The first one later than `wall`."""
        ...

    def before(self, wall: datetime) -> datetime | None:
        """The last one earlier than `wall`."""
        ...


class Points(Protocol):
    """Strictly increasing instants (aware, UTC)."""

    def after(self, instant: datetime) -> datetime | None:
        """The first one later than `instant`."""
        ...

    def before(self, instant: datetime) -> datetime | None:
        """The last one earlier than `instant`."""
        ...


def at_or_after(points: Points, instant: datetime) -> datetime | None:
    return points.after(instant - _TINY)


def at_or_before(points: Points, instant: datetime) -> datetime | None:
    return points.before(instant + _TINY)


def between(points: Points, start: datetime, end: datetime) -> Iterator[datetime]:
    """All of them in [start, end)."""
    found = at_or_after(points, start)
    while found is not None and found < end:
        yield found
        found = points.after(found)


@dataclass(frozen=True)
class CronPoints:
    """One cron in one zone."""

    walls: WallTimes
    zone: tzinfo

    def after(self, instant: datetime) -> datetime | None:
        last_year = min(instant.year + _NEVER, LAST_YEAR)
        for stretch in stretches_from(self.zone, instant):
            if stretch.begins is not None and stretch.begins.year > last_year:
                return None
            found = self._first(stretch, instant)
            if found is not None:
                return found
        return None

    def before(self, instant: datetime) -> datetime | None:
        first_year = instant.year - _NEVER
        for stretch in stretches_back_from(self.zone, instant):
            if stretch.ends is not None and stretch.ends.year < first_year:
                return None
            found = self._last(stretch, instant)
            if found is not None:
                return found
        return None

    def _first(self, stretch: Stretch, instant: datetime) -> datetime | None:
        """The first tick of this stretch later than `instant`."""
        begins = stretch.begins
        low = _wall(instant, stretch)
        if begins is not None and begins > instant:
            if self._fills_gap(stretch):
                return begins
            low = _wall(begins, stretch) - _TINY
        if begins is not None:
            low = max(low, self._floor(stretch) - _TINY)
        return _inside(self.walls.after(low), stretch)

    def _last(self, stretch: Stretch, instant: datetime) -> datetime | None:
        """The last tick of this stretch earlier than `instant`."""
        high = _wall(instant if stretch.ends is None else min(instant, stretch.ends), stretch)
        wall = self.walls.before(high)
        if stretch.begins is None:
            return _inside(wall, stretch)
        if wall is not None and wall >= self._floor(stretch):
            return _inside(wall, stretch)
        return stretch.begins if stretch.begins < instant and self._fills_gap(stretch) else None

    def _floor(self, stretch: Stretch) -> datetime:
        """The first local time of the stretch that counts: what comes for the second time counts only for a cron of every hour."""
        assert stretch.begins is not None
        starts = _wall(stretch.begins, stretch)
        repeats = stretch.before > stretch.offset and not self.walls.every_hour
        return starts + (stretch.before - stretch.offset) if repeats else starts

    def _fills_gap(self, stretch: Stretch) -> bool:
        """Whether a local time was jumped over that counts as the first instant after the gap."""
        assert stretch.begins is not None
        if stretch.offset <= stretch.before:
            return False
        resumes = _wall(stretch.begins, stretch)
        opens = resumes - (stretch.offset - stretch.before)
        if self.walls.every_hour:
            opens = max(opens, resumes.replace(minute=0, second=0))
        skipped = self.walls.after(opens - _TINY)
        return skipped is not None and skipped < resumes


def _wall(instant: datetime, stretch: Stretch) -> datetime:
    return (instant + stretch.offset).replace(tzinfo=None)


def _inside(wall: datetime | None, stretch: Stretch) -> datetime | None:
    """The instant of a local time, when the stretch still holds it."""
    if wall is None:
        return None
    instant = wall.replace(tzinfo=UTC) - stretch.offset
    return instant if stretch.ends is None or instant < stretch.ends else None


@dataclass(frozen=True)
class UnionPoints:
    """Several crons as one schedule."""

    parts: Sequence[Points]

    def after(self, instant: datetime) -> datetime | None:
        return min((found for part in self.parts if (found := part.after(instant)) is not None), default=None)

    def before(self, instant: datetime) -> datetime | None:
        return max((found for part in self.parts if (found := part.before(instant)) is not None), default=None)


@dataclass(frozen=True)
class StepPoints:
    """A fixed duration apart, in elapsed time; `anchor` is one of them."""

    step: timedelta
    anchor: datetime

    def after(self, instant: datetime) -> datetime | None:
        return self.anchor + ((instant - self.anchor) // self.step + 1) * self.step

    def before(self, instant: datetime) -> datetime | None:
        return self.anchor + (-((self.anchor - instant) // self.step) - 1) * self.step


@dataclass(frozen=True)
class MonthPoints:
    """Every few months at the local time of `anchor`, on its day of the month or, where there is none, on the last."""

    months: int
    #: Naive, local.
    anchor: datetime
    zone: tzinfo

    def after(self, instant: datetime) -> datetime | None:
        place = self._near(instant) - 1
        while True:
            found = self._point(place)
            if found is None or found > instant:
                return found
            place += 1

    def before(self, instant: datetime) -> datetime | None:
        place = self._near(instant) + 1
        while True:
            found = self._point(place)
            if found is None or found < instant:
                return found
            place -= 1

    def _near(self, instant: datetime) -> int:
        wall = instant.astimezone(self.zone)
        return ((wall.year - self.anchor.year) * 12 + wall.month - self.anchor.month) // self.months

    def _point(self, place: int) -> datetime | None:
        years, month = divmod(self.anchor.month - 1 + place * self.months, 12)
        year = self.anchor.year + years
        if not 1 <= year <= LAST_YEAR:
            return None
        day = min(self.anchor.day, calendar.monthrange(year, month + 1)[1])
        return instant_of(self.anchor.replace(year=year, month=month + 1, day=day), self.zone)


def instant_of(wall: datetime, zone: tzinfo) -> datetime:
    """A local time as an instant: the first of two, and the first instant after the gap when the clocks jump over it."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    instant = wall.replace(tzinfo=UTC) - first
    if first >= second or offset_at(zone, instant) == first:
        return instant
    # In a gap `first` is the offset before it and `second` the one after: the change lies between the two readings.
    change = next(stretches_from(zone, wall.replace(tzinfo=UTC) - first))
    return change.begins if change.begins is not None else instant
