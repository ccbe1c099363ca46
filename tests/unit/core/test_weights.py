# SPDX-License-Identifier: BSD-3-Clause
"""Priority weights, against semantics.md 7."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId
from nbflow.core.options import TaskOptions, WeightRule
from nbflow.core.weights import priority_weights

CHAIN = ("ab", "bc")
DIAMOND = ("ab", "ac", "bd", "cd")


def weights(edges: tuple[str, ...], rule: str = "downstream", **priorities: int) -> dict[str, int]:
    ids = sorted({id for edge in edges for id in edge} | set(priorities))
    options = {id: TaskOptions(weight_rule=WeightRule(rule), priority=priorities.get(id, 1)) for id in ids}
    return dict(priority_weights(Graph(map(TaskId, ids), [(TaskId(a), TaskId(b)) for a, b in edges]), options))


@pytest.mark.parametrize(
    ("edges", "rule", "expected"),
    [
        (CHAIN, "downstream", {"a": 3, "b": 2, "c": 1}),
        (CHAIN, "upstream", {"a": 1, "b": 2, "c": 3}),
        (CHAIN, "absolute", {"a": 1, "b": 1, "c": 1}),
        (DIAMOND, "downstream", {"a": 4, "b": 2, "c": 2, "d": 1}),
        (DIAMOND, "upstream", {"a": 1, "b": 2, "c": 2, "d": 4}),
    ],
)
def test_the_examples(edges: tuple[str, ...], rule: str, expected: dict[str, int]):
    assert weights(edges, rule) == expected


def test_each_descendant_counts_once_with_its_own_priority():
    assert weights(DIAMOND, a=1, b=10, c=100, d=1000) == {"a": 1111, "b": 1010, "c": 1100, "d": 1000}


def test_a_priority_may_be_negative():
    assert weights(CHAIN, a=1, b=1, c=-5) == {"a": -3, "b": -4, "c": -5}


@pytest.mark.parametrize(("priority", "clamped"), [(2**31 - 1, 2**31 - 1), (-(2**31), -(2**31))])
def test_weights_stay_within_32_bits(priority: int, clamped: int):
    assert weights(("ab",), a=priority, b=priority)["a"] == clamped
    assert weights(("ab",), rule="upstream", a=priority, b=priority)["b"] == clamped
    assert weights((), rule="absolute", a=priority * 3)["a"] == clamped


def test_each_task_follows_its_own_rule():
    graph = Graph([TaskId(id) for id in "abc"], [(TaskId("a"), TaskId("b")), (TaskId("b"), TaskId("c"))])
    options = {id: TaskOptions() for id in "abc"}
    options["b"] = replace(options["b"], weight_rule=WeightRule.UPSTREAM)
    assert priority_weights(graph, options) == {"a": 3, "b": 2, "c": 1}


@given(st.data())
def test_the_sum_is_that_of_all_distinct_descendants(data: st.DataObject):
    ids = [TaskId(f"t{n}") for n in range(data.draw(st.integers(1, 8)))]
    edges = data.draw(st.sets(st.sampled_from([(a, b) for n, a in enumerate(ids) for b in ids[n + 1 :]] or [(ids[0], ids[0])])))
    graph = Graph(ids, [edge for edge in edges if edge[0] != edge[1]])
    options = {id: TaskOptions(priority=data.draw(st.integers(-3, 9)), weight_rule=data.draw(st.sampled_from(WeightRule))) for id in ids}
    reached = {WeightRule.DOWNSTREAM: graph.descendants, WeightRule.UPSTREAM: graph.ancestors, WeightRule.ABSOLUTE: lambda _: frozenset()}
    found = priority_weights(graph, options)
    for id in ids:
        others = reached[options[id].weight_rule](id)
        assert found[id] == options[id].priority + sum(options[other].priority for other in others)
