# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core.graph import CycleError
from nbflow.core.model import Flow
from nbflow.views.layout import Layout, groups_to_fold, layout
from tests.unit.views.flows import APPS, a_flow, monitor_errors


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Random graphs with groups inside groups, long edges, whole meshes and tasks that stand alone."""
    count = draw(st.integers(1, 16))
    groups = ["", "", "a.", "b.", "a.c.", "a.d."]
    ids = [f"{draw(st.sampled_from(groups))}t{number}{'_long' * draw(st.integers(0, 6))}" for number in range(count)]
    pairs = list(combinations(range(count), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=40)) if pairs else []
    edges = [(ids[above], ids[below], *(["x"] if draw(st.booleans()) else [])) for above, below in chosen]
    return a_flow(edges, ids)


def meets(segment: tuple[float, float, float, float], box: tuple[float, float, float, float]) -> bool:
    """Whether a segment has a point strictly inside a box (x, y, width, height)."""
    x1, y1, x2, y2 = segment
    x, y, width, height = box
    return max(x1, x2) > x and min(x1, x2) < x + width and max(y1, y2) > y and min(y1, y2) < y + height


def boxes(drawn: Layout) -> list[tuple[float, float, float, float]]:
    return [(node.x, node.y, node.width, node.height) for node in drawn.nodes]


@given(flows(), st.sets(st.sampled_from(["a", "b", "a.c"])))
@settings(max_examples=150, deadline=None)
def test_no_edge_runs_behind_a_node(flow, folded):
    drawn = layout(flow, folded)
    for stroke in drawn.strokes:
        for segment in stroke.segments:
            assert not any(meets(segment, box) for box in boxes(drawn))


@given(flows())
@settings(max_examples=100, deadline=None)
def test_no_two_nodes_overlap_and_all_lie_inside_the_picture(flow):
    drawn = layout(flow)
    for one, other in combinations(drawn.nodes, 2):
        assert (
            one.x + one.width <= other.x
            or other.x + other.width <= one.x
            or one.y + one.height + 8 <= other.y
            or other.y + other.height + 8 <= one.y
        )
    for x, y, width, height in boxes(drawn):
        assert 0 <= x <= x + width <= drawn.width
        assert 0 <= y <= y + height <= drawn.height


@given(flows())
@settings(max_examples=100, deadline=None)
def test_a_frame_holds_its_tasks_and_nobody_elses(flow):
    drawn = layout(flow)
    for frame in drawn.frames:
        for node in drawn.nodes:
            inside = (
                frame.x < node.x < node.x + node.width < frame.x + frame.width
                and frame.y < node.y < node.y + node.height < frame.y + frame.height
            )
            outside = (
                node.x >= frame.x + frame.width
                or node.x + node.width <= frame.x
                or node.y >= frame.y + frame.height
                or node.y + node.height <= frame.y
            )
            assert inside if node.id.startswith(frame.group + ".") else outside


@given(flows(), st.sets(st.sampled_from(["a", "b"])))
@settings(max_examples=100, deadline=None)
def test_every_edge_is_one_connected_line_from_its_source_to_the_tip_at_its_target(flow, folded):
    drawn = layout(flow, folded)
    home = {task: node for node in drawn.nodes for task in (node.members or (node.id,))}
    for edge in flow.edges:
        source, target = home[edge.upstream], home[edge.downstream]
        if source == target:
            continue
        keys = {(name(source), name(target)) for name in (lambda node: node.id, lambda node: node.id + ".")}
        keys |= {(source.id + "." * a, target.id + "." * b) for a in (0, 1) for b in (0, 1)}
        pieces = [piece for stroke in drawn.strokes if stroke.edges & keys for piece in stroke.segments]
        tips = [tip for tip in drawn.tips if tip.edges & keys and tip.x == target.x and target.y < tip.y < target.y + target.height]
        assert tips, edge
        start = [piece for piece in pieces if piece[0] == source.x + source.width and source.y < piece[1] < source.y + source.height]
        assert start, edge
        assert any(reached(start, pieces, (tip.x - 5, tip.y)) for tip in tips), edge


def reached(start, pieces, goal) -> bool:
    """Whether touching pieces lead from `start` to a point."""
    todo, seen = list(start), set(start)
    while todo:
        here = todo.pop()
        if touches((*goal, *goal), here):
            return True
        for piece in pieces:
            if piece not in seen and touches(piece, here):
                seen.add(piece)
                todo.append(piece)
    return False


def touches(one, other) -> bool:
    return (
        max(min(one[0], one[2]), min(other[0], other[2])) <= min(max(one[0], one[2]), max(other[0], other[2])) + 0.01
        and max(min(one[1], one[3]), min(other[1], other[3])) <= min(max(one[1], one[3]), max(other[1], other[3])) + 0.01
    )


@given(flows())
@settings(max_examples=50, deadline=None)
def test_edges_are_horizontal_and_vertical(flow):
    assert all(x1 == x2 or y1 == y2 for stroke in layout(flow).strokes for x1, y1, x2, y2 in stroke.segments)


@given(flows())
@settings(max_examples=50, deadline=None)
def test_the_same_flow_is_always_drawn_the_same(flow):
    assert layout(flow) == layout(flow)


def test_nine_downloads_reach_their_successor_through_one_trunk():
    drawn = layout(monitor_errors())
    upright = {segment[0] for stroke in drawn.strokes for segment in stroke.segments if segment[0] == segment[2]}
    trunks = {x for x in upright if x < next(node.x for node in drawn.nodes if node.id == "drop_exception")}
    assert len(trunks) == 1
    assert sum(tip.x == next(node.x for node in drawn.nodes if node.id == "drop_exception") for tip in drawn.tips) == 1


def test_a_chain_is_one_straight_line():
    drawn = layout(a_flow([("a", "b", "x"), ("b", "c", "x"), ("c", "d", "x")]))
    assert len({node.y for node in drawn.nodes}) == 1
    assert len({(segment[1], segment[3]) for stroke in drawn.strokes for segment in stroke.segments}) == 1


def test_a_group_is_framed_with_its_tasks_in_the_order_written():
    drawn = layout(monitor_errors())
    assert [frame.group for frame in drawn.frames] == ["download"]
    inside = sorted((node for node in drawn.nodes if node.id.startswith("download.")), key=lambda node: node.y)
    assert [node.label for node in inside] == list(APPS)


def test_a_folded_group_is_one_node_with_its_members():
    drawn = layout(monitor_errors(), ("download",))
    (folded,) = (node for node in drawn.nodes if node.members)
    assert (folded.id, len(folded.members)) == ("download", 9)
    assert len(drawn.nodes) == 8


def test_a_group_with_a_stranger_in_its_middle_has_no_frame_but_keeps_its_name():
    drawn = layout(a_flow([("g.a", "between", "x"), ("between", "g.b", "x")]))
    assert not drawn.frames
    assert {node.label for node in drawn.nodes} == {"g.a", "between", "g.b"}


def test_nodes_grow_with_their_name_up_to_a_limit():
    drawn = layout(a_flow(tasks=["a", "a_rather_long_name_of_a_task", "x" * 200]))
    assert {node.width for node in drawn.nodes} == {220}
    assert {node.width for node in layout(a_flow(tasks=["a"])).nodes} == {144}


def test_many_tasks_that_stand_alone_make_a_block():
    drawn = layout(a_flow(tasks=[f"t{number}" for number in range(40)]))
    assert len({node.x for node in drawn.nodes}) == 5
    assert len({node.y for node in drawn.nodes}) == 8


def test_groups_are_folded_in_flows_of_more_than_sixty_tasks():
    large = a_flow(tasks=[f"g{number % 3}.t{number}" for number in range(61)])
    assert groups_to_fold(large) == ("g0", "g1", "g2")
    assert groups_to_fold(monitor_errors()) == ()


def test_tasks_that_wait_for_each_other_cannot_be_drawn():
    with pytest.raises(CycleError, match="a -> b -> a"):
        layout(a_flow([("a", "b"), ("b", "a")]))


def test_an_empty_flow_is_an_empty_picture():
    assert layout(a_flow()).nodes == []
