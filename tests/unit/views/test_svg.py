# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import base64
import re
from xml.etree import ElementTree as ET

import pytest

from nbflow.core.options import TaskKind, TaskOptions
from nbflow.core.states import RunState
from nbflow.views.svg import fit, graph_svg, size_of
from tests.unit.views.flows import NOW, a_flow, a_record, a_run, a_task, all_in, by_key, monitor_errors

SVG = "{http://www.w3.org/2000/svg}"
PAYLOADS = ['<script>alert("1")</script>', "a&b'c\"d]]>", "\x00\x1b[31mred\ufffe", "</title></svg><img src=x onerror=alert(1)>", "${{x}}"]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def draw(flow, *records, run=None):
    return graph_svg(flow, by_key(*records), run, NOW)


def test_it_is_an_image_with_a_title_and_a_description_of_every_task():
    root = ET.fromstring(graph_svg(monitor_errors(), all_in(monitor_errors(), "success"), None, NOW))
    assert root.attrib["role"] == "img"
    assert root.find(f"{SVG}title").text == "Graph of monitor_errors"
    said = root.find(f"{SVG}desc").text
    assert "parse_log: succeeded, after create_table" in said
    assert all(task.id in said for task in monitor_errors().tasks)


def test_nothing_in_it_runs_or_comes_from_outside():
    flow = monitor_errors()
    svg = graph_svg(flow, all_in(flow, "failed", reason="Failed: <b>x</b>"), a_run(flow, RunState.FAILED, reason="r"), NOW)
    assert not re.search(r"<script|<style|<foreignObject|<image|<use|href|url\(|\son\w+=|@import", svg)
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_whatever_people_write_is_only_text(payload):
    flow = a_flow([(payload + "1", "b", payload)], [a_task(payload + "1", doc=payload), a_task("b")], name=payload, description=payload)
    records = by_key(
        a_record(payload + "1", "upstream_failed", reason=f"Did not run: {payload}."), a_record("b", "skipped", reason=payload)
    )
    for drawn in (graph_svg(flow, records, a_run(flow, RunState.FAILED, reason=payload), NOW), graph_svg(flow, {}, None, NOW)):
        names = {element.tag.removeprefix(SVG) for element in ET.fromstring(drawn).iter()}
        assert names <= {"svg", "title", "desc", "g", "path", "rect", "text"}


def test_a_group_name_is_only_text():
    assert ET.fromstring(graph_svg(a_flow(tasks=["<i>.a", "<i>.b"]), {}, None, NOW)) is not None


def test_a_node_says_its_name_and_how_long_it_took():
    assert texts(draw(a_flow(tasks=["clean"]), a_record("clean", "success", 1.8, attempt=1))) == ["clean", "1.8 s"]


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (a_record("t", "failed", 0.9, attempt=3), "0.9 s, 3 attempts"),
        (a_record("t", "failed", 0.9, attempt=1), "0.9 s, failed"),
        (a_record("t", "running", 0, attempt=1), "24.0 s"),
        (a_record("t", "skipped", reason="Skipped: check_threshold chose all_quiet."), "not chosen"),
        (a_record("t", "skipped", reason="Skipped: a was skipped."), "a was skipped"),
        (a_record("t", "upstream_failed", reason="Did not run: join failed."), "join failed"),
        (a_record("t", "pending", reason="Waiting for 5 of 9 upstream tasks: a, b, c, d, e."), "waits for 5 of 9"),
        (a_record("t", "pending", reason="Waiting for train."), "waits for train"),
        (a_record("t", "up_for_retry", 1, attempt=1, reason="Attempt 2 of 3 starts in 18 s. Attempt 1 failed: x."), "2 of 2 in 18 s"),
        (a_record("t", "success", 3, attempt=1, note={"from_cache": True}), "from cache"),
        (a_record("t", "scheduled", reason="It may run: waiting for a slot."), "may run"),
        (a_record("t", "cancelled", 2, attempt=1), "2.0 s, cancelled"),
    ],
)
def test_the_second_line_says_what_matters_in_few_words(record, line):
    assert texts(draw(a_flow(tasks=["t"]), record))[1] == line


def test_edges_that_only_order_are_dashed_with_an_open_arrow():
    data, order = (graph_svg(a_flow([edge]), {}, None, NOW) for edge in (("a", "b", "x"), ("a", "b")))
    assert 'stroke-dasharray="4 3"' in order
    assert 'stroke-dasharray="4 3"' not in data


def test_the_way_not_taken_ends_in_a_bar():
    flow = a_flow([("choose", "left", "x"), ("choose", "right", "x")])
    taken = draw(flow, a_record("left", "success", 1, attempt=1), a_record("right", "skipped", reason="Skipped: choose chose left."))
    assert taken.count("v10") == 1
    assert taken.count('stroke-dasharray="4 3"') == 1


def test_a_task_that_has_not_started_in_a_run_has_a_dashed_border():
    flow = a_flow(tasks=["a"])
    assert 'stroke-dasharray="3 2.5"' in draw(flow, a_record("a", "pending"))
    assert 'stroke-dasharray="3 2.5"' not in draw(flow, a_record("a", "success", 1, attempt=1))


def test_a_frame_counts_its_tasks():
    flow = monitor_errors()
    done = [a_record(f"download.{app}", "success", 1, attempt=1) for app in ("mainApp", "extApp")]
    waiting = [a_record("download.timeApp", "running", 0, attempt=1)]
    assert "2 of 9" in texts(draw(flow, *done, *waiting))
    assert "9 tasks" in texts(graph_svg(flow, all_in(flow, "success"), None, NOW))
    assert "1 of 9 failed" in texts(draw(flow, *done, a_record("download.timeApp", "failed", 1, attempt=1)))


def test_the_picture_does_not_move_while_a_run_does():
    flow = monitor_errors()
    places = [
        re.findall(r'<g transform="translate\(([\d. ]+)\)"><title>', graph_svg(flow, all_in(flow, s), None, NOW))
        for s in ("pending", "failed")
    ]
    assert places[0] == places[1] != []


def test_a_large_flow_shows_its_groups_folded_with_a_bar_of_states():
    flow = a_flow(tasks=[f"g{number % 2}.t{number}" for number in range(64)])
    records = all_in(flow, "success") | by_key(a_record("g0.t0", "failed", 1, attempt=1))
    svg = graph_svg(flow, records, None, NOW)
    assert texts(svg) == ["g0", "1 of 32 failed", "g1", "32 tasks"]
    assert svg.count('height="3"') == 3


def test_a_long_name_is_cut_in_its_middle():
    (name, _) = texts(graph_svg(a_flow(tasks=["load_customer_master_data_from_the_warehouse_v2"]), {}, None, NOW))
    assert name.startswith("load_customer")
    assert "…" in name
    assert name.endswith("_v2")


def test_text_is_never_wider_than_its_room():
    assert fit("short", 100, 13) == "short"
    assert fit("a long sentence about it", 60, 11).endswith("…")


def test_it_says_its_size():
    width, height = size_of(graph_svg(a_flow(tasks=["a"]), {}, None, NOW))
    assert (width, height) == (148, 48)


def test_an_empty_flow_can_be_drawn():
    assert ET.fromstring(graph_svg(a_flow(), {}, None, NOW)) is not None


def test_an_image_carries_its_svg_inside():
    from nbflow.views.svg import svg_image

    image = svg_image("<svg/>", alt='"x" & <y>', width=16, height=16)
    assert base64.b64encode(b"<svg/>").decode() in image
    assert "<y>" not in image


@pytest.mark.parametrize("kind", [kind for kind in TaskKind if kind is not TaskKind.PLAIN])
def test_what_a_task_is_besides_work_has_its_mark(kind: TaskKind):
    plain, marked = (graph_svg(a_flow(tasks=[a_task("a", options=TaskOptions(as_=one))]), {}, None, NOW) for one in (TaskKind.PLAIN, kind))
    assert marked.count("<path") == plain.count("<path") + 1


def test_the_way_from_a_setup_to_its_teardown_is_dotted():
    kinds = {"up": TaskKind.SETUP, "down": TaskKind.TEARDOWN}
    flow = a_flow([("up", "down")], [a_task(id, options=TaskOptions(as_=kind)) for id, kind in kinds.items()])
    assert 'stroke-dasharray="1 3"' in graph_svg(flow, {}, None, NOW)
    assert 'stroke-dasharray="1 3"' not in graph_svg(a_flow([("up", "down")]), {}, None, NOW)
