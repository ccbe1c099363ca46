# SPDX-License-Identifier: BSD-3-Clause
"""`tick(now)`: what becomes due, and what is taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.authoring.schedules import read_schedule
from nbflow.core.errors import StoreError
from nbflow.core.planning import asked_run, planned_run_id, rescheduled
from nbflow.core.states import RunState
from nbflow.testing import FakeClock
from tests.unit.core.test_points import TABLE as CLOCK_CHANGES
from tests.unit.core.test_timetable import TABLE, shown
from tests.unit.scheduler.world import START, World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


# --- what is due --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", TABLE, ids=list(TABLE))
def test_the_worked_table_becomes_runs(row: str) -> None:
    """The rows of semantics.md 4 that begin somewhere, with a scheduler that comes at `now` and finds everything undone."""
    said, now, due, _ = TABLE[row]
    if not said.get("start_date"):
        pytest.skip("without a start date nothing of the past is due")
    world = World()
    deployment = world.deploy(**said)
    world.store.deployments.change("sales", lambda one: replace(one, next_run=read_schedule(said).start_date))
    for _ in range(30):
        world.tick(now)
        if not world.end_all():
            break
    runs = [*world.store.deployments.ended("sales", 1000)]
    made = sorted(runs, key=lambda run: run.logical_date)
    assert [_shown(run) for run in made] == due
    assert all(run.version == deployment.version and run.run_type == "scheduled" for run in made)


@pytest.mark.parametrize(("cron", "zone", "start", "expected"), CLOCK_CHANGES, ids=[f"{row[0]} {row[1]} {row[2]}" for row in CLOCK_CHANGES])
def test_the_worked_table_of_clock_changes_becomes_runs(cron: str, zone: str, start: str, expected: list[str]) -> None:
    """The rows of semantics.md 5, with a scheduler that looks every ten minutes: each run is there at its instant, and no other."""
    place = ZoneInfo(zone)
    begins = datetime.fromisoformat(start).replace(tzinfo=place).astimezone(UTC)
    last = datetime.strptime(f"{begins.year}-{expected[-1]}", "%Y-%m-%d %H:%M%z").astimezone(UTC)
    world = World(clock=FakeClock(begins - timedelta(minutes=10)))
    world.deploy(schedule=cron, timezone=zone, max_active_runs=1000, start_date=begins.isoformat())
    while world.clock.now() < last:
        world.tick(timedelta(minutes=5))
        for run in world.store.deployments.active("sales"):
            assert run.logical_date <= world.clock.now()
    runs = sorted(world.store.deployments.active("sales"), key=lambda run: run.logical_date)
    assert [run.logical_date.astimezone(place).strftime("%m-%d %H:%M%z") for run in runs] == expected
    assert all(run.created_at - run.logical_date < timedelta(minutes=5) for run in runs)


@pytest.mark.parametrize(
    ("schedule", "now", "expected"), [("@hourly", "11T02:30", ["11T00:00", "11T01:00"]), ("@weekly", "29T00:00", ["15T00:00", "22T00:00"])]
)
def test_a_schedule_that_is_edited_never_covers_a_time_twice(schedule: str, now: str, expected: list[str]) -> None:
    """The rows of semantics.md 4 about a schedule edited after [10,11)."""
    world, kind = World(), {"schedule_kind": "interval", "catchup": "all", "max_active_runs": 1000, "start_date": "2023-01-10"}
    world.deploy(schedule="@daily", **kind)
    world.tick(START + 10 * DAY)
    assert world.dates() == ["01-10T00:00"]
    keys = {**kind, "schedule": schedule}
    world.store.deployments.change("sales", lambda one: rescheduled(replace(one, schedule=keys), read_schedule(keys), world.clock.now()))
    world.tick(datetime.fromisoformat(f"2023-01-{now}").replace(tzinfo=UTC))
    assert world.dates()[1:] == [f"01-{date}" for date in expected]


def test_a_clock_that_jumps_back_makes_no_date_twice_and_loses_none() -> None:
    world = World()
    world.deploy(schedule="@hourly", max_active_runs=1000)
    world.tick(START + 5 * HOUR + timedelta(minutes=1))
    world.tick(-4 * HOUR)  # somebody sets the clock
    assert world.dates() == ["01-01T05:00"]  # `latest`: nobody looked before
    for _ in range(7 * 6):
        world.tick(timedelta(minutes=10))
    assert world.dates() == [f"01-01T{hour:02d}:00" for hour in (5, 6, 7, 8)]
    world.tick(-30 * DAY)
    assert len(world.dates()) == 4
    world.tick(30 * DAY + HOUR)
    assert world.dates()[-1] == "01-01T09:00"


def _shown(run) -> str:
    from nbflow.core.timetable import Interval, PlannedRun

    return shown(
        PlannedRun(
            logical_date=run.logical_date, interval=Interval(start=run.interval_start, end=run.interval_end), run_after=run.run_after
        )
    )


def test_a_run_knows_when_it_is_the_latest() -> None:
    world = World()
    world.deploy(schedule="@daily", schedule_kind="interval", start_date="2023-01-01")
    world.tick(START + 3 * DAY)
    (run,) = world.store.deployments.active("sales")
    assert (run.logical_date, run.interval_end) == (START + 2 * DAY, START + 3 * DAY)
    assert (run.latest_after, run.latest_until) == (START + 2 * DAY, START + 4 * DAY)


def test_its_task_instances_are_there_from_the_start() -> None:
    world = World()
    world.deploy(schedule="@hourly")
    world.tick(HOUR)
    (run,) = world.store.deployments.active("sales")
    assert [str(record.key) for record in world.store.task_records(run.run_id)] == ["a", "b"]


def test_nothing_happens_before_it_is_due() -> None:
    world = World()
    world.deploy(schedule="@hourly")
    world.tick(HOUR - timedelta(microseconds=1))
    assert world.dates() == []
    world.tick(timedelta(microseconds=1))
    assert world.dates() == ["01-01T01:00"]


def test_another_look_makes_no_other_run() -> None:
    world = World()
    world.deploy(schedule="@hourly")
    for _ in range(3):
        world.tick(HOUR if not world.dates() else None)
    assert world.dates() == ["01-01T01:00"]
    assert world.launched.order == [planned_run_id("scheduled", START + HOUR, "sales")]


def test_a_paused_flow_makes_no_run_and_one_when_it_goes_on() -> None:
    world = World()
    world.deploy(schedule="@daily")
    world.store.deployments.change("sales", lambda one: replace(one, paused=True, next_run=None))
    world.tick(14 * DAY)
    assert world.dates() == []
    world.store.deployments.change("sales", lambda one: replace(one, paused=False, next_run=START + DAY))
    world.tick()
    assert world.dates() == ["01-15T00:00"]
    deployment = world.store.deployments.get("sales")
    assert (deployment.missed_from, deployment.missed_until) == (START + DAY, START + 13 * DAY)


def test_under_none_what_is_noticed_too_late_is_recorded_as_missed() -> None:
    world = World()
    world.deploy(schedule="@hourly", catchup="none")
    world.tick(3 * HOUR + timedelta(minutes=10))
    assert world.dates() == []
    world.tick(START + 4 * HOUR)
    assert world.dates() == ["01-01T04:00"]
    deployment = world.store.deployments.get("sales")
    assert (deployment.missed_from, deployment.missed_until) == (START + HOUR, START + 3 * HOUR)


def test_once_runs_once() -> None:
    world = World()
    world.deploy(schedule="@once")
    world.tick(timedelta(seconds=1))
    world.tick(DAY)
    assert len(world.dates()) == 1
    assert world.store.deployments.get("sales").next_run is None


def test_continuous_has_one_run_at_a_time_without_gaps() -> None:
    world = World()
    world.deploy(schedule="@continuous")
    for _ in range(4):
        world.tick(HOUR)
        world.tick(timedelta(minutes=1))
        assert len(world.launched.runs) == 1
        world.end_all()
    runs = sorted(world.store.deployments.ended("sales", 10), key=lambda run: run.logical_date)
    assert len(runs) == 4
    assert all(one.interval_end == two.interval_start for one, two in pairwise(runs))


def test_the_past_is_caught_up_a_few_at_a_time() -> None:
    world = World()
    world.deploy(schedule="@hourly", catchup="all", start_date="2022-12-25")
    world.tick(timedelta(seconds=1))
    assert len(world.dates()) == 50
    while world.end_all():
        world.tick()
    assert len(world.dates()) == 7 * 24 + 1


def test_a_schedule_that_cannot_be_followed_any_more_says_so_and_stops_no_other() -> None:
    world = World()
    world.deploy("good", schedule="@hourly")
    world.deploy("bad", schedule="@hourly")
    world.store.deployments.change("bad", lambda one: replace(one, schedule={"schedule": "@hourly", "timezone": "Mars/Olympus"}))
    world.tick(HOUR)
    assert world.dates("good") == ["01-01T01:00"]
    assert 'There is no time zone "Mars/Olympus".' in world.store.deployments.get("bad").error
    assert world.store.deployments.get("bad").next_run is None


def test_a_database_that_goes_away_for_a_moment_unschedules_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.deploy("sales", schedule="@hourly")

    def away(*_: object) -> bool:
        raise StoreError("PostgreSQL cannot be reached.")

    with monkeypatch.context() as while_it_is_away:
        while_it_is_away.setattr(world.store.deployments, "make_run", away)
        with pytest.raises(StoreError):  # the turn is taken again, as a whole
            world.tick(HOUR)
    stands = world.store.deployments.get("sales")
    assert (stands.error, stands.next_run is None) == ("", False)
    world.tick()
    assert world.dates("sales") == ["01-01T01:00"]


# --- overlaps and limits ------------------------------------------------------------------------------------------------


def test_by_default_a_run_waits_for_the_one_before() -> None:
    world = World()
    world.deploy(schedule="@hourly")
    for _ in range(3):
        world.tick(HOUR)
    assert len(world.launched.runs) == 1
    assert world.dates() == ["01-01T01:00", "01-01T02:00", "01-01T03:00"]
    while world.end_all():
        world.tick()
    assert world.launched.order == [planned_run_id("scheduled", START + n * HOUR, "sales") for n in (1, 2, 3)]


def test_skip_passes_over_what_is_due_meanwhile() -> None:
    world = World()
    world.deploy(schedule="@hourly", on_overlap="skip")
    for _ in range(3):
        world.tick(HOUR)
    world.end_all()
    world.tick(HOUR)
    assert world.dates() == ["01-01T01:00", "01-01T04:00"]
    deployment = world.store.deployments.get("sales")
    assert deployment.missed_until == START + 3 * HOUR


def test_cancel_previous_asks_the_run_before_to_end() -> None:
    world = World()
    world.deploy(schedule="@hourly", on_overlap="cancel_previous")
    world.tick(HOUR)
    (first,) = world.launched.order
    world.tick(HOUR)
    (request,) = world.store.requests(first)
    assert request.kind == "cancel"
    assert request.by == f"{planned_run_id('scheduled', START + 2 * HOUR, 'sales')}, which is due"
    world.end(first, RunState.CANCELLED)
    world.tick()
    assert len(world.launched.order) == 2


def test_several_may_run_at_once_when_the_flow_says_so() -> None:
    world = World()
    world.deploy(schedule="@hourly", max_active_runs=2)
    for _ in range(4):
        world.tick(HOUR)
    assert len(world.launched.runs) == 2


def test_a_flow_that_is_full_keeps_no_other_from_running() -> None:
    world = World()
    world.deploy("busy", schedule="*/5 * * * *", catchup="all")
    world.deploy("quiet", schedule="@hourly")
    for _ in range(12):
        world.tick(timedelta(minutes=5))
    assert any("quiet" in run_id for run_id in world.launched.runs)


def test_no_more_runs_are_taken_than_there_is_room_for() -> None:
    world = World()
    world.launched.limit = 3
    for number in range(10):
        world.deploy(f"f{number}", schedule="@hourly")
    world.tick(HOUR)
    assert len(world.launched.runs) == 3
    world.end_all()
    world.tick()
    assert len(world.launched.runs) == 3


def test_runs_people_ask_for_are_taken_too() -> None:
    world = World()
    deployment = world.deploy()
    run = asked_run(deployment, read_schedule({}), world.clock.now(), params={"n": 1})
    world.store.deployments.add_run(run, ())
    world.tick(timedelta(seconds=1))
    assert world.launched.order == [run.run_id]


def test_a_flow_that_fails_again_and_again_pauses_itself() -> None:
    world = World()
    world.deploy(schedule="@hourly", max_consecutive_failed_runs=2)
    for state in (RunState.FAILED, RunState.SUCCESS, RunState.FAILED, RunState.FAILED):
        world.tick(HOUR)
        assert world.end_all(state) == 1
    world.tick(HOUR)
    deployment = world.store.deployments.get("sales")
    assert deployment.paused
    assert deployment.pause_reason == "Paused: its last 2 runs failed."
    assert [entry.what for entry in world.store.deployments.audit("sales")] == ["pause"]
    assert len(world.dates()) == 4
    # Whoever unpauses it begins to count afresh.
    world.store.deployments.change(
        "sales", lambda one: replace(one, paused=False, counted_from=world.clock.now(), next_run=world.clock.now())
    )
    world.tick()
    assert world.end_all(RunState.FAILED) == 1
    world.tick(HOUR)
    assert not world.store.deployments.get("sales").paused


# --- any order of things ------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-90, 600), st.sampled_from("ab"), st.booleans()), min_size=1, max_size=40),
    st.sampled_from(["all", "latest", "none", 2]),
    st.integers(1, 3),
)
def test_whatever_the_clock_does_a_date_has_one_run_and_limits_hold(moves: list, catchup: object, limit: int) -> None:
    """Two schedulers, a clock that jumps in minutes, also back, and runs that end now and then."""
    world = World()
    world.deploy(schedule="*/20 * * * *", catchup=catchup, max_active_runs=limit)
    both = {"a": world.scheduler, "b": world.another("other")}
    for minutes, who, ends in moves:
        world.clock.advance(timedelta(minutes=minutes))
        for scheduler in both.values():
            scheduler.renew()
        both[who].tick(world.clock.now())
        assert len([run for run in world.store.deployments.active("sales") if world.store.owner_of(run.run_id)]) <= limit
        if ends:
            for scheduler in both.values():
                scheduler.handed.clear()
            world.end_all()
    dates = world.dates()
    assert len(dates) == len(set(dates))
    if catchup == "all":
        minutes = [datetime.strptime(date, "%m-%dT%H:%M").replace(year=2023, tzinfo=UTC) for date in dates]
        assert minutes == [START + timedelta(minutes=20 * number) for number in range(1, len(dates) + 1)]


def test_a_year_of_two_hundred_flows_in_seconds() -> None:
    """Daily, weekly and monthly flows in four zones, looked at twice a day: each date has its run, around clock changes too."""
    world = World()
    zones = ("UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe")
    crons = ("30 2 * * *", *["0 9 * * 1", "0 0 1 * *", "0 0 L * *", "0 12 1,15 * *"] * 3)
    flows = {f"f{n}": {"schedule": crons[n % len(crons)], "timezone": zones[n % 4], "max_active_runs": 1000} for n in range(200)}
    for name, keys in flows.items():
        world.deploy(name, **keys)
    for _ in range(365 * 2):
        world.clock.advance(timedelta(hours=12))
        world.scheduler.plan(world.clock.now())
    for name, keys in flows.items():
        coming = read_schedule(keys).coming(START + timedelta(microseconds=1))
        expected = list(takewhile(lambda run: run.run_after <= world.clock.now(), coming))
        assert [run.logical_date for run in world.store.deployments.active(name)] == [run.logical_date for run in expected]
