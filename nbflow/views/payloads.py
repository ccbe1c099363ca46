# SPDX-License-Identifier: BSD-3-Clause
"""The JSON shapes other programs rely on (product.md 4) and what rich views draw from. Keys may be added, never taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from nbflow.core.addresses import shown
from nbflow.core.ids import TaskKey
from nbflow.core.mapping import map_sources
from nbflow.core.model import Flow, Task
from nbflow.core.options import TaskOptions
from nbflow.core.records import AttemptRecord, RunRecord, TaskRecord
from nbflow.views.glyphs import is_cached
from nbflow.views.words import reads_of


def graph_json(flow: Flow) -> dict[str, Any]:
    """What `nbflow graph --json` prints."""
    return {
        "flow": flow.name,
        "description": flow.options.description,
        "tasks": [_task(task) for task in flow.tasks],
        "edges": [[edge.upstream, edge.downstream] for edge in flow.edges],
        "names": [list(edge.names) for edge in flow.edges],
    }


def _task(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "kind": str(task.options.as_),
        "operator": task.operator,
        "trigger_rule": str(task.options.trigger_rule),
        "reads": reads_of(task),
        "map": {read.element: read.name for read in map_sources(task)},
        "writes": list(task.writes),
        "group": task.group,
        "options": _options(task.options),
        "cell": task.cell.number,
        "doc": task.doc,
    }


def _options(options: TaskOptions) -> dict[str, Any]:
    """Those that differ from their defaults: durations in seconds, names as lists. Addresses show no secrets."""
    options = replace(options, notify=tuple(map(shown, options.notify)))
    chosen = ((f.name, getattr(options, f.name), f.default) for f in fields(options))
    return {name.rstrip("_"): plain(value) for name, value, default in chosen if value != default}


def plain(value: Any) -> Any:
    """An option's value as JSON has it."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [plain(item) for item in value]
    return value


def instant(at: datetime | None) -> str | None:
    """ISO 8601 with its zone, or null."""
    return None if at is None else at.isoformat()


def run_row(run: RunRecord) -> dict[str, Any]:
    """One row of `nbflow runs list --json`."""
    return {
        "run_id": run.run_id,
        "flow": run.flow,
        "state": str(run.state),
        "logical_date": instant(run.logical_date),
        "start": instant(run.started_at),
        "end": instant(run.ended_at),
        "trigger": run.trigger,
        "run_type": run.run_type,
    }


def attempt_row(attempt: AttemptRecord) -> dict[str, Any]:
    """One row of `nbflow runs show RUN TASK --json`."""
    return {
        "id": str(attempt.key.task_id),
        "map_index": attempt.key.map_index,
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "start": instant(attempt.started_at),
        "end": instant(attempt.ended_at),
        "worker": attempt.worker,
        "reason": attempt.reason,
        "peak_bytes": attempt.peak_bytes,
        "cpu_seconds": attempt.cpu_seconds,
    }


def run_json(run: RunRecord, records: Mapping[TaskKey, TaskRecord]) -> dict[str, Any]:
    """What `nbflow run --json` and `nbflow runs show --json` print."""
    return {
        **run_row(run),
        "reason": run.reason,
        "params": plain(run.params),
        "events": plain(run.events),
        "tasks": [_record(record) for record in records.values()],
        "path": run.path,
        "output": run.output,
    }


def _record(record: TaskRecord) -> dict[str, Any]:
    return {
        "id": record.key.task_id,
        "map_index": record.key.map_index,
        "state": str(record.state),
        "attempt": record.attempt,
        "start": instant(record.started_at),
        "end": instant(record.ended_at),
        "reason": record.reason,
        "worker": record.worker,
        "from_cache": is_cached(record),
        "cached_from": record.note.get("from_cache"),
        "last_good": record.note.get("last_good"),
    }
