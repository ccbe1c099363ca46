# SPDX-License-Identifier: BSD-3-Clause
"""semantics.md 5: clock changes. The worked table, and the tiling rule around every change of 30, 60 or 120 minutes that tzdata knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest

from nbflow.authoring.crons import read_cron
from nbflow.authoring.schedules import read_schedule
from nbflow.core.clock_changes import changes_in, stretches_back_from, stretches_from
from nbflow.core.points import CronPoints, MonthPoints, Points, StepPoints, UnionPoints, at_or_after, between, instant_of


def ticks(cron: str, zone: str, start: str, count: int) -> list[str]:
    """As local times with their offset, from the local time `start` on."""
    place = ZoneInfo(zone)
    begins = datetime.fromisoformat(start).replace(tzinfo=place).astimezone(UTC)
    points = CronPoints(read_cron(cron), place)
    found, here = [], begins - timedelta(microseconds=1)
    for _ in range(count):
        here = points.after(here)
        assert here is not None
        found.append(here.astimezone(place).strftime("%m-%d %H:%M%z").replace("00", "", 0))
    return found


ZURICH, NEW_YORK, LORD_HOWE = "Europe/Zurich", "America/New_York", "Australia/Lord_Howe"
TABLE = [
    ("0 0 * * *", ZURICH, "2023-03-25", ["03-25 00:00+0100", "03-26 00:00+0100", "03-27 00:00+0200"]),
    ("30 2 * * *", ZURICH, "2023-03-25", ["03-25 02:30+0100", "03-26 03:00+0200", "03-27 02:30+0200"]),
    ("30 2 * * *", ZURICH, "2023-10-28", ["10-28 02:30+0200", "10-29 02:30+0200", "10-30 02:30+0100"]),
    ("30 * * * *", ZURICH, "2023-03-26T01:00", ["03-26 01:30+0100", "03-26 03:30+0200"]),
    ("30 * * * *", ZURICH, "2023-10-29T01:00", ["10-29 01:30+0200", "10-29 02:30+0200", "10-29 02:30+0100", "10-29 03:30+0100"]),
    ("0 */2 * * *", ZURICH, "2023-10-29", ["10-29 00:00+0200", "10-29 02:00+0200", "10-29 04:00+0100", "10-29 06:00+0100"]),
    ("0 2 * * *", NEW_YORK, "2024-03-10", ["03-10 03:00-0400", "03-11 02:00-0400"]),
    ("30 1 * * *", NEW_YORK, "2024-11-03", ["11-03 01:30-0400", "11-04 01:30-0500"]),
    ("*/30 1-3 * * *", ZURICH, "2023-03-26", ["03-26 01:00+0100", "03-26 01:30+0100", "03-26 03:00+0200", "03-26 03:30+0200", "03-27 01:00+0200"]),
    ("*/30 1-3 * * *", ZURICH, "2023-10-29T01:30", ["10-29 01:30+0200", "10-29 02:00+0200", "10-29 02:30+0200", "10-29 03:00+0100"]),
    ("0 */2 * * *", ZURICH, "2023-03-26", ["03-26 00:00+0100", "03-26 03:00+0200", "03-26 04:00+0200"]),
    ("15 * * * *", LORD_HOWE, "2023-04-02", ["04-02 00:15+1100", "04-02 01:15+1100", "04-02 02:15+1030", "04-02 03:15+1030"]),
    ("15 * * * *", LORD_HOWE, "2023-10-01T01:00", ["10-01 01:15+1030", "10-01 02:30+1100", "10-01 03:15+1100"]),
    ("45 * * * *", LORD_HOWE, "2023-04-02", ["04-02 00:45+1100", "04-02 01:45+1100", "04-02 01:45+1030", "04-02 02:45+1030"]),
    ("30 1 * * *", "Antarctica/Troll", "2023-03-26", ["03-26 03:00+0200", "03-27 01:30+0200"]),
    ("0 12 * * *", "Pacific/Apia", "2011-12-29", ["12-29 12:00-1000", "12-31 00:00+1400", "12-31 12:00+1400"]),
]  # fmt: skip


@pytest.mark.parametrize(("cron", "zone", "start", "expected"), TABLE, ids=[f"{row[0]} {row[1]} {row[2]}" for row in TABLE])
def test_the_worked_table(cron: str, zone: str, start: str, expected: list[str]) -> None:
    assert ticks(cron, zone, start, len(expected)) == expected


def test_midnights_are_23_hours_apart_once() -> None:
    schedule = read_schedule({"schedule": "@daily", "timezone": ZURICH, "schedule_kind": "interval"})
    runs = list(islice(schedule.coming(datetime(2023, 3, 24, 23, tzinfo=UTC)), 3))
    assert [(run.interval.end - run.interval.start) / timedelta(hours=1) for run in runs] == [24, 23, 24]


def test_a_fixed_step_is_elapsed_time() -> None:
    schedule = read_schedule({"schedule": "every 1d", "timezone": ZURICH, "start_date": "2023-03-25"})
    local = [run.run_after.astimezone(schedule.zone).hour for run in islice(schedule.coming(datetime(2023, 3, 24, tzinfo=UTC)), 3)]
    assert local == [0, 0, 1]


def test_months_keep_their_local_time() -> None:
    schedule = read_schedule({"schedule": "every month", "timezone": ZURICH, "start_date": "2023-01-26T02:30"})
    runs = list(islice(schedule.coming(datetime(2023, 1, 1, tzinfo=UTC)), 4))
    assert [run.run_after.astimezone(schedule.zone).strftime("%d %H:%M") for run in runs] == [
        "26 02:30",
        "26 02:30",
        "26 03:00",
        "26 02:30",
    ]


# --- the rule -----------------------------------------------------------------------------------------------------------

CRONS = ["30 2 * * *", "15 * * * *", "*/20 * * * *", "*/30 1-3 * * *", "0 */2 * * *", "0 0 * * *", "45 23 * * *", "7 0,12 * * 1-5"]
SHIFTS = {timedelta(minutes=minutes) for minutes in (30, 60, 120)}


def changes() -> list[tuple[str, datetime]]:
    """One change for each zone, direction and size that tzdata knows: spread over the years, the same every time."""
    found: dict[tuple[str, timedelta], datetime] = {}
    for number, name in enumerate(sorted(available_timezones())):
        zone = ZoneInfo(name)
        for year in (1985 + number % 30, 2023):
            for change in changes_in(zone, year):
                shift = change.after - change.before
                if abs(shift) in SHIFTS:
                    found[name, shift] = change.at
    return [(name, at) for (name, _), at in sorted(found.items())]


def by_the_rule(cron: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """The ticks in [start, end), minute by minute from the definition, with nothing shared with the code."""
    walls = read_cron(cron)
    times = set(walls.times)
    wall = (start - timedelta(hours=3)).astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)
    last = (end + timedelta(hours=3)).astimezone(zone).replace(tzinfo=None)
    found = set()
    while wall < last:
        if wall.time() in times and walls._matches(wall.date()):
            first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            exists = first.astimezone(zone).replace(tzinfo=None) == wall
            if exists:
                found.add(first)
                if walls.every_hour:
                    found.add(second)
            else:
                resumes = first
                while (resumes - timedelta(minutes=1)).astimezone(zone).utcoffset() == first.astimezone(zone).utcoffset():
                    resumes -= timedelta(minutes=1)
                if not walls.every_hour or wall >= resumes.astimezone(zone).replace(tzinfo=None, minute=0):
                    found.add(resumes)
        wall += timedelta(minutes=1)
    return sorted(instant for instant in found if start <= instant < end)


def test_ticks_around_every_clock_change_of_tzdata() -> None:
    places = changes()
    assert len(places) > 400
    for number, (name, change) in enumerate(places):
        zone, cron = ZoneInfo(name), CRONS[number % len(CRONS)]
        points = CronPoints(read_cron(cron), zone)
        start, end = change - timedelta(hours=8), change + timedelta(hours=8)
        expected = by_the_rule(cron, zone, start, end)
        assert list(between(points, start, end)) == expected, (name, cron, change)
        check_that_it_is_the_same_from_everywhere(points, start, end, expected)


def check_that_it_is_the_same_from_everywhere(points: Points, start: datetime, end: datetime, expected: list[datetime]) -> None:
    backward, here = [], end
    while (here := points.before(here)) is not None and here >= start:
        backward.append(here)
    assert backward[::-1] == expected
    for before, after in pairwise(expected):
        assert before < after
        assert points.after(before) == after
        assert points.before(after) == before
        middle = before + (after - before) / 2
        assert points.after(middle) == after
        assert points.before(middle) == before
        assert at_or_after(points, after) == after


def test_in_utc_it_is_plain_cron() -> None:
    from croniter import croniter

    start = datetime(2023, 12, 30, 5, 17, tzinfo=UTC)
    for cron in [*CRONS, "0 0 L * *", "0 9 * * fri#2", "0 0 13 * 5", "5 4 1-7 */3 mon"]:
        points, plain, here = CronPoints(read_cron(cron), UTC), croniter(cron, start), start
        for _ in range(40):
            here = points.after(here)
            assert here == plain.get_next(datetime)


def test_intervals_tile_over_ten_years_of_a_zone_that_changed_its_mind() -> None:
    schedule = read_schedule({"schedule": "30 1 * * *", "timezone": "Africa/Casablanca", "schedule_kind": "interval"})
    runs = list(islice(schedule.coming(datetime(2009, 1, 1, tzinfo=UTC)), 3650))
    assert all(run.interval.end == following.interval.start for run, following in pairwise(runs))
    assert runs[-1].interval.end.year in {2018, 2019}


def test_stretches_are_the_same_in_both_directions() -> None:
    zone = ZoneInfo("Asia/Gaza")
    start, end = datetime(2008, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)
    forward = [one for one in stretches_from(zone, start) if one.begins and start < one.begins < end]
    backward = [one for one in stretches_back_from(zone, end) if one.begins and start < one.begins < end]
    assert len(forward) > 10
    assert backward[1:][::-1] == forward[:-1]


@pytest.mark.parametrize("seed", range(5))
def test_steps_months_and_unions_are_the_same_in_both_directions(seed: int) -> None:
    random = Random(seed)
    zone = ZoneInfo(random.choice([ZURICH, NEW_YORK, LORD_HOWE]))
    anchor = datetime.fromisoformat(f"2020-01-{random.randint(1, 31):02d}T{random.randint(0, 23):02d}:{random.randint(0, 59):02d}")
    kinds: list[Points] = [
        StepPoints(timedelta(minutes=random.randint(1, 5000)), anchor.replace(tzinfo=UTC)),
        MonthPoints(random.randint(1, 14), anchor, zone),
        UnionPoints((CronPoints(read_cron("0 9 * * 1-5"), zone), CronPoints(read_cron("30 2 * * *"), zone))),
    ]
    for points in kinds:
        start = datetime(2019, 6, 1, tzinfo=UTC) + timedelta(minutes=random.randint(0, 10**6))
        expected, here = [], start
        for _ in range(30):
            here = points.after(here)
            expected.append(here)
        check_that_it_is_the_same_from_everywhere(points, start + timedelta(seconds=1), expected[-1] + timedelta(seconds=1), expected)


def test_a_local_time_that_is_skipped_is_the_first_instant_after_the_gap() -> None:
    zone = ZoneInfo(ZURICH)
    assert instant_of(datetime.fromisoformat("2023-03-26T02:30"), zone) == datetime(2023, 3, 26, 1, tzinfo=UTC)
    assert instant_of(datetime.fromisoformat("2023-10-29T02:30"), zone) == datetime(2023, 10, 29, 0, 30, tzinfo=UTC)
    assert instant_of(datetime.fromisoformat("2023-07-01T02:30"), zone) == datetime(2023, 7, 1, 0, 30, tzinfo=UTC)
