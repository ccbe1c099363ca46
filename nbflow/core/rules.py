# SPDX-License-Identifier: BSD-3-Clause
"""May this task run now? A policy to be read aloud: each rule may object with a verdict; when none does, the task runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from nbflow.core import messages, trigger_rules
from nbflow.core.model import Task
from nbflow.core.options import TaskKind, TriggerRule
from nbflow.core.states import FAILED_LIKE, RunState, TaskState
from nbflow.core.trigger_rules import Decision, UpstreamCounts, UpstreamNames, Verdict


def is_branch(task: Task) -> bool:
    return task.options.as_ is TaskKind.BRANCH


def is_setup(task: Task) -> bool:
    return task.options.as_ is TaskKind.SETUP


def is_teardown(task: Task) -> bool:
    """A teardown still runs while its run is being ended, and its state does not count for the run's."""
    return task.options.as_ is TaskKind.TEARDOWN


@dataclass(frozen=True, kw_only=True)
class Situation:
    """All that decides about one pending task instance, as plain values."""

    run_state: RunState
    held: bool
    trigger_rule: TriggerRule
    counts: UpstreamCounts
    #: None where only the decision matters: finding names costs a look at every upstream task.
    names: UpstreamNames | None = None
    #: Why a branch or its like leaves it out; "" when none does.
    left_out: str = ""
    #: What the setups say that it stands on without an edge to them.
    setups: Verdict | None = None
    #: What a teardown still waits for between its setups and itself.
    work: Verdict | None = None
    #: What its past says against running.
    past: Verdict | None = None
    #: A task that is to be skipped waits for its past, too.
    past_before_skipping: bool = False
    #: What stands in the way of counting the elements of a mapped task.
    map_source: Verdict | None = None
    #: A mapped task whose elements have not been counted.
    is_uncounted: bool = False


Rule = Callable[[Situation], Verdict | None]


def run_has_not_started(situation: Situation) -> Verdict | None:
    return Verdict(Decision.WAIT, messages.RUN_NOT_STARTED) if situation.run_state is RunState.QUEUED else None


def cells_above_have_not_run(situation: Situation) -> Verdict | None:
    """A held task waits whatever its upstream says: the notebook has not come that far."""
    return Verdict(Decision.WAIT, messages.HELD) if situation.held else None


def branch_left_it_out(situation: Situation) -> Verdict | None:
    """A recorded decision counts before the trigger rule, so that clearing the task alone skips it again."""
    return Verdict(Decision.SKIP, situation.left_out) if situation.left_out else None


def map_source_is_not_there(situation: Situation) -> Verdict | None:
    """Without elements there are no copies that a trigger rule could let run."""
    return situation.map_source


def setups_are_not_done(situation: Situation) -> Verdict | None:
    """Setups are asked before the trigger rule, whatever that is."""
    return situation.setups


def work_is_not_done(situation: Situation) -> Verdict | None:
    """What a teardown takes away may still be in use by tasks that nothing directly above it waits for."""
    return situation.work


def trigger_rule_is_not_met(situation: Situation) -> Verdict | None:
    found = trigger_rules.decide(situation.trigger_rule, situation.counts)
    if found is Decision.RUN:
        return None
    return trigger_rules.verdict(situation.trigger_rule, situation.counts, situation.names)


def past_is_not_well(situation: Situation) -> Verdict | None:
    """Asked last: whoever need not run need not wait either."""
    return situation.past


def elements_are_not_counted(situation: Situation) -> Verdict | None:
    return Verdict(Decision.WAIT, messages.COUNTING) if situation.is_uncounted else None


#: What keeps a mapped task from being counted.
_BEFORE_COUNTING: Final[tuple[Rule, ...]] = (
    run_has_not_started,
    cells_above_have_not_run,
    branch_left_it_out,
    map_source_is_not_there,
)
#: Asked in this order; the first objection counts.
RULES: Final[tuple[Rule, ...]] = (
    *_BEFORE_COUNTING,
    setups_are_not_done,
    work_is_not_done,
    trigger_rule_is_not_met,
    past_is_not_well,
    elements_are_not_counted,
)
MAY_RUN: Final = Verdict(Decision.RUN, messages.MAY_RUN)


def judge(situation: Situation) -> Verdict:
    """The first objection, or that it may run."""
    for rule in RULES:
        if objection := rule(situation):
            waits = situation.past_before_skipping and objection.decision is Decision.SKIP and situation.past is not None
            return situation.past if waits and situation.past is not None else objection
    return MAY_RUN


def may_be_counted(situation: Situation) -> bool:
    """Whether a mapped task's elements are there to be counted, whatever its trigger rule still waits for."""
    return situation.is_uncounted and not any(rule(situation) for rule in _BEFORE_COUNTING)


def run_outcome(leaves: Iterable[TaskState], everything: Iterable[TaskState], fail_on: str) -> RunState:
    """What a run with nothing unfinished ends as (semantics.md 2): its leaves decide, or every task with `fail_on = "any"`."""
    decisive = everything if fail_on == "any" else leaves
    return RunState.FAILED if any(state in FAILED_LIKE for state in decisive) else RunState.SUCCESS
