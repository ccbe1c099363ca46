# SPDX-License-Identifier: BSD-3-Clause
"""A mapped task is one node, one card, one line: with how many copies it has and how they stand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbflow.core.ids import FlowName, TaskId, TaskKey
from nbflow.core.mapping import summary
from nbflow.core.model import Edge, Flow, Read, Task
from nbflow.core.records import TaskRecord
from nbflow.core.states import TaskState
from nbflow.views.bundles import GRAPH_MIME, TASK_MIME, graph_bundle, task_bundle
from nbflow.views.payloads import graph_json
from nbflow.views.svg import graph_svg, size_of
from nbflow.views.text import graph_text
from tests.unit.views.flows import NOW

SCORE = Task(id=TaskId("score"), source="y = x", reads=(Read(name="xs", writers=(TaskId("listed"),), element="x"),), writes=("y",))
FLOW = Flow(
    name=FlowName("maps"),
    tasks=(Task(id=TaskId("listed"), source="xs = []", writes=("xs",)), SCORE),
    edges=(Edge(upstream=TaskId("listed"), downstream=TaskId("score"), names=("xs",)),),
)


@pytest.fixture
def records() -> dict[TaskKey, TaskRecord]:
    states = ["success", "failed", "success"]
    keys = [TaskKey(TaskId("score"), index) for index in range(3)]
    copies = [TaskRecord(key=key, state=TaskState(state), attempt=1, reason="Why.") for key, state in zip(keys, states, strict=True)]
    listed = TaskRecord(key=TaskKey(TaskId("listed")), state=TaskState.SUCCESS, attempt=1)
    return {record.key: record for record in [listed, *copies]}


def test_the_text_has_one_line_for_all_copies(records: dict[TaskKey, TaskRecord]):
    told = graph_text(FLOW, records, NOW)
    assert told.splitlines()[0] == "maps: 3 succeeded, 1 failed"
    assert [line.split() for line in told.splitlines()[2:]] == [["↓", "✗", "score", "x", "3", "2", "succeeded,", "1", "failed", "mapped"]]


def test_the_picture_stacks_two_sheets_behind_the_node_and_counts(records: dict[TaskKey, TaskRecord]):
    svg = graph_svg(FLOW, records, None, NOW)
    assert ">x 3</text>" in svg
    assert ">1 failed, 2 suc" in svg
    plain = replace(FLOW, tasks=(FLOW.tasks[0], replace(SCORE, reads=())))
    assert svg.count("<rect") == graph_svg(plain, {}, None, NOW).count("<rect") + 2 + 2 + 1  # sheets, the parts of the bar, the tint
    assert size_of(svg) > size_of(graph_svg(plain, {}, None, NOW))


def test_payloads_say_what_is_mapped_over_and_how_the_copies_stand(records: dict[TaskKey, TaskRecord]):
    tasks = graph_bundle(FLOW, records, None, NOW)[GRAPH_MIME]["tasks"]
    assert [(task["map"], task["copies"], task["state"]) for task in tasks] == [
        ({}, None, "success"),
        ({"x": "xs"}, {"success": 2, "failed": 1}, "failed"),
    ]
    assert graph_json(FLOW)["tasks"][1]["map"] == {"x": "xs"}


def test_the_card_names_the_first_copy_to_blame(records: dict[TaskKey, TaskRecord]):
    bundle = task_bundle(FLOW, SCORE, summary(records, TaskId("score")), NOW)
    assert bundle["text/plain"] == "[failed] score x 3  2 succeeded, 1 failed"
    assert bundle[TASK_MIME]["sentence"] == "3 copies: 2 succeeded, 1 failed. Copy 1: Why."


def test_before_a_run_the_card_says_what_is_mapped_over():
    bundle = task_bundle(FLOW, SCORE, None, NOW)
    assert bundle[TASK_MIME]["sentence"] == "Waits for listed. One copy for each x of xs. Reads xs. Gives y."


def test_the_page_can_list_the_copies_those_that_need_somebody_first(records: dict[TaskKey, TaskRecord]):
    payload = graph_bundle(FLOW, records, None, NOW)[GRAPH_MIME]
    score = next(task for task in payload["tasks"] if task["id"] == "score")
    assert [(copy["index"], copy["state"]) for copy in score["instances"]] == [(1, "failed"), (0, "success"), (2, "success")]
    assert score["instances"][0]["reason"] == "Why."


def test_there_is_no_list_before_the_elements_are_counted():
    payload = graph_bundle(FLOW, {}, None, NOW)[GRAPH_MIME]
    assert [task["instances"] for task in payload["tasks"]] == [None] * len(FLOW.tasks)


def test_a_card_knows_the_code_its_task_was_defined_with():
    task = replace(SCORE, source="y = x\n")
    assert task_bundle(FLOW, task, None, NOW)[TASK_MIME]["code"] == 1966830066
