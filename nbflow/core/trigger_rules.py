# SPDX-License-Identifier: BSD-3-Clause
"""The 13 trigger rules: what the states of its upstream instances mean for a task (semantics.md 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from nbflow.core import messages
from nbflow.core.options import TriggerRule
from nbflow.core.states import TaskState


class Decision(StrEnum):
    """What follows for a task instance."""

    RUN = "run"
    WAIT = "wait"
    SKIP = "skipped"
    UPSTREAM_FAILED = "upstream_failed"
    #: It has ended: there is nothing to decide.
    DONE = "done"


@dataclass(frozen=True)
class Verdict:
    """A decision with the sentence people read."""

    decision: Decision
    reason: str = ""


@dataclass(slots=True)
class UpstreamCounts:
    """How many upstream instances there are, and how they ended. Removed ones are not counted at all."""

    total: int = 0
    success: int = 0
    skipped: int = 0
    #: Failed or cancelled.
    failed: int = 0
    upstream_failed: int = 0
    setups: int = 0
    setups_success: int = 0
    setups_skipped: int = 0

    @property
    def bad(self) -> int:
        return self.failed + self.upstream_failed

    @property
    def done(self) -> int:
        return self.success + self.skipped + self.failed + self.upstream_failed

    @property
    def all_done(self) -> bool:
        return self.done == self.total

    def count(self, state: TaskState, *, setup: bool = False, times: int = 1) -> None:
        """Add an upstream instance in `state` (`times=-1`: take it away again)."""
        if state is TaskState.REMOVED:
            return
        self.total += times
        self.setups += times if setup else 0
        if state is TaskState.SUCCESS:
            self.success += times
            self.setups_success += times if setup else 0
        elif state is TaskState.SKIPPED:
            self.skipped += times
            self.setups_skipped += times if setup else 0
        elif state in {TaskState.FAILED, TaskState.CANCELLED}:
            self.failed += times
        elif state is TaskState.UPSTREAM_FAILED:
            self.upstream_failed += times


@dataclass(frozen=True, kw_only=True)
class UpstreamNames:
    """The upstream instances by what they did, for the sentence."""

    unfinished: tuple[str, ...] = ()
    ended: Mapping[TaskState, tuple[str, ...]] = field(default_factory=dict)

    def first(self, *states: TaskState) -> tuple[tuple[str, ...], TaskState | None]:
        """The names in the first of these states that has any."""
        return next(((names, state) for state in states if (names := self.ended.get(state))), ((), None))


R, W, SK, UF = Decision.RUN, Decision.WAIT, Decision.SKIP, Decision.UPSTREAM_FAILED


def _all_success(c: UpstreamCounts) -> Decision:
    if c.bad:
        return UF
    if c.skipped:
        return SK
    return R if c.success == c.total else W


def _all_failed(c: UpstreamCounts) -> Decision:
    if c.success or c.skipped:
        return SK
    return R if c.bad == c.total else W


def _all_done(c: UpstreamCounts) -> Decision:
    return R if c.all_done else W


def _one_success(c: UpstreamCounts) -> Decision:
    if c.success:
        return R
    if not c.all_done:
        return W
    return SK if c.skipped == c.total else UF


def _one_failed(c: UpstreamCounts) -> Decision:
    if c.bad:
        return R
    return SK if c.all_done else W


def _one_done(c: UpstreamCounts) -> Decision:
    if c.success or c.failed:
        return R
    return SK if c.all_done else W


def _none_failed(c: UpstreamCounts) -> Decision:
    if c.bad:
        return UF
    return R if c.all_done else W


def _none_failed_min_one_success(c: UpstreamCounts) -> Decision:
    if c.bad:
        return UF
    if not c.all_done:
        return W
    if c.skipped == c.total:
        return SK
    return R if c.success else UF


def _none_skipped(c: UpstreamCounts) -> Decision:
    if c.skipped:
        return SK
    return R if c.all_done else W


def _all_skipped(c: UpstreamCounts) -> Decision:
    if c.success or c.bad:
        return SK
    return R if c.skipped == c.total else W


def _all_done_min_one_success(c: UpstreamCounts) -> Decision:
    if c.skipped:
        return SK
    if not c.all_done:
        return W
    return R if c.success else UF


def _all_done_setup_success(c: UpstreamCounts) -> Decision:
    if not c.all_done:
        return W
    if not c.setups:
        return R
    if c.setups_skipped == c.setups:
        return SK
    return R if c.setups_success else UF


_RULES: Final[Mapping[TriggerRule, Callable[[UpstreamCounts], Decision]]] = {
    TriggerRule.ALL_SUCCESS: _all_success,
    TriggerRule.ALL_FAILED: _all_failed,
    TriggerRule.ALL_DONE: _all_done,
    TriggerRule.ALL_DONE_MIN_ONE_SUCCESS: _all_done_min_one_success,
    TriggerRule.ALL_DONE_SETUP_SUCCESS: _all_done_setup_success,
    TriggerRule.ONE_SUCCESS: _one_success,
    TriggerRule.ONE_FAILED: _one_failed,
    TriggerRule.ONE_DONE: _one_done,
    TriggerRule.NONE_FAILED: _none_failed,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS: _none_failed_min_one_success,
    TriggerRule.NONE_SKIPPED: _none_skipped,
    TriggerRule.ALL_SKIPPED: _all_skipped,
    TriggerRule.ALWAYS: lambda _: R,
}


def decide(rule: TriggerRule, counts: UpstreamCounts) -> Decision:
    """The bare decision; depends on the counts alone."""
    return _RULES[rule](counts) if counts.total else R


def verdict(rule: TriggerRule, counts: UpstreamCounts, names: UpstreamNames | None = None) -> Verdict:
    """The decision with its sentence; without `names` the sentence says how many instead of who."""
    decision = decide(rule, counts)
    if decision is R:
        return Verdict(R, messages.MAY_RUN)
    if decision is W:
        return Verdict(W, _waits(counts, names))
    if decision is UF:
        return Verdict(UF, _not_run(names or UpstreamNames()))
    return Verdict(SK, _skips(rule, counts, names or UpstreamNames()))


def _waits(counts: UpstreamCounts, names: UpstreamNames | None) -> str:
    if names is None:
        return messages.waiting_for_some(counts.total - counts.done, counts.total)
    return messages.waiting_for(names.unfinished, counts.total)


def _not_run(names: UpstreamNames) -> str:
    return messages.did_not_run(*names.first(TaskState.FAILED, TaskState.CANCELLED, TaskState.UPSTREAM_FAILED))


#: Which upstream states make a rule skip, the most telling first.
_BLAMES: Final[Mapping[TriggerRule, tuple[TaskState, ...]]] = {
    TriggerRule.ALL_FAILED: (TaskState.SUCCESS, TaskState.SKIPPED),
    TriggerRule.ALL_SKIPPED: (TaskState.SUCCESS, TaskState.FAILED, TaskState.CANCELLED, TaskState.UPSTREAM_FAILED),
}


def _skips(rule: TriggerRule, counts: UpstreamCounts, names: UpstreamNames) -> str:
    if rule is TriggerRule.ONE_FAILED:
        return messages.skipped_since_none("failed")
    if rule is TriggerRule.ONE_DONE and counts.skipped < counts.total:
        return messages.skipped_since_none("ran")
    who, state = names.first(*_BLAMES.get(rule, (TaskState.SKIPPED,)))
    return messages.skipped_because(who, state) if state else f"Skipped by its trigger rule {rule}."
