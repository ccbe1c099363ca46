# SPDX-License-Identifier: BSD-3-Clause
"""May a task run, given how it went the last time? (semantics.md 6) The rule is here; what it asks for, the driver finds in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nbflow.core import messages
from nbflow.core.ids import TaskId
from nbflow.core.options import PastCheck, TaskOptions
from nbflow.core.states import FINISHED, SUCCESS_LIKE, TaskState
from nbflow.core.trigger_rules import Decision, Verdict

#: Before anything is known of it.
UNKNOWN: Final = Verdict(Decision.WAIT, messages.PAST_UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Past:
    """What is known of one task's last time: plain facts."""

    #: The run before this one; "" when there is none, or this one has no logical date.
    previous: str = ""
    #: Its logical date, in the flow's time zone.
    at: datetime | None = None
    #: This request does not ask for the past, or the run is the first of a backfill.
    is_ignored: bool = False
    #: Under catchup = "all": the flow starts after the logical date of the run before.
    is_before_start: bool = False
    #: States of the task in the run before, of all its copies; empty when that run does not have it.
    states: tuple[TaskState, ...] = ()
    #: Names and states of what follows it directly in that run.
    below: tuple[tuple[str, TaskState], ...] = ()
    #: Some earlier run has it.
    was_there_before: bool = False


def check_of(options: TaskOptions, answers: Mapping[TaskId, str], id: TaskId) -> PastCheck:
    """What the task does about its past in this run; a callable was asked when the run began."""
    check = options.depends_on_past
    if check is PastCheck.ASK:
        check = PastCheck(answers.get(id, PastCheck.WAIT.value))
    return PastCheck.WAIT if check is PastCheck.NO and options.wait_for_downstream else check


def objection(name: str, check: PastCheck, options: TaskOptions, past: Past) -> Verdict | None:
    """What stands against running the task, row by row of the table; None: nothing does."""
    if check is PastCheck.NO or past.is_ignored or not past.previous or past.is_before_start:
        return None
    if not past.states:
        is_first = options.ignore_first_depends_on_past and not past.was_there_before
        return None if is_first else Verdict(Decision.WAIT, messages.past_is_missing(name, past.at))
    bad = [(name, state) for state in past.states if state not in SUCCESS_LIKE]
    if not bad and options.wait_for_downstream:
        bad = [(below, state) for below, state in past.below if state not in SUCCESS_LIKE]
    if not bad:
        return None
    who, state = next((one for one in bad if one[1] in FINISHED), bad[0])
    if check is PastCheck.SKIP and state in FINISHED:
        return Verdict(Decision.SKIP, messages.skipped_for_past(who, state, past.at))
    return Verdict(Decision.WAIT, messages.waiting_for_past(who, state, past.at))


def answered(value: object) -> str:
    """What a callable of `ctx` said: true is to wait, false is not to ask. Raises ValueError for anything else."""
    if isinstance(value, bool) or value is None:
        return PastCheck.WAIT.value if value else PastCheck.NO.value
    if value in {PastCheck.WAIT.value, PastCheck.SKIP.value}:
        return str(value)
    raise ValueError(f"{value!r}")
