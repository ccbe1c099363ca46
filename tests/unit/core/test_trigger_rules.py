# SPDX-License-Identifier: BSD-3-Clause
"""The 13 trigger rules, against the table of semantics.md 1 and exhaustively for up to four upstream tasks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product

import pytest

from nbflow.core.options import TriggerRule
from nbflow.core.states import TaskState
from nbflow.core.trigger_rules import Decision, UpstreamCounts, UpstreamNames, decide, verdict

S, D = TaskState, Decision

#: Printed by the real engine: R run, · wait, SK skipped, UF upstream_failed; `none` = not finished.
TABLE = """
|upstreams|all_success|all_failed|all_done|all_done_min_one_success|all_done_setup_success|one_success|one_failed|one_done|none_failed|none_skipped|always|none_failed_min_one_success|all_skipped|
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
|none|·|·|·|·|·|·|·|·|·|·|R|·|·|
|success|R|SK|R|R|R|R|SK|R|R|R|R|R|SK|
|skipped|SK|SK|R|SK|R|SK|SK|SK|R|SK|R|SK|R|
|failed|UF|R|R|UF|R|UF|R|R|UF|R|R|UF|SK|
|upstream_failed|UF|R|R|UF|R|UF|R|SK|UF|R|R|UF|SK|
|none+success|·|SK|·|·|·|R|·|R|·|·|R|·|SK|
|none+skipped|SK|SK|·|SK|·|·|·|·|·|SK|R|·|·|
|none+failed|UF|·|·|·|·|·|R|R|UF|·|R|UF|SK|
|none+upstream_failed|UF|·|·|·|·|·|R|·|UF|·|R|UF|SK|
|success+success|R|SK|R|R|R|R|SK|R|R|R|R|R|SK|
|success+skipped|SK|SK|R|SK|R|R|SK|R|R|SK|R|R|SK|
|success+failed|UF|SK|R|R|R|R|R|R|UF|R|R|UF|SK|
|success+upstream_failed|UF|SK|R|R|R|R|R|R|UF|R|R|UF|SK|
|skipped+skipped|SK|SK|R|SK|R|SK|SK|SK|R|SK|R|SK|R|
|skipped+failed|UF|SK|R|SK|R|UF|R|R|UF|SK|R|UF|SK|
|skipped+upstream_failed|UF|SK|R|SK|R|UF|R|SK|UF|SK|R|UF|SK|
|failed+failed|UF|R|R|UF|R|UF|R|R|UF|R|R|UF|SK|
|failed+upstream_failed|UF|R|R|UF|R|UF|R|R|UF|R|R|UF|SK|
|upstream_failed+upstream_failed|UF|R|R|UF|R|UF|R|SK|UF|R|R|UF|SK|
"""
SHOWN = {"R": D.RUN, "·": D.WAIT, "SK": D.SKIP, "UF": D.UPSTREAM_FAILED}
UPSTREAM = {"none": S.RUNNING, **{state.value: state for state in (S.SUCCESS, S.SKIPPED, S.FAILED, S.UPSTREAM_FAILED)}}
STATES = tuple(UPSTREAM.values())
ENDS = tuple(state for state in STATES if state is not S.RUNNING)

#: An upstream instance: its state, and whether it is a setup.
Upstream = tuple[S, bool]


def counts(upstreams: list[Upstream] | tuple[Upstream, ...]) -> UpstreamCounts:
    found = UpstreamCounts()
    for state, setup in upstreams:
        found.count(state, setup=setup)
    return found


def rows() -> Iterator[tuple[str, TriggerRule, Decision]]:
    head, _, *body = [line.strip("|").split("|") for line in TABLE.strip().splitlines()]
    for upstreams, *cells in body:
        for rule, cell in zip(head[1:], cells, strict=True):
            yield upstreams, TriggerRule(rule), SHOWN[cell]


def every_multiset(up_to: int = 4) -> Iterator[tuple[Upstream, ...]]:
    for size in range(up_to + 1):
        yield from combinations_with_replacement(tuple(product(STATES, (False, True))), size)


@pytest.mark.parametrize(("upstreams", "rule", "expected"), tuple(rows()))
def test_the_rule_says_what_the_table_says(upstreams: str, rule: TriggerRule, expected: Decision):
    assert decide(rule, counts([(UPSTREAM[word], False) for word in upstreams.split("+")])) is expected


def test_the_table_covers_every_rule_and_all_pairs():
    assert len(list(rows())) == 13 * (5 + 14)


def oracle(rule: TriggerRule, upstreams: tuple[Upstream, ...]) -> Decision:
    """semantics.md 1 once more, over the states themselves instead of over counts."""
    states = [state for state, _ in upstreams]
    setups = [state for state, setup in upstreams if setup]
    su, sk = S.SUCCESS in states, S.SKIPPED in states
    fa, uf = S.FAILED in states, S.UPSTREAM_FAILED in states
    open_ = S.RUNNING in states
    only_skipped = set(states) == {S.SKIPPED}
    end = {
        "all_success": [(fa or uf, "UF"), (sk, "SK"), (not open_, "R")],
        "all_failed": [(su or sk, "SK"), (not open_, "R")],
        "all_done": [(not open_, "R")],
        "one_success": [(su, "R"), (open_, "·"), (only_skipped, "SK"), (True, "UF")],
        "one_failed": [(fa or uf, "R"), (not open_, "SK")],
        "one_done": [(su or fa, "R"), (not open_, "SK")],
        "none_failed": [(fa or uf, "UF"), (not open_, "R")],
        "none_failed_min_one_success": [(fa or uf, "UF"), (open_, "·"), (only_skipped, "SK"), (True, "R")],
        "none_skipped": [(sk, "SK"), (not open_, "R")],
        "all_skipped": [(su or fa or uf, "SK"), (not open_, "R")],
        "all_done_min_one_success": [(sk, "SK"), (open_, "·"), (su, "R"), (True, "UF")],
        "all_done_setup_success": [
            (open_, "·"),
            (not setups, "R"),
            (set(setups) == {S.SKIPPED}, "SK"),
            (S.SUCCESS in setups, "R"),
            (True, "UF"),
        ],
        "always": [(True, "R")],
    }[rule]
    return SHOWN[next((answer for met, answer in end if met), "·")] if states else D.RUN


@pytest.mark.parametrize("rule", TriggerRule)
def test_every_multiset_of_up_to_four_upstreams_gets_the_written_answer(rule: TriggerRule):
    for upstreams in every_multiset():
        assert decide(rule, counts(upstreams)) is oracle(rule, upstreams), upstreams


@pytest.mark.parametrize("rule", TriggerRule)
def test_p1_the_order_of_the_upstreams_does_not_matter(rule: TriggerRule):
    for upstreams in every_multiset(3):
        assert decide(rule, counts(upstreams)) is decide(rule, counts(upstreams[::-1]))


@pytest.mark.parametrize("rule", TriggerRule)
def test_p2_once_all_upstreams_have_ended_there_is_no_waiting(rule: TriggerRule):
    for upstreams in every_multiset():
        if all(state is not S.RUNNING for state, _ in upstreams):
            assert decide(rule, counts(upstreams)) is not D.WAIT, upstreams


@pytest.mark.parametrize("rule", TriggerRule)
def test_p3_an_early_verdict_holds_for_every_completion(rule: TriggerRule):
    for upstreams in every_multiset():
        early = decide(rule, counts(upstreams))
        still = [setup for state, setup in upstreams if state is S.RUNNING]
        if early is D.WAIT or not still:
            continue
        ended = [upstream for upstream in upstreams if upstream[0] is not S.RUNNING]
        for ends in product(ENDS, repeat=len(still)):
            late = decide(rule, counts([*ended, *zip(ends, still, strict=True)]))
            race = rule is TriggerRule.ALL_SUCCESS and (early, late) == (D.SKIP, D.UPSTREAM_FAILED)
            assert late is early or race, (upstreams, ends)


@pytest.mark.parametrize("rule", TriggerRule)
def test_p4_a_task_without_upstreams_runs(rule: TriggerRule):
    assert decide(rule, UpstreamCounts()) is D.RUN


def test_removed_upstreams_are_dropped_and_cancelled_ones_failed():
    assert counts([(S.REMOVED, False), (S.CANCELLED, False)]) == counts([(S.FAILED, False)])


@pytest.mark.parametrize("state", TaskState)
def test_taking_an_upstream_away_undoes_adding_it(state: TaskState):
    found = counts([(S.SUCCESS, True), (state, True)])
    found.count(state, setup=True, times=-1)
    assert found == counts([(S.SUCCESS, True)])


@pytest.mark.parametrize(
    ("rule", "ended", "reason"),
    [
        ("all_success", {S.FAILED: ("join_weather",)}, "Did not run: join_weather failed."),
        ("all_success", {S.FAILED: ("a", "b"), S.UPSTREAM_FAILED: ("c",)}, "Did not run: a and b failed."),
        ("all_success", {S.CANCELLED: ("a", "b")}, "Did not run: a and b were cancelled."),
        ("all_success", {S.UPSTREAM_FAILED: ("publish",)}, "Did not run: publish did not run."),
        ("all_success", {S.SKIPPED: ("clean",)}, "Skipped: clean was skipped."),
        ("all_failed", {S.SUCCESS: ("clean",)}, "Skipped: clean succeeded."),
        ("all_skipped", {S.FAILED: ("clean",)}, "Skipped: clean failed."),
        ("one_failed", {S.SUCCESS: ("a", "b")}, "Skipped: no upstream task failed."),
        ("one_done", {S.UPSTREAM_FAILED: ("a",)}, "Skipped: no upstream task ran."),
        ("one_done", {S.SKIPPED: ("a",)}, "Skipped: a was skipped."),
        ("one_success", {S.SKIPPED: ("a", "b")}, "Skipped: a and b were skipped."),
    ],
)
def test_a_verdict_names_what_decided_it(rule: str, ended: dict[S, tuple[str, ...]], reason: str):
    upstreams = [(state, False) for state, names in ended.items() for _ in names]
    assert verdict(TriggerRule(rule), counts(upstreams), UpstreamNames(ended=ended)).reason == reason


@pytest.mark.parametrize("rule", TriggerRule)
def test_every_verdict_has_a_sentence_even_without_names(rule: TriggerRule):
    for upstreams in every_multiset(2):
        assert verdict(rule, counts(upstreams)).reason.endswith(".")


def test_a_wait_says_how_many_where_the_names_are_not_at_hand():
    found = verdict(TriggerRule.ALL_DONE, counts([(S.RUNNING, False), (S.SUCCESS, False)]))
    assert found.reason == "Waiting for 1 of 2 upstream tasks."
