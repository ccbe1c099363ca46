# SPDX-License-Identifier: BSD-3-Clause
"""Backfills in a world without time: the matrix of semantics.md 12 row by row, limits and order, versions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nbflow.authoring.schedules import read_schedule
from nbflow.core.backfilling import due_dates
from nbflow.core.errors import UserError
from nbflow.core.model import Flow, Task
from nbflow.core.options import PastCheck, TaskOptions
from nbflow.core.planning import planned_run_id
from nbflow.core.records import Change
from nbflow.core.states import RunState, TaskState
from tests.unit.scheduler.backfills import NOW, backfill, day, days_of, existing, finish, plan, world_at
from tests.unit.scheduler.world import World

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
