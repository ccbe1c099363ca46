# SPDX-License-Identifier: BSD-3-Clause
"""The keys of a schedule, as a `%%flow` header, `@flow` or a command gives them, understood. Every mistake is the end of a sentence about its key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from nbflow.authoring.crons import read_cron
from nbflow.core.durations import parse_duration
from nbflow.core.errors import UserError, nearest
from nbflow.core.occasions import read_starts
from nbflow.core.points import CronPoints, MonthPoints, Points, StepPoints, UnionPoints, instant_of
from nbflow.core.schedule import MAX_ACTIVE_RUNS, Overlap, Schedule, ScheduleKind
from nbflow.core.timetable import ContinuousTimetable, IntervalTimetable, OnceTimetable, TickTimetable, Timetable

ONCE: Final = "@once"
CONTINUOUS: Final = "@continuous"
_EVERY: Final = re.compile(r"every\s+(?P<rest>.+)", re.IGNORECASE)
_UNITS: Final = re.compile(r"(?:(?P<count>\d+)\s*)?(?P<unit>second|minute|hour|day|week|month|year)s?", re.IGNORECASE)
_SECONDS: Final[Mapping[str, int]] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_MONTHS: Final[Mapping[str, int]] = {"month": 1, "year": 12}
#: Steps without a start date stand on this grid, so that every 15 minutes is on the quarter hour.
_GRID: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_schedule(said: Mapping[str, Any], default_zone: str = "UTC") -> Schedule:
    """The schedule that these keys say (others are passed over). Raises UserError, a whole sentence."""
    name = str(said.get("timezone") or default_zone)
    zone = read_zone(name)
    start, end = (_date(said, key, zone) for key in ("start_date", "end_date"))
    if start is not None and end is not None and end < start:
        raise UserError(f"end_date ({said['end_date']}) is before start_date ({said['start_date']}).")
    texts = said.get("schedule") or ()
    texts = (texts,) if isinstance(texts, str) else tuple(texts)
    kind = ScheduleKind(said.get("schedule_kind", "tick"))
    runs = int(said.get("max_active_runs", MAX_ACTIVE_RUNS))
    if CONTINUOUS in texts and runs > 1:
        raise UserError(f"max_active_runs is {runs}, but a flow that runs {CONTINUOUS} has one run at a time.")
    return Schedule(
        texts=texts,
        timetable=read_timetable(texts, kind, zone, start) if texts else None,
        kind=kind,
        timezone=name,
        zone=zone,
        start_date=start,
        end_date=end,
        catchup=said.get("catchup", "latest"),
        max_active_runs=runs,
        on_overlap=Overlap(said.get("on_overlap", "queue")),
        max_consecutive_failed_runs=int(said.get("max_consecutive_failed_runs", 0)),
        starts=read_starts(said),
    )


def read_timetable(texts: Sequence[str], kind: ScheduleKind, zone: tzinfo, start: datetime | None) -> Timetable:
    """Raises UserError when one of the texts is no schedule, or has to stand alone."""
    if texts[0] == ONCE and len(texts) == 1:
        return OnceTimetable()
    if texts[0] == CONTINUOUS and len(texts) == 1:
        return ContinuousTimetable()
    points, step = _points(texts, zone, start)
    return TickTimetable(points) if kind is ScheduleKind.TICK else IntervalTimetable(points, step)


def _points(texts: Sequence[str], zone: tzinfo, start: datetime | None) -> tuple[Points, timedelta | None]:
    if len(texts) == 1 and (every := _EVERY.fullmatch(texts[0].strip())):
        months, step = _step(every["rest"], texts[0])
        if months:
            anchor = start.astimezone(zone) if start is not None else _GRID
            return MonthPoints(months, anchor.replace(tzinfo=None), zone), None
        return StepPoints(step, start or _GRID), step
    for text in texts:
        if text in {ONCE, CONTINUOUS} or _EVERY.fullmatch(text.strip()):
            raise UserError(f'"{text}" stands alone: only crons can be listed.')
    crons = tuple(CronPoints(read_cron(text), zone) for text in texts)
    return (crons[0] if len(crons) == 1 else UnionPoints(crons)), None


def _step(rest: str, text: str) -> tuple[int, timedelta]:
    """Months, or a duration."""
    found = _UNITS.fullmatch(rest.strip())
    count = int(found["count"] or 1) if found else 0
    unit = found["unit"].lower() if found else ""
    if unit in _MONTHS and 0 < count * _MONTHS[unit] <= 1200:
        return count * _MONTHS[unit], timedelta()
    try:
        step = timedelta(seconds=count * _SECONDS[unit]) if unit in _SECONDS else parse_duration(rest)
    except (UserError, OverflowError):
        step = timedelta()
    if step < timedelta(seconds=1):
        raise UserError(
            f'"{text}" is not a schedule: after "every" stands a duration of a second or more, such as "every 15m" or "every 2 months".'
        )
    return 0, step


def check_schedule(value: Any) -> str | tuple[str, ...]:
    """The value of the key `schedule`, or what is wrong with it. Raises UserError, a sentence without its subject."""
    if isinstance(value, list) and not value:
        raise UserError("is an empty list: leave the key out for a flow without a schedule.")
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise UserError(f'must be a cron such as "0 3 * * *", @daily, "every 15m" or a list of crons, not {text}.')
    texts = [text.strip() for text in texts]
    try:
        read_timetable(texts, ScheduleKind.TICK, UTC, None)
    except UserError as error:
        raise UserError(f"must be a schedule, and {error}") from None
    return tuple(texts) if isinstance(value, list) else str(texts[0])


def read_zone(name: str) -> tzinfo:
    """Raises UserError, a whole sentence."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        from zoneinfo import available_timezones  # noqa: PLC0415 - reads many files, and only for a mistake

        hint = nearest(name, available_timezones())
        raise UserError(f'There is no time zone "{name}".{hint or " Write it as Europe/Zurich or UTC."}') from None


def _date(said: Mapping[str, Any], key: str, zone: tzinfo) -> datetime | None:
    value = said.get(key)
    return read_instant(value, zone, key) if value not in (None, "") else None


def read_instant(value: Any, zone: tzinfo, key: str) -> datetime:
    """A date or an instant; without an offset it is local time. Raises UserError, a whole sentence."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if isinstance(found, date) and not isinstance(found, datetime):
        found = datetime.combine(found, time())
    if not isinstance(found, datetime):
        raise UserError(f'{key} must be a date such as 2026-01-01 or 2026-01-01T03:00:00, not "{value}".')
    if not 1902 <= found.year <= 2199:
        raise UserError(f"{key} is {value}: schedules reach from 1902 to 2199.")
    return found.astimezone(UTC) if found.tzinfo is not None else instant_of(found, zone)
