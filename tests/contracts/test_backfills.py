# SPDX-License-Identifier: BSD-3-Clause
"""What every Store promises about backfills, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nbflow.authoring.schedules import read_schedule
from nbflow.core.backfills import Backfill, BackfillDate, DateState, DateVerdict, Progress, Reprocess
from nbflow.core.deployments import Deployment
from nbflow.core.errors import UserError
from nbflow.core.ids import RunId, TaskId, TaskKey
from nbflow.core.limits import Ask, Asks, Demand, Pool, Waiter, rank
from nbflow.core.model import Flow, Task
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.scheduler.loop import Scheduler
from tests.unit.scheduler.world import Launched

pytest_plugins = ["tests.unit.store.databases"]

NOW = datetime(2026, 1, 20, 3, 4, 5, 678901, tzinfo=UTC)
FIRST, DAY = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
TASKS = (TaskRecord(key=TaskKey(TaskId("a"))),)


def a_backfill(**more):
    return Backfill(**{"flow": "sales", "start": FIRST, "until": FIRST + 30 * DAY, "created_at": NOW, "by": "ann", **more})


def a_date(place: int, verdict=DateVerdict.CREATE, **more):
    at = FIRST + place * DAY
    state = DateState.WAITING if verdict.is_work else DateState.PASSED
    return BackfillDate(
        **{"place": place, "logical_date": at, "interval_start": at, "interval_end": at, "verdict": verdict, "state": state, **more}
    )


def a_run(run_id: str, day: int, **more):
    whole = {"run_id": RunId(run_id), "flow": "sales", "deployment": "sales", "created_at": NOW, "run_type": "backfill", "place": day}
    return RunRecord(**{**whole, "logical_date": FIRST + day * DAY, **more})


@pytest.fixture
def backfills(store):
    flow = Flow(name="sales", tasks=(Task(id=TaskId("a"), source="x = 1"),))
    keys = {"schedule": "@daily"}
    deployment = Deployment(name="sales", version=store.save_flow(flow), path="/n/x.ipynb", deployed_at=NOW, since=NOW, schedule=keys)
    store.deployments.create(deployment)
    return store.backfills


def move(store, run_id: str, state: RunState, owner: str = "s") -> None:
    run = store.run(run_id)
    lease = store.claim(run_id, owner, 60)
    store.commit(lease, [Change(at=NOW, key=None, before=run.state, after=state, run=replace(run, state=state))])
    if state.is_finished:
        store.release(lease)


def test_it_comes_back_with_its_dates(store, backfills):
    asked = a_backfill(reprocess=Reprocess.FAILED, max_active=3, reverse=True, ignores_past=True, params={"region": "eu"})
    made = backfills.create(asked, [a_date(0, is_first=True), a_date(1, DateVerdict.EXISTS, run_id="old")])
    assert made == replace(asked, id=made.id)
    assert backfills.get(made.id) == made
    assert backfills.unfinished() == (made,)
    assert [date.is_first for date in backfills.dates(made.id)] == [True, False]
    assert [date.place for date in backfills.dates(made.id, after=0)] == [1]
    assert len(backfills.dates(made.id, limit=1)) == 1
    assert backfills.progress(made.id) == Progress(waiting=1, passed=1)


def test_a_flow_has_one_that_has_not_ended(store, backfills):
    made = backfills.create(a_backfill(), [a_date(0)])
    with pytest.raises(
        UserError, match=f"Flow sales has a backfill that has not ended, {made.id}: wait for its end, or type nbflow backfill"
    ):
        backfills.create(a_backfill(), [a_date(0)])
    with pytest.raises(UserError, match='There is no deployed flow "other"'):
        backfills.create(a_backfill(flow="other"), [a_date(0)])
    backfills.change(made.id, lambda one: replace(one, ended_at=NOW))
    again = backfills.create(a_backfill(), [a_date(0)])
    assert [one.id for one in backfills.find("sales")] == [again.id, made.id]
    assert [one.id for one in backfills.find(before=again.id)] == [made.id]
    assert backfills.find("other") == ()
    assert backfills.unfinished() == (again,)


def test_asked_for_at_the_same_moment_there_is_one(store, backfills):
    def ask(_):
        try:
            return backfills.create(a_backfill(), [a_date(0)]).id
        except UserError:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = [id for id in pool.map(ask, range(8)) if id is not None]
    assert len(made) == len(backfills.find()) == 1


def test_one_that_is_not_there(store, backfills):
    for ask in (backfills.get, backfills.take, lambda id: backfills.change(id, lambda one: one), lambda id: backfills.cancel(id, "x")):
        with pytest.raises(UserError, match=r"There is no backfill 77\. `nbflow backfill list` shows them\."):
            ask(77)


def test_a_change_that_raises_leaves_everything(store, backfills):
    made = backfills.create(a_backfill(), [a_date(0)])
    assert backfills.change(made.id, lambda one: replace(one, paused=True)).state == "paused"
    with pytest.raises(ZeroDivisionError):
        backfills.change(made.id, lambda one: replace(one, max_active=1 // 0))
    assert backfills.get(made.id) == replace(made, paused=True)


def test_dates_are_taken_in_order_as_many_as_may_be_active(store, backfills):
    made = backfills.create(a_backfill(max_active=2), [a_date(0, DateVerdict.EXISTS), *(a_date(place) for place in range(1, 5))])
    assert [date.place for date in backfills.take(made.id)] == [1, 2]
    assert [date.place for date in backfills.take(made.id)] == [1, 2]
    one, two = backfills.take(made.id)
    assert backfills.make_run(made.id, one, a_run("r1", 1, backfill=made.id), TASKS)
    assert [date.place for date in backfills.take(made.id)] == [2]
    assert backfills.make_run(made.id, two, a_run("r2", 2, backfill=made.id), TASKS)
    move(store, "r1", RunState.SUCCESS)
    assert [date.place for date in backfills.take(made.id, more=False)] == []
    assert [date.place for date in backfills.take(made.id)] == [3]
    assert backfills.progress(made.id) == Progress(waiting=1, taken=1, passed=1, queued=1, success=1)
    assert backfills.ahead(made.id) == Progress(waiting=1, taken=1, queued=1)
    assert [date.run_state for date in backfills.dates(made.id)][1:3] == [RunState.SUCCESS, RunState.QUEUED]
    assert store.task_records("r2") == TASKS


def test_the_run_of_a_date_is_made_once(store, backfills):
    made = backfills.create(a_backfill(), [a_date(0), a_date(1)])
    one, two = backfills.take(made.id)

    def make(number):
        return backfills.make_run(made.id, one, a_run(f"r{number}", 0, backfill=made.id), TASKS)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(make, range(8))).count(True) == 1
    assert len(store.deployments.active("sales")) == 1
    store.deployments.add_run(a_run("by-hand", 1, run_type="manual"), TASKS)
    assert not backfills.make_run(made.id, two, a_run("late", 1, backfill=made.id), TASKS)
    assert [(date.state.value, date.run_id) for date in backfills.dates(made.id)][1] == ("passed", "by-hand")


def test_what_is_settled_stays(store, backfills):
    made = backfills.create(a_backfill(), [a_date(0, DateVerdict.RERUN, run_id="old")])
    (date,) = backfills.take(made.id)
    backfills.settle(made.id, replace(date, state=DateState.MADE))
    backfills.settle(made.id, replace(date, state=DateState.PASSED))
    assert backfills.dates(made.id)[0].state is DateState.MADE
    assert backfills.progress(made.id) == Progress(gone=1)


def test_cancelling_drops_what_waits_and_makes_no_more(store, backfills):
    made = backfills.create(a_backfill(max_active=2), [a_date(place) for place in range(4)])
    one, two = backfills.take(made.id)
    backfills.make_run(made.id, one, a_run("r0", 0, backfill=made.id), TASKS)
    assert backfills.cancel(made.id, "ann").state == "cancelling"
    assert backfills.cancel(made.id, "bob").cancelled_by == "ann"
    assert not backfills.make_run(made.id, two, a_run("r1", 1, backfill=made.id), TASKS)
    assert [date.state.value for date in backfills.dates(made.id)] == ["made", "dropped", "dropped", "dropped"]
    assert [run.run_id for run in backfills.queued(made.id)] == ["r0"]
    assert not backfills.close(made.id, NOW)
    move(store, "r0", RunState.FAILED)
    assert backfills.close(made.id, NOW + DAY)
    assert (backfills.get(made.id).state, backfills.get(made.id).ended_at) == ("cancelled", NOW + DAY)
    assert backfills.cancel(made.id, "bob").cancelled_by == "ann"


def test_runs_by_their_dates(store, backfills):
    for place in range(4):
        store.deployments.add_run(a_run(f"r{place}", place), TASKS)
    move(store, "r1", RunState.FAILED)
    found = backfills.runs_at("sales", FIRST + DAY, FIRST + 2 * DAY)
    assert found == {FIRST + DAY: ("r1", RunState.FAILED), FIRST + 2 * DAY: ("r2", RunState.QUEUED)}
    assert backfills.runs_at("other", FIRST, FIRST + 9 * DAY) == {}


def test_those_of_a_flow_that_have_ended_are_forgotten(store, backfills):
    made = backfills.create(a_backfill(), [a_date(0)])
    backfills.delete_of("sales")
    assert backfills.get(made.id)
    backfills.change(made.id, lambda one: replace(one, ended_at=NOW))
    backfills.delete_of("sales")
    assert (backfills.find(), backfills.dates(made.id)) == ((), ())


# --- how its runs are taken ---------------------------------------------------------------------------------------------


def test_its_runs_come_last_in_their_own_order_and_within_its_own_limit(store, backfills):
    made = backfills.create(a_backfill(max_active=1), [a_date(0), a_date(1)])
    deployments = store.deployments
    for place in (0, 1):
        deployments.add_run(a_run(f"b{place}", 5 - place, place=place, backfill=made.id, run_after=NOW), TASKS)
    deployments.add_run(a_run("live", 9, run_type="scheduled", run_after=NOW + DAY), TASKS)
    assert [run.run_id for run in deployments.queued()] == ["live", "b0", "b1"]
    assert [run.run_id for run in deployments.queued(without=["sales"])] == ["b0", "b1"]
    assert [run.run_id for run in deployments.queued(without_backfills=[made.id])] == ["live"]
    assert deployments.promote("b0", 1, "s", 60) is not None
    assert deployments.promote("b1", 9, "s", 60) is None
    assert deployments.promote("live", 1, "s", 60) is not None
    move(store, "b1", RunState.FAILED)
    assert [run.run_id for run in deployments.ended("sales", 9)] == ["b1"]
    assert deployments.ended("sales", 9, backfills=False) == ()


def test_runs_of_a_paused_one_stay_and_those_of_one_that_is_over_do_not(store, backfills):
    made = backfills.create(a_backfill(), [a_date(0)])
    store.deployments.add_run(a_run("b0", 0, backfill=made.id), TASKS)
    backfills.change(made.id, lambda one: replace(one, paused=True))
    assert store.deployments.queued() == ()
    assert store.deployments.promote("b0", 9, "s", 60) is None
    backfills.change(made.id, lambda one: replace(one, ended_at=NOW))
    assert [run.run_id for run in store.deployments.queued()] == ["b0"]
    assert store.deployments.promote("b0", 9, "s", 60) is not None


def test_two_schedulers_at_once_make_each_date_once_and_never_too_many(store, backfills):
    old = a_run("old", 2, run_type="scheduled", version=store.deployments.get("sales").version)
    store.deployments.add_run(old, [TaskRecord(key=TaskKey(TaskId("a")), state=TaskState.SUCCESS, ended_at=NOW)])
    move(store, "old", RunState.SUCCESS)
    dates = [a_date(place) if place != 2 else a_date(2, DateVerdict.RERUN, run_id="old") for place in range(8)]
    made = backfills.create(a_backfill(max_active=2), dates)
    both = [Scheduler(store=store, launcher=Launched(), read=read_schedule, owner=f"s{number}") for number in range(2)]
    launched: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            list(pool.map(lambda one: (one.backfilling.advance(NOW), one.take(NOW)), both))
            running = [(one, run, lease) for one in both for run, lease in one.launcher.runs.items()]
            assert len(running) <= 2
            for one, run, lease in running:
                record = replace(store.run(run), state=RunState.SUCCESS, ended_at=NOW)
                store.commit(lease, [Change(at=NOW, key=None, before="queued", after="success", run=record)])
                store.release(lease)
                del one.launcher.runs[run]
                launched.append(run)
    assert len(launched) == len(set(launched)) == 8
    assert store.run("old").clear_number == 1
    both[0].backfilling.advance(NOW)
    assert backfills.get(made.id).state == "completed"
    assert backfills.progress(made.id) == Progress(success=8)


def test_its_tasks_wait_behind_those_of_other_runs(store, backfills):
    """As drivers ask for slots: the two that come first by weight are those of the backfill."""
    store.save_pool(Pool(name="p", slots=0))
    for number, run_id in enumerate(("b0", "live")):
        run = a_run(run_id, number, run_type="backfill" if run_id == "b0" else "scheduled")
        store.create_run(run, [TaskRecord(key=TASKS[0].key, state=TaskState.SCHEDULED)])
        demand = Demand(pool="p", weight=9 if run_id == "b0" else 1)
        waiter = Waiter(run_id=run.run_id, flow="sales", key=TASKS[0].key, demand=demand, logical_date=NOW, comes_last=run_id == "b0")
        granted = replace(TASKS[0], state=TaskState.QUEUED, token="t")
        change = Change(at=NOW, key=TASKS[0].key, before="scheduled", after=TaskState.QUEUED, task=granted)
        store.commit_asking(store.claim(run_id, run_id, 60), Asks(queue=(Ask(waiter=waiter, change=change),), room=9), [])
    assert [(one.run_id, one.comes_last) for one in sorted(store.board().waiters, key=rank)] == [("live", False), ("b0", True)]
