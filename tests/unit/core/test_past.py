# SPDX-License-Identifier: BSD-3-Clause
"""semantics.md 6, row by row, and what the machine makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from nbflow.core.events import AttemptSucceeded, PastSeen
from nbflow.core.ids import TaskId
from nbflow.core.options import PastCheck, TaskOptions
from nbflow.core.past import Past, answered, check_of, objection
from nbflow.core.states import FINISHED, SUCCESS_LIKE, RunState, TaskState
from nbflow.core.trigger_rules import Decision
from tests.unit.core.world import World, flow_of

S = TaskState
AT = datetime(2026, 3, 13, 3, tzinfo=UTC)
DATE = "Fri 13 Mar 03:00"


def past(*states: TaskState, **more: Any) -> Past:
    return Past(**{"previous": "run-1", "at": AT, "states": states, **more})


#: What the task says, what is known of its past, what follows, and the sentence.
ROWS: dict[str, tuple[dict[str, Any], Past, str, str]] = {
    "depends_on_past is false": ({"depends_on_past": PastCheck.NO}, past(S.FAILED), "run", ""),
    "ignored in this request, or the first run of a backfill": ({}, past(S.FAILED, is_ignored=True), "run", ""),
    "no previous run": ({}, Past(), "run", ""),
    "catchup, and the start date is later": ({}, past(S.FAILED, is_before_start=True), "run", ""),
    "the previous run does not have it, and first times count": (
        {"ignore_first_depends_on_past": False},
        past(),
        "wait",
        f"Waiting for its own last run: that on {DATE} does not have parse_log.",
    ),
    "no run before has it": ({}, past(), "run", ""),
    "the previous run does not have it, and an earlier one does": (
        {},
        past(was_there_before=True),
        "wait",
        f"Waiting for its own last run: that on {DATE} does not have parse_log.",
    ),
    "all copies well": ({}, past(S.SUCCESS, S.SKIPPED, S.SUCCESS), "run", ""),
    "one copy failed": ({}, past(S.SUCCESS, S.FAILED), "wait", f"Waiting for its own last run: parse_log failed on {DATE}."),
    "upstream failed": ({}, past(S.UPSTREAM_FAILED), "wait", f"Waiting for its own last run: parse_log did not run on {DATE}."),
    "still running": ({}, past(S.RUNNING), "wait", f"Waiting for its own last run: parse_log is running in the run of {DATE}."),
    "removed": ({}, past(S.REMOVED), "wait", f"Waiting for its own last run: parse_log is removed in the run of {DATE}."),
    "what follows it failed, and nobody asks": ({}, past(S.SUCCESS, below=(("load", S.FAILED),)), "run", ""),
    "what follows it failed": (
        {"depends_on_past": PastCheck.NO, "wait_for_downstream": True},
        past(S.SUCCESS, below=(("load", S.SUCCESS), ("report", S.FAILED))),
        "wait",
        f"Waiting for its own last run: report failed on {DATE}.",
    ),
    "what follows it went well": ({"wait_for_downstream": True}, past(S.SUCCESS, below=(("load", S.SKIPPED),)), "run", ""),
    "skip, and it failed": (
        {"depends_on_past": PastCheck.SKIP},
        past(S.FAILED),
        "skipped",
        f"Skipped: parse_log failed on {DATE}, and it depends on that.",
    ),
    "skip, and it is still running": (
        {"depends_on_past": PastCheck.SKIP},
        past(S.RUNNING),
        "wait",
        f"Waiting for its own last run: parse_log is running in the run of {DATE}.",
    ),
}


@pytest.mark.parametrize(("said", "facts", "decision", "sentence"), ROWS.values(), ids=ROWS)
def test_the_table(said: dict[str, Any], facts: Past, decision: str, sentence: str):
    options = TaskOptions(**{"depends_on_past": PastCheck.WAIT, **said})
    found = objection("parse_log", check_of(options, {}, TaskId("parse_log")), options, facts)
    assert (found.decision.value if found else "run", found.reason if found else "") == (decision, sentence)


@pytest.mark.parametrize("state", S)
def test_only_success_and_skipped_are_well(state: TaskState):
    options = TaskOptions(depends_on_past=PastCheck.WAIT)
    assert (objection("t", PastCheck.WAIT, options, past(state)) is None) is (state in SUCCESS_LIKE)
    skips = objection("t", PastCheck.SKIP, options, past(state))
    assert (skips is not None and skips.decision is Decision.SKIP) is (state in FINISHED - SUCCESS_LIKE)


@pytest.mark.parametrize(("said", "recorded"), [(True, "wait"), (False, "no"), (None, "no"), ("skip", "skip"), ("wait", "wait")])
def test_what_a_callable_may_say(said: object, recorded: str):
    assert answered(said) == recorded


def test_a_callable_that_says_something_else_is_refused():
    with pytest.raises(ValueError, match="'maybe'"):
        answered("maybe")


# --- the machine --------------------------------------------------------------------------------------------------------

WAITS = {"depends_on_past": PastCheck.WAIT}


def seen(world: World, **facts: Past) -> None:
    world.tell(PastSeen(facts={TaskId(id): fact for id, fact in facts.items()}))


def test_nothing_runs_before_its_past_is_known_and_that_is_no_deadlock():
    world = World(flow_of("a>b", a=WAITS))
    assert (world.state("a"), world.run.state) == ("pending", RunState.RUNNING)
    assert world.why("a") == "Waiting to know how it went in the run before."
    seen(world, a=past(S.FAILED))
    assert (world.state("a"), world.run.state) == ("pending", RunState.RUNNING)
    assert world.why("a") == f"Waiting for its own last run: a failed on {DATE}."
    assert world.why("b") == "Waiting for a."
    seen(world, a=past(S.SUCCESS))
    assert world.state("a") == "scheduled"


def test_a_skip_of_its_past_goes_on_below():
    world = World(flow_of("a>b", a={"depends_on_past": PastCheck.SKIP}))
    seen(world, a=past(S.FAILED))
    assert world.states() == {"a": "skipped", "b": "skipped"}
    assert world.run.state is RunState.SUCCESS


def test_the_rest_of_the_run_goes_on_meanwhile():
    world = World(flow_of("a>b", alone="c", b=WAITS))
    for id in ("a", "c"):
        world.begin(id)
        world.tell(AttemptSucceeded(key=world.key(id), token=world.token(id), at=world.now))
    assert (world.state("b"), world.run.state) == ("pending", RunState.RUNNING)
    seen(world, b=Past())
    assert world.state("b") == "scheduled"


def test_what_is_skipped_anyway_does_not_wait_unless_it_shall():
    for waits, state in ((False, "skipped"), (True, "pending")):
        options = {**WAITS, "wait_for_past_depends_before_skipping": waits}
        world = World(flow_of("a>b", a={"depends_on_past": PastCheck.SKIP}, b=options))
        seen(world, a=past(S.FAILED), b=past(S.FAILED))
        assert world.states() == {"a": "skipped", "b": state}
    seen(world, b=past(S.SUCCESS))
    assert world.state("b") == "skipped"


def test_after_a_crash_the_past_is_asked_for_again():
    world = World(flow_of(alone="a b", a=WAITS))
    seen(world, a=past(S.FAILED))
    world.crash()
    assert (world.state("a"), world.run.state) == ("pending", RunState.RUNNING)
    seen(world, a=past(S.SUCCESS))
    assert world.state("a") == "scheduled"


def test_a_run_that_ignores_its_past_is_told_so():
    world = World(flow_of(alone="a", a=WAITS))
    seen(world, a=Past(is_ignored=True))
    assert world.state("a") == "scheduled"
