# SPDX-License-Identifier: BSD-3-Clause
"""Backfills under schedulers side by side, and under ones that die."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core.backfills import DateState, Reprocess
from nbflow.core.states import RunState
from nbflow.scheduler.backfilling import Backfilling
from tests.unit.scheduler.backfills import backfill, day, existing, finish, world_at
from tests.unit.scheduler.world import Launched


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
