# SPDX-License-Identifier: BSD-3-Clause
"""semantics.md 8 and 9, row by row: short circuits, latest-only, setups and teardowns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nbflow.core.events import CancelRequested, ClearRequested, MarkRequested, RunStarted
from nbflow.core.options import TaskKind, TriggerRule
from nbflow.core.states import RunState, TaskState
from tests.unit.core.world import World, flow_of

GATE: dict[str, Any] = {"as_": TaskKind.SHORT_CIRCUIT}
SHALLOW: dict[str, Any] = {**GATE, "ignore_downstream_trigger_rules": False}
LATEST: dict[str, Any] = {"as_": TaskKind.LATEST_ONLY}
SETUP: dict[str, Any] = {"as_": TaskKind.SETUP}
TEARDOWN: dict[str, Any] = {"as_": TaskKind.TEARDOWN, "trigger_rule": TriggerRule.ALL_DONE_SETUP_SUCCESS}
ANYWAY: dict[str, Any] = {"trigger_rule": TriggerRule.ALL_DONE}

# --- short circuits (8.4) -----------------------------------------------------------------------------------------------


def test_a_short_circuit_that_says_no_skips_everything_below_whatever_its_rule():
    world = World(flow_of("gate>a a>b b>c other>c", gate=GATE, b=ANYWAY, c=ANYWAY))
    world.succeed("gate", decision=False)
    assert world.states() == {"gate": "success", "a": "skipped", "b": "skipped", "c": "skipped", "other": "scheduled"}
    assert world.reason("c") == "Skipped: gate said not to go on."
    assert world.record("gate").note == {"skipped": ["a", "b", "c"]}


def test_with_trigger_rules_respected_only_what_stands_directly_below_is_skipped():
    world = World(flow_of("gate>a a>b b>c", gate=SHALLOW, b=ANYWAY))
    world.succeed("gate", decision=False)
    assert world.states() == {"gate": "success", "a": "skipped", "b": "scheduled", "c": "pending"}
    assert world.record("gate").note == {"skipped": ["a"]}


def test_a_short_circuit_that_says_yes_changes_nothing():
    world = World(flow_of("gate>a a>b", gate=GATE))
    world.succeed("gate", decision=True)
    assert world.states() == {"gate": "success", "a": "scheduled", "b": "pending"}


def test_clearing_a_task_below_a_short_circuit_alone_skips_it_again():
    world = World(flow_of("gate>a a>b", gate=GATE, b=ANYWAY))
    world.succeed("gate", decision=False)
    assert world.run.state is RunState.SUCCESS
    world.tell(ClearRequested(keys=(world.key("b"),)), crash=True)
    assert world.state("b") == "skipped"


def test_a_cleared_short_circuit_decides_again():
    world = World(flow_of("gate>a", gate=GATE))
    world.succeed("gate", decision=False)
    world.tell(ClearRequested(keys=(world.key("gate"), world.key("a"))))
    assert world.states() == {"gate": "scheduled", "a": "pending"}
    world.succeed("gate", decision=True)
    assert world.state("a") == "scheduled"


def test_a_teardown_below_a_short_circuit_still_runs():
    flow = flow_of("up>gate gate>work work>down up>down", up=SETUP, gate=GATE, down=TEARDOWN)
    world = World(flow)
    world.succeed("up")
    world.succeed("gate", decision=False)
    assert world.states() == {"up": "success", "gate": "success", "work": "skipped", "down": "scheduled"}


def test_the_copies_of_a_mapped_short_circuit_stop_what_all_of_them_stop():
    world = World(flow_of("xs>gate gate>a", gate=GATE, mapped={"gate": "xs"}))
    world.succeed("xs")
    world.succeed("gate[0]", decision=False)
    world.succeed("gate[1]", decision=True)
    assert world.state("a") == "scheduled"


# --- latest-only (8.5): now is Jan 10 06:00, daily ------------------------------------------------------------------------

NOW = datetime(2026, 1, 10, 6, tzinfo=UTC)
DAY = timedelta(days=1)


def day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


def latest(run_type: str, start: datetime, end: datetime, before: datetime, after: datetime | None) -> World:
    world = World(flow_of("latest>a a>b latest>any", latest=LATEST, any=ANYWAY, empty=["latest"]), started=False)
    world.now = NOW
    world.restart(run_type=run_type, interval_start=start, interval_end=end, latest_after=before, latest_until=after)
    world.tell(RunStarted())
    return world


#: What the run is about, the end of the interval before it, the end of the one after it -> what follows.
WINDOWS = {
    "interval [5,6)": (day(5), day(6), day(5), day(7), "skipped"),
    "interval [8,9)": (day(8), day(9), day(8), day(10), "skipped"),
    "interval [9,10)": (day(9), day(10), day(9), day(11), "scheduled"),
    "tick 5": (day(5), day(5), day(4), day(6), "skipped"),
    "tick 8": (day(8), day(8), day(7), day(9), "skipped"),
    "tick 9": (day(9), day(9), day(8), day(10), "skipped"),
    "tick 10": (day(10), day(10), day(9), day(11), "scheduled"),
    "the window's start is outside": (day(10), day(10), NOW, day(11), "skipped"),
    "the window's end is inside": (day(9), day(9), day(8), NOW, "scheduled"),
    "the last interval of all": (day(9), day(10), day(9), None, "scheduled"),
}


@pytest.mark.parametrize(("start", "end", "before", "after", "state"), WINDOWS.values(), ids=WINDOWS)
def test_latest_only(start: datetime, end: datetime, before: datetime, after: datetime | None, state: str):
    world = latest("scheduled", start, end, before, after)
    assert (world.state("latest"), world.state("a"), world.state("any")) == ("success", state, state)
    if state == "skipped":
        assert world.reason("a") == "Skipped: latest lets only the latest scheduled run go on."
        assert world.state("b") == "skipped"


def test_a_run_started_by_hand_is_always_the_latest():
    assert latest("manual", day(5), day(6), day(5), day(7)).state("a") == "scheduled"


def test_a_latest_only_task_with_a_body_decides_when_it_has_ended():
    world = World(flow_of("latest>a", latest=LATEST), started=False)
    world.now = NOW
    world.restart(run_type="scheduled", latest_after=day(9), latest_until=day(11))
    world.tell(RunStarted())
    world.begin("latest")
    world.now = NOW + 2 * DAY
    world.succeed("latest")
    assert world.state("a") == "skipped"


# --- setups and teardowns (1 "Extra rules", 9) ---------------------------------------------------------------------------

CHAIN = "up>a a>b b>down up>down"

#: How the setup and the work ended -> what becomes of the work after it, of the teardown and of the run.
SCOPES = {
    "all is well": (["+up", "+a", "+b"], "success", "scheduled"),
    "the work fails": (["+up", "-a"], "upstream_failed", "scheduled"),
    "the setup fails": (["-up"], "upstream_failed", "upstream_failed"),
    "the setup is skipped": (["~up"], "skipped", "skipped"),
    "the work is skipped": (["+up", "~a"], "skipped", "scheduled"),
}


@pytest.mark.parametrize(("ends", "work", "teardown"), SCOPES.values(), ids=SCOPES)
def test_scopes(ends: list[str], work: str, teardown: str):
    world = World(flow_of(CHAIN, up=SETUP, down=TEARDOWN))
    for end in ends:
        {"+": world.succeed, "-": world.fail, "~": world.skip}[end[0]](end[1:])
    assert (world.state("b"), world.state("down")) == (work, teardown)


@pytest.mark.parametrize(("end", "state"), {"fail": "upstream_failed", "skip": "skipped", "succeed": "pending"}.items())
def test_an_indirect_setup_is_asked_before_the_trigger_rule(end: str, state: str):
    """`b` would run whatever happens above it, and `a` still runs."""
    world = World(flow_of("start>up up>down start>a a>b up>a b>down", up=SETUP, down=TEARDOWN, b=ANYWAY, a=ANYWAY))
    world.succeed("start")
    getattr(world, end)("up")
    assert world.state("b") == state


def test_what_an_indirect_setup_has_not_made_yet_is_waited_for():
    flow = flow_of("up>a a>b b>down up>down", up=SETUP, down=TEARDOWN, a={"trigger_rule": TriggerRule.ALWAYS}, b={})
    world = World(flow)
    world.succeed("a")
    assert (world.state("b"), world.why("b")) == ("pending", "Waiting for its setup up.")
    world.succeed("up")
    assert world.state("b") == "scheduled"


def test_a_setup_whose_teardown_is_not_below_is_none_of_a_tasks_own():
    world = World(flow_of("up>a a>down up>down a>c", up=SETUP, down=TEARDOWN, a=ANYWAY, c=ANYWAY))
    world.fail("up")
    assert world.state("a") == "scheduled"  # its direct upstream is for its own rule
    world.succeed("a")
    assert world.state("c") == "scheduled"


def test_a_setup_without_a_teardown_is_everybodys_below():
    world = World(flow_of("up>a a>b", up=SETUP, a={"trigger_rule": TriggerRule.ALL_FAILED}, b=ANYWAY))
    world.fail("up")
    assert world.state("a") == "scheduled"
    assert world.state("b") == "upstream_failed"
    assert world.reason("b") == "Did not run: up failed."


def test_a_teardown_waits_for_all_the_work_of_its_setups():
    """`b` does not run once `x` failed, while `a` still uses what the setup made."""
    flow = flow_of("up>a a>b x>b b>down up>down", up=SETUP, down=TEARDOWN)
    world = World(flow)
    world.succeed("up")
    world.fail("x")
    assert world.states() == {"up": "success", "a": "scheduled", "b": "upstream_failed", "x": "failed", "down": "pending"}
    assert world.why("down") == "Waiting for the work above it: a."
    world.succeed("a")
    assert world.state("down") == "scheduled"


@pytest.mark.parametrize(("counts", "state"), [(False, RunState.SUCCESS), (True, RunState.FAILED)])
def test_a_failed_teardown_fails_the_run_only_where_it_says_so(*, counts: bool, state: RunState):
    world = World(flow_of(CHAIN, up=SETUP, down={**TEARDOWN, "on_failure_fail_run": counts}))
    world.succeed("up", "a", "b")
    world.fail("down")
    assert world.run.state is state


def test_a_flow_of_nothing_but_teardowns_follows_its_last_ones():
    world = World(flow_of("one>two", one=TEARDOWN, two=TEARDOWN))
    world.succeed("one")
    world.fail("two")
    assert world.run.state is RunState.FAILED


def test_clearing_a_task_of_the_work_clears_its_setups_and_teardowns_too():
    world = World(flow_of("up>a a>b b>down up>down b>after", up=SETUP, down=TEARDOWN))
    world.succeed("up", "a", "b", "down", "after")
    world.tell(ClearRequested(keys=(world.key("b"),), by="ann"))
    assert world.states() == {"up": "scheduled", "a": "success", "b": "pending", "down": "pending", "after": "success"}
    world.succeed("up", "b", "down")
    assert world.run.state is RunState.SUCCESS


def test_clearing_a_setup_or_a_task_outside_clears_nothing_else():
    world = World(flow_of("up>a a>down up>down a>after", up=SETUP, down=TEARDOWN))
    world.succeed("up", "a", "down", "after")
    world.tell(ClearRequested(keys=(world.key("after"),)))
    assert world.states() == {"up": "success", "a": "success", "down": "success", "after": "scheduled"}


@pytest.mark.parametrize("ending", [MarkRequested(state=RunState.FAILED), CancelRequested()])
def test_a_run_that_is_ended_lets_its_teardowns_finish(ending: MarkRequested | CancelRequested):
    world = World(flow_of(CHAIN, up=SETUP, down=TEARDOWN))
    world.succeed("up")
    world.begin("a")
    world.tell(ending)
    assert (world.run.state, world.state("down")) == (RunState.RUNNING, "scheduled")
    assert TaskState(world.state("a")).is_finished
    world.succeed("down")
    assert world.run.state in {RunState.FAILED, RunState.CANCELLED}
