# SPDX-License-Identifier: BSD-3-Clause
"""Flows and records to draw."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey
from nbflow.core.model import Edge, Flow, FlowOptions, Read, Task
from nbflow.core.options import TaskKind, TaskOptions
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState

START = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
NOW = START + timedelta(seconds=24)
APPS = ("securityApp", "mainApp", "extApp", "timeApp", "tokenApp", "bridgeApp", "daemonApp", "notificationApp", "messageApp")
CHAIN = ("drop_exception", "create_table", "parse_log", "gen_reports", "check_threshold")


def a_task(id: str, **fields: Any) -> Task:
    return Task(id=TaskId(id), source=fields.pop("source", "x = 1"), **fields)


def a_flow(edges: Iterable[tuple[str, ...]] = (), tasks: Iterable[str | Task] = (), name: str = "flow", **options: Any) -> Flow:
    """Edges are (upstream, downstream, names...); tasks not listed come in the order of the edges."""
    edges = list(edges)
    listed = [task if isinstance(task, Task) else a_task(task) for task in tasks]
    known = {task.id for task in listed}
    listed += [a_task(id) for id in dict.fromkeys(id for edge in edges for id in edge[:2]) if id not in known]
    return Flow(
        name=FlowName(name),
        tasks=tuple(listed),
        edges=tuple(Edge(upstream=TaskId(edge[0]), downstream=TaskId(edge[1]), names=tuple(edge[2:])) for edge in edges),
        options=FlowOptions(**options),
    )


def monitor_errors() -> Flow:
    downloads = [(f"download.{app}", "drop_exception", f"raw_{app}") for app in APPS]
    chain = [(above, below, "rows") for above, below in pairwise(CHAIN)]
    ends = [("check_threshold", "alert", "count"), ("check_threshold", "all_quiet")]
    branch = a_task("check_threshold", options=TaskOptions(as_=TaskKind.BRANCH), reads=(Read(name="rows"),), writes=("count",))
    tasks = [*(f"download.{app}" for app in APPS), *CHAIN[:-1], branch, "alert", "all_quiet"]
    return a_flow([*downloads, *chain, *ends], tasks, "monitor_errors", description="Download logs, alert over a threshold")


def a_record(id: str, state: str, seconds: float | None = None, **fields: Any) -> TaskRecord:
    ended = None if seconds is None or state == "running" else START + timedelta(seconds=seconds)
    started = None if seconds is None else START
    return TaskRecord(key=TaskKey(TaskId(id)), state=TaskState(state), started_at=started, ended_at=ended, **fields)


def by_key(*records: TaskRecord) -> dict[TaskKey, TaskRecord]:
    return {record.key: record for record in records}


def all_in(flow: Flow, state: str, seconds: float | None = 1.2, **fields: Any) -> dict[TaskKey, TaskRecord]:
    return by_key(*(a_record(task.id, state, seconds, attempt=1, **fields) for task in flow.tasks))


def a_run(flow: Flow, state: RunState = RunState.SUCCESS, **fields: Any) -> RunRecord:
    base: dict[str, Any] = {"run_id": RunId("manual__1"), "flow": flow.name, "state": state, "created_at": START, "started_at": START}
    return RunRecord(**{**base, **fields})
