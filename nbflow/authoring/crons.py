# SPDX-License-Identifier: BSD-3-Clause
"""Crons as people write them, read by croniter: which days match it says, the times of a day are the product of its other fields.

Five fields (minute, hour, day of month, month, day of week) or six, the seconds first.
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

from croniter import croniter
from croniter.croniter import CroniterError

from nbflow.core.errors import UserError, nearest
from nbflow.core.schedule import PRESETS

#: After as many years without a match there is none: the calendar has repeated itself.
_YEARS: Final = 40
_LONG: Final = 60
#: croniter draws a number for R, so two looks would differ.
_RANDOM: Final = re.compile(r"(?:^|[\s,])[rRhH](?:\b|\()")


@dataclass(frozen=True)
class CronWalls:
    """The local times of one cron: on its days, at its times."""

    #: Days of month, months and days of week, as a cron of their own.
    days: str
    months: frozenset[int]
    times: tuple[time, ...]
    every_hour: bool
    _every_day: bool = field(default=False)

    def after(self, wall: datetime) -> datetime | None:
        """The first one later than `wall`."""
        place = bisect_right(self.times, wall.time())
        if place < len(self.times) and self._matches(wall.date()):
            return datetime.combine(wall.date(), self.times[place])
        day = self._day_after(wall.date())
        return None if day is None else datetime.combine(day, self.times[0])

    def before(self, wall: datetime) -> datetime | None:
        """The last one earlier than `wall`."""
        place = bisect_left(self.times, wall.time()) - 1
        if place >= 0 and self._matches(wall.date()):
            return datetime.combine(wall.date(), self.times[place])
        day = self._day_before(wall.date())
        return None if day is None else datetime.combine(day, self.times[-1])

    def _matches(self, day: date) -> bool:
        return self._every_day or day.day in self._of(day.year, day.month)

    def _of(self, year: int, month: int) -> Sequence[int]:
        return _days_of(self.days, year, month) if month in self.months else ()

    def _day_after(self, day: date) -> date | None:
        if self._every_day:
            return day + timedelta(days=1)
        for step in range(_YEARS * 12 + 1):
            year, month = _month(day, step)
            days = self._of(year, month)
            place = bisect_right(days, day.day) if step == 0 else 0
            if place < len(days):
                return date(year, month, days[place])
        return None

    def _day_before(self, day: date) -> date | None:
        if self._every_day:
            return day - timedelta(days=1)
        for step in range(_YEARS * 12 + 1):
            year, month = _month(day, -step)
            if year < 1:
                return None
            days = self._of(year, month)
            place = bisect_left(days, day.day) if step == 0 else len(days)
            if place > 0:
                return date(year, month, days[place - 1])
        return None


def _month(day: date, step: int) -> tuple[int, int]:
    years, month = divmod(day.month - 1 + step, 12)
    return day.year + years, month + 1


@lru_cache(maxsize=65_536)
def _days_of(days: str, year: int, month: int) -> tuple[int, ...]:
    """The days of a month that match."""
    first = datetime(year, month, 1)  # noqa: DTZ001 - local times are naive until they meet a zone
    until = first + timedelta(days=calendar.monthrange(year, month)[1])
    walk = croniter(days, first - timedelta(seconds=1), max_years_between_matches=1)
    found = []
    try:
        while (day := walk.get_next(datetime)) < until:
            found.append(day.day)
    except CroniterError:
        pass  # none within a year
    return tuple(found)


@lru_cache(maxsize=4096)
def read_cron(text: str) -> CronWalls:
    """The local times of a cron or a shorthand. Raises UserError when it is none, or when there is no such time."""
    folded = " ".join(PRESETS.get(text.strip().lower(), text).split())
    fields = folded.split(" ")
    if len(fields) not in {5, 6} or _RANDOM.search(folded) or not croniter.is_valid(folded, second_at_beginning=True):
        raise UserError(_no_cron(text, len(fields)))
    six = fields if len(fields) == 6 else ["0", *fields]
    expanded = croniter.expand(" ".join(six), second_at_beginning=True)[0]  # minute, hour, day, month, day of week, second
    every = [60, 24, 0, 13, 0, 60]
    minutes, hours, _, months, _, seconds = (
        tuple(range(every[place])) if values == ["*"] else tuple(values) for place, values in enumerate(expanded)
    )
    walls = CronWalls(
        days=" ".join(["0", "0", *six[3:]]),
        months=frozenset(months),
        times=tuple(sorted(time(hour, minute, second) for hour in hours for minute in minutes for second in seconds)),
        every_hour=expanded[1] == ["*"],
        _every_day=all(expanded[place] == ["*"] for place in (2, 3, 4)),
    )
    if walls.after(datetime(2024, 1, 1)) is None:  # noqa: DTZ001 - as above
        raise UserError(f'"{text}" never comes: there is no such day in any year.')
    return walls


def _no_cron(text: str, fields: int) -> str:
    if len(text) > _LONG:  # a star without quotation marks has become the files of a folder
        text = text[:_LONG] + " ..."
    shorthand = nearest(text.strip(), PRESETS) if text.strip().startswith("@") else ""
    if shorthand or text.strip().startswith("@"):
        every = ' For fixed steps write "every 5m".' if text.strip().startswith("@every") else ""
        return f'"{text}" is not a schedule.{every or shorthand or " The shorthands are " + ", ".join(PRESETS) + "."}'
    count = f" It has {fields} field{'' if fields == 1 else 's'}." if fields not in {5, 6} else ""
    return (
        f'"{text}" is not a cron: write five fields, minute hour day month weekday, such as "0 3 * * *" (or six, the seconds first).{count}'
    )
