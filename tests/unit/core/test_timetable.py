# SPDX-License-Identifier: BSD-3-Clause
"""semantics.md 4: the worked table, row by row, and what the rules around it promise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.authoring.schedules import read_schedule
from nbflow.core.errors import UserError
from nbflow.core.timetable import Interval, PlannedRun, Restriction


def at(text: str) -> datetime:
    """`01-03T12:00` of 2023, or a whole date."""
    return datetime.fromisoformat(text if len(text) > 14 or text[:2] == "20" else f"2023-{text}").replace(tzinfo=UTC)


def shown(run: PlannedRun | None) -> str:
    if run is None:
        return "none"
    start, end = (f"{one:%m-%dT%H:%M}".replace("T00:00", "") for one in (run.interval.start, run.interval.end))
    return start if start == end else f"[{start},{end})"


def walk(said: dict, now: datetime, last: Interval | None = None, most: int = 20) -> tuple[list[str], str]:
    """What is due by `now`, one after the other, and what comes next."""
    schedule, due = read_schedule(said), []
    while len(due) < most:
        planned = schedule.next_run(last, now)
        if planned is None or planned.run_after > now:
            return due, shown(planned)
        due.append(shown(planned))
        last = planned.interval
    return due, "more"


NOON = at("01-03T12:00")
START = "2023-01-01"
TABLE = {
    "interval @daily, catchup": ({"schedule": "@daily", "schedule_kind": "interval", "catchup": "all", "start_date": START}, NOON, ["[01-01,01-02)", "[01-02,01-03)"], "[01-03,01-04)"),
    "interval @daily, no catchup": ({"schedule": "@daily", "schedule_kind": "interval", "start_date": START}, NOON, ["[01-02,01-03)"], "[01-03,01-04)"),
    "tick @daily, catchup": ({"schedule": "@daily", "catchup": "all", "start_date": START}, NOON, ["01-01", "01-02", "01-03"], "01-04"),
    "tick @daily, no catchup": ({"schedule": "@daily", "start_date": START}, NOON, ["01-03"], "01-04"),
    "interval delta, catchup": ({"schedule": "every 1d", "schedule_kind": "interval", "catchup": "all", "start_date": "2023-01-01T05:00"}, NOON, ["[01-01T05:00,01-02T05:00)", "[01-02T05:00,01-03T05:00)"], "[01-03T05:00,01-04T05:00)"),
    "interval delta, no catchup keeps its phase": ({"schedule": "every 1d", "schedule_kind": "interval", "start_date": "2023-01-01T05:00"}, NOON, ["[01-02T05:00,01-03T05:00)"], "[01-03T05:00,01-04T05:00)"),
    "tick delta, catchup": ({"schedule": "every 1d", "catchup": "all", "start_date": "2023-01-01T05:00"}, NOON, ["01-01T05:00", "01-02T05:00", "01-03T05:00"], "01-04T05:00"),
    "tick delta, no catchup keeps its phase": ({"schedule": "every 1d", "start_date": "2023-01-01T05:00"}, NOON, ["01-03T05:00"], "01-04T05:00"),
    "interval cron, start between points": ({"schedule": "0 3 * * *", "schedule_kind": "interval", "catchup": "all", "start_date": "2023-01-01T10:00"}, NOON, ["[01-02T03:00,01-03T03:00)"], "[01-03T03:00,01-04T03:00)"),
    "tick cron, start between points": ({"schedule": "0 3 * * *", "catchup": "all", "start_date": "2023-01-01T10:00"}, NOON, ["01-02T03:00", "01-03T03:00"], "01-04T03:00"),
    "now on a point, interval": ({"schedule": "@daily", "schedule_kind": "interval", "start_date": START}, at("01-03"), ["[01-02,01-03)"], "[01-03,01-04)"),
    "now on a point, tick": ({"schedule": "@daily", "start_date": START}, at("01-03"), ["01-03"], "01-04"),
    "interval, end_date": ({"schedule": "@daily", "schedule_kind": "interval", "catchup": "all", "start_date": START, "end_date": "2023-01-02"}, at("01-10"), ["[01-01,01-02)", "[01-02,01-03)"], "none"),
    "tick, end_date": ({"schedule": "@daily", "catchup": "all", "start_date": START, "end_date": "2023-01-02"}, at("01-10"), ["01-01", "01-02"], "none"),
    "the newest up to the end_date, interval": ({"schedule": "@daily", "schedule_kind": "interval", "start_date": START, "end_date": "2023-01-02"}, at("01-10"), ["[01-02,01-03)"], "none"),
    "the newest up to the end_date, tick": ({"schedule": "@daily", "start_date": START, "end_date": "2023-01-02"}, at("01-10"), ["01-02"], "none"),
    "interval, no start_date, catchup": ({"schedule": "@daily", "schedule_kind": "interval", "catchup": "all"}, NOON, [], "none"),
    "tick, no start_date": ({"schedule": "@daily"}, NOON, [], "01-04"),
    "interval, no start_date": ({"schedule": "@daily", "schedule_kind": "interval"}, NOON, [], "[01-03,01-04)"),
    "@once": ({"schedule": "@once", "start_date": START}, NOON, ["01-01"], "none"),
    "newest two": ({"schedule": "@daily", "catchup": 2, "start_date": START}, at("01-09T12:00"), ["01-08", "01-09"], "01-10"),
    "newest nine of three": ({"schedule": "@daily", "catchup": 9, "start_date": START}, NOON, ["01-01", "01-02", "01-03"], "01-04"),
    "newest two, interval": ({"schedule": "@daily", "schedule_kind": "interval", "catchup": 2, "start_date": START}, at("01-09T12:00"), ["[01-07,01-08)", "[01-08,01-09)"], "[01-09,01-10)"),
    "none, too late": ({"schedule": "@daily", "catchup": "none", "start_date": START}, NOON, [], "01-04"),
    "none, within the grace": ({"schedule": "@daily", "catchup": "none", "start_date": START}, at("01-03T00:01"), ["01-03"], "01-04"),
    "none, too late, interval": ({"schedule": "@daily", "schedule_kind": "interval", "catchup": "none", "start_date": START}, NOON, [], "[01-03,01-04)"),
    "none, within the grace, interval": ({"schedule": "@daily", "schedule_kind": "interval", "catchup": "none", "start_date": START}, at("01-03T00:01"), ["[01-02,01-03)"], "[01-03,01-04)"),
    "months stay on their day": ({"schedule": "every month", "catchup": "all", "start_date": "2023-01-31"}, at("05-01"), ["01-31", "02-28", "03-31", "04-30"], "05-31"),
    "months, interval": ({"schedule": "every 2 months", "schedule_kind": "interval", "catchup": "all", "start_date": "2023-01-31"}, at("06-01"), ["[01-31,03-31)", "[03-31,05-31)"], "[05-31,07-31)"),
    "or of days": ({"schedule": "0 0 13 * 5", "catchup": "all", "start_date": "2023-01-10"}, at("02-14"), ["01-13", "01-20", "01-27", "02-03", "02-10", "02-13"], "02-17"),
    "the 31st": ({"schedule": "0 0 31 * *", "catchup": "all", "start_date": START}, at("08-01"), ["01-31", "03-31", "05-31", "07-31"], "08-31"),
    "leap days": ({"schedule": "0 0 29 2 *", "catchup": "all", "start_date": START}, at("2032-03-01"), ["02-29", "02-29", "02-29"], "02-29"),
    "two crons": ({"schedule": ["0 9 * * 1-5", "0 12 * * *"], "catchup": "all", "start_date": "2023-01-05"}, at("01-08T12:00"), ["01-05T09:00", "01-05T12:00", "01-06T09:00", "01-06T12:00", "01-07T12:00", "01-08T12:00"], "01-09T09:00"),
    "the last day of the month": ({"schedule": "0 0 L * *", "catchup": "all", "start_date": START}, at("03-01"), ["01-31", "02-28"], "03-31"),
    "the second Friday": ({"schedule": "0 0 * * fri#2", "catchup": "all", "start_date": START}, at("02-28"), ["01-13", "02-10"], "03-10"),
    "six fields, the seconds first": ({"schedule": "30 0 3 * jan *", "catchup": "all", "start_date": "2023-01-30"}, at("02-28"), ["01-30T03:00", "01-31T03:00"], "01-01T03:00"),
    "without a start, steps stand on round times": ({"schedule": "every 15m"}, at("01-03T12:07"), [], "01-03T12:15"),
    "no schedule": ({}, NOON, [], "none"),
}  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=list(TABLE))
def test_the_worked_table(row: str) -> None:
    said, now, due, following = TABLE[row]
    assert walk(said, now) == (due, following)


def test_a_flow_that_was_paused_makes_one_run_not_fourteen() -> None:
    daily = {"schedule": "@daily", "start_date": "2022-12-01"}
    interval = Interval(start=at("2022-12-20"), end=at("2022-12-21"))
    tick = Interval(start=at("2022-12-20"), end=at("2022-12-20"))
    assert walk(daily | {"schedule_kind": "interval"}, NOON, interval) == (["[01-02,01-03)"], "[01-03,01-04)")
    assert walk(daily, NOON, tick) == (["01-03"], "01-04")


def test_what_was_passed_over_is_said() -> None:
    schedule = read_schedule({"schedule": "@daily", "start_date": "2022-12-01"})
    last = Interval(start=at("2022-12-20"), end=at("2022-12-20"))
    planned = schedule.next_run(last, NOON)
    assert planned is not None
    assert planned.missed == (at("2022-12-21"), at("01-02"))
    following = schedule.next_run(planned.interval, NOON)
    assert following is not None
    assert following.missed is None


def test_run_immediately_takes_the_newest_point() -> None:
    timetable = read_schedule({"schedule": "@daily"}).timetable
    assert timetable is not None
    assert shown(timetable.next_run(None, NOON, Restriction(run_immediately=True))) == "01-03"


def test_once_without_a_date_is_at_once() -> None:
    assert walk({"schedule": "@once"}, NOON) == (["01-03T12:00"], "none")


def test_continuous_covers_all_time_without_gaps() -> None:
    schedule = read_schedule({"schedule": "@continuous", "start_date": START})
    first = schedule.next_run(None, NOON)
    assert first is not None
    assert shown(first) == "[01-01,01-03T12:00)"
    second = schedule.next_run(first.interval, NOON + timedelta(minutes=7))
    assert shown(second) == "[01-03T12:00,01-03T12:07)"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"schedule": "@daily", "schedule_kind": "interval"}, ("01-24", "01-25")),
        ({"schedule": "@daily"}, ("01-25T01:00", "01-25T01:00")),
        ({"schedule": "every 1d", "schedule_kind": "interval"}, ("01-24T01:00", "01-25T01:00")),
        ({"schedule": "@once"}, ("01-25T01:00", "01-25T01:00")),
        ({"schedule": "@continuous"}, ("01-25T01:00", "01-25T01:00")),
    ],
)
def test_what_a_run_started_by_hand_is_about(said: dict, expected: tuple[str, str]) -> None:
    timetable = read_schedule(said).timetable
    assert timetable is not None
    assert timetable.manual_interval(at("01-25T01:00")) == Interval(start=at(expected[0]), end=at(expected[1]))


def test_an_edited_schedule_never_overlaps_what_has_run() -> None:
    last = Interval(start=at("01-10"), end=at("01-11"))
    said = {"schedule_kind": "interval", "catchup": "all", "start_date": START}
    assert walk({**said, "schedule": "@hourly"}, at("01-11T02:30"), last) == (
        ["[01-11,01-11T01:00)", "[01-11T01:00,01-11T02:00)"],
        "[01-11T02:00,01-11T03:00)",
    )
    assert walk({**said, "schedule": "@weekly"}, at("01-29"), last) == (["[01-15,01-22)", "[01-22,01-29)"], "[01-29,02-05)")


def test_what_happened_before_a_flow_was_there_is_not_missed_but_what_came_since_is() -> None:
    schedule = read_schedule({"schedule": "@daily"})
    deployed = at("01-03T12:00")
    first = schedule.next_run(None, deployed, since=deployed)
    assert shown(first) == "01-04"
    assert shown(schedule.next_run(None, at("01-06T10:00"), since=deployed)) == "01-06"  # nobody looked for two days


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"schedule": "60 * * * *"}, '"60 * * * *" is not a cron: write five fields, minute hour day month weekday, such as "0 3 * * *" (or six, the seconds first).'),
        ({"schedule": "0 3 * *"}, "It has 4 fields."),
        ({"schedule": "@every 5m"}, '"@every 5m" is not a schedule. For fixed steps write "every 5m".'),
        ({"schedule": "H * * * *"}, '"H * * * *" is not a cron'),
        ({"schedule": "R * * * *"}, '"R * * * *" is not a cron'),
        ({"schedule": "0 0 L2 * *"}, '"0 0 L2 * *" is not a cron'),
        ({"schedule": "0 0 31 2 *"}, '"0 0 31 2 *" never comes: there is no such day in any year.'),
        ({"schedule": "@dayly"}, '"@dayly" is not a schedule. Did you mean "@daily"?'),
        ({"schedule": ["@daily", "@once"]}, '"@once" stands alone: only crons can be listed.'),
        ({"schedule": ["every 5m", "@daily"]}, '"every 5m" stands alone: only crons can be listed.'),
        ({"schedule": "every now and then"}, 'after "every" stands a duration of a second or more, such as "every 15m" or "every 2 months".'),
        ({"timezone": "Europe/Zurch"}, 'There is no time zone "Europe/Zurch". Did you mean "Europe/Zurich"?'),
        ({"start_date": "2023-02-01", "end_date": "2023-01-01"}, "end_date (2023-01-01) is before start_date (2023-02-01)."),
        ({"start_date": "now()"}, 'start_date must be a date such as 2026-01-01 or 2026-01-01T03:00:00, not "now()".'),
        ({"start_date": "0001-01-01"}, "schedules reach from 1902 to 2199."),
        ({"schedule": "@continuous", "max_active_runs": 3}, "max_active_runs is 3, but a flow that runs @continuous has one run at a time."),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(said: dict, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        read_schedule(said)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_dates_without_an_offset_are_local() -> None:
    schedule = read_schedule({"timezone": "Europe/Zurich", "start_date": "2023-07-01", "end_date": "2023-08-01T00:00:00+00:00"})
    assert schedule.start_date == at("2023-06-30T22:00")
    assert schedule.end_date == at("08-01")


@given(
    st.sampled_from(["@daily", "*/7 * * * *", "every 11m", "every 2 months", "0 0 29 2 *"]),
    st.sampled_from(["tick", "interval"]),
    st.sampled_from(["latest", "all", "none", 1, 3]),
    st.lists(st.integers(0, 40 * 24 * 60), min_size=1, max_size=12),
)
def test_whenever_one_looks_runs_follow_each_other_without_overlap(text: str, kind: str, catchup: object, looks: list[int]) -> None:
    schedule = read_schedule({"schedule": text, "schedule_kind": kind, "catchup": catchup, "start_date": "2023-12-20"})
    last: Interval | None = None
    for now in (at("2024-01-01") + timedelta(minutes=minutes) for minutes in sorted(looks)):
        for _ in range(5):
            planned = schedule.next_run(last, now)
            if planned is None or planned.run_after > now:
                break
            assert last is None or planned.interval.start >= last.end
            assert last is None or planned.logical_date > last.start
            assert (kind == "tick") == (planned.interval.start == planned.interval.end)
            last = planned.interval
