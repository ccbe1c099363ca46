# SPDX-License-Identifier: BSD-3-Clause
"""When a run, or a task of it, has to be done: so long after it was due (`45m`), or by a time of day in the flow's zone (`07:30`)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from nbflow.core.durations import parse_duration
from nbflow.core.errors import UserError

_TIME_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_DAY: Final = timedelta(days=1)

Deadline = timedelta | time


def read_deadline(value: str | float) -> Deadline:
    """Raises UserError for anything else, and for a duration of nothing."""
    found = _TIME_OF_DAY.fullmatch(value.strip()) if isinstance(value, str) else None
    if found:
        return time(int(found[1]), int(found[2]))
    duration = parse_duration(value)
    if not duration:
        raise UserError('A deadline is a duration such as "45m", or a time of day such as "07:30".')
    return duration


def deadline_at(deadline: Deadline, due: datetime, zone: tzinfo) -> datetime:
    """The instant. A time of day is the first one after the run was due; where the clocks jump over it, the instant they do."""
    if isinstance(deadline, timedelta):
        return due + deadline
    day = due.astimezone(zone).date()
    while (instant := _instant(datetime.combine(day, deadline), zone)) <= due:
        day += _DAY
    return instant


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    """A local time that comes twice is the first one."""
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    before, after = ((instant + day).astimezone(zone).utcoffset() or timedelta() for day in (-_DAY, _DAY))
    low, high = wall.replace(tzinfo=UTC) - max(before, after), wall.replace(tzinfo=UTC) - min(before, after)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        low, high = (middle, high) if middle.astimezone(zone).replace(tzinfo=None) < wall else (low, middle)
    return high
