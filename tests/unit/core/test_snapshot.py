# SPDX-License-Identifier: BSD-3-Clause
"""A run folded from its change log."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from nbflow.core.events import RunStarted
from nbflow.core.records import Change
from nbflow.core.snapshot import RunSnapshot, fold, reasons
from nbflow.core.states import RunState, TaskState
from tests.unit.core.world import START, World, flow_of


def test_folding_the_changes_of_a_step_gives_the_machines_state():
    world = World(flow_of("a>b"), started=False)
    before = world.snapshot
    step = world.tell(RunStarted())
    after = fold(before, step.changes)
    assert (after.run, dict(after.tasks)) == (world.run, world.machine.records)


def test_a_change_already_held_is_passed_over():
    world = World(flow_of("a>b"))
    held = world.snapshot
    old = Change(at=START, key=world.key("a"), before="", after="", task=replace(world.record("a"), state=TaskState.FAILED), cursor=1)
    assert fold(held, [old]) == held


def test_the_order_of_the_tasks_survives_folding():
    world = World(flow_of(alone="a b c"))
    world.succeed("b", "a")
    assert [str(key) for key in world.snapshot.tasks] == ["a", "b", "c"]


def test_counts_name_only_states_that_have_any():
    world = World(flow_of("a>b a>c"))
    assert world.snapshot.counts() == {TaskState.SCHEDULED: 1, TaskState.PENDING: 2}


def test_a_queued_run_says_so():
    world = World(flow_of("a>b"), started=False)
    assert (world.snapshot.sentence(START), world.snapshot.seconds(START)) == ("nightly is queued.", 0.0)


def test_a_running_run_says_how_far_it_is():
    world = World(flow_of("a>b a>c"))
    world.succeed("a")
    world.begin("b")
    told = world.snapshot.sentence(START + timedelta(seconds=12))
    assert told == "nightly has been running for 12.0 s: 1 succeeded, 1 running, 1 waiting for a slot."


def test_a_finished_run_says_what_was_recorded():
    world = World(flow_of(alone="a"))
    world.succeed("a")
    assert world.snapshot.is_finished
    assert world.snapshot.sentence(START + timedelta(days=9)) == "nightly finished in 0.0 s: 1 succeeded."


def test_a_finished_run_without_a_recorded_sentence_gets_one():
    world = World(flow_of("a>b"))
    world.fail("a")
    bare = RunSnapshot.of(replace(world.run, reason=""), world.machine.records.values())
    assert bare.sentence(START) == "nightly failed at a after 0.0 s."
    assert (
        replace(bare, run=replace(bare.run, state=RunState.CANCELLED)).sentence(START)
        == "nightly was cancelled after 0.0 s: 1 failed, 1 not run."
    )


def test_every_instance_has_its_sentence_as_of_now():
    world = World(flow_of("a>c b>c c>d", a={"retries": 1, "retry_delay": timedelta(seconds=30)}), held=["d"])
    world.fail("a")
    told = reasons(world.flow, world.snapshot, START + timedelta(seconds=10), held=world.held)
    assert {str(key): reason for key, reason in told.items()} == {
        "a": "Attempt 2 of 2 starts in 20 s. Attempt 1 failed: KeyError: 'temp_c'.",
        "c": "Waiting for 2 of 2 upstream tasks: a, b.",
        "b": "It may run: waiting for a slot.",
        "d": "Waiting for the cells above it.",
    }
