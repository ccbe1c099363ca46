# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from hypothesis import given, settings

from nbflow.core.ids import FlowName, TaskId
from nbflow.core.model import Flow, Task
from nbflow.core.options import TaskOptions
from nbflow.core.states import RunState
from nbflow.views.text import graph_json, graph_text, mermaid, run_json, run_row
from nbflow.views.words import understood
from tests.unit.views.flows import APPS, NOW, START, a_flow, a_record, a_run, a_task, all_in, by_key, monitor_errors
from tests.unit.views.test_layout import flows
from tests.unit.views.test_svg import PAYLOADS


def test_the_demo_reads_from_top_to_bottom():
    assert graph_text(monitor_errors(), {}).splitlines() == [
        "monitor_errors: 16 tasks",
        "download/          9 tasks",
        *(f"  {app}" for app in APPS),
        "↓ drop_exception   reads raw_securityApp, raw_mainApp, raw_extApp and 6 more",
        "↓ create_table     reads rows",
        "↓ parse_log        reads rows",
        "↓ gen_reports      reads rows",
        "↓ check_threshold  branch  reads rows",
        "├─ alert           reads count",
        "└─ all_quiet",
    ]


def test_during_a_run_every_task_has_a_glyph_a_word_and_its_time():
    flow = a_flow([("a", "b", "x"), ("b", "c", "y")])
    records = by_key(
        a_record("a", "success", 1.2, attempt=1),
        a_record("b", "failed", 0.9, attempt=2),
        a_record("c", "upstream_failed", reason="Did not run: b failed."),
    )
    assert graph_text(flow, records, NOW).splitlines() == [
        "flow: 1 succeeded, 1 failed, 1 not run",
        "✓ a    succeeded  1.2 s",
        "↓ ✗ b  failed  0.9 s  attempt 2 of 2",
        "↓ ◄ c  not run  (b failed)",
    ]


def test_a_task_that_waits_for_several_says_for_whom():
    drawn = graph_text(a_flow([("a", "join"), ("b", "join"), ("b", "other")]), {}).splitlines()
    assert drawn == ["flow: 4 tasks", "a", "b", "├─ join   waits for a and b", "└─ other"]


@given(flows())
@settings(max_examples=50, deadline=None)
def test_every_task_stands_in_the_drawing_once_and_lines_keep_the_width(flow):
    lines = graph_text(flow, {}, width=72).splitlines()
    assert all(len(line) <= 72 for line in lines)
    assert sum(not re.search(r"/ +\d+ tasks", line) for line in lines[1:]) == len(flow.tasks)


def test_a_chain_of_a_thousand_can_be_drawn():
    chain = a_flow([(f"t{number}", f"t{number + 1}") for number in range(1000)])
    assert len(graph_text(chain, {}).splitlines()) == 1002


def test_a_flow_without_tasks_is_its_title():
    assert graph_text(a_flow(), {}) == "flow: 0 tasks"


def test_mermaid_has_subgraphs_dashed_orders_and_rhombs_for_branches():
    drawn = mermaid(monitor_errors()).splitlines()
    assert drawn[0] == "flowchart LR"
    assert '  subgraph g_download["download"]' in drawn
    assert '  t14{"check_threshold"}' in drawn
    assert "  t14 --> t15" in drawn
    assert "  t14 -.-> t16" in drawn


@pytest.mark.parametrize("payload", PAYLOADS)
def test_mermaid_ids_are_plain_and_labels_escaped(payload):
    for line in mermaid(a_flow(tasks=[payload.replace(".", "") + ".a", payload.replace(".", "")])).splitlines()[1:]:
        assert re.fullmatch(r'\s*(subgraph \w+\[".*"\]|t\d+\[".*"\]|end)', line)
        assert not re.search(r'".*["<>{}].*"', line)


def test_a_task_named_like_a_keyword_of_mermaid_is_only_a_label():
    assert '  t1["end"]' in mermaid(a_flow(tasks=["end"]))


def test_graph_json_has_the_promised_shape():
    task = a_task("a", options=TaskOptions(retries=2, retry_delay=timedelta(seconds=30), after=("z",)), writes=("x",))
    graph = json.loads(json.dumps(graph_json(a_flow([("a", "b", "x")], [task]))))
    assert graph["flow"] == "flow"
    assert graph["edges"] == [["a", "b"]]
    first = graph["tasks"][0]
    assert {"id", "kind", "trigger_rule", "reads", "writes", "group", "options"} <= set(first)
    assert (first["kind"], first["trigger_rule"], first["writes"]) == ("task", "all_success", ["x"])
    assert first["options"] == {"after": ["z"], "retries": 2, "retry_delay": 30.0}


def test_run_json_has_the_promised_shape():
    flow = a_flow(tasks=["a"])
    shown = json.loads(json.dumps(run_json(a_run(flow, RunState.SUCCESS, output="out.ipynb"), all_in(flow, "success", 2))))
    assert {"run_id", "flow", "state", "logical_date", "reason", "tasks", "output"} <= set(shown)
    assert shown["tasks"][0] == {
        "id": "a", "map_index": -1, "state": "success", "attempt": 1, "start": START.isoformat(),
        "end": (START + timedelta(seconds=2)).isoformat(), "reason": "", "worker": "", "from_cache": False, "cached_from": None, "last_good": None,
    }  # fmt: skip


def test_a_row_of_a_run_has_the_promised_shape():
    assert {"run_id", "flow", "state", "logical_date", "start", "end"} <= set(run_row(a_run(a_flow())))


def test_a_task_says_which_assets_it_updates() -> None:
    clean = Task(id=TaskId("clean"), source="x = 1", options=TaskOptions(outlets=("clean_logs", "s3://b/x"), inlets=("raw",)))
    flow = Flow(name=FlowName("etl"), tasks=(clean,))
    assert graph_text(flow, {}).splitlines()[1] == "clean  updates clean_logs, s3://b/x"
    assert understood(flow, clean) == "Waits for nothing. Updates clean_logs, s3://b/x."
    options = graph_json(flow)["tasks"][0]["options"]
    assert (options["outlets"], options["inlets"]) == (["clean_logs", "s3://b/x"], ["raw"])
