# SPDX-License-Identifier: BSD-3-Clause
"""From task to task: trigger rules, branches, held tasks, parts of a flow, and what the run ends as."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from nbflow.core.events import AttemptFailed, AttemptSucceeded, ClearRequested, FinishRun, RunStarted, SlotGranted, TasksReleased
from nbflow.core.ids import TaskId, TaskKey, Token
from nbflow.core.ledger import InvalidTransition
from nbflow.core.options import TaskKind, TriggerRule
from nbflow.core.states import RunState, TaskState
from tests.unit.core.world import START, World, error, flow_of

BRANCH = {"as_": TaskKind.BRANCH}
DONE = {"trigger_rule": TriggerRule.ALL_DONE}


def test_a_task_runs_once_all_it_waits_for_have_succeeded():
    world = World(flow_of("a>c b>c"))
    world.succeed("a")
    assert world.why("c") == "Waiting for b."
    world.succeed("b")
    assert world.state("c") == "scheduled"


def test_a_failure_travels_down_with_the_name_of_its_cause():
    world = World(flow_of("join_weather>publish publish>report"))
    world.fail("join_weather")
    assert world.states() == {"join_weather": "failed", "publish": "upstream_failed", "report": "upstream_failed"}
    assert world.reason("publish") == "Did not run: join_weather failed."
    assert world.reason("report") == "Did not run: publish did not run."


def test_sentences_call_a_task_by_its_label_where_that_is_clear():
    world = World(flow_of("load.a>z load.b>z left.b>z", alone="load.a load.b left.b z"))
    assert world.why("z") == "Waiting for 3 of 3 upstream tasks: a, load.b, left.b."


def test_a_long_list_of_names_is_cut():
    world = World(flow_of(" ".join(f"t{n}>z" for n in range(9))))
    assert world.why("z") == "Waiting for 9 of 9 upstream tasks: t0, t1, t2, t3, t4, t5 and 3 more."


def test_a_cleanup_runs_after_a_failure():
    world = World(flow_of("a>b", b=DONE))
    world.fail("a")
    assert world.state("b") == "scheduled"


# --- branches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["all_quiet", ["all_quiet"]])
def test_a_branch_skips_what_it_did_not_choose(decision: object):
    world = World(flow_of("check_threshold>alert check_threshold>all_quiet", check_threshold=BRANCH))
    world.succeed("check_threshold", decision=decision)
    assert world.states() == {"check_threshold": "success", "alert": "skipped", "all_quiet": "scheduled"}
    assert world.reason("alert") == "Skipped: check_threshold chose all_quiet."
    assert world.record("check_threshold").note == {"followed": ["all_quiet"]}


@pytest.mark.parametrize("decision", [None, []])
def test_a_branch_may_choose_nothing(decision: object):
    world = World(flow_of("check>a check>b a>c", check=BRANCH))
    world.succeed("check", decision=decision)
    assert world.states() == {"check": "success", "a": "skipped", "b": "skipped", "c": "skipped"}
    assert world.reason("a") == "Skipped: check chose nothing."
    assert world.run.state is RunState.SUCCESS


def test_a_direct_downstream_that_is_also_below_a_chosen_task_is_kept():
    world = World(flow_of("check>a check>join a>join check>b", check=BRANCH))
    world.succeed("check", decision="a")
    assert world.states() == {"check": "success", "a": "scheduled", "join": "pending", "b": "skipped"}


def test_a_branch_decides_against_its_children_whatever_their_rule():
    world = World(flow_of("check>a check>b", check=BRANCH, b=DONE))
    world.succeed("check", decision="a")
    assert world.state("b") == "skipped"


def test_a_task_that_was_not_chosen_is_skipped_at_once_whatever_else_it_waits_for():
    world = World(flow_of("check>a check>b slow>b", check=BRANCH))
    world.succeed("check", decision="a")
    assert (world.state("slow"), world.state("b")) == ("scheduled", "skipped")


def test_a_group_stands_for_its_roots():
    flow = flow_of("check>etl.a check>etl.b etl.a>etl.c check>other", check=BRANCH)
    world = World(flow)
    world.succeed("check", decision="etl")
    assert world.record("check").note == {"followed": ["etl.a", "etl.b"]}
    assert world.state("other") == "skipped"


@pytest.mark.parametrize(
    ("decision", "sentence"),
    [
        ("allquiet", 'check chose "allquiet", which is not a task or a group of this flow. Did you mean "all_quiet"?'),
        (7, "check is a branch: its last expression must be the id of a task, a list of ids, or None, not 7"),
        ({"a": 1}, "check is a branch: its last expression must be the id of a task, a list of ids, or None, not {'a': 1}"),
    ],
)
def test_a_decision_that_names_no_task_fails_the_branch(decision: object, sentence: str):
    world = World(flow_of("check>alert check>all_quiet", check={**BRANCH, "retries": 3}))
    world.succeed("check", decision=decision)
    assert world.state("check") == "failed"
    assert sentence in world.reason("check")
    assert world.state("alert") == "upstream_failed"


def test_clearing_a_skipped_child_alone_skips_it_again():
    world = World(flow_of("check>a check>b", check=BRANCH))
    world.succeed("check", decision="a")
    world.succeed("a")
    world.tell(ClearRequested(keys=(world.key("b"),)))
    assert (world.state("b"), world.reason("b")) == ("skipped", "Skipped: check chose a.")


def test_clearing_the_branch_forgets_its_decision():
    world = World(flow_of("check>a check>b", check=BRANCH))
    world.succeed("check", decision="a")
    world.tell(ClearRequested(keys=(world.key("check"), world.key("b"))))
    assert world.state("b") == "pending"
    world.succeed("check", decision="b")
    assert world.state("b") == "scheduled"


def test_a_decision_outlives_the_driver():
    world = World(flow_of("check>a check>b", check=BRANCH), held=["b"])
    world.succeed("check", decision="a")
    world.crash()
    world.tell(TasksReleased(tasks=(TaskId("b"),)))
    world.held.clear()
    assert world.state("b") == "skipped"


# --- held tasks and parts of a flow -----------------------------------------------------------------------------------


def test_a_held_task_waits_for_the_cells_above_it_and_keeps_the_run_going():
    world = World(flow_of("a>b"), held=["b"])
    world.succeed("a")
    assert (world.state("b"), world.why("b")) == ("pending", "Waiting for the cells above it.")
    assert world.run.state is RunState.RUNNING
    world.held.clear()
    world.tell(TasksReleased(tasks=(TaskId("b"), TaskId("unknown"))))
    assert world.state("b") == "scheduled"


def test_a_held_task_is_judged_only_when_it_is_released():
    world = World(flow_of("a>b"), held=["b"])
    world.fail("a")
    assert (world.state("b"), world.run.state) == ("pending", RunState.RUNNING)
    world.held.clear()
    world.tell(TasksReleased(tasks=(TaskId("b"),)))
    assert (world.state("b"), world.run.state) == ("upstream_failed", RunState.FAILED)


def test_tasks_outside_the_run_count_as_not_there():
    world = World(flow_of("a>b b>c"), tasks=["a", "c"])
    assert world.states() == {"a": "scheduled", "c": "scheduled"}


def test_a_task_outside_the_run_may_still_be_chosen():
    world = World(flow_of("check>a a>join check>join check>b", check=BRANCH), tasks=["check", "join", "b"])
    world.succeed("check", decision="a")
    assert world.states() == {"check": "success", "join": "scheduled", "b": "skipped"}


# --- setups and teardowns (no option names them yet; the hook reads their kind) ----------------------------------------

TEARDOWN: dict[str, Any] = {"as_": TaskKind.TEARDOWN, "trigger_rule": TriggerRule.ALL_DONE_SETUP_SUCCESS}
SETUP: dict[str, Any] = {"as_": TaskKind.SETUP}


def test_a_teardown_runs_after_failed_work_when_its_setup_succeeded():
    world = World(flow_of("up>work up>down work>down", up=SETUP, down=TEARDOWN))
    world.succeed("up")
    world.fail("work")
    assert world.state("down") == "scheduled"


def test_a_teardown_names_the_setup_that_failed():
    world = World(flow_of("up>down work>down", up=SETUP, down=TEARDOWN))
    world.fail("work", "up")
    assert (world.state("down"), world.reason("down")) == ("upstream_failed", "Did not run: up failed.")


def test_a_failed_teardown_does_not_fail_the_run():
    world = World(flow_of("up>work up>down work>down", up=SETUP, down=TEARDOWN))
    world.succeed("up", "work")
    world.fail("down")
    assert world.run.state is RunState.SUCCESS


# --- the run ----------------------------------------------------------------------------------------------------------


def test_nothing_happens_before_the_run_starts():
    world = World(flow_of("a>b"), started=False)
    assert world.after(5).changes == ()
    assert world.why("a") == "Waiting for the run to start."
    world.tell(RunStarted())
    assert (world.run.state, world.run.started_at) == (RunState.RUNNING, START + timedelta(seconds=5))


def test_a_run_that_was_started_is_not_started_again():
    world = World(flow_of("a>b"))
    assert world.tell(RunStarted()).changes == ()


def test_a_run_ends_well_with_its_sentence():
    world = World(flow_of("a>b check>c", alone="a b", check=BRANCH))
    world.succeed("a", "b")
    world.now += timedelta(seconds=108)
    world.succeed("check")
    sentence = "nightly finished in 1 m 48 s: 3 succeeded, 1 skipped."
    assert (world.run.state, world.run.reason, world.run.ended_at) == (RunState.SUCCESS, sentence, world.now)
    assert world.ended == FinishRun(state=RunState.SUCCESS, reason=sentence)


def test_a_run_fails_with_the_task_that_failed():
    world = World(flow_of("join_weather>publish"))
    world.now += timedelta(seconds=48)
    world.fail("join_weather")
    assert (world.run.state, world.run.reason) == (RunState.FAILED, "nightly failed at join_weather after 48.0 s.")


def test_a_flow_without_tasks_ends_at_once():
    world = World(flow_of())
    assert (world.run.state, world.run.reason) == (RunState.SUCCESS, "nightly finished in 0.0 s: no tasks.")


@pytest.mark.parametrize(("fail_on", "state"), [("leaf", RunState.SUCCESS), ("any", RunState.FAILED)])
def test_a_failed_inner_task_counts_only_where_the_flow_says_so(fail_on: str, state: RunState):
    world = World(flow_of("a>b", b=DONE, options={"fail_on": fail_on}))
    world.fail("a")
    world.succeed("b")
    assert world.run.state is state


def test_a_run_waits_for_its_last_task():
    world = World(flow_of(alone="a b"))
    world.fail("a")
    assert world.run.state is RunState.RUNNING
    world.succeed("b")
    assert world.run.state is RunState.FAILED


def test_what_can_never_run_is_a_deadlock():
    """No flow leads there; a count that is off, as after a hand in the database, stands for what might."""
    machine = World(flow_of("a>b")).machine
    machine._ledger.upstream[TaskId("b")].count(TaskState.RUNNING)
    a = machine.waiting()[0]
    machine.handle(SlotGranted(key=a, token=Token("t")), START)
    machine.handle(AttemptSucceeded(key=a, token=Token("t"), at=START), START)
    reason = "Nothing can run any more: what is left waits for tasks that will never end."
    assert (machine.records[TaskKey(TaskId("b"))].state, machine.records[TaskKey(TaskId("b"))].reason) == ("upstream_failed", reason)
    assert (machine.run.state, machine.run.reason) == (RunState.FAILED, f"nightly failed after 0.0 s. {reason}")


def test_an_impossible_move_tells_its_story():
    world = World(flow_of("a>b"))
    with pytest.raises(InvalidTransition, match=r"run manual__1, task b, attempt 0: no move leads from pending to running") as caught:
        world.machine._ledger.move(world.record("b"), TaskState.RUNNING, START, "")
    assert "RunStarted()" in str(caught.value)
    with pytest.raises(InvalidTransition, match="the run itself: no move leads from running to queued"):
        world.machine._ledger.change_run(RunState.QUEUED, START, "")


def test_a_flow_of_five_thousand_tasks_in_a_chain_fails_through_without_recursion():
    ids = [f"t{n}" for n in range(5000)]
    world = World(flow_of(" ".join(f"{above}>{below}" for above, below in pairwise(ids))), started=False)
    world.machine.handle(RunStarted(), START)
    world.machine.handle(SlotGranted(key=world.key("t0"), token=Token("t")), START)
    step = world.machine.handle(AttemptFailed(key=world.key("t0"), token=Token("t"), at=START, error=error()), START)
    assert len(step.changes) == 2 + 4999 + 1
    assert world.run.state is RunState.FAILED
