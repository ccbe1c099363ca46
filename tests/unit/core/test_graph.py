# SPDX-License-Identifier: BSD-3-Clause
"""Who waits for whom."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nbflow.core.graph import CycleError, Graph
from tests.unit.core.world import flow_of


def graph(text: str, *, alone: str = "") -> Graph:
    return Graph.of(flow_of(text, alone=alone))


def test_neighbours_stand_in_the_order_written():
    assert graph("c>z a>z b>z", alone="a b c z").upstream("z") == ("a", "b", "c")
    assert graph("a>z a>y", alone="a y z").downstream("a") == ("y", "z")


def test_ancestors_and_descendants_reach_all_the_way():
    diamond = graph("a>b a>c b>d c>d d>e")
    assert diamond.ancestors("d") == {"a", "b", "c"}
    assert diamond.descendants("b", "c") == {"d", "e"}


def test_the_order_breaks_ties_by_what_was_written_first():
    assert graph("y>z", alone="b y a z").order == ("b", "y", "a", "z")


def test_a_task_written_above_what_it_waits_for_comes_after_it():
    assert graph("b>a", alone="a b").order == ("b", "a")


def test_a_cycle_is_told_as_a_path_from_the_task_written_first():
    with pytest.raises(CycleError, match=r"a -> b -> c -> a\. Remove one") as caught:
        _ = graph("x>b a>b b>c c>a c>d", alone="x a b c d").order
    assert caught.value.path == ("a", "b", "c", "a")


def test_a_task_that_waits_for_itself_is_a_cycle():
    with pytest.raises(CycleError, match="a -> a"):
        _ = Graph(("a",), [("a", "a")]).order


def test_edges_to_tasks_outside_the_selection_count_as_not_there():
    part = Graph.of(flow_of("a>b b>c"), ("a", "c"))
    assert part.ids == ("a", "c")
    assert part.upstream("c") == ()


def test_the_roots_of_a_group_wait_for_nothing_inside_it():
    groups = graph("start>etl.a start>etl.b etl.a>etl.c etl.b>etl.c", alone="start etl.a etl.b etl.c other")
    assert groups.group_roots("etl") == ("etl.a", "etl.b")
    assert groups.group_roots("start") == ()


def test_five_thousand_tasks_in_a_chain_are_ordered_without_recursion():
    ids = [f"t{n}" for n in range(5000)]
    chain = Graph(ids, pairwise(ids))
    assert chain.order == tuple(ids)
    assert len(chain.descendants("t0")) == 4999
