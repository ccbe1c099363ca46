# SPDX-License-Identifier: BSD-3-Clause
"""Random flows, random orders, random crashes: every run ends, and the properties of semantics.md hold at each step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.events import AnswerGiven, RunStarted
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskKey
from nbflow.core.mapping import copies_of, is_mapped
from nbflow.core.model import Flow
from nbflow.core.options import TaskKind, TriggerRule
from nbflow.core.states import RunState, TaskState
from tests.chance import Drawn, Rolled
from tests.strategies import ORDINARY, Happening, make_flow
from tests.unit.core.fate import beside, calm_case, draw_sizes, happen, stormy_case
from tests.unit.core.world import World

S = TaskState
#: Cases by seed in each test below; `python -m tests.chaos --machine` makes others. They come in lots, since a test each would take longer.
LOTS, LOT = 15, 100


@pytest.mark.parametrize("lot", range(LOTS))
def test_every_run_ends_whatever_happens_and_whenever_its_driver_dies(lot: int):
    for seed in range(lot * LOT, (lot + 1) * LOT):
        stormy_case(Rolled(seed))


@pytest.mark.parametrize("lot", range(LOTS))
def test_every_end_agrees_with_the_trigger_rules_whatever_the_order(lot: int):
    for seed in range(lot * LOT, (lot + 1) * LOT):
        calm_case(Rolled(seed))


@given(st.data())
def test_hypothesis_finds_no_storm_that_a_run_does_not_survive(data: st.DataObject):
    stormy_case(Drawn(data.draw))


@given(st.data())
def test_hypothesis_finds_no_end_that_the_trigger_rules_do_not_explain(data: st.DataObject):
    calm_case(Drawn(data.draw))


@given(st.data())
def test_resuming_changes_nothing_that_is_not_due_and_gives_every_command_again(data: st.DataObject):
    chance = Drawn(data.draw)
    world = World(make_flow(chance, setups=False))
    for _ in range(chance.integer(0, 30)):
        happen(world, chance, chance.one_of(ORDINARY))
    jobs = dict(world.jobs)
    step = world.crash()
    assert step.changes == ()
    queued = {record.token for record in world.machine.records.values() if record.state is S.QUEUED}
    assert queued <= set(jobs)
    assert world.jobs == jobs
    sleeping = [record.wake_at for record in world.machine.records.values() if record.wake_at]
    deferred = [key for key, record in world.machine.records.items() if record.state is S.DEFERRED]
    assert sorted(world.watched.values()) == sorted(deferred)
    assert set(sleeping) <= set(world.wakes)


@given(st.data())
def test_without_trouble_everything_runs_once_in_an_order_that_respects_the_edges(data: st.DataObject):
    chance = Drawn(data.draw)
    flow = make_flow(chance, calm=True, rules=[TriggerRule.ALL_SUCCESS], setups=False)
    branches = [task for task in flow.tasks if task.options.as_ is TaskKind.BRANCH]
    world = World(flow, started=False)
    world.sizes = draw_sizes(chance, flow, least=1)
    world.tell(RunStarted())
    ended: list[str] = []
    while not world.run.state.is_finished:
        key = chance.one_of(world.machine.waiting())
        above = [copy for id in Graph.of(flow).upstream(key.task_id) for copy in beside(flow, world, id, key)]
        assert all(str(copy.key) in ended or goes_without(flow, copy.key) for copy in above)
        is_approval = flow.task(key.task_id).options.as_ is TaskKind.APPROVAL
        world.succeed(str(key), decision="Go on?" if is_approval else [task.id for task in flow.tasks])
        if is_approval:
            world.tell(AnswerGiven(key=key, answer="yes"))
            world.succeed(str(key))
        ended.append(str(key))
    assert world.run.state is RunState.SUCCESS
    assert set(world.states().values()) == {"success"}
    every = world.machine.records.values()
    assert sorted(ended) == sorted(str(record.key) for record in every if not goes_without(flow, record.key))
    assert all((record.key.map_index >= 0) == is_mapped(flow.task(record.key.task_id)) for record in every)
    decided = [copy for task in branches if not task.is_empty for copy in copies_of(world.machine.records, task.id)]
    assert all("followed" in copy.note for copy in decided)


def goes_without(flow: Flow, key: TaskKey) -> bool:
    """An empty task never leaves the driver; an approval asks all the same."""
    task = flow.task(key.task_id)
    return task.is_empty and task.options.as_ is not TaskKind.APPROVAL


@given(st.data())
def test_asking_why_changes_nothing_and_always_has_an_answer(data: st.DataObject):
    chance = Drawn(data.draw)
    world = World(make_flow(chance, most=5), started=False)
    for _ in range(chance.integer(0, 12)):
        happen(world, chance, chance.one_of([*Happening]))
        run, records = world.run, dict(world.machine.records)
        answers = [world.machine.explain(key, world.now).reason for key in records]
        assert all(answers)
        assert (world.run, dict(world.machine.records)) == (run, records)
        world.machine.check()
