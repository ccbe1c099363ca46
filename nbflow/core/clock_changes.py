# SPDX-License-Identifier: BSD-3-Clause
"""When the clocks of a time zone change: stretches of time with one offset from UTC, forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

#: Where the clocks are looked at. No zone has changed them there and back within so short a time since 1945.
_STEP: Final = timedelta(days=3)
_SECOND: Final = timedelta(seconds=1)
#: Instants are looked at between these years; what a schedule says beyond them is never.
FIRST_YEAR: Final = 1902
LAST_YEAR: Final = 2200


@dataclass(frozen=True, kw_only=True)
class ClockChange:
    """From `at` on, local time is UTC plus `after`; until then it was UTC plus `before`."""

    at: datetime
    before: timedelta
    after: timedelta


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A time without clock changes: from `begins` (None: always) to `ends` (None: for ever), not included. `before` is the offset until it began."""

    begins: datetime | None
    ends: datetime | None
    offset: timedelta
    before: timedelta


def offset_at(zone: tzinfo, instant: datetime) -> timedelta:
    """How far local time is ahead of UTC."""
    return instant.astimezone(zone).utcoffset() or timedelta()


@lru_cache(maxsize=8192)
def changes_in(zone: tzinfo, year: int) -> tuple[ClockChange, ...]:
    """The clock changes of one year (UTC), found by looking every few days."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return ()
    found: list[ClockChange] = []
    here = datetime(year, 1, 1, tzinfo=UTC)
    end = datetime(year + 1, 1, 1, tzinfo=UTC)
    offset = offset_at(zone, here)
    while here < end:
        there = min(here + _STEP, end)
        offset_there = offset_at(zone, there)
        if offset_there != offset:
            found.append(ClockChange(at=_change_between(zone, here, there, offset), before=offset, after=offset_there))
        here, offset = there, offset_there
    return tuple(found)


def _change_between(zone: tzinfo, low: datetime, high: datetime, offset: timedelta) -> datetime:
    while high - low > _SECOND:
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if offset_at(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return high


def stretches_from(zone: tzinfo, instant: datetime) -> Iterator[Stretch]:
    """The stretch that holds `instant`, then those after it, up to LAST_YEAR."""
    begun = _last_change(zone, instant)
    year = instant.astimezone(UTC).year
    for coming in (change for year in range(year, LAST_YEAR + 1) for change in changes_in(zone, year) if change.at > instant):
        yield _between(begun, coming, zone, instant)
        begun = coming
    yield _between(begun, None, zone, instant)


def stretches_back_from(zone: tzinfo, instant: datetime) -> Iterator[Stretch]:
    """The stretch that holds what is just before `instant`, then those before it, down to FIRST_YEAR."""
    year = instant.astimezone(UTC).year
    ended = next(
        (change for y in range(year, min(year + 3, LAST_YEAR + 1)) for change in changes_in(zone, y) if change.at >= instant), None
    )
    for begun in (change for y in range(year, FIRST_YEAR - 1, -1) for change in reversed(changes_in(zone, y)) if change.at < instant):
        yield _between(begun, ended, zone, instant)
        ended = begun
    yield _between(None, ended, zone, instant)


def _last_change(zone: tzinfo, instant: datetime) -> ClockChange | None:
    """The newest change up to and with `instant`; one from more than two years ago does not touch what comes."""
    year = instant.astimezone(UTC).year
    past = (change for y in (year, year - 1) for change in reversed(changes_in(zone, y)) if change.at <= instant)
    return next(past, None)


def _between(begun: ClockChange | None, ended: ClockChange | None, zone: tzinfo, instant: datetime) -> Stretch:
    if begun is not None:
        offset, before = begun.after, begun.before
    else:
        offset = before = ended.before if ended is not None else offset_at(zone, instant)
    return Stretch(begins=begun.at if begun else None, ends=ended.at if ended else None, offset=offset, before=before)
