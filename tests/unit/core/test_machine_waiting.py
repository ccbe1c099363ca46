# SPDX-License-Identifier: BSD-3-Clause
"""semantics.md 3 and 11: sensors between two looks, deferred attempts, approvals."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from nbflow.core.events import AnswerGiven, AttemptDeferred, CancelRequested, ClearRequested, Submit, TriggerFired, Watch
from nbflow.core.options import TaskKind, TaskOptions
from nbflow.core.states import RunState
from nbflow.core.waiting import next_look, read_answer, read_question
from tests.unit.core.world import START, World, error, flow_of

MINUTE = timedelta(minutes=1)


def sensor(**options: Any) -> World:
    chosen = {"as_": TaskKind.SENSOR, "poke": MINUTE, "timeout": timedelta(minutes=10), "retry_delay": timedelta(seconds=1), **options}
    return World(flow_of("wait>load", wait=chosen))


# --- sensors ------------------------------------------------------------------------------------------------------------


def test_between_two_looks_a_sensor_holds_nothing_and_it_is_one_attempt():
    world = sensor()
    world.begin("wait")
    first = world.token("wait")
    world.succeed("wait", decision=False)
    assert (world.state("wait"), world.record("wait").token) == ("up_for_reschedule", None)
    assert world.reason("wait") == "Not there yet: looks again at 03:01:00 UTC (1 look so far)."
    world.after(60)
    assert (world.state("wait"), world.record("wait").wake_at) == ("scheduled", None)
    world.begin("wait")
    assert world.token("wait") != first
    assert world.record("wait").attempt == 1
    world.succeed("wait", decision=True)
    assert (world.state("wait"), world.state("load")) == ("success", "scheduled")


def test_it_looks_once_more_when_its_time_is_up_and_then_fails_without_a_retry():
    world = sensor(poke=timedelta(minutes=7), retries=3)
    world.succeed("wait", decision=False)
    world.after(7 * 60)
    world.succeed("wait", decision=False)
    assert world.record("wait").wake_at == START + timedelta(minutes=10)
    world.after(3 * 60)
    world.succeed("wait", decision=False)
    assert (world.state("wait"), world.state("load")) == ("failed", "upstream_failed")
    assert world.reason("wait") == "Failed: it was not there after 10 m 00 s (3 looks)."


def test_the_time_counts_from_the_first_look_of_the_first_attempt():
    world = sensor(retries=1)
    world.succeed("wait", decision=False)
    world.after(60)
    world.fail("wait")
    world.after(1)
    world.begin("wait")
    assert world.record("wait").attempt == 2
    world.now = START + timedelta(minutes=10)
    world.succeed("wait", decision=False)
    assert world.state("wait") == "failed"


def test_without_a_timeout_it_waits_seven_days():
    world = sensor(timeout=None, poke=timedelta(days=6))
    world.succeed("wait", decision=False)
    world.after(6 * 86_400)
    world.succeed("wait", decision=False)
    assert world.record("wait").wake_at == START + timedelta(days=7)


def test_a_cleared_sensor_begins_anew():
    world = sensor()
    world.succeed("wait", decision=False)
    world.after(60)
    world.tell(ClearRequested(keys=(world.key("wait"),)))
    assert "since" not in world.record("wait").note


#: What happens in a look, with which option -> the state after it.
ENDS = {
    "timeout": ({}, "timeout", "failed"),
    "timeout, soft-fail": ({"soft_fail": True}, "timeout", "skipped"),
    "timeout, never-fail": ({"never_fail": True}, "timeout", "skipped"),
    "timeout, silent-fail": ({"silent_fail": True}, "timeout", "failed"),
    "error": ({"retries": 1}, "error", "up_for_retry"),
    "error, soft-fail": ({"soft_fail": True, "retries": 1}, "error", "up_for_retry"),
    "last error, soft-fail": ({"soft_fail": True}, "error", "failed"),
    "error, never-fail": ({"never_fail": True, "retries": 1}, "error", "skipped"),
    "error, silent-fail": ({"silent_fail": True}, "error", "up_for_reschedule"),
    "FailTask": ({"retries": 1}, "for good", "failed"),
    "FailTask, soft-fail": ({"soft_fail": True}, "for good", "skipped"),
    "FailTask, never-fail": ({"never_fail": True}, "for good", "skipped"),
    "FailTask, silent-fail": ({"silent_fail": True}, "for good", "failed"),
    "SkipTask": ({}, "skip", "skipped"),
}


@pytest.mark.parametrize(("options", "end", "state"), ENDS.values(), ids=ENDS)
def test_how_a_sensor_fails(options: dict[str, Any], end: str, state: str):
    world = sensor(**options)
    errors = {
        "timeout": error("TimeLimit", "10 m", timed_out=True, may_retry=True),
        "error": error(),
        "for good": error("FailTask", "broken", may_retry=False),
    }
    if end == "skip":
        world.skip("wait")
    else:
        world.fail("wait", error=errors[end])
    assert world.state("wait") == state


def test_an_error_that_is_passed_over_is_told():
    world = sensor(silent_fail=True)
    world.fail("wait")
    assert world.reason("wait") == "The last look failed (KeyError: 'temp_c'): looks again at 03:01:00 UTC (1 look so far)."


@pytest.mark.parametrize("looks", range(1, 14))
@pytest.mark.parametrize("poke", [1, 30, 60])
def test_an_exponential_sensor_waits_within_the_window_and_the_same_each_time(looks: int, poke: int):
    options = TaskOptions(as_=TaskKind.SENSOR, poke=timedelta(seconds=poke), exponential=True)
    until = START + timedelta(days=7)
    base = max(1, int(poke * 2.0 ** (looks - 2)))
    at = next_look(options, looks, START, until, "seed")
    assert at == next_look(options, looks, START, until, "seed")
    assert at is not None
    assert min(base, 7 * 86_400) <= (at - START).total_seconds() <= min(2 * base - 1, 7 * 86_400)
    limited = next_look(TaskOptions(poke=options.poke, exponential=True, max_wait=timedelta(seconds=5)), looks, START, until, "seed")
    assert limited is not None
    assert limited - START <= timedelta(seconds=5)


# --- deferral -----------------------------------------------------------------------------------------------------------


def defer(world: World, **trigger: Any) -> str:
    world.begin("wait")
    token = world.token("wait")
    world.tell(AttemptDeferred(key=world.key("wait"), token=token, at=world.now, trigger={"kind": "run", **trigger}))
    return token


def test_a_deferred_attempt_gives_its_slot_back_and_goes_on_when_its_trigger_fires():
    world = World(flow_of("wait>load"))
    token = defer(world, shown="the latest run of sales")
    assert (world.state("wait"), world.reason("wait")) == ("deferred", "Waits for the latest run of sales.")
    world.tell(TriggerFired(key=world.key("wait"), token="another", result={}))
    assert world.state("wait") == "deferred"
    world.tell(TriggerFired(key=world.key("wait"), token=token, result={"run_id": "r"}))
    assert world.state("wait") == "scheduled"
    world.begin("wait")
    assert world.record("wait").attempt == 1
    assert world.record("wait").note["resumed"] == {"event": {"run_id": "r"}}
    world.succeed("wait")
    assert world.state("load") == "scheduled"


def test_a_new_driver_watches_again():
    world = World(flow_of("wait>load"))
    token = defer(world)
    step = world.crash()
    assert Watch(key=world.key("wait"), token=token, trigger={"kind": "run"}) in step.commands
    assert not any(isinstance(command, Submit) for command in step.commands)


def test_a_trigger_with_an_instant_fires_by_itself():
    world = World(flow_of("wait>load"))
    defer(world, at=(START + MINUTE).isoformat())
    world.after(30)
    assert world.state("wait") == "deferred"
    world.after(30)
    assert world.state("wait") == "scheduled"


def test_a_deferred_sensor_times_out():
    world = sensor(soft_fail=True)
    defer(world)
    world.after(600)
    assert world.state("wait") == "skipped"


def test_an_instance_that_waits_twice_for_one_instant_wakes_once():
    world = sensor(retries=1, retry_delay=timedelta(minutes=8), timeout=timedelta(minutes=10))
    token = defer(world)
    world.after(120)
    world.tell(TriggerFired(key=world.key("wait"), token=token))
    world.fail("wait")
    assert world.record("wait").wake_at == START + timedelta(minutes=10)
    world.after(480)
    assert world.state("wait") == "scheduled"


def test_what_can_never_come_fails_the_task():
    world = World(flow_of("wait>load"))
    token = defer(world)
    world.tell(TriggerFired(key=world.key("wait"), token=token, problem="run r of sales ended failed"))
    assert (world.state("wait"), world.reason("wait")) == ("failed", "Failed: run r of sales ended failed.")


def test_a_deferred_task_can_be_cancelled_and_its_trigger_fires_for_nobody():
    world = World(flow_of("wait>load"))
    token = defer(world)
    world.tell(CancelRequested(keys=(world.key("wait"),)))
    world.tell(TriggerFired(key=world.key("wait"), token=token))
    assert world.state("wait") == "cancelled"


# --- approvals ----------------------------------------------------------------------------------------------------------


def approval(edges: str = "ask>publish publish>tell", **options: Any) -> World:
    return World(flow_of(edges, ask={"as_": TaskKind.APPROVAL, **options}))


def answer(world: World, text: str, by: str = "ann") -> None:
    world.tell(AnswerGiven(key=world.key("ask"), answer=text, by=by))


def test_a_person_is_asked_and_yes_goes_on():
    world = approval()
    world.succeed("ask", decision="Publish 3 rows?")
    assert (world.state("ask"), world.record("ask").token) == ("awaiting_input", None)
    assert world.reason("ask") == "Waits for an answer: Publish 3 rows? (yes or no)"
    answer(world, "Yes")
    assert (world.state("ask"), world.reason("ask")) == ("scheduled", "Answered yes by ann.")
    answer(world, "no", by="bob")  # too late
    world.succeed("ask")
    assert (world.state("ask"), world.reason("ask"), world.record("ask").attempt) == ("success", "Answered yes by ann.", 1)
    assert world.record("ask").note == {"answer": "yes", "by": "ann", "skipped": []}
    assert world.state("publish") == "scheduled"


def test_no_stops_everything_below():
    world = approval()
    world.succeed("ask")
    answer(world, "n")
    world.succeed("ask")
    assert world.states() == {"ask": "success", "publish": "skipped", "tell": "skipped"}
    assert world.reason("tell") == "Skipped: ask was answered no by ann."


def test_an_answer_that_names_tasks_is_followed():
    world = approval("ask>fix ask>ship")
    world.succeed("ask", decision=["fix", "ship"])
    answer(world, "ship")
    world.succeed("ask")
    assert world.states() == {"ask": "success", "fix": "skipped", "ship": "scheduled"}
    assert world.reason("fix") == "Skipped: ask chose ship."


def test_what_is_no_answer_changes_nothing():
    world = approval()
    world.succeed("ask")
    answer(world, "perhaps")
    assert world.state("ask") == "awaiting_input"


@pytest.mark.parametrize(
    ("options", "state", "reason"),
    [
        ({}, "failed", "Failed: nobody answered within 1 m 00 s."),
        ({"soft_fail": True}, "skipped", "Skipped: nobody answered within 1 m 00 s."),
        ({"default": "yes"}, "scheduled", "Answered yes by default, since nobody answered within 1 m 00 s."),
    ],
)
def test_nobody_answers(options: dict[str, Any], state: str, reason: str):
    world = approval(timeout=MINUTE, retries=2, **options)
    world.succeed("ask")
    world.after(60)
    assert (world.state("ask"), world.reason("ask")) == (state, reason)


def test_an_answer_outlives_a_lost_worker():
    world = approval()
    world.succeed("ask")
    answer(world, "yes")
    world.lose("ask")
    assert world.record("ask").note["resumed"]["answer"] == "yes"
    world.succeed("ask")
    assert world.run.state is RunState.RUNNING
    assert world.state("publish") == "scheduled"


def test_an_approval_without_a_body_asks_too():
    world = World(flow_of("ask>publish", ask={"as_": TaskKind.APPROVAL}, empty=["ask"]))
    world.succeed("ask")
    assert world.reason("ask") == "Waits for an answer: Go on with ask? (yes or no)"


@pytest.mark.parametrize("decision", [3, {"questions": "?"}, {"choices": "yes"}, [1, 2]])
def test_what_is_no_question_fails(decision: Any):
    world = approval(retries=2)
    world.succeed("ask", decision=decision)
    assert world.state("ask") == "failed"
    assert "ask is an approval: its last expression must be a question, a list of answers" in world.reason("ask")


def test_a_default_that_is_no_answer_fails():
    world = approval(default="maybe", timeout=MINUTE)
    world.succeed("ask")
    assert world.reason("ask").endswith('"maybe" is no answer to ask, whose default it is: it takes yes or no.')


def test_questions_and_answers_are_read():
    asked = read_question({"question": "Which?", "choices": ["a", "b", "a"]}, task="ask")
    assert (asked.text, asked.answers) == ("Which?", ("a", "b"))
    assert read_question(None, task="ask", doc="Ship it?\n\nMore.").text == "Ship it?"
    assert [read_answer(word, ("yes", "no")) for word in ("Y", "TRUE", " no ", "x")] == ["yes", "yes", "no", None]
    assert read_answer("y", ("x", "Z")) is None
    assert read_answer("z", ("x", "Z")) == "Z"
