# SPDX-License-Identifier: BSD-3-Clause
"""Runs whose hosts died, or that nobody can host: they are handed over again, and given up in the end with the reason."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from nbflow.app import Rooms, Workspace
from nbflow.core.errors import StoreError, Superseded
from nbflow.core.events import ClearRequested
from nbflow.core.ids import TaskKey
from nbflow.core.states import RunState
from nbflow.executors.inline import InlineExecutor
from nbflow.scheduler.loop import MOST_HOSTS
from nbflow.settings import Settings
from nbflow.store.artifacts import open_artifacts
from tests.unit.scheduler.world import Launched, World

HOUR = timedelta(hours=1)


def test_a_run_whose_host_is_gone_is_handed_over_again() -> None:
    world = World()
    world.deploy(schedule="@hourly", catchup="none")
    world.tick(HOUR)
    (run_id,) = world.launched.runs
    other = Launched()
    heir = world.another("heir", other)
    heir.tick(world.clock.now())
    assert not other.runs
    heir.tick(world.clock.advance(31))  # the lease has lapsed
    assert list(other.runs) == [run_id]
    assert other.runs[run_id].epoch == 2


def test_a_run_whose_host_is_known_to_be_dead_does_not_wait_for_its_lease() -> None:
    world = World()
    world.deploy(schedule="@hourly")
    world.tick(HOUR)
    other = Launched(dead={"scheduler"})
    world.another("heir", other).tick(world.clock.now())
    assert len(other.runs) == 1


def test_what_was_handed_over_is_kept_until_its_host_takes_it() -> None:
    world = World()
    world.deploy(schedule="@hourly")
    world.tick(HOUR)
    (run_id,) = world.launched.runs
    for _ in range(10):
        world.clock.advance(20)
        world.scheduler.renew()
    assert world.store.deployments.orphans() == ()
    assert world.store.claim(run_id, "host", 30, "scheduler") is not None
    world.scheduler.renew()
    assert not world.scheduler.handed


def test_a_run_whose_host_could_not_take_it_is_tried_again() -> None:
    world = World()
    world.deploy(schedule="@hourly")
    world.tick(HOUR)
    (run_id,) = world.launched.runs
    world.scheduler.let_go(run_id)
    world.tick(timedelta(seconds=3))
    assert world.launched.order == [run_id, run_id]


def hosted(world: World, folder: Path) -> tuple[Workspace, str]:
    """A flow whose run was handed over, and a workspace that may host it."""
    world.deploy(schedule="@hourly")
    world.tick(HOUR)
    (run_id,) = world.launched.runs
    rooms = Rooms(store=world.store, artifacts=open_artifacts(str(folder)), executor=InlineExecutor(lambda *_: None), clock=world.clock)
    return Workspace(Settings(home=folder), rooms), run_id


def test_a_run_that_ends_its_hosts_is_given_up_until_it_is_cleared(tmp_path: Path) -> None:
    world = World()
    workspace, run_id = hosted(world, tmp_path)
    for _ in range(MOST_HOSTS):
        assert not world.launched.given_up
        workspace.take_over(run_id, "scheduler", "")
        world.scheduler.let_go(run_id)
        world.tick(timedelta(seconds=31))
    assert world.launched.given_up[run_id] == f"The process that hosted this run ended {MOST_HOSTS} times."
    workspace.give_up(world.store.claim(run_id, "scheduler", 30, "scheduler"), "So it is.")
    workspace.apply(run_id, ClearRequested(keys=(TaskKey("a"),), waits=True))
    world.launched.given_up.clear()
    world.tick(timedelta(seconds=31))
    assert (len(world.launched.order), world.launched.given_up) == (MOST_HOSTS + 1, {})
    assert world.store.run(run_id).hosts == 0


def test_a_run_that_its_hosts_give_back_or_never_had_is_not_given_up(tmp_path: Path) -> None:
    """The database was away from them: it is handed over at once as soon as it is back, as often as that happens."""
    world = World()
    workspace, run_id = hosted(world, tmp_path)
    for number in range(2 * MOST_HOSTS):
        run, lease = workspace.take_over(run_id, "scheduler", "")
        workspace.give_back(run, lease)
        world.scheduler.let_go(run_id)
        world.tick(timedelta(seconds=3))
        world.scheduler.let_go(run_id)
        world.tick(timedelta(seconds=3))
        assert len(world.launched.order) == 3 + 2 * number
    assert not world.launched.given_up


def test_a_run_that_nobody_can_host_waits_longer_each_time_and_then_has_failed_with_the_reason(tmp_path: Path) -> None:
    world = World()
    workspace, run_id = hosted(world, tmp_path)
    world.launched.give_up = workspace.give_up
    waits = []
    for tries in range(1, MOST_HOSTS):
        world.scheduler.let_go(run_id, "No Python.")
        assert world.store.run(run_id).hosts == tries
        began = world.clock.now()
        while len(world.launched.order) == tries:
            world.tick(timedelta(seconds=1))
        waits.append((world.clock.now() - began).total_seconds())
    assert waits == sorted(waits)
    assert (waits[0] <= 3, waits[-1] >= 30) == (True, True)
    world.scheduler.let_go(run_id, "No Python.")
    run = world.store.run(run_id)
    assert run.state is RunState.FAILED
    assert run.reason == f"Nobody could host this run in {MOST_HOSTS} tries. No Python. Go on with nbflow run --resume {run_id}."
    world.tick(timedelta(minutes=10))
    assert len(world.launched.order) == MOST_HOSTS


def test_why_a_run_is_not_hosted_any_more_does_not_count_once_it_had_a_host(tmp_path: Path) -> None:
    """Which its lease tells: the process that hosts it may have told more than it knew."""
    world = World()
    workspace, run_id = hosted(world, tmp_path)
    workspace.take_over(run_id, "scheduler", "")
    world.scheduler.let_go(run_id, "It is somebody else's.")
    assert world.store.run(run_id).hosts == 1
    assert world.store.deployments.orphans() == ()


def test_a_database_that_is_away_when_a_try_should_be_counted_counts_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    _, run_id = hosted(world, tmp_path)

    def away(*_: object, **__: object) -> None:
        raise StoreError("The database is away.")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "commit", away)
        with pytest.raises(StoreError):
            world.scheduler.let_go(run_id, "No Python.")
    world.tick(timedelta(seconds=31))
    assert (len(world.launched.order), world.store.run(run_id).hosts) == (2, 0)


def test_who_gives_a_run_back_too_late_takes_it_from_nobody(tmp_path: Path) -> None:
    world = World()
    workspace, run_id = hosted(world, tmp_path)
    run, lease = workspace.take_over(run_id, "scheduler", "")
    world.scheduler.let_go(run_id)
    world.tick(timedelta(seconds=31))
    workspace.take_over(run_id, "scheduler", "")
    with pytest.raises(Superseded):
        workspace.give_back(run, lease)
    assert world.store.run(run_id).hosts == 2
    assert world.store.deployments.orphans() == ()
