# SPDX-License-Identifier: BSD-3-Clause
"""A group mapped as a whole: each copy is a chain, depth first (semantics.md 1 "Extra rules", 10)."""

from __future__ import annotations

from typing import Any

from nbflow.core.events import ClearRequested
from nbflow.core.options import TaskKind, TriggerRule
from nbflow.core.states import RunState
from tests.unit.core.world import World, flow_of

ANYWAY: dict[str, Any] = {"trigger_rule": TriggerRule.ALL_DONE}


def chain(edges: str = "xs>a a>b b>after", size: int = 3, **tasks: Any) -> World:
    world = World(flow_of(edges, mapped={"a": "xs", "b": "xs"}, group="a b", **tasks), started=True)
    world.sizes = {"a": size, "b": size}
    world.succeed("xs")
    return world


def test_each_copy_goes_its_own_way():
    world = chain()
    assert [world.state(f"a[{index}]") for index in range(3)] == ["scheduled"] * 3
    assert [world.state(f"b[{index}]") for index in range(3)] == ["pending"] * 3
    world.succeed("a[2]")
    assert world.state("b[2]") == "scheduled"
    world.fail("a[1]")
    assert (world.state("b[1]"), world.reason("b[1]")) == ("upstream_failed", "Did not run: a[1] failed.")
    world.succeed("b[2]", "a[0]", "b[0]")
    assert world.state("b[0]") == "success"
    assert (world.state("after"), world.run.state) == ("upstream_failed", RunState.FAILED)


def test_what_a_copy_waits_for_is_said():
    assert chain().why("b[1]") == "Waiting for a[1]."


def test_outside_the_group_all_copies_are_waited_for():
    world = chain(after=ANYWAY)
    world.succeed("a[0]", "b[0]", "a[1]", "b[1]")
    assert world.state("after") == "pending"
    world.skip("a[2]")
    assert world.state("b[2]") == "skipped"
    assert world.state("after") == "scheduled"


def test_a_task_outside_is_waited_for_by_every_copy():
    world = chain("xs>a a>b other>b b>after")
    world.succeed("a[0]")
    assert world.state("b[0]") == "pending"
    world.succeed("other")
    assert world.states() | {"b[0]": "scheduled", "b[1]": "pending"} == world.states()


def test_nothing_to_map_over_skips_the_whole_group():
    world = chain(size=0)
    assert world.states() == {"xs": "success", "a": "skipped", "b": "skipped", "after": "skipped"}


def test_a_source_that_failed_or_was_skipped_decides_whatever_the_rule():
    for end, state in (("fail", "upstream_failed"), ("skip", "skipped")):
        world = World(flow_of("xs>a a>b b>after", mapped={"a": "xs", "b": "xs"}, group="a b", b=ANYWAY, a=ANYWAY))
        getattr(world, end)("xs")
        assert (world.state("a"), world.state("b")) == (state, state)


def test_what_cannot_be_mapped_fails_the_first_tasks_only():
    world = World(flow_of("xs>a a>b", mapped={"a": "xs", "b": "xs"}, group="a b"))
    world.problem = "`xs` is 3, but a maps over it"
    world.succeed("xs")
    assert world.states() == {"xs": "success", "a": "failed", "b": "upstream_failed"}


def test_copies_that_have_no_element_any_more_are_removed_along_the_chain():
    world = chain()
    for index in range(3):
        world.succeed(f"a[{index}]", f"b[{index}]")
    world.succeed("after")
    world.sizes = {"a": 2, "b": 2}
    world.tell(ClearRequested(keys=tuple(world.key(name) for name in ("xs", "a", "b", "after"))))
    world.succeed("xs")
    assert (world.state("a[2]"), world.state("b[2]")) == ("removed", "removed")
    for index in range(2):
        world.succeed(f"a[{index}]", f"b[{index}]")
    world.succeed("after")
    assert world.run.state is RunState.SUCCESS


def test_one_copy_is_cleared_alone():
    world = chain()
    for index in range(3):
        world.succeed(f"a[{index}]", f"b[{index}]")
    world.succeed("after")
    world.tell(ClearRequested(keys=(world.key("a[1]"), world.key("b[1]"))), crash=True)
    world.after(0)
    assert world.states() | {"a[0]": "success", "a[1]": "scheduled", "b[1]": "pending", "b[2]": "success"} == world.states()


def test_a_short_circuit_in_a_copy_stops_that_copy():
    world = chain("xs>a a>b b>after", a={"as_": TaskKind.SHORT_CIRCUIT}, b=ANYWAY, after=ANYWAY)
    world.succeed("a[0]", decision=False)
    assert (world.state("b[0]"), world.reason("b[0]")) == ("skipped", "Skipped: a said not to go on.")
    world.succeed("a[1]", decision=True)
    assert world.state("b[1]") == "scheduled"


def test_a_branch_in_a_copy_chooses_for_that_copy():
    world = World(
        flow_of("xs>pick pick>b pick>c", mapped=dict.fromkeys("bc", "xs") | {"pick": "xs"}, group="pick b c", pick={"as_": TaskKind.BRANCH})
    )
    world.sizes = dict.fromkeys(("pick", "b", "c"), 2)
    world.succeed("xs")
    world.succeed("pick[0]", decision="b")
    assert (world.state("b[0]"), world.state("c[0]")) == ("scheduled", "skipped")
    world.succeed("pick[1]", decision="c")
    assert (world.state("b[1]"), world.state("c[1]")) == ("skipped", "scheduled")


def test_a_setup_in_a_copy_is_that_copys():
    setup = {"as_": TaskKind.SETUP}
    teardown = {"as_": TaskKind.TEARDOWN, "trigger_rule": TriggerRule.ALL_DONE_SETUP_SUCCESS}
    names = ("up", "work", "down")
    world = World(
        flow_of("xs>up up>work work>down up>down", mapped=dict.fromkeys(names, "xs"), group=" ".join(names), up=setup, down=teardown)
    )
    world.sizes = dict.fromkeys(names, 2)
    world.succeed("xs")
    world.fail("up[0]")
    world.succeed("up[1]", "work[1]")
    assert (world.state("down[0]"), world.state("down[1]")) == ("upstream_failed", "scheduled")
