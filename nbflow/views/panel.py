# SPDX-License-Identifier: BSD-3-Clause
"""What a panel shows of a run, and what it leaves in the saved notebook: the graph, how the run ended, and the last lines of a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

from nbflow.core.durations import say_duration
from nbflow.core.ids import TaskKey
from nbflow.core.model import Flow
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.views.bundles import GRAPH_MIME, VERSION, graph_bundle, task_payload
from nbflow.views.words import graph_sentence

#: Lines of a log in a saved notebook.
LINES_SAVED: Final = 20
_GREY: Final = "#808080"  # 3.9:1 on white, 4.8:1 on #111: it can be read on any page


def panel_payload(flow: Flow, records: Mapping[TaskKey, TaskRecord], run: RunRecord | None, now: datetime) -> dict[str, Any]:
    """The payload of the graph alone, without its pictures."""
    return {
        "version": VERSION,
        "flow": flow.name,
        "run_id": run.run_id if run else None,
        "state": str(run.state) if run else None,
        "tasks": [task_payload(task, records, now) for task in flow.tasks],
        "edges": [{"from": edge.upstream, "to": edge.downstream, "names": list(edge.names)} for edge in flow.edges],
        "sentence": graph_sentence(flow, records, run, now),
    }


def run_line(run: RunRecord, now: datetime) -> str:
    """`Run manual__2026-03-14T07:12:04Z, failed, 48.0 s`"""
    took = f", {say_duration(((run.ended_at or now) - run.started_at).total_seconds())}" if run.started_at else ""
    return f"Run {run.run_id}, {run.state}{took}"


def panel_bundle(
    flow: Flow,
    records: Mapping[TaskKey, TaskRecord],
    run: RunRecord | None,
    now: datetime,
    *,
    panel: str = "",
    task: str = "",
    lines: Sequence[str] = (),
) -> dict[str, Any]:
    """The graph as a MIME bundle, with a seat for that panel and the last of these lines of a task's log. Raises CycleError."""
    bundle = graph_bundle(flow, records, run, now)
    told = [run_line(run, now)] if run else []
    tail = [line.rstrip() for line in lines[-LINES_SAVED:]]
    if tail and task:
        told.append(f"log of {task}:")
    text = "\n".join([*told, *tail])
    return {
        **bundle,
        GRAPH_MIME: {**bundle[GRAPH_MIME], "panel": panel, "log": {"task": task, "lines": tail}, "line": told[0] if told else ""},
        "text/html": bundle["text/html"] + _html(told, tail),
        "text/plain": f"{bundle['text/plain']}\n\n{text}" if text else bundle["text/plain"],
    }


def _html(told: Sequence[str], tail: Sequence[str]) -> str:
    head = "".join(f'<div style="font:11px/1.5 system-ui,sans-serif;color:{_GREY}">{escape(line)}</div>' for line in told)
    style = f"margin:2px 0 0;font:12px/1.5 Menlo,Consolas,monospace;color:{_GREY};white-space:pre-wrap"
    return head + (f'<pre style="{style}">{escape(chr(10).join(tail))}</pre>' if tail else "")
