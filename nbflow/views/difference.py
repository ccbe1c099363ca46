# SPDX-License-Identifier: BSD-3-Clause
"""Two runs compared, as text and as JSON: the sentence first, then only what differs, the alike ones folded in one line."""

from __future__ import annotations

import difflib
from typing import Any

from nbflow.core.difference import Cause, RunDifference, TaskDifference
from nbflow.core.durations import say_duration
from nbflow.core.messages import name_list, plural
from nbflow.core.records import RunRecord
from nbflow.core.states import TaskState
from nbflow.views.payloads import run_row


def difference_text(found: RunDifference) -> str:
    """What `nbflow runs diff` prints."""
    lines = [f"Two runs of {found.a.flow}", f"  A  {_run(found.a)}", f"  B  {_run(found.b)}", "", found.sentence()]
    differing = [task for task in found.tasks if task.differs]
    if differing:
        lines += ["", *_table([("task", "A", "B", "differs"), *map(_row, differing)])]
    if found.alike:
        lines += ["", f"{plural(len(found.alike), 'task')} alike: {name_list(found.alike)}."]
    first = found.first
    if first is not None and any(first.sources):
        lines += ["", f"Code of {first.id}:", *_code(first)]
    for title, pairs in (("Parameters", found.params), ("Environment", found.environment)):
        if pairs:
            lines += ["", f"{title}:", *(f"  {name}: {a or 'not there'} -> {b or 'not there'}" for name, (a, b) in pairs.items())]
    return "\n".join(lines)


def difference_json(found: RunDifference) -> dict[str, Any]:
    """What `nbflow runs diff --json` prints."""
    return {
        "a": run_row(found.a),
        "b": run_row(found.b),
        "sentence": found.sentence(),
        "first": found.first.id if found.first else None,
        "tasks": [_task(task) for task in found.tasks if task.differs],
        "alike": list(found.alike),
        "params": {name: list(pair) for name, pair in found.params.items()},
        "environment": {name: list(pair) for name, pair in found.environment.items()},
    }


def _task(task: TaskDifference) -> dict[str, Any]:
    return {
        "id": task.id,
        "state": [None if state is None else str(state) for state in task.states],
        "seconds": list(task.seconds),
        "causes": [{"kind": str(cause.kind), "name": cause.name, "a": cause.a, "b": cause.b} for cause in task.causes],
        "results": [{"name": result.name, "same": result.is_same, "told": result.told} for result in task.results],
        "outputs": task.shown,
        "sources": list(task.sources) if any(task.sources) else None,
    }


def _run(run: RunRecord) -> str:
    took = f" after {say_duration((run.ended_at - run.started_at).total_seconds())}" if run.started_at and run.ended_at else ""
    return f"{run.run_id}: {run.state.value}{took}, version {run.version[:8]}"


def _row(task: TaskDifference) -> tuple[str, str, str, str]:
    told = [_cause(cause) for cause in task.causes]
    told += [f"{result.name}: {result.told}" for result in task.results if not result.is_same]
    told += [f"shows: {task.shown}"] if task.shown else []
    before, after = (_end(state, seconds) for state, seconds in zip(task.states, task.seconds, strict=True))
    return (task.id, before, after, "; ".join(told) or "state")


def _cause(cause: Cause) -> str:
    if cause.a or cause.b:
        return f"{cause.kind} {cause.name} ({cause.a or 'not there'} -> {cause.b or 'not there'})".replace("  ", " ")
    return f"{cause.kind} of {cause.name}" if cause.name else str(cause.kind)


def _end(state: TaskState | None, seconds: float | None) -> str:
    if state is None:
        return "not there"
    word = state.value.replace("_", " ")
    return word if seconds is None else f"{word}, {say_duration(seconds)}"


def _table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip() for row in rows]


def _code(task: TaskDifference) -> list[str]:
    before, after = (source.splitlines() for source in task.sources)
    return [f"  {line}".rstrip() for line in difflib.unified_diff(before, after, "A", "B", lineterm="", n=2)]
