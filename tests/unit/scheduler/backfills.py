# SPDX-License-Identifier: BSD-3-Clause
"""Backfills of the tests: a daily flow in a world without time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nbflow.authoring.schedules import read_schedule
from nbflow.core.backfilling import check, due_dates, judged
from nbflow.core.backfills import Backfill, DateState, Reprocess
from nbflow.core.ids import TaskKey
from nbflow.core.planning import planned_run
from nbflow.core.records import Change, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.core.timetable import Interval, PlannedRun
from tests.unit.scheduler.world import World

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
