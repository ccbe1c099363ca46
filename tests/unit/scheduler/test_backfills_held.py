# SPDX-License-Identifier: BSD-3-Clause
"""Backfills that are paused or cancelled."""

from __future__ import annotations

from dataclasses import replace

from nbflow.core.events import ClearRequested
from nbflow.core.machine import RunMachine
from tests.unit.scheduler.backfills import NOW, backfill, day, finish, world_at


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
