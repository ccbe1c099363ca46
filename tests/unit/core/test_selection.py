# SPDX-License-Identifier: BSD-3-Clause
"""Which instances a person means (semantics.md 12): one row for each way of saying it."""

from __future__ import annotations

from typing import Any

import pytest

from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId, TaskKey, task_key
from nbflow.core.records import TaskRecord
from nbflow.core.selection import Selection
from nbflow.core.states import TaskState

#: set > a > b > c > tear, a > d; m has three copies below a, of which one is removed.
STATES = {
    "set": "success", "a": "success", "b": "failed", "c": "upstream_failed", "d": "running",
    "m[0]": "success", "m[1]": "failed", "m[2]": "removed", "tear": "success",
}  # fmt: skip
EDGES = [("set", "a"), ("a", "b"), ("b", "c"), ("a", "d"), ("a", "m"), ("c", "tear")]
GRAPH = Graph([TaskId(id) for id in ("set", "a", "b", "c", "d", "m", "tear")], [(TaskId(one), TaskId(two)) for one, two in EDGES])
RECORDS = {task_key(id): TaskRecord(key=task_key(id), state=TaskState(state)) for id, state in STATES.items()}


def chosen(*tasks: str, **how: Any) -> list[str]:
    selection = Selection(keys=tuple(task_key(task) for task in tasks), **how)
    return [str(key) for key in selection.of(GRAPH, RECORDS)]


@pytest.mark.parametrize(
    ("tasks", "how", "found"),
    [
        ("b", {}, "b"),
        ("c b", {}, "b c"),
        ("", {}, "set a b c d m[0] m[1] tear"),
        ("", {"only_failed": True}, "b c m[1]"),
        ("", {"only_running": True}, "d"),
        ("", {"only_running": True, "only_failed": True}, "b c d m[1]"),
        ("b", {"downstream": True}, "b c tear"),
        ("b", {"upstream": True}, "set a b"),
        ("b", {"upstream": True, "downstream": True}, "set a b c tear"),
        ("a", {"downstream": True, "only_failed": True}, "b c m[1]"),
        ("a", {"only_failed": True}, ""),
        ("m", {}, "m[0] m[1]"),
        ("m[1]", {}, "m[1]"),
        ("m[0]", {"upstream": True}, "set a m[0]"),
        ("m[2]", {}, ""),
    ],
)
def test_who_is_meant(tasks: str, how: dict[str, bool], found: str):
    assert chosen(*tasks.split(), **how) == found.split()


def test_a_task_brings_its_setups_and_teardowns_along():
    selection = Selection(keys=(TaskKey(TaskId("b")),))
    found = selection.of(GRAPH, RECORDS, setups={TaskId("set")}, teardowns={TaskId("tear")})
    assert [str(key) for key in found] == ["set", "b", "tear"]
