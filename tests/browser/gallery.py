# SPDX-License-Identifier: BSD-3-Clause
"""One of everything that is drawn, as the outputs of a notebook: what `make screenshots` takes pictures of without running anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import nbformat

from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey
from nbflow.core.model import Edge, Flow, Read, Task
from nbflow.core.options import TaskKind, TaskOptions
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.views.bundles import graph_bundle, header_bundle, task_bundle

NOW: Final = datetime(2026, 3, 14, 9, 13, tzinfo=UTC)
S = TaskState
_NOT_STARTED: Final = {S.PENDING, S.SCHEDULED, S.QUEUED, S.UPSTREAM_FAILED, S.SKIPPED, S.REMOVED}
_WHY: Final = {
    S.PENDING: "Waiting for extract.",
    S.SCHEDULED: "Waiting for a slot in pool sftp: 3 of 3 in use by extApp, notificationApp, daemonApp.",
    S.QUEUED: "Queued for 4 s: all 8 worker threads are busy.",
    S.FAILED: "Failed after 3 attempts: KeyError: 'temp_c' in join_weather, line 4.",
    S.UPSTREAM_FAILED: "Did not run: join_weather failed.",
    S.SKIPPED: "Skipped: check_threshold chose alert.",
    S.UP_FOR_RETRY: "Attempt 2 of 3 starts in 18 s. Attempt 1 failed: ConnectionResetError: peer closed the connection.",
    S.CANCELLED: "Cancelled by hand.",
}


def _task(id: str, kind: TaskKind = TaskKind.PLAIN, reads: Iterable[Read] = (), writes: Iterable[str] = ()) -> Task:
    return Task(id=TaskId(id), source="x = 1", reads=tuple(reads), writes=tuple(writes), options=TaskOptions(retries=2, as_=kind))


def _flow(name: str, tasks: Iterable[Task], *edges: tuple[str, ...]) -> Flow:
    lines = tuple(Edge(upstream=TaskId(edge[0]), downstream=TaskId(edge[1]), names=edge[2:]) for edge in edges)
    return Flow(name=FlowName(name), tasks=tuple(tasks), edges=lines)


def _record(id: str, state: TaskState, seconds: float = 12.4, index: int = -1) -> TaskRecord:
    began = None if state in _NOT_STARTED else NOW - timedelta(seconds=seconds)
    return TaskRecord(
        key=TaskKey(TaskId(id), index),
        state=state,
        reason=_WHY.get(state, ""),
        started_at=began,
        ended_at=None if state is S.RUNNING or began is None else NOW,
        attempt=0 if began is None else 3 if state is S.FAILED else 1,
    )


def _bundle(flow: Flow, states: Mapping[str, TaskState | tuple[TaskState, float]], state: RunState = RunState.RUNNING) -> dict[str, Any]:
    records = {}
    for id, stands in states.items():
        record = _record(id, *stands) if isinstance(stands, tuple) else _record(id, stands)
        above = flow.upstream(TaskId(id))
        waits = record.state is S.PENDING and above
        records[record.key] = replace(record, reason=f"Waiting for {above[-1]}.") if waits else record
    run = RunRecord(run_id=RunId("r"), flow=flow.name, state=state, created_at=NOW, started_at=NOW - timedelta(seconds=31), ended_at=NOW)
    return graph_bundle(flow, records, run if records else None, NOW)


def energy() -> Flow:
    """A small flow that went wrong in one place."""
    names = ("load_readings", "fetch_weather", "clean", "profile", "train", "join_weather", "evaluate", "publish")
    edges = (
        ("load_readings", "clean", "readings"),
        ("clean", "profile", "tidy"),
        ("clean", "train", "tidy"),
        ("clean", "join_weather", "tidy"),
        ("fetch_weather", "join_weather", "weather"),
        ("train", "evaluate", "model"),
        ("evaluate", "publish", "score"),
        ("join_weather", "publish", "features"),
    )
    tasks = [_task(name, writes=[edge[2] for edge in edges if edge[0] == name][:1]) for name in names]
    return _flow("energy_forecast", tasks, *edges)


ENERGY: Final[dict[str, TaskState | tuple[TaskState, float]]] = {
    "load_readings": (S.SUCCESS, 6.1),
    "fetch_weather": (S.SUCCESS, 3.2),
    "clean": (S.SUCCESS, 1.8),
    "profile": (S.SUCCESS, 0.7),
    "train": (S.RUNNING, 26),
    "join_weather": (S.FAILED, 0.9),
    "evaluate": S.PENDING,
    "publish": S.UPSTREAM_FAILED,
}


def states() -> dict[str, Any]:
    """Every state, and every kind of task."""
    kinds = [kind for kind in TaskKind if kind is not TaskKind.PLAIN]
    tasks = [_task(state.value) for state in S]
    tasks += [_task(f"kinds.{kind.value.replace('-', '_')}", kind) for kind in kinds]
    edges = [(above.value, below.value) for above, below in zip(list(S)[:-5], list(S)[5:], strict=True)]
    stands = {state.value: state for state in S} | {task.id: S.SUCCESS for task in tasks if task.group}
    return _bundle(_flow("states", tasks, *edges), stands)


def forty() -> dict[str, Any]:
    """Forty tasks in four stages, half of them done."""
    tasks = [_task(f"stage_{stage}.part_{part}") for stage in range(4) for part in range(10)]
    edges = [(f"stage_{stage}.part_{part}", f"stage_{stage + 1}.part_{(part * 3) % 10}", "x") for stage in range(3) for part in range(10)]
    stands = {task.id: S.SUCCESS if number < 20 else S.RUNNING if number < 24 else S.PENDING for number, task in enumerate(tasks)}
    return _bundle(_flow("forty", tasks, *edges), stands)


def mapped() -> dict[str, Any]:
    """A task with many copies, two of which failed."""
    score = _task("score", reads=[Read(name="models", writers=(TaskId("models"),), element="model")])
    flow = _flow("mapped", [_task("models"), score, _task("best")], ("models", "score", "models"), ("score", "best", "scores"))
    ends = [S.FAILED if index in {7, 19} else S.RUNNING if index > 122 else S.SUCCESS for index in range(128)]
    records = [_record("models", S.SUCCESS, 1), *(_record("score", end, 2, index) for index, end in enumerate(ends))]
    records.append(replace(_record("best", S.PENDING), reason="Waiting for score."))
    run = RunRecord(run_id=RunId("r"), flow=flow.name, state=RunState.RUNNING, created_at=NOW, started_at=NOW - timedelta(seconds=31))
    return graph_bundle(flow, {record.key: record for record in records}, run, NOW)


def folded() -> dict[str, Any]:
    """More than sixty tasks: groups are folded."""
    stages = ("extract", "clean", "features", "train", "publish")
    tasks = [_task(f"{stage}.{letter}{number}") for stage in stages for letter in "ab" for number in range(8)]
    edges = [(f"{above}.a{n}", f"{below}.b{n}", "x") for above, below in pairwise(stages) for n in range(8)]
    stands: dict[str, TaskState | tuple[TaskState, float]] = {}
    for number, task in enumerate(tasks):
        stands[task.id] = S.SUCCESS if number < 40 else S.FAILED if number == 41 else S.RUNNING if number < 50 else S.PENDING
    return _bundle(_flow("eighty_tasks", tasks, *edges), stands)


def long_names() -> dict[str, Any]:
    names = ("load_customer_accounts_and_their_addresses_v2", "a", "reconcile_payments_with_the_general_ledger_of_the_group", "übergröße")
    edges = (
        (names[0], names[2], "customer_accounts_with_addresses"),
        (names[1], names[2], "b"),
        (names[2], names[3], "reconciled_payments"),
    )
    return _bundle(_flow("long_names", map(_task, names), *edges), dict.fromkeys(names, S.SUCCESS), RunState.SUCCESS)


def outputs() -> dict[str, list[dict[str, Any]]]:
    """By name what stands under a cell."""
    flow = energy()
    cards = [task_bundle(flow, flow.task(id), _record(id, *stands) if isinstance(stands, tuple) else _record(id, stands), NOW)
             for id, stands in ENERGY.items()]  # fmt: skip
    return {
        "energy": [_bundle(flow, ENERGY)],
        "before": [_bundle(flow, {})],
        "states": [states()],
        "forty": [forty()],
        "one": [_bundle(_flow("one", [_task("only")]), {"only": S.SUCCESS}, RunState.SUCCESS)],
        "empty": [_bundle(_flow("empty", []), {})],
        "mapped": [mapped()],
        "folded": [folded()],
        "names": [long_names()],
        "cards": [header_bundle(flow), *cards],
    }


def notebook() -> nbformat.NotebookNode:
    cells = [
        nbformat.v4.new_code_cell(f"# {name}", outputs=[nbformat.v4.new_output("display_data", data=data) for data in shown])
        for name, shown in outputs().items()
    ]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
