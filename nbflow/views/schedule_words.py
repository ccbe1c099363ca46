# SPDX-License-Identifier: BSD-3-Clause
"""A schedule in plain words: `Every day at 03:00, Europe/Zurich.` What has no short wording is named by its cron."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Final

from nbflow.core.clock_changes import offset_at, stretches_from
from nbflow.core.durations import say_duration
from nbflow.core.messages import name_list
from nbflow.core.occasions import Starts
from nbflow.core.schedule import PRESETS, Schedule, ScheduleKind

_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NTH: Final = ("first", "second", "third", "fourth", "fifth")
_SHORT: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
#: As many times of a day are listed one by one.
_LISTED: Final = 4


def say_schedule(schedule: Schedule) -> str:
    """One sentence, with the time zone where it matters."""
    starts = _say_starts(schedule.starts)
    if not schedule.texts:
        return f"When {starts}." if starts else "Only when it is started."
    said = [_say_one(text) for text in schedule.texts]
    joined = "; ".join([said[0], *(one[:1].lower() + one[1:] for one in said[1:])])
    is_local = not any(text.startswith(("every ", "@once", "@continuous")) for text in schedule.texts)
    of = ", about the time since the one before" if schedule.kind is ScheduleKind.INTERVAL and is_local else ""
    also = f", and when {starts}" if starts else ""
    return f"{joined}{', ' + schedule.timezone if is_local else ''}{of}{also}."


def _say_starts(starts: Starts) -> str:
    """`asset a is updated, or flow sales has failed`"""
    said: list[str] = []
    if starts.condition is not None:
        names = starts.assets
        said.append(f"asset {names[0]} is updated" if len(names) == 1 else f"assets {starts.condition} are updated")
    for flow in starts.flows:
        name, _, state = flow.partition(":")
        said.append(f"flow {name} has {'succeeded' if state == 'success' else 'failed'}")
    said += [f"{file} appears or changes" for file in starts.files]
    return ", or ".join(said)


def _say_one(text: str) -> str:
    folded = text.strip()
    if folded == "@once":
        return "Once"
    if folded == "@continuous":
        return "Again as soon as it has ended"
    if folded.startswith("every "):
        return _say_step(folded.removeprefix("every ").strip())
    fields = PRESETS.get(folded.lower(), folded).lower().split()
    second, minute, hour, day, month, weekday = fields if len(fields) == 6 else ["0", *fields]
    times, days = _times(second, minute, hour), _days(day, month, weekday)
    if times is None or days is None:
        return f'As the cron "{folded}" says'
    if times.startswith("every "):
        return times.capitalize() if days == "every day" else f"{times.capitalize()}, {days}"
    return f"{days[:1].upper()}{days[1:]} {times}"


def _say_step(rest: str) -> str:
    found = re.fullmatch(r"(\d+)\s*([smhdw])", rest) or re.fullmatch(r"(?:(\d+)\s*)?([a-z]+?)s?", rest)
    if not found:
        return f"Every {rest}"
    count, unit = int(found[1] or 1), _SHORT.get(found[2], found[2])
    return f"Every {unit}" if count == 1 else f"Every {count} {unit}s"


def _times(second: str, minute: str, hour: str) -> str | None:
    """`at 03:00`, `every 15 minutes`, `every hour at :30`; None where no short wording is right."""
    every = _every(second, "second") if (minute, hour) == ("*", "*") and second != "0" else None
    if every is None and second == "0" and hour == "*":
        every = _every(minute, "minute")
    if every is not None:
        return every
    minutes, hours = _numbers(minute, 0, 59), _numbers(hour, 0, 23)
    if minutes is None or hours is None or not second.isdecimal():
        return None
    tail = f":{int(second):02d}" if second != "0" else ""
    if _every(hour, "hour") is not None and len(minutes) <= _LISTED:
        return f"{_every(hour, 'hour')} at {name_list([f':{one:02d}{tail}' for one in minutes])}"
    listed = [f"{one:02d}:{other:02d}{tail}" for one in hours for other in minutes]
    if len(listed) <= _LISTED:
        return f"at {name_list(listed)}"
    return f"at {len(listed)} times from {listed[0]} to {listed[-1]}"


def _every(field: str, unit: str) -> str | None:
    if field in {"*", "*/1"}:
        return f"every {unit}"
    found = re.fullmatch(r"\*/(\d+)", field)
    return f"every {found[1]} {unit}s" if found and int(found[1]) > 1 else None


def _numbers(field: str, first: int, last: int) -> list[int] | None:
    """The values of a list of numbers, ranges and steps; None for anything else."""
    found: list[int] = []
    for part in field.split(","):
        read = re.fullmatch(r"(\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        if read is None:
            return None
        begins = first if read[2] is None else int(read[2])
        ends = int(read[3]) if read[3] else last if read[2] is None or read[4] else begins
        found += range(begins, ends + 1, max(1, int(read[4] or 1)))
    return sorted(set(found)) or None


def _days(day: str, month: str, weekday: str) -> str | None:
    months = _months(month)
    of_month, of_week = _of_month(day, month), _of_week(weekday)
    if months is None or (of_month is None and day not in "*?") or (of_week is None and weekday not in "*?"):
        return None
    if of_month and of_week:
        return f"{of_month}{' and ' + of_week if months else f' and {of_week}'}{months}"
    if not of_month and not of_week:
        return f"every day{months}"
    return f"{of_month or of_week}{months}"


def _of_month(day: str, month: str) -> str | None:
    if day in "*?":
        return None
    whole = " of every month" if month == "*" else ""
    if day == "l":
        return f"on the last day{whole or ' of the month'}"
    numbers = _numbers(day, 1, 31)
    if numbers is None:
        return None
    return f"on day{'s' if len(numbers) > 1 else ''} {name_list([str(one) for one in numbers])}{whole}"


def _of_week(weekday: str) -> str | None:
    if weekday in "*?":
        return None
    named = weekday
    for number, name in enumerate(_DAYS[:7]):
        named = re.sub(rf"\b{name[:3].lower()}\b", str(number), named)
    nth = re.fullmatch(r"([0-7])#([1-5])", named)
    if nth:
        return f"on the {_NTH[int(nth[2]) - 1]} {_DAYS[int(nth[1])]} of the month"
    last = re.fullmatch(r"l([0-7])", named)
    if last:
        return f"on the last {_DAYS[int(last[1])]} of the month"
    numbers = _numbers(named, 0, 6)
    if numbers is None:
        return None
    if numbers == [1, 2, 3, 4, 5]:
        return "every weekday"
    return f"every {name_list([_DAYS[one] for one in numbers])}"


def _months(month: str) -> str | None:
    if month == "*":
        return ""
    named = month
    for number, name in enumerate(_MONTHS, start=1):
        named = re.sub(rf"\b{name[:3].lower()}\b", str(number), named)
    numbers = _numbers(named, 1, 12)
    return None if numbers is None else f" in {name_list([_MONTHS[one - 1] for one in numbers])}"


def say_clock_change(zone: tzinfo, since: datetime, instant: datetime) -> str:
    """What a clock change after `since` and up to `instant` has to do with the run at `instant`; "" when there is none."""
    for stretch in stretches_from(zone, since):
        change = stretch.ends
        if change is None or change > instant:
            return ""
        before, after = offset_at(zone, change - timedelta(seconds=1)), offset_at(zone, change)
        wall = (change + before).replace(tzinfo=None)
        if change == instant and after > before:
            return f"Clocks jump from {wall:%H:%M} to {wall + (after - before):%H:%M} at this moment."
        moved = "forward" if after > before else "back"
        return f"Clocks go {moved} on {wall:%a %d %b}, from {wall:%H:%M} to {wall + (after - before):%H:%M}."
    return ""


def say_ticks(schedule: Schedule, since: datetime, instants: Sequence[datetime]) -> list[str]:
    """A note for each run that a clock change has to do with, else ""."""
    return [say_clock_change(schedule.zone, before, instant) for before, instant in pairwise([since, *instants])]


def say_next(schedule: Schedule, following: datetime | None, now: datetime) -> str:
    """` Next: Fri 27 Nov 03:00, in 7 h 12 m.`, in the schedule's zone; "" when none comes."""
    if following is None:
        return ""
    local = following.astimezone(schedule.zone)
    seconds = (following - now).total_seconds()
    when = "now" if seconds <= 0 else f"in {say_duration(seconds)}"
    return f" Next: {local:%a %d %b %H:%M}, {when}."
