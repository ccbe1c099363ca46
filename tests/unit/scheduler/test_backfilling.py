# SPDX-License-Identifier: BSD-3-Clause
"""Backfills in a world without time: the matrix of semantics.md 12 row by row, limits, pausing, cancelling, schedulers side by side."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.authoring.schedules import read_schedule
from nbflow.core.backfilling import check, due_dates, judged
from nbflow.core.backfills import Backfill, DateState, Reprocess
from nbflow.core.errors import UserError
from nbflow.core.events import ClearRequested
from nbflow.core.ids import TaskKey
from nbflow.core.machine import RunMachine
from nbflow.core.model import Flow, Task
from nbflow.core.options import PastCheck, TaskOptions
from nbflow.core.planning import planned_run, planned_run_id
from nbflow.core.records import Change, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.core.timetable import Interval, PlannedRun
from nbflow.scheduler.backfilling import Backfilling
from tests.unit.scheduler.world import Launched, World

DAY = timedelta(days=1)
#: The instant of the matrix: the daily runs of Jan 1 to 9 have come.
NOW = datetime(2023, 1, 9, 12, tzinfo=UTC)


def day(number: int) -> datetime:
    return datetime(2023, 1, number, tzinfo=UTC)


def world_at(now: datetime = NOW, **keys) -> World:
    """A daily flow that has not run by itself yet."""
    world = World()
    world.clock.advance(now - world.clock.now())
    world.deploy(**{"schedule": "@daily", "catchup": "none", **keys})
    return world


def plan(world: World, first: datetime, last: datetime, name: str = "sales", **more):
    deployment = world.store.deployments.get(name)
    schedule = read_schedule(deployment.schedule)
    more["reprocess"] = Reprocess(more.get("reprocess", "none"))
    asked = Backfill(flow=name, start=first, until=last + DAY - timedelta(microseconds=1), created_at=world.clock.now(), **more)
    check(world.store.flow(deployment.version), schedule, asked, world.clock.now())
    due = due_dates(schedule, asked, world.clock.now())
    return asked, judged(asked, due, world.store.backfills.runs_at(name, asked.start, asked.until))


def backfill(world: World, first: datetime, last: datetime, name: str = "sales", **more) -> Backfill:
    return world.store.backfills.create(*plan(world, first, last, name, **more))


def existing(world: World, number: int, state: RunState, name: str = "sales") -> str:
    """A run of that day, as the scheduler made it once."""
    deployment = world.store.deployments.get(name)
    planned = PlannedRun(logical_date=day(number), interval=Interval(start=day(number), end=day(number)), run_after=day(number))
    run = planned_run(deployment, read_schedule(deployment.schedule), planned, day(number))
    ended = TaskState(state.value) if state.is_finished else TaskState.PENDING
    tasks = [TaskRecord(key=TaskKey(task.id), state=ended, ended_at=day(number)) for task in world.store.flow(run.version).tasks]
    world.store.deployments.add_run(run, tasks)
    if state is not RunState.QUEUED:
        lease = world.store.claim(run.run_id, "somebody", 1e9)
        moved = replace(run, state=state, started_at=day(number), ended_at=day(number) if state.is_finished else None)
        world.store.commit(lease, [Change(at=day(number), key=None, before="queued", after=state, run=moved)])
        if state.is_finished:
            world.store.release(lease)
    return run.run_id


def days_of(world: World, id: int) -> list[int]:
    """The days whose run it made or ran again, in the order of starting."""
    return [date.logical_date.day for date in world.store.backfills.dates(id) if date.state is DateState.MADE]


def finish(world: World, id: int) -> None:
    """Turn after turn until it has ended."""
    for _ in range(200):
        world.tick()
        world.end_all()
        if world.store.backfills.get(id).ended_at is not None:
            return
    raise AssertionError("it does not end")


# --- the matrix ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reprocess", "days"), [("none", [1, 6]), ("failed", [1, 3, 6]), ("completed", [1, 2, 3, 6])])
def test_the_matrix(reprocess: str, days: list[int]) -> None:
    world = world_at()
    runs = {
        number: existing(world, number, RunState(state)) for number, state in ((2, "success"), (3, "failed"), (4, "running"), (5, "queued"))
    }
    made = backfill(world, day(1), day(6), reprocess=reprocess)
    world.launched.limit = 0
    world.tick()
    assert days_of(world, made.id) == days
    for number in (2, 3):
        run = world.store.run(runs[number])
        assert (run.state, run.clear_number) == ((RunState.QUEUED, 1) if number in days else (run.state, 0))
        assert all(task.state is TaskState.PENDING for task in world.store.task_records(run.run_id)) == (number in days)
    assert [world.store.run(runs[number]).state.value for number in (4, 5)] == ["running", "queued"]
    assert [world.store.run(runs[number]).backfill for number in (4, 5)] == [0, 0]
    verdicts = [date.verdict.value for date in world.store.backfills.dates(made.id)]
    assert verdicts[3:5] == ["in_flight", "in_flight"]
    assert world.dates().count("01-01T00:00") == 1


def test_in_reverse_the_latest_is_first() -> None:
    world = world_at()
    made = backfill(world, day(1), day(3), reprocess="completed", reverse=True)
    world.tick()
    assert days_of(world, made.id) == [3, 2, 1]
    assert world.launched.order == [planned_run_id("backfill", day(number), "sales") for number in (3, 2, 1)]


def depending(world: World, **options) -> None:
    flow = Flow(name="past", tasks=(Task(id="load", source="x = 1", options=TaskOptions(**options)), Task(id="then")))
    deployment = world.deploy("past", schedule="@daily", catchup="none")
    world.store.deployments.change("past", lambda one: replace(one, version=world.store.save_flow(flow)))
    assert deployment.name == "past"


@pytest.mark.parametrize("options", [{"depends_on_past": PastCheck.WAIT}, {"wait_for_downstream": True}])
def test_what_depends_on_its_past_goes_in_order_and_puts_right_what_failed(options: dict) -> None:
    world = world_at()
    depending(world, **options)
    with pytest.raises(UserError, match=r"load of past depends on its past: a run that failed would hold up .* Say --reprocess failed or"):
        plan(world, day(1), day(3), "past")
    with pytest.raises(UserError, match=r"load of past depends on its past: in reverse order each run would wait .* Leave out --reverse"):
        plan(world, day(1), day(3), "past", reprocess="failed", reverse=True)
    plan(world, day(1), day(3), "past", reverse=True, ignores_past=True)
    made = backfill(world, day(1), day(3), "past", reprocess="failed")
    world.tick()
    runs = [world.store.run(date.run_id) for date in world.store.backfills.dates(made.id)]
    assert [run.ignores_past for run in runs] == [True, False, False]


def test_all_its_runs_may_ignore_the_past() -> None:
    world = world_at()
    depending(world, depends_on_past=PastCheck.WAIT)
    made = backfill(world, day(1), day(3), "past", ignores_past=True)
    world.tick()
    assert all(world.store.run(date.run_id).ignores_past for date in world.store.backfills.dates(made.id))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"schedule": []}, "Flow sales has no dates to backfill, since it has no schedule: deploy it with a cron"),
        ({"schedule": "@once"}, "Flow sales has no dates to backfill, since its schedule is @once"),
        ({"schedule": "@continuous"}, "Flow sales has no dates to backfill, since its schedule is @continuous"),
    ],
)
def test_only_a_periodic_schedule_has_dates(keys: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        plan(world_at(**keys), day(1), day(3))


def test_a_range_that_goes_back_or_lies_in_the_future_is_refused() -> None:
    world = world_at()
    with pytest.raises(UserError, match="from the earlier date to the later one, and 2023-01-06 to 2023-01-01 goes back"):
        plan(world, day(6), day(1))
    with pytest.raises(UserError, match="2023-01-10 to 2023-01-12 lies in the future: a backfill is about dates that have come"):
        plan(world, day(10), day(12))


def test_partly_in_the_future_only_what_has_come() -> None:
    world = world_at()
    asked, dates = plan(world, day(8), day(12))
    assert [date.logical_date.day for date in dates] == [8, 9]
    assert due_dates(read_schedule({"schedule": "@daily"}), asked, NOW).first_later == day(10)


def test_interval_schedules_by_the_end_of_their_stretch() -> None:
    world = world_at(schedule_kind="interval")
    _, dates = plan(world, day(7), day(12))
    assert [(date.interval_start.day, date.interval_end.day) for date in dates] == [(7, 8), (8, 9)]
    with pytest.raises(UserError, match=r"2023-01-09 to 2023-01-09 holds no date of flow sales that has come: the first run is due after"):
        plan(world, day(9), day(9))


def test_a_range_between_two_dates_and_one_of_too_many() -> None:
    world = world_at(schedule="0 0 1 * *")
    with pytest.raises(UserError, match=r"2023-01-02 to 2023-01-03 holds no date of flow sales, whose schedule is 0 0 1 \* \*"):
        plan(world, day(2), day(3))
    world = world_at(schedule="every 1m")
    with pytest.raises(UserError, match="holds more than 20,000 dates of flow sales: the first 20,000 end with 2013-01-14T21:19"):
        plan(world, datetime(2013, 1, 1, tzinfo=UTC), day(3))


# --- limits and order ---------------------------------------------------------------------------------------------------


def test_a_few_at_a_time_and_it_is_completed_when_all_have_ended() -> None:
    world = world_at()
    made = backfill(world, day(1), day(9), max_active=2)
    world.tick()
    assert [len(world.launched.runs), world.store.backfills.progress(made.id).waiting] == [2, 7]
    world.end(world.launched.order[0], RunState.FAILED)
    world.tick()
    assert len(world.launched.order) == 3
    finish(world, made.id)
    assert world.store.backfills.get(made.id).state == "completed"
    progress = world.store.backfills.progress(made.id)
    assert (progress.success, progress.failed, progress.total) == (8, 1, 9)
    assert world.store.deployments.audit("sales")[0].detail == f"{made.id}: 8 succeeded, 1 failed"


def test_live_runs_go_first_and_neither_limit_holds_up_the_other() -> None:
    world = world_at(max_active_runs=1)
    backfill(world, day(1), day(5), max_active=2)
    world.launched.limit = 0
    world.tick()
    world.tick(day(10))
    world.launched.limit = 2
    world.tick()
    assert world.launched.order == [planned_run_id("scheduled", day(10), "sales"), planned_run_id("backfill", day(1), "sales")]
    world.launched.limit = 10
    world.tick(day(11))
    assert world.launched.order[2:] == [planned_run_id("backfill", day(2), "sales")]


def test_the_last_place_is_left_to_live_runs_where_there_are_several() -> None:
    world = world_at()
    backfill(world, day(1), day(9))
    world.launched.limit = 3
    world.tick()
    assert len(world.launched.runs) == 2
    world.tick(day(10))
    assert planned_run_id("scheduled", day(10), "sales") in world.launched.runs
    world.end_all()
    world.launched.limit = 1
    world.tick()
    assert len(world.launched.runs) == 1


@pytest.mark.parametrize("overlap", ["skip", "cancel_previous"])
def test_a_run_that_is_due_is_not_skipped_for_a_backfill_and_cancels_none_of_it(overlap: str) -> None:
    world = world_at(on_overlap=overlap)
    backfill(world, day(1), day(5))
    world.tick()
    backfilled = list(world.launched.runs)
    world.tick(day(10))
    assert planned_run_id("scheduled", day(10), "sales") in world.launched.runs
    assert all(not world.store.requests(run) for run in backfilled)


def test_failed_runs_of_a_backfill_do_not_pause_the_flow() -> None:
    world = world_at(max_consecutive_failed_runs=2)
    made = backfill(world, day(1), day(5))
    world.tick()
    world.end_all(RunState.FAILED)
    world.tick(day(10))
    assert planned_run_id("scheduled", day(10), "sales") in world.launched.runs
    assert world.store.backfills.get(made.id).state == "completed"


def test_a_date_that_was_run_meanwhile_is_passed() -> None:
    world = world_at()
    made = backfill(world, day(1), day(3), max_active=1)
    world.tick()
    existing(world, 2, RunState.SUCCESS)
    finish(world, made.id)
    assert [date.state.value for date in world.store.backfills.dates(made.id)] == ["made", "passed", "made"]


def test_a_run_that_was_to_run_again_and_is_running_or_gone() -> None:
    world = world_at()
    one, two = existing(world, 1, RunState.FAILED), existing(world, 2, RunState.FAILED)
    made = backfill(world, day(1), day(2), reprocess="failed")
    lease = world.store.claim(one, "a person", 1e9)
    running = replace(world.store.run(one), state=RunState.RUNNING)
    world.store.commit(lease, [Change(at=NOW, key=None, before="failed", after="running", run=running)])
    world.store.delete_run(two)
    world.tick()
    world.store.release(lease)
    finish(world, made.id)
    assert [date.state.value for date in world.store.backfills.dates(made.id)] == ["passed", "made"]
    assert world.store.run(one).clear_number == 0
    assert world.store.backfills.progress(made.id).success == 1


# --- versions and parameters ----------------------------------------------------------------------------------------------


def test_what_runs_again_does_so_with_the_version_and_parameters_in_force() -> None:
    world = world_at()
    run_id = existing(world, 1, RunState.SUCCESS)
    world.store.save_captures(run_id, b"what its kernel had")
    newer = world.store.save_flow(Flow(name="sales", tasks=(Task(id="a", source="x = 2"), Task(id="c"))))
    world.store.deployments.change("sales", lambda one: replace(one, version=newer, params={"region": "eu", "day": 1}))
    backfill(world, day(1), day(2), reprocess="completed", params={"day": 2})
    world.tick()
    for date, kind in ((day(1), "scheduled"), (day(2), "backfill")):
        run = world.store.run(planned_run_id(kind, date, "sales"))
        assert (run.version, run.params, run.run_type) == (newer, {"region": "eu", "day": 2}, "backfill")
    tasks = {record.key.task_id: record.state.value for record in world.store.task_records(run_id)}
    assert tasks == {"a": "pending", "b": "removed", "c": "pending"}
    assert not world.store.captures(run_id)


def test_what_a_person_gave_with_a_run_of_their_own_stays() -> None:
    world = world_at()
    run_id = existing(world, 1, RunState.SUCCESS)
    run = world.store.run(run_id)
    lease = world.store.claim(run_id, "x", 60)
    world.store.commit(lease, [], run=replace(run, run_type="manual", params={"region": "ch"}))
    world.store.release(lease)
    world.store.deployments.change("sales", lambda one: replace(one, params={"region": "eu", "day": 1}))
    backfill(world, day(1), day(1), reprocess="completed")
    world.tick()
    assert world.store.run(run_id).params == {"region": "ch", "day": 1}


def test_its_dates_stay_when_the_schedule_becomes_another_one_or_none() -> None:
    world = world_at()
    made = backfill(world, day(1), day(3), max_active=1)
    world.tick()
    for schedule in ([], "0 5 * * *"):
        world.store.deployments.change("sales", lambda one, keys=schedule: replace(one, schedule={"schedule": keys}))
        world.end_all()
        world.tick()
    finish(world, made.id)
    assert [date.state.value for date in world.store.backfills.dates(made.id)] == ["made"] * 3
    assert world.dates() == ["01-01T00:00", "01-02T00:00", "01-03T00:00"]


# --- pausing and cancelling -------------------------------------------------------------------------------------------------


def test_a_paused_backfill_starts_nothing_what_runs_goes_on() -> None:
    world = world_at()
    made = backfill(world, day(1), day(9), max_active=2)
    world.launched.limit = 1
    world.tick()
    world.store.backfills.change(made.id, lambda one: replace(one, paused=True))
    world.launched.limit = 10
    world.tick()
    assert len(world.launched.order) == 1
    world.end_all()
    world.tick()
    assert (world.launched.runs, world.store.backfills.get(made.id).state) == ({}, "paused")
    assert world.store.backfills.progress(made.id).queued == 1
    world.store.backfills.change(made.id, lambda one: replace(one, paused=False))
    world.tick()
    assert len(world.launched.runs) == 2


def test_a_paused_flow_holds_its_backfill() -> None:
    world = world_at()
    made = backfill(world, day(1), day(9))
    world.store.deployments.change("sales", lambda one: replace(one, paused=True))
    world.tick()
    assert (world.launched.order, world.store.backfills.progress(made.id).waiting) == ([], 9)
    world.store.deployments.change("sales", lambda one: replace(one, paused=False))
    finish(world, made.id)


def test_cancelling_fails_what_is_queued_and_lets_end_what_runs() -> None:
    world = world_at()
    made = backfill(world, day(1), day(9), max_active=3)
    world.launched.limit = 1
    world.tick()
    cancelled = world.store.backfills.cancel(made.id, "ann")
    assert cancelled.state == "cancelling"
    world.tick()
    progress = world.store.backfills.progress(made.id)
    assert (progress.running + progress.queued, progress.failed, progress.dropped) == (1, 2, 6)
    failed = world.store.run(world.store.backfills.dates(made.id)[1].run_id)
    assert (failed.state.value, failed.by_hand) == ("failed", True)
    assert failed.reason.endswith(f"The run was marked failed by ann, who cancelled backfill {made.id}.")
    assert all(record.state.is_finished for record in world.store.task_records(failed.run_id))
    world.end_all()
    world.tick()
    world.tick()
    assert world.store.backfills.get(made.id).state == "cancelled"
    assert len(world.launched.order) == 1


def test_a_run_of_a_cancelled_backfill_that_somebody_retries_runs() -> None:
    """Airflow leaves it queued for ever (#72337): its flag `paused` stays."""
    world = world_at()
    made = backfill(world, day(1), day(2))
    world.launched.limit = 0
    world.tick()
    world.store.backfills.cancel(made.id, "ann")
    world.tick()
    world.tick()
    assert world.store.backfills.get(made.id).state == "cancelled"
    run = world.store.run(world.store.backfills.dates(made.id)[0].run_id)
    lease = world.store.claim(run.run_id, "a person", 60)
    machine = RunMachine(world.store.flow(run.version), run, world.store.task_records(run.run_id))
    world.store.commit(lease, machine.handle(ClearRequested(keys=tuple(machine.records), waits=True), NOW).changes)
    world.store.release(lease)
    world.launched.limit = 9
    world.tick()
    assert world.launched.order == [run.run_id]


def test_an_undeployed_flow_ends_its_backfill() -> None:
    world = world_at()
    made = backfill(world, day(1), day(9), max_active=1)
    world.tick()
    world.store.deployments.delete("sales")
    world.tick()
    ended = world.store.backfills.get(made.id)
    assert (ended.state, ended.cancelled_by) == ("cancelling", "whoever undeployed the flow")
    world.end_all()
    world.tick()
    assert world.store.backfills.get(made.id).state == "cancelled"


# --- schedulers side by side and dying -----------------------------------------------------------------------------------------


def test_what_a_scheduler_took_and_did_not_make_another_one_makes() -> None:
    world = world_at()
    again = existing(world, 2, RunState.SUCCESS)
    made = backfill(world, day(1), day(4), reprocess="completed", max_active=2)
    taken = world.store.backfills.take(made.id)
    assert [date.logical_date.day for date in taken] == [1, 2]
    assert len(world.store.backfills.take(made.id)) == 2
    world.tick()
    assert [date.state.value for date in world.store.backfills.dates(made.id)] == ["made", "made", "waiting", "waiting"]
    assert world.store.run(again).clear_number == 1
    finish(world, made.id)
    assert world.store.run(again).clear_number == 1


def test_a_run_that_was_cleared_and_not_written_down_is_not_cleared_again() -> None:
    world = world_at()
    again = existing(world, 1, RunState.SUCCESS)
    made = backfill(world, day(1), day(1), reprocess="completed")
    (date,) = world.store.backfills.take(made.id)
    settle = world.store.backfills.settle
    world.store.backfills.settle = lambda *_: None
    world.tick()
    world.end_all()
    world.store.backfills.settle = settle
    assert world.store.backfills.dates(made.id)[0].state is DateState.TAKEN
    finish(world, made.id)
    assert world.store.run(again).clear_number == 1
    assert world.launched.order == [again]
    assert date.run_id == again


CASES = st.fixed_dictionaries(
    {
        "states": st.dictionaries(st.integers(1, 8), st.sampled_from(["success", "failed", "cancelled", "running", "queued"])),
        "asked": st.fixed_dictionaries(
            {"reprocess": st.sampled_from(list(Reprocess)), "reverse": st.booleans(), "max_active": st.integers(1, 4)}
        ),
        "ends": st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["success", "failed"])), max_size=20),
        "room": st.integers(0, 6),
    }
)


@settings(max_examples=40, deadline=None)
@given(case=CASES)
def test_each_date_runs_at_most_once_and_never_too_many_at_once(case) -> None:
    states, max_active = case["states"], case["asked"]["max_active"]
    world = world_at()
    had = {number: existing(world, number, RunState(state)) for number, state in states.items()}
    before = {run: world.store.run(run) for run in had.values()}
    asked = backfill(world, day(1), day(8), **case["asked"])
    work = {date.place for date in world.store.backfills.dates(asked.id) if date.verdict.is_work}
    other = world.another("other", Launched())
    world.launched.limit = case["room"]
    for place, state in [*case["ends"], *((0, "success") for _ in range(12))]:
        for scheduler in (world.scheduler, other):
            scheduler.tick(world.clock.now())
        running = [(launched, run) for launched in (world.launched, other.launcher) for run in launched.runs]
        ours = [run for _, run in running if world.store.run(run).backfill == asked.id]
        assert len(ours) <= max_active
        progress = world.store.backfills.progress(asked.id)
        assert progress.unfinished + progress.taken <= max_active
        if running:
            launched, run = running[place % len(running)]
            world.launched, mine = launched, world.launched
            world.end(run, RunState(state))
            world.launched = mine
    dates = world.store.backfills.dates(asked.id)
    assert {date.place for date in dates if date.state is DateState.MADE} == work
    assert all(date.state is DateState.PASSED for date in dates if date.place not in work)
    ordered = [*world.launched.order, *other.launcher.order]
    assert len(ordered) == len(set(ordered))
    for number, run_id in had.items():
        is_again = states[number] in {"success", "failed", "cancelled"} and any(
            date.run_id == run_id and date.place in work for date in dates
        )
        assert world.store.run(run_id).clear_number == int(is_again)
        if not is_again and before[run_id].state.is_finished:
            assert world.store.run(run_id) == before[run_id]
    assert len(world.dates()) == 8
    assert world.store.backfills.get(asked.id).ended_at is not None or not work


class Death(BaseException):
    """The process is gone: nothing catches it."""


class Mortal:
    """A store whose process dies at one of its writes, just before it or just after."""

    def __init__(self, target: object, until: list[int]) -> None:
        self._target, self._until = target, until

    def __getattr__(self, name: str):
        found = getattr(self._target, name)
        if name in {"backfills", "deployments"}:
            return Mortal(found, self._until)
        if name not in {"take", "make_run", "settle", "cancel", "close", "note", "claim", "commit", "release", "save_captures"}:
            return found

        def call(*arguments, **keywords):
            self._until[0] -= 1
            if self._until[0] == 0:
                raise Death
            done = found(*arguments, **keywords)
            self._until[0] -= 1
            if self._until[0] == 0:
                raise Death
            return done

        return call


@settings(max_examples=80, deadline=None)
@given(
    states=st.dictionaries(st.integers(1, 6), st.sampled_from(["success", "failed"])),
    deaths=st.lists(st.integers(1, 24), max_size=12),
    cancelled_after=st.one_of(st.none(), st.integers(0, 6)),
)
def test_whenever_a_scheduler_dies_the_next_one_finishes_what_it_began(states, deaths, cancelled_after) -> None:
    world = world_at()
    had = {number: existing(world, number, RunState(state)) for number, state in states.items()}
    made = backfill(world, day(1), day(6), reprocess="completed", max_active=2)
    for turn in range(40):
        # Its leases lapse at once, as those of a dead process do in the end.
        dying = Mortal(world.store, [deaths[turn] if turn < len(deaths) else 0])
        with contextlib.suppress(Death):
            Backfilling(dying, f"dying {turn}", 0.0, world.scheduler.schedule_of).advance(world.clock.now())
        if turn == cancelled_after and world.store.backfills.get(made.id).ended_at is None:
            world.store.backfills.cancel(made.id, "ann")
        world.scheduler.take(world.clock.now())
        world.scheduler.take_orphans()
        assert len(world.launched.runs) <= 2
        world.end_all()
        if world.store.backfills.get(made.id).ended_at is not None:
            break
    ended = world.store.backfills.get(made.id)
    assert ended.ended_at is not None
    dates = world.store.backfills.dates(made.id)
    assert {date.state for date in dates} <= {DateState.MADE, DateState.DROPPED}
    if cancelled_after is None:
        assert {date.state for date in dates} == {DateState.MADE}
        assert world.store.backfills.progress(made.id).success == 6
    assert len(world.launched.order) == len(set(world.launched.order))
    assert len(world.dates()) == len(set(world.dates()))
    for number, run_id in had.items():
        run, date = world.store.run(run_id), dates[number - 1]
        assert run.clear_number == int(run.backfill == made.id) <= 1
        assert run.state.is_finished
        assert (date.state is DateState.MADE) == (run.backfill == made.id)
