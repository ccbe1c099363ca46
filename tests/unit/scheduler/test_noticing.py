# SPDX-License-Identifier: BSD-3-Clause
"""`Noticing.tick(now)` beside a scheduler's `tick(now)`, with a clock turned by hand: what stands in the outbox, each once."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from nbflow.authoring.schedules import read_zone
from nbflow.core.errors import SetupError
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import ErrorInfo
from nbflow.core.model import CellRef, Flow, Task
from nbflow.core.notices import TROUBLE, Installation
from nbflow.core.options import TaskOptions
from nbflow.core.records import AttemptRecord, Change, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.scheduler.noticing import Noticing
from tests.unit.scheduler.world import World

HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
OPS = {"on_failure": ["ops"]}


class Told(World):
    """A world in which somebody listens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.noticing = self.another_ear()

    def another_ear(self, **said) -> Noticing:
        return Noticing(
            store=self.store, installation=Installation(**said), zone_of=lambda keys: read_zone(str(keys.get("timezone") or "UTC"))
        )

    def tick(self, at=None) -> None:
        super().tick(at)
        self.noticing.tick(self.clock.now())

    def told(self) -> list[str]:
        """The keys of what was told, without the run's id, in order."""
        found = reversed(self.store.notifications.notifications(limit=1000))
        return [f"{one.key.removeprefix(one.run_id + '/')} -> {one.shown}" for one in found]

    def begin(self) -> str:
        """The one run that was launched is running."""
        (run_id,) = self.launched.runs
        self.move_run(run_id, RunState.RUNNING, started_at=self.clock.now())
        return run_id

    def move_run(self, run_id: str, state: RunState, **more) -> None:
        run = self.store.run(run_id)
        moved = replace(run, state=state, **more)
        change = Change(at=self.clock.now(), key=None, before=run.state, after=state, run=moved)
        self.store.commit(self.launched.runs[run_id], [change])

    def move(self, run_id: str, task: str, state: TaskState, error: str = "", **more) -> None:
        key = TaskKey(TaskId(task))
        now = self.clock.now()
        record = TaskRecord(key=key, state=state, attempt=1, started_at=now, ended_at=now, **more)
        change = Change(at=now, key=key, before="running", after=state, reason=error, task=record)
        info = ErrorInfo(ename="KeyError", evalue=error, line=3, traceback=(f"KeyError: {error}",))
        attempts = [AttemptRecord(key=key, attempt=1, token=f"{run_id}{task}", outcome="failed", error=info)] if error else []
        self.store.commit(self.launched.runs[run_id], [change], attempts)

    def put_back(self, run_id: str) -> None:
        """A person clears it; a scheduler takes it again."""
        lease = self.store.claim(run_id, "person", 60)
        run = self.store.run(run_id)
        cleared = replace(run, state=RunState.QUEUED, clear_number=run.clear_number + 1, started_at=None, ended_at=None)
        self.store.commit(lease, [Change(at=self.clock.now(), key=None, before=run.state, after=RunState.QUEUED, run=cleared)])
        self.store.release(lease)


def test_a_failed_run_is_told_once_however_often_one_looks() -> None:
    world = Told()
    world.deploy(schedule="@hourly", notify=OPS)
    world.tick(HOUR)
    run_id = world.begin()
    world.tick(MINUTE)
    assert world.told() == []
    world.move(run_id, "a", TaskState.FAILED, "'temp_c'")
    world.end(run_id, RunState.FAILED)
    world.tick(timedelta(seconds=1))
    for ear in (world.another_ear(), world.another_ear()):
        ear.tick(world.clock.now())
    assert world.told() == ["3 -> ops"]
    (one,) = world.store.notifications.notifications()
    assert "Task a: attempt 1, line 3\n    KeyError: 'temp_c'" in one.text
    assert (one.flow, one.run_id, one.topic, one.address) == ("sales", run_id, "failure", "ops")


def test_what_went_well_tells_nobody_who_did_not_ask() -> None:
    world = Told()
    world.deploy("quiet", schedule="@hourly", notify=OPS)
    world.deploy("proud", schedule="@hourly", notify={"on_success": ["boss"]})
    world.tick(HOUR)
    world.end_all()
    world.tick(MINUTE)
    assert world.told() == ["1 -> boss"]


def test_a_flow_that_tells_nobody_is_not_watched() -> None:
    world = Told()
    world.deploy(schedule="@hourly")
    world.tick(HOUR)
    assert world.store.notifications.watched(world.clock.now() + DAY) == ()
    world.end_all(RunState.FAILED)
    world.tick(MINUTE)
    assert world.told() == []


def test_a_deadline_is_told_once_and_one_that_was_kept_never() -> None:
    world = Told()
    world.deploy(schedule="@daily", notify=OPS, deadline="45m", late_start="10m")
    world.tick(DAY)
    world.tick(10 * MINUTE)
    assert world.told() == ["late_start -> ops"]
    run_id = world.begin()
    world.tick(34 * MINUTE)
    world.tick(MINUTE)
    world.another_ear().tick(world.clock.now())
    world.tick(HOUR)
    assert world.told() == ["late_start -> ops", "deadline -> ops"]
    world.end(run_id)
    world.tick(DAY - HOUR - 45 * MINUTE)
    world.begin()
    world.end_all()
    world.tick(2 * HOUR)
    assert world.told() == ["late_start -> ops", "deadline -> ops"]


def test_a_deadline_that_passed_while_no_scheduler_lived_is_told_afterwards() -> None:
    world = Told()
    world.deploy(schedule="@daily", notify=OPS, deadline="01:30", timezone="Europe/Zurich")
    world.tick(23 * HOUR)
    run_id = world.begin()
    world.clock.advance(5 * HOUR)
    world.move_run(run_id, RunState.SUCCESS, ended_at=world.clock.now())
    world.tick(MINUTE)
    assert world.told() == ["deadline -> ops"]
    assert "sales missed its deadline (Mon 02 Jan 01:30 CET)" in world.store.notifications.notifications()[0].subject


def test_a_deadline_does_not_hold_for_a_flow_that_was_paused() -> None:
    world = Told()
    world.deploy(schedule="@daily", notify=OPS, deadline="45m")
    world.store.deployments.change("sales", lambda one: replace(one, paused=True, next_run=None))
    world.tick(DAY + HOUR)
    now = world.clock.now()
    world.store.deployments.change("sales", lambda one: replace(one, paused=False, counted_from=now, next_run=now - HOUR))
    world.tick(MINUTE)
    assert len(world.launched.runs) == 1
    assert world.told() == []
    world.tick(45 * MINUTE)
    assert world.told() == ["deadline -> ops"]


def test_the_flow_that_paused_itself_is_told_once() -> None:
    world = Told()
    world.deploy(schedule="@hourly", notify={**OPS, "on_pause": ["boss"]}, max_consecutive_failed_runs=2)
    for _ in range(2):
        world.tick(HOUR)
        world.end_all(RunState.FAILED)
    world.tick(HOUR)
    world.tick(HOUR)
    assert world.told() == ["1 -> ops", "1 -> ops", "pause -> boss"]
    assert "Paused: its last 2 runs failed." in world.store.notifications.notifications()[0].text


def test_what_is_still_broken_is_escalated_unless_somebody_put_it_back_or_sees_to_it() -> None:
    world = Told()
    keys = {"notify": {**OPS, "escalate": {"after": "30m", "to": ["boss"]}}, "schedule": "@daily"}
    for name in ("left", "cleared", "seen"):
        world.deploy(name, **keys)
    world.tick(DAY)
    runs = {world.store.run(run_id).flow: run_id for run_id in world.launched.runs}
    world.end_all(RunState.FAILED)
    world.tick(MINUTE)
    assert sorted(world.told()) == ["1 -> ops"] * 3
    world.put_back(runs["cleared"])
    assert world.store.notifications.acknowledge(runs["seen"], "ada")
    world.tick(29 * MINUTE)
    world.tick(HOUR)
    found = [(one.flow, one.shown) for one in world.store.notifications.notifications() if one.topic == "escalation"]
    assert found == [("left", "boss")]
    world.end_all(RunState.FAILED)
    world.tick(MINUTE)
    world.tick(HOUR)
    found = [(one.flow, one.key.rpartition("/")[2]) for one in world.store.notifications.notifications() if one.topic == "escalation"]
    assert sorted(found) == [("cleared", "1"), ("left", "0")]


def test_a_task_that_skips_itself_too_often_is_told_when_it_becomes_too_much() -> None:
    world = Told()
    world.deploy(schedule="@hourly", notify={"on_skip": ["ops"], "skips_over": "2 in 4 runs"})
    for number in range(11):
        world.tick(HOUR)
        run_id = world.begin()
        if number not in {2, 6, 7}:
            world.move(run_id, "a", TaskState.SKIPPED, note={"cause": "itself"})
        world.end(run_id)
        world.tick(timedelta(seconds=1))
    assert world.told() == ["a/skips -> ops", "a/skips -> ops"]
    assert "sales, task a, skips itself too often: more than 2 times in 4 runs" in world.store.notifications.notifications()[0].subject


def test_addresses_of_the_settings_are_not_written_down() -> None:
    world = Told()
    secret = "json://me:s3cret@hooks.example.org"
    world.noticing = world.another_ear(notify=dict.fromkeys(TROUBLE, (secret,)))
    world.deploy(schedule="@hourly")
    world.tick(HOUR)
    world.end_all(RunState.FAILED)
    world.tick(MINUTE)
    (one,) = world.store.notifications.notifications()
    assert (one.address, one.shown) == ("", "json://hooks.example.org")
    assert "s3cret" not in repr(one)


def test_a_task_tells_its_own_addresses_of_its_own_end_and_deadline() -> None:
    world = Told()
    options = TaskOptions(notify=("ada",), notify_on=("failure", "retry"), deadline="30m", retries=2)
    flow = Flow(name="sales", tasks=(Task(id=TaskId("a"), source="x", options=options, cell=CellRef(number=4)),))
    world.deploy(schedule="@daily")
    version = world.store.save_flow(flow)
    world.store.deployments.change("sales", lambda one: replace(one, version=version))
    world.tick(DAY)
    run_id = world.begin()
    world.move(run_id, "a", TaskState.UP_FOR_RETRY, "'x'")
    world.tick(MINUTE)
    world.tick(30 * MINUTE)
    world.move(run_id, "a", TaskState.FAILED, "'x'")
    world.end(run_id, RunState.FAILED)
    world.tick(MINUTE)
    assert world.told() == ["2 -> ada", "a/deadline -> ada", "3 -> ada"]
    subjects = [one.subject for one in reversed(world.store.notifications.notifications())]
    assert subjects[0] == "nbflow: sales, task a, is tried again after attempt 1 of 3"
    assert "Task a: attempt 1, cell 4, line 3" in world.store.notifications.notifications()[0].text


@pytest.mark.parametrize("mistake", [SetupError("The database is away."), KeyError("a mistake of ours")])
def test_a_run_that_cannot_be_told_of_keeps_no_other_waiting(
    mistake: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = Told()
    for name in ("bad", "good"):
        world.deploy(name, schedule="@hourly", notify=OPS)
    world.tick(HOUR)
    world.end_all(RunState.FAILED)
    look = world.noticing.look

    def failing(seen, now):
        if "bad" in seen.run_id:
            raise mistake
        return look(seen, now)

    monkeypatch.setattr(world.noticing, "look", failing)
    with caplog.at_level(logging.WARNING, "nbflow.scheduler"):
        world.tick(MINUTE)
        assert [one.flow for one in world.store.notifications.notifications()] == ["good"]
        world.tick(timedelta(seconds=1))
    assert caplog.text.count(f"could not be found out: {mistake}") == 1
    monkeypatch.setattr(world.noticing, "look", look)
    world.tick(MINUTE)
    assert sorted(one.flow for one in world.store.notifications.notifications()) == ["bad", "good"]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_order_of_looks_and_deaths_each_failure_is_told_once(seed: int) -> None:
    """Ears that look at random, some of them dying between reading and writing; the clock jumps."""
    chance = random.Random(seed)
    world = Told()
    world.deploy(schedule="@hourly", notify={**OPS, "on_success": ["proud"]}, deadline="20m", max_active_runs=3)
    ears = [world.another_ear() for _ in range(3)]
    settle = world.store.notifications.settle
    failed = succeeded = 0
    for _ in range(60):
        world.clock.advance(timedelta(minutes=chance.randrange(1, 40)))
        world.scheduler.tick(world.clock.now())
        for ear in chance.sample(ears, chance.randrange(3)):
            dies = chance.random() < 0.3
            world.store.notifications.settle = (lambda *_, **__: False) if dies else settle
            for seen in world.store.notifications.watched(world.clock.now(), 5):
                ear.look(seen, world.clock.now())
            world.store.notifications.settle = settle
        if world.launched.runs and chance.random() < 0.7:
            run_id = chance.choice(list(world.launched.runs))
            state = chance.choice([RunState.FAILED, RunState.SUCCESS])
            failed, succeeded = failed + (state is RunState.FAILED), succeeded + (state is RunState.SUCCESS)
            world.end(run_id, state)
    world.noticing.tick(world.clock.now())
    found = world.store.notifications.notifications(limit=1000)
    topics = [one.topic for one in found]
    assert (topics.count("failure"), topics.count("success")) == (failed, succeeded)
    assert len({(one.key, one.address_hash) for one in found}) == len(found)
    deadlines = [one.run_id for one in found if one.topic == "deadline"]
    assert len(deadlines) == len(set(deadlines)) > 0
