# SPDX-License-Identifier: BSD-3-Clause
"""Mapped tasks in the machine: one instance for each element (semantics.md 10)."""

from __future__ import annotations

import pytest

from nbflow.core.events import (
    AttemptSucceeded,
    CancelRequested,
    ClearRequested,
    Expand,
    MapExpanded,
    MarkRequested,
    RunStarted,
    TasksReleased,
)
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import ValueRef
from nbflow.core.mapping import list_ref, places, size_of, summary
from nbflow.core.model import Shape
from nbflow.core.states import RunState, TaskState
from tests.unit.core.world import World, error, flow_of


def world(edges: str = "listed>score score>joined", *, size: int = 3, mapped: str = "listed", **tasks: object) -> World:
    """`score` maps over what `listed` gives."""
    made = World(flow_of(edges, mapped={"score": mapped}, **tasks), started=False)
    made.sizes["score"] = size
    made.tell(RunStarted())
    return made


def test_the_placeholder_stands_until_the_elements_are_there():
    run = world()
    assert run.states() == {"listed": "scheduled", "score": "pending", "joined": "pending"}
    assert run.why("score") == "Waiting for listed."


def test_each_element_has_an_instance_in_the_placeholders_place():
    run = world()
    run.succeed("listed")
    assert run.states() == {
        "listed": "success",
        "score[0]": "scheduled",
        "score[1]": "scheduled",
        "score[2]": "scheduled",
        "joined": "pending",
    }


def test_what_is_below_waits_for_every_copy():
    run = world()
    run.succeed("listed", "score[2]", "score[0]")
    assert run.state("joined") == "pending"
    run.succeed("score[1]")
    assert run.state("joined") == "scheduled"


def test_one_failed_copy_fails_what_is_below_and_names_it():
    run = world()
    run.succeed("listed", "score[0]", "score[2]")
    run.fail("score[1]")
    assert run.state("joined") == "upstream_failed"
    assert run.reason("joined") == "Did not run: score[1] failed."
    assert run.run.reason == "nightly failed at score[1] after 0.0 s."


def test_copies_are_counted_one_by_one_by_trigger_rules():
    run = world(joined={"trigger_rule": "all_done_min_one_success"})
    run.succeed("listed", "score[0]")
    run.fail("score[1]", "score[2]")
    assert run.state("joined") == "scheduled"


def test_each_copy_has_its_own_retries():
    run = world(score={"retries": 1})
    run.succeed("listed", "score[0]")
    run.fail("score[1]")
    assert run.state("score[1]") == "up_for_retry"
    run.after(300)
    run.succeed("score[1]", "score[2]")
    assert run.record("score[1]").attempt == 2
    assert run.state("joined") == "scheduled"


def test_nothing_to_map_over_skips_the_task():
    run = world(size=0)
    run.succeed("listed")
    assert run.state("score") == "skipped"
    assert run.reason("score") == "Skipped: xs is empty."
    assert run.state("joined") == "skipped"
    assert run.run.state is RunState.SUCCESS


@pytest.mark.parametrize("rule", ["all_success", "all_failed", "all_done", "always", "one_failed"])
def test_a_failed_source_is_never_mapped_over_whatever_the_rule(rule: str):
    run = world(score={"trigger_rule": rule})
    run.fail("listed")
    assert run.state("score") == "upstream_failed"
    assert run.reason("score") == "Did not run: listed failed."


@pytest.mark.parametrize("rule", ["all_done", "always", "none_failed"])
def test_a_skipped_source_skips_the_task_whatever_the_rule(rule: str):
    run = world(score={"trigger_rule": rule})
    run.skip("listed")
    assert run.state("score") == "skipped"


def test_the_next_writer_is_mapped_over_when_the_nearest_was_skipped():
    run = world("far>score near>score", mapped="near far", score={"trigger_rule": "none_failed"})
    run.skip("near")
    assert run.why("score") == "Waiting for far."
    run.succeed("far")
    assert run.state("score[0]") == "scheduled"


def test_a_rule_that_does_not_wait_still_needs_the_elements():
    run = world("listed>score", score={"trigger_rule": "always"})
    assert run.state("score") == "pending"
    run.succeed("listed")
    assert run.state("score[2]") == "scheduled"


def test_a_plain_cells_list_is_counted_once_the_cells_above_have_run():
    run = World(flow_of(alone="score", mapped={"score": ""}), held=["score"])
    assert run.state("score") == "pending"
    run.tell(TasksReleased(tasks=(TaskId("score"),)))
    assert run.states() == {"score[0]": "scheduled", "score[1]": "scheduled"}


def test_a_task_that_is_skipped_while_it_is_counted_stays_skipped():
    run = World(flow_of("first>second", mapped={"first": "", "second": ""}), started=False)
    run.sizes["first"] = 0  # both are asked for at once, and the first answer skips the second task
    run.tell(RunStarted())
    assert run.states() == {"first": "skipped", "second": "skipped"}
    assert run.run.state is RunState.SUCCESS


def test_elements_that_cannot_be_counted_fail_the_task():
    run = World(flow_of("listed>score", mapped={"score": "listed"}))
    run.begin("listed")
    step = run.machine.handle(_succeeded(run, "listed"), run.now)
    assert Expand(task=TaskId("score")) in step.commands
    run._record(step)
    run.tell(MapExpanded(task=TaskId("score"), problem="score would have 40 x 40 copies"))
    assert run.reason("score") == "Failed: score would have 40 x 40 copies."
    assert run.run.state is RunState.FAILED


def _succeeded(run: World, id: str) -> AttemptSucceeded:
    return AttemptSucceeded(key=run.key(id), token=run.token(id), at=run.now)


def test_an_answer_nobody_asked_for_changes_nothing():
    run = world()
    assert run.tell(MapExpanded(task=TaskId("score"), count=9)).changes == ()
    assert run.tell(MapExpanded(task=TaskId("joined"), count=9)).changes == ()


def test_a_driver_that_dies_before_it_counted_counts_again():
    run = world()
    run.begin("listed")
    run.tell(_succeeded(run, "listed"), crash=True)
    assert run.state("score") == "pending"
    run.after(1)
    assert run.state("score[2]") == "scheduled"


def test_a_shorter_list_removes_copies_and_a_longer_one_adds_some():
    run = world()
    run.succeed("listed", "score[0]", "score[1]", "score[2]", "joined")
    everything = tuple(run.machine.records)
    for size in (2, 4):
        run.sizes["score"] = size
        run.tell(ClearRequested(keys=everything))
        run.succeed("listed")
        waiting = [str(key) for key in run.machine.waiting()]
        assert waiting == [f"score[{index}]" for index in range(size)]
        run.succeed(*waiting, "joined")
        assert run.run.state is RunState.SUCCESS
        everything = tuple(run.machine.records)
    assert len(run.states()) == 6


def test_clearing_one_copy_runs_that_copy_again():
    run = world()
    run.succeed("listed", "score[0]", "score[1]", "score[2]", "joined")
    run.tell(ClearRequested(keys=(run.key("score[1]"), run.key("joined"))))
    assert [str(key) for key in run.machine.waiting()] == ["score[1]"]


def test_a_mapped_task_without_an_index_means_all_its_copies():
    run = world()
    run.succeed("listed")
    run.tell(CancelRequested(keys=(TaskKey(TaskId("score")),)))
    assert {run.state(f"score[{index}]") for index in range(3)} == {"cancelled"}
    run.tell(MarkRequested(state=TaskState.SUCCESS, keys=(TaskKey(TaskId("score")),)))
    assert {run.state(f"score[{index}]") for index in range(3)} == {"success"}


def test_copies_of_a_mapped_task_are_mapped_over_when_all_have_ended():
    made = World(flow_of("listed>score score>again", mapped={"score": "listed", "again": "score"}))
    made.succeed("listed", "score[0]")
    assert made.why("again") == "Waiting for score."
    made.succeed("score[1]")
    assert made.state("again[1]") == "scheduled"


def test_a_mapped_branch_follows_what_any_copy_chose():
    made = World(
        flow_of(
            "listed>pick pick>left pick>right", mapped={"pick": "listed"}, pick={"as_": "branch"}, right={"trigger_rule": "none_failed"}
        )
    )
    made.succeed("listed")
    made.succeed("pick[0]", decision="left")
    assert made.state("right") == "pending"
    made.succeed("pick[1]", decision="right")
    assert (made.state("left"), made.state("right")) == ("scheduled", "scheduled")


def test_copies_wait_for_slots_in_map_order_among_tasks_of_their_priority():
    run = world("listed>score listed>other", score={"priority": 2})
    run.succeed("listed")
    assert [str(key) for key in run.machine.waiting()] == ["score[0]", "score[1]", "score[2]", "other"]


# --- values and words ---------------------------------------------------------------------------------------------------


def test_the_last_source_varies_fastest():
    sizes = (2, 3)
    shape = Shape(how="product", parts=(Shape(read=0), Shape(read=1)))
    assert size_of(shape, sizes) == 6
    found = [places(shape, index, sizes) for index in range(6)]
    assert [(place[0], place[1]) for place in found] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


#: How two values of 3 and 2 elements are put together -> the places of each copy, of the first value and of the second.
SHAPES = {
    "zip": [(0, 0), (1, 1)],
    "fill": [(0, 0), (1, 1), (2, None)],
    "concat": [(0, None), (1, None), (2, None), (None, 0), (None, 1)],
}


@pytest.mark.parametrize(("how", "expected"), SHAPES.items())
def test_values_are_put_together_in_other_shapes_too(how: str, expected: list[tuple[int | None, int | None]]):
    shape = Shape(how=how, parts=(Shape(read=0), Shape(read=1)))
    assert size_of(shape, (3, 2)) == len(expected)
    found = [places(shape, index, (3, 2)) for index in range(len(expected))]
    assert [(place.get(0), place.get(1)) for place in found] == expected


def test_shapes_nest():
    pairs = Shape(how="zip", parts=(Shape(read=0), Shape(how="concat", parts=(Shape(read=1), Shape(read=2)))))
    shape = Shape(how="product", parts=(pairs, Shape(read=3)))
    sizes = (4, 1, 2, 2)
    assert size_of(shape, sizes) == 6
    assert [places(shape, index, sizes) for index in (0, 1, 2, 5)] == [
        {3: 0, 0: 0, 1: 0},
        {3: 1, 0: 0, 1: 0},
        {3: 0, 0: 1, 2: 0},
        {3: 1, 0: 2, 2: 1},
    ]


def test_a_list_of_values_is_known_by_what_is_in_it():
    first, second = (ValueRef(hash=name, format="json", size=2, needs=(name,)) for name in "ab")
    made = list_ref([first, second])
    assert made == list_ref([first, second])
    assert made.hash != list_ref([second, first]).hash
    assert (made.format, made.size, made.needs, made.shown) == ("list", 4, ("a", "b"), "list, 2 items")


def test_one_record_stands_for_all_copies():
    run = world(score={"retries": 1})
    run.succeed("listed", "score[0]")
    assert summary(run.machine.records, TaskId("listed")) is run.record("listed")
    assert summary(run.machine.records, TaskId("score")).state is TaskState.SCHEDULED
    run.fail("score[1]", error=error(may_retry=False))
    run.succeed("score[2]")
    told = summary(run.machine.records, TaskId("score"))
    assert told.state is TaskState.FAILED
    assert told.reason == "3 copies: 2 succeeded, 1 failed. Copy 1: Failed: KeyError: 'temp_c' in score[1], line 4."
    assert told.note["copies"] == 3
