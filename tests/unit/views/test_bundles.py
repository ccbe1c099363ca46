# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json

from nbflow.core.states import RunState
from nbflow.views.bundles import GRAPH_MIME, TASK_MIME, graph_bundle, header_bundle, task_bundle
from tests.unit.views.flows import NOW, a_record, a_run, all_in, by_key, monitor_errors

FLOW = monitor_errors()


def test_a_graph_has_a_rich_form_and_one_for_every_reader():
    bundle = graph_bundle(FLOW, {}, None, NOW)
    assert set(bundle) == {GRAPH_MIME, "text/html", "image/svg+xml", "text/plain"}
    assert bundle["image/svg+xml"].startswith("<svg ")
    assert bundle["text/html"].startswith('<img src="data:image/svg+xml;base64,')
    assert "drop_exception" in bundle["text/plain"]


def test_the_rich_form_of_a_graph_is_json_that_names_tasks_edges_and_the_run():
    run = a_run(FLOW, RunState.SUCCESS, reason="monitor_errors finished in 1 m 48 s: 16 succeeded.")
    rich = json.loads(json.dumps(graph_bundle(FLOW, all_in(FLOW, "success", 2.5), run, NOW)[GRAPH_MIME]))
    assert (rich["version"], rich["flow"], rich["run_id"], rich["state"]) == (1, "monitor_errors", "manual__1", "success")
    assert rich["sentence"] == run.reason
    task = next(task for task in rich["tasks"] if task["id"] == "download.mainApp")
    assert {"id", "label", "group", "state", "reason", "attempt", "start", "end", "duration", "reads", "writes", "kind"} <= set(task)
    assert (task["label"], task["group"], task["state"], task["duration"]) == ("mainApp", "download", "success", 2.5)
    assert {"from": "check_threshold", "to": "alert", "names": ["count"]} in rich["edges"]


def test_before_a_run_no_task_has_a_state():
    rich = graph_bundle(FLOW, {}, None, NOW)[GRAPH_MIME]
    assert rich["run_id"] is None
    assert {task["state"] for task in rich["tasks"]} == {None}
    assert rich["sentence"] == "monitor_errors: 16 tasks. Download logs, alert over a threshold."


def test_a_running_graph_says_how_far_it_is():
    run = a_run(FLOW, RunState.RUNNING)
    records = by_key(a_record("parse_log", "running", 0, attempt=1))
    assert graph_bundle(FLOW, records, run, NOW)[GRAPH_MIME]["sentence"] == "monitor_errors has been running for 24.0 s: 1 running."


def test_a_card_has_a_rich_form_html_and_text():
    task = FLOW.task("check_threshold")
    bundle = task_bundle(FLOW, task, a_record("check_threshold", "success", 0.9, attempt=1, reason="Succeeded."), NOW)
    assert set(bundle) == {TASK_MIME, "text/html", "text/plain"}
    rich = json.loads(json.dumps(bundle[TASK_MIME]))
    assert (rich["kind"], rich["upstream"], rich["sentence"]) == ("branch", ["gen_reports"], "Succeeded.")
    assert bundle["text/plain"] == "[succeeded] check_threshold  0.9 s"


def test_a_header_has_html_and_text():
    assert set(header_bundle(FLOW)) == {"text/html", "text/plain"}
