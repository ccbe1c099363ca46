# SPDX-License-Identifier: BSD-3-Clause
"""What people ask of a run, and what ends it from outside: cancel, time limit, fail_fast, mark, clear, abandon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from nbflow.core.events import Cancel, CancelRequested, ClearRequested, FinishRun, MarkRequested, RunAbandoned, Step
from nbflow.core.options import TaskKind, TriggerRule
from nbflow.core.states import RunState, TaskState
from tests.unit.core.world import START, World, flow_of

TEARDOWN: dict[str, Any] = {"as_": TaskKind.TEARDOWN, "trigger_rule": TriggerRule.ALL_DONE_SETUP_SUCCESS}
LIMIT = {"run_timeout": timedelta(minutes=2)}


def cancels(step: Step) -> list[str]:
    return [str(command.key) for command in step.commands if isinstance(command, Cancel)]


def torn() -> World:
    """Work under way, a teardown behind it, and a task that waits for both."""
    world = World(flow_of("work>down work>later", down=TEARDOWN))
    world.begin("work")
    return world


# --- cancel -----------------------------------------------------------------------------------------------------------


def test_a_cancelled_task_is_ended_on_its_worker_and_counts_as_failed():
    world = World(flow_of("a>b"))
    world.begin("a")
    token = world.token("a")
    step = world.tell(CancelRequested(keys=(world.key("a"),), by="Ann"))
    assert cancels(step) == ["a"]
    assert world.states() == {"a": "cancelled", "b": "upstream_failed"}
    assert (world.reason("a"), world.reason("b")) == ("Cancelled by Ann.", "Did not run: a was cancelled.")
    assert world.record("a").token == token
    assert world.run.state is RunState.FAILED


def test_cancelling_the_run_ends_everything_that_is_not_finished():
    world = World(flow_of("a>b c>d"))
    world.succeed("a")
    world.begin("b")
    world.grant("c")
    world.now += timedelta(seconds=12)
    step = world.tell(CancelRequested(by="Ann"))
    assert cancels(step) == ["b", "c"]
    assert world.states() == {"a": "success", "b": "cancelled", "c": "cancelled", "d": "cancelled"}
    assert world.run.state is RunState.CANCELLED
    assert world.run.reason == "nightly was cancelled after 12.0 s: 1 succeeded, 3 cancelled. The run was cancelled by Ann."


def test_a_report_after_the_cancel_does_not_count():
    world = World(flow_of(alone="a b"))
    world.begin("a")
    world.tell(CancelRequested(keys=(world.key("a"),)))
    world.succeed("a")
    assert world.state("a") == "cancelled"


def test_a_run_that_has_not_started_is_cancelled_whole():
    world = World(flow_of("work>down", down=TEARDOWN), started=False)
    world.tell(CancelRequested())
    assert set(world.states().values()) == {"cancelled"}
    assert world.run.state is RunState.CANCELLED


def test_a_cancelled_run_still_tears_down():
    world = torn()
    world.tell(CancelRequested())
    assert world.states() == {"work": "cancelled", "down": "scheduled", "later": "cancelled"}
    assert (world.run.state, world.run.ending) == (RunState.RUNNING, RunState.CANCELLED)
    world.crash()
    world.succeed("down")
    assert (world.run.state, world.run.ending) == (RunState.CANCELLED, None)


def test_a_second_cancel_ends_the_teardown_too():
    world = torn()
    world.tell(CancelRequested())
    world.begin("down")
    assert cancels(world.tell(CancelRequested())) == ["down"]
    assert (world.state("down"), world.run.state) == ("cancelled", RunState.CANCELLED)


def test_cancelling_what_has_ended_or_is_unknown_changes_nothing():
    world = World(flow_of(alone="a b"))
    world.succeed("a")
    assert world.tell(CancelRequested(keys=(world.key("a"), world.key("nobody")))).changes == ()
    world.succeed("b")
    assert world.tell(CancelRequested()).changes == ()


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_run_that_reaches_its_time_limit_fails():
    world = World(flow_of("a>b", options=LIMIT))
    world.begin("a")
    assert world.wakes == [START + timedelta(minutes=2)]
    world.after(119)
    assert world.run.state is RunState.RUNNING
    assert cancels(world.after(1)) == ["a"]
    assert world.states() == {"a": "skipped", "b": "skipped"}
    assert world.reason("b") == "Skipped: the run reached its time limit of 2 m 00 s."
    assert world.run.reason == "nightly failed after 2 m 00 s. The run reached its time limit of 2 m 00 s."


def test_the_time_limit_leaves_the_teardown_its_turn():
    world = World(flow_of("work>down", down=TEARDOWN, options=LIMIT))
    world.begin("work")
    world.after(500)
    world.succeed("down")
    assert world.run.state is RunState.FAILED


def test_a_run_that_ends_in_time_is_left_alone():
    world = World(flow_of(alone="a", options=LIMIT))
    world.succeed("a")
    assert world.after(500).changes == ()
    assert world.run.state is RunState.SUCCESS


def test_fail_fast_ends_what_runs_as_failed_and_the_rest_as_skipped():
    world = World(flow_of("a>z b>z c>z", options={"fail_fast": True}))
    world.begin("b")
    world.grant("c")
    world.fail("a")
    assert world.states() == {"a": "failed", "z": "skipped", "b": "failed", "c": "skipped"}
    assert world.reason("z") == "Skipped: this flow stops at its first failure (fail_fast), and a failed."
    assert world.run.state is RunState.FAILED
    assert not {world.key("b"), world.key("c")} & set(world.jobs.values())


def test_fail_fast_waits_for_the_last_attempt():
    world = World(flow_of(alone="a b", a={"retries": 1}, options={"fail_fast": True}))
    world.fail("a")
    assert world.run.state is RunState.RUNNING


def test_a_failed_teardown_is_no_first_failure():
    world = World(flow_of("work>down", alone="work down other", down=TEARDOWN, options={"fail_fast": True}))
    world.succeed("work")
    world.fail("down")
    assert world.state("other") == "scheduled"


# --- mark -------------------------------------------------------------------------------------------------------------


def test_a_task_marked_as_succeeded_lets_what_follows_run():
    world = World(flow_of("a>b"))
    world.begin("a")
    step = world.tell(MarkRequested(state=TaskState.SUCCESS, keys=(world.key("a"),), by="Ann"))
    assert cancels(step) == ["a"]
    assert (world.state("a"), world.reason("a"), world.state("b")) == ("success", "Marked success by Ann.", "scheduled")


def test_a_finished_run_follows_a_mark_of_its_leaf():
    world = World(flow_of("a>b"))
    world.succeed("a")
    world.fail("b")
    world.now += timedelta(hours=1)
    step = world.tell(MarkRequested(state=TaskState.SUCCESS, keys=(world.key("b"),)))
    assert (world.run.state, world.run.ended_at) == (RunState.SUCCESS, START)
    assert world.ended == FinishRun(state=RunState.SUCCESS, reason="nightly finished in 0.0 s: 2 succeeded.")
    assert {change.at for change in step.changes} == {world.now}


def test_a_run_marked_by_hand_keeps_its_state_until_it_is_cleared():
    world = World(flow_of(alone="a b"))
    world.succeed("a", "b")
    world.tell(MarkRequested(state=RunState.FAILED, by="Ann"))
    assert (world.run.state, world.run.by_hand, world.run.reason) == (RunState.FAILED, True, "Marked failed by Ann.")
    world.tell(MarkRequested(state=TaskState.SKIPPED, keys=(world.key("b"),)))
    assert world.run.state is RunState.FAILED
    world.tell(ClearRequested(keys=(world.key("b"),)))
    world.succeed("b")
    assert (world.run.state, world.run.by_hand) == (RunState.SUCCESS, False)


def test_a_run_marked_as_what_it_was_does_not_follow_its_leaves_any_more():
    world = World(flow_of(alone="a"))
    world.fail("a")
    world.tell(MarkRequested(state=RunState.FAILED))
    world.tell(MarkRequested(state=TaskState.SUCCESS, keys=(world.key("a"),)))
    assert world.run.state is RunState.FAILED


def test_a_running_run_marked_as_failed_stops_what_runs():
    world = torn()
    step = world.tell(MarkRequested(state=RunState.FAILED, by="Ann"))
    assert cancels(step) == ["work"]
    assert world.states() == {"work": "failed", "down": "scheduled", "later": "skipped"}
    world.succeed("down")
    assert (world.run.state, world.run.by_hand) == (RunState.FAILED, True)


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.QUEUED])
def test_a_run_cannot_be_marked_as_unfinished(state: RunState):
    assert World(flow_of(alone="a")).tell(MarkRequested(state=state)).changes == ()


def test_a_task_cannot_be_marked_as_running():
    world = World(flow_of(alone="a"))
    assert world.tell(MarkRequested(state=TaskState.RUNNING, keys=(world.key("a"),))).changes == ()


# --- clear ------------------------------------------------------------------------------------------------------------


def test_clearing_a_failed_task_of_a_finished_run_runs_it_again():
    world = World(flow_of("a>b b>c", b={"retries": 1, "retry_delay": timedelta(0)}))
    world.succeed("a")
    world.fail("b")
    world.after(0)
    world.fail("b")
    world.now += timedelta(hours=1)
    world.tell(ClearRequested(keys=(world.key("b"), world.key("c")), by="Ann"))
    assert world.states() == {"a": "success", "b": "scheduled", "c": "pending"}
    assert (world.run.state, world.run.started_at, world.run.ended_at) == (RunState.RUNNING, world.now, None)
    world.begin("b")
    assert world.record("b").attempt == 3
    assert world.reason("b") == "Running on w-1, attempt 3 of 4."
    world.succeed("b", "c")
    assert world.run.state is RunState.SUCCESS


def test_clearing_a_running_task_cancels_its_attempt():
    world = World(flow_of(alone="a"))
    world.begin("a")
    old = world.token("a")
    assert cancels(world.tell(ClearRequested(keys=(world.key("a"),)))) == ["a"]
    assert world.state("a") == "scheduled"
    assert Cancel(key=world.key("a"), token=old) in world.crash().commands
    world.begin("a")
    assert world.token("a") != old
    assert world.record("a").attempt == 2


def test_a_clear_takes_back_a_cancel_that_is_under_way():
    world = torn()
    world.tell(CancelRequested())
    world.tell(ClearRequested(keys=(world.key("later"), world.key("work"))))
    assert (world.run.state, world.run.ending) == (RunState.RUNNING, None)
    assert world.state("work") == "scheduled"


def test_a_cleared_run_gets_its_whole_time_limit_again():
    world = World(flow_of("a>b", options=LIMIT))
    world.after(500)
    world.tell(ClearRequested(keys=(world.key("a"), world.key("b"))))
    assert world.wakes[-1] == world.now + timedelta(minutes=2)
    world.after(119)
    assert world.run.state is RunState.RUNNING


def test_clearing_nothing_known_leaves_a_finished_run_finished():
    world = World(flow_of(alone="a"))
    world.succeed("a")
    assert world.tell(ClearRequested(keys=(world.key("nobody"),))).changes == ()


# --- abandon ----------------------------------------------------------------------------------------------------------


def test_an_abandoned_run_fails_with_its_reason_and_tears_nothing_down():
    world = torn()
    world.tell(RunAbandoned(reason="The kernel ended while the run was going on."))
    assert world.states() == {"work": "cancelled", "down": "upstream_failed", "later": "upstream_failed"}
    assert world.reason("work") == "The kernel ended while the run was going on."
    assert world.reason("later") == "Did not run: The kernel ended while the run was going on."
    assert world.ended == FinishRun(state=RunState.FAILED, reason="The kernel ended while the run was going on.")


def test_a_finished_run_cannot_be_abandoned():
    world = World(flow_of(alone="a"))
    world.succeed("a")
    assert world.tell(RunAbandoned(reason="The kernel ended.")).changes == ()
