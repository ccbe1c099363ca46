# SPDX-License-Identifier: BSD-3-Clause
"""What is displayed, as MIME bundles: a rich form for nbflow's extension, and forms every other reader of a notebook shows.

The graph comes three times, since no one form is shown everywhere. `text/html` is an image that carries its SVG inside: HTML is what
JupyterLab, VS Code, nbconvert, nbviewer and GitHub prefer, and JupyterLab refuses `image/svg+xml` (and inline SVG) in a notebook it does not
trust, such as one that was executed overnight. `image/svg+xml` is for whoever takes pictures only, `text/plain` for terminals.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from nbflow.core.ids import TaskKey
from nbflow.core.mapping import copies_of, map_sources, summary
from nbflow.core.model import Flow, Task
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.views.card import card_html, card_sentence, card_text, header_html, header_text
from nbflow.views.glyphs import is_cached, urgency
from nbflow.views.payloads import instant
from nbflow.views.svg import graph_svg, size_of, svg_image
from nbflow.views.text import graph_text
from nbflow.views.words import copies_in, gives_of, graph_sentence, reads_of, seconds_of

GRAPH_MIME: Final = "application/vnd.nbflow.graph+json"
TASK_MIME: Final = "application/vnd.nbflow.task+json"
#: Copies of a mapped task that a page can list.
_COPIES_LISTED: Final = 100
#: Of both payloads; raised when a key changes its meaning.
VERSION: Final = 1


def graph_bundle(flow: Flow, records: Mapping[TaskKey, TaskRecord], run: RunRecord | None, now: datetime) -> dict[str, Any]:
    """The graph with the states of a run, or as it was understood. Raises CycleError."""
    svg = graph_svg(flow, records, run, now)
    sentence = graph_sentence(flow, records, run, now)
    width, height = size_of(svg)
    image = svg_image(svg, alt=sentence, width=width, height=height, style="max-width:100%;height:auto")
    return {
        GRAPH_MIME: {
            "version": VERSION,
            "flow": flow.name,
            "run_id": run.run_id if run else None,
            "state": str(run.state) if run else None,
            "tasks": [
                {**_task(task, summary(records, task.id), now), "instances": _instances(copies_of(records, task.id), now)}
                for task in flow.tasks
            ],
            "edges": [{"from": edge.upstream, "to": edge.downstream, "names": list(edge.names)} for edge in flow.edges],
            "sentence": sentence,
        },
        "text/html": image,
        "image/svg+xml": svg,
        "text/plain": graph_text(flow, records, now),
    }


def task_bundle(flow: Flow, task: Task, record: TaskRecord | None, now: datetime, *, note: str = "") -> dict[str, Any]:
    """A task's card."""
    return {
        TASK_MIME: {
            "version": VERSION,
            "flow": flow.name,
            **_task(task, record, now),
            "upstream": list(flow.upstream(task.id)),
            "sentence": card_sentence(flow, task, record),
            "note": note,
            "code": code_of(task),
        },
        "text/html": card_html(flow, task, record, now, note=note),
        "text/plain": card_text(flow, task, record, now, note=note),
    }


def header_bundle(flow: Flow) -> dict[str, Any]:
    """The line under the `%%flow` cell."""
    return {"text/html": header_html(flow), "text/plain": header_text(flow)}


def code_of(task: Task) -> int:
    """What a page compares with the cell as it is now: the CRC-32 of the body, without what does not matter around it."""
    return zlib.crc32(task.source.strip().encode())


def _instances(copies: Sequence[TaskRecord], now: datetime) -> list[dict[str, Any]] | None:
    """The copies of a mapped task, those that need somebody first; None for any other task, and before its elements are counted."""
    if not copies or copies[0].key.map_index < 0:
        return None
    urgent = sorted(copies, key=lambda copy: (urgency(copy.state), copy.key.map_index))
    return [
        {
            "index": copy.key.map_index,
            "state": str(copy.state),
            "reason": copy.reason,
            "attempt": copy.attempt,
            "duration": seconds_of(copy, now),
        }
        for copy in urgent[:_COPIES_LISTED]
    ]


def _task(task: Task, record: TaskRecord | None, now: datetime) -> dict[str, Any]:
    return {
        "id": task.id,
        "label": task.label,
        "group": task.group,
        "kind": str(task.options.as_),
        "state": str(record.state) if record else None,
        "from_cache": record is not None and is_cached(record),
        "reason": record.reason if record else "",
        "attempt": record.attempt if record else 0,
        "attempts": task.options.retries + 1,
        "trigger_rule": str(task.options.trigger_rule),
        "start": instant(record.started_at) if record else None,
        "end": instant(record.ended_at) if record else None,
        "duration": seconds_of(record, now) if record else None,
        "reads": reads_of(task),
        "writes": gives_of(task),
        "map": {read.element: read.name for read in map_sources(task)},
        "copies": dict(record.note["states"]) if record is not None and copies_in(record) else None,
    }


def task_payload(task: Task, records: Mapping[TaskKey, TaskRecord], now: datetime) -> dict[str, Any]:
    """One task as the graph's payload has it."""
    return _task(task, summary(records, task.id), now)
