# SPDX-License-Identifier: BSD-3-Clause
"""The table of moves, against semantics.md 2."""

from __future__ import annotations

import pytest

from nbflow.core.states import FAILED_LIKE, FINISHED, RUN_TRANSITIONS, SUCCESS_LIKE, TRANSITIONS, UNFINISHED, RunState, TaskState

S = TaskState
#: semantics.md 2, the rows that name their states; "any" rows are tested apart.
NAMED = {
    "pending": "scheduled success skipped upstream_failed removed",
    "scheduled": "queued",
    "queued": "running scheduled",
    "running": "success failed skipped up_for_retry up_for_reschedule deferred awaiting_input scheduled",
    "deferred": "scheduled",
    "awaiting_input": "scheduled",
    "up_for_retry": "scheduled",
    "up_for_reschedule": "scheduled",
}
ANYWHERE = {S.SUCCESS, S.FAILED, S.SKIPPED, S.PENDING, S.REMOVED}


@pytest.mark.parametrize(("before", "after"), [(before, after) for before, row in NAMED.items() for after in row.split()])
def test_each_named_move_is_legal(before: str, after: str):
    assert TRANSITIONS[S(before), S(after)]


def test_a_person_may_mark_clear_or_remove_any_instance():
    assert all((before, after) in TRANSITIONS for before in S for after in ANYWHERE if before is not after)


def test_only_the_unfinished_can_be_cancelled():
    assert {before for before, after in TRANSITIONS if after is S.CANCELLED} == set(UNFINISHED)


def test_nothing_else_is_legal():
    named = {(S(before), S(after)) for before, row in NAMED.items() for after in row.split()}
    others = {(before, after) for before, after in TRANSITIONS if after not in ANYWHERE and after is not S.CANCELLED}
    assert others == {move for move in named if move[1] not in ANYWHERE}


def test_no_move_leads_to_where_it_starts():
    assert all(before is not after for before, after in TRANSITIONS)


def test_a_finished_instance_never_runs_again_without_a_clear():
    assert not [move for move in TRANSITIONS if move[0] in FINISHED and move[1] in {S.SCHEDULED, S.QUEUED, S.RUNNING}]


def test_finished_states_are_well_or_not_or_removed():
    assert set(FINISHED) == {*SUCCESS_LIKE, *FAILED_LIKE, S.REMOVED}


def test_a_finished_run_runs_again_or_waits_for_that_and_nothing_else_starts_over():
    ended = {state for state in RunState if state.is_finished}
    assert all((state, RunState.RUNNING) in RUN_TRANSITIONS for state in ended)
    assert {before for before, after in RUN_TRANSITIONS if after is RunState.QUEUED} == ended
