# SPDX-License-Identifier: BSD-3-Clause
"""What a backfill would do: the dates of a range, and a verdict for each, before anything is done (semantics.md 12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Final

from nbflow.core.backfills import Backfill, BackfillDate, DateState, DateVerdict, Reprocess
from nbflow.core.errors import UserError
from nbflow.core.ids import RunId
from nbflow.core.messages import name_list
from nbflow.core.model import Flow
from nbflow.core.options import PastCheck
from nbflow.core.schedule import Schedule
from nbflow.core.states import RunState
from nbflow.core.timetable import PlannedRun, Restriction

#: Dates of one backfill.
MOST_DATES: Final = 20_000
_TINY: Final = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Due:
    """The dates of a range, in order."""

    planned: tuple[PlannedRun, ...]
    #: The first date of the range whose time has not come: it and those behind it are left out.
    first_later: datetime | None = None


def check(flow: Flow, schedule: Schedule, asked: Backfill, now: datetime) -> None:
    """Raises UserError for what cannot be backfilled."""
    said = say_range(asked, schedule.zone)
    if asked.until < asked.start:
        raise UserError(f"A backfill goes from the earlier date to the later one, and {said} goes back.")
    if asked.start > now:
        raise UserError(f"{said} lies in the future: a backfill is about dates that have come.")
    if schedule.timetable is None or not schedule.timetable.is_periodic:
        has = f"its schedule is {' '.join(schedule.texts)}" if schedule.texts else "it has no schedule"
        raise UserError(
            f"Flow {asked.flow} has no dates to backfill, since {has}: "
            f'deploy it with a cron, @daily or "every 15m", or start single runs with nbflow flows trigger {asked.flow} --date.'
        )
    if asked.max_active < 1:
        raise UserError(f"max_active is {asked.max_active}: at least one run at a time.")
    _check_past(flow, asked)


def _check_past(flow: Flow, asked: Backfill) -> None:
    """What depends on the past needs its dates in order, and those that failed put right."""
    if asked.ignores_past:
        return
    tasks = [str(task.id) for task in flow.tasks if task.options.depends_on_past is not PastCheck.NO or task.options.wait_for_downstream]
    if not tasks:
        return
    depend = f"{name_list(tasks)} of {asked.flow} {'depends on its' if len(tasks) == 1 else 'depend on their'} past"
    if asked.reverse:
        raise UserError(
            f"{depend}: in reverse order each run would wait for one that comes later. Leave out --reverse, or say --ignore-depends-on-past."
        )
    if asked.reprocess is Reprocess.NONE:
        raise UserError(
            f"{depend}: a run that failed would hold up those behind it. "
            "Say --reprocess failed or --reprocess completed, or --ignore-depends-on-past."
        )


def due_dates(schedule: Schedule, asked: Backfill, now: datetime) -> Due:
    """The dates of the range whose time has come. Raises UserError when there are none, or too many."""
    assert schedule.timetable is not None
    restriction = Restriction(earliest=asked.start, latest=asked.until, catchup="all")
    planned: list[PlannedRun] = []
    later: datetime | None = None
    last = None
    while (found := schedule.timetable.next_run(last, now, restriction)) is not None:
        if found.run_after > now:
            later = found.logical_date
            break
        if len(planned) == MOST_DATES:
            raise UserError(
                f"{say_range(asked, schedule.zone)} holds more than {MOST_DATES:,} dates of flow {asked.flow}: "
                f"the first {MOST_DATES:,} end with {_say(planned[-1].logical_date, schedule.zone)}. Backfill one part after the other."
            )
        planned.append(found)
        last = found.interval
    if not planned:
        why = f": the first run is due after {_say(later, schedule.zone)}" if later else f", whose schedule is {' '.join(schedule.texts)}"
        raise UserError(f"{say_range(asked, schedule.zone)} holds no date of flow {asked.flow}{' that has come' if later else ''}{why}.")
    return Due(planned=tuple(planned), first_later=later)


def judged(asked: Backfill, due: Due, existing: Mapping[datetime, tuple[RunId, RunState]]) -> tuple[BackfillDate, ...]:
    """A verdict for each date, in the order of starting."""
    ordered = reversed(due.planned) if asked.reverse else due.planned
    dates: list[BackfillDate] = []
    is_first = True
    for place, planned in enumerate(ordered):
        run_id, state = existing.get(planned.logical_date, (RunId(""), None))
        verdict = verdict_of(asked.reprocess, state)
        dates.append(
            BackfillDate(
                place=place,
                logical_date=planned.logical_date,
                interval_start=planned.interval.start,
                interval_end=planned.interval.end,
                verdict=verdict,
                state=DateState.WAITING if verdict.is_work else DateState.PASSED,
                run_id=run_id,
                is_first=verdict.is_work and is_first,
                run_state=state,
            )
        )
        is_first = is_first and not verdict.is_work
    return tuple(dates)


def verdict_of(reprocess: Reprocess, state: RunState | None) -> DateVerdict:
    """`state`: of the run that the date has."""
    if state is None:
        return DateVerdict.CREATE
    if not state.is_finished:
        return DateVerdict.IN_FLIGHT
    if reprocess is Reprocess.COMPLETED or (reprocess is Reprocess.FAILED and state in {RunState.FAILED, RunState.CANCELLED}):
        return DateVerdict.RERUN
    return DateVerdict.EXISTS


def say_range(asked: Backfill, zone: tzinfo) -> str:
    """`2026-01-01 to 2026-01-31`; a whole day by its date."""
    following = (asked.until + _TINY).astimezone(zone)
    is_whole = following.time() == time()
    return f"{_say(asked.start, zone)} to {(following - timedelta(days=1)).date() if is_whole else _say(asked.until, zone)}"


def _say(instant: datetime, zone: tzinfo) -> str:
    local = instant.astimezone(zone)
    return f"{local.date()}" if local.time() == time() else f"{local:%Y-%m-%dT%H:%M}"
