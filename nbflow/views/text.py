# SPDX-License-Identifier: BSD-3-Clause
"""The flow as text: a drawing for terminals, Mermaid for documents, and the JSON shapes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from nbflow.core import messages
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.model import Flow, Task
from nbflow.core.options import TaskKind
from nbflow.core.records import TaskRecord
from nbflow.views.glyphs import record_view
from nbflow.views.payloads import graph_json, run_json, run_row
from nbflow.views.words import attempt_words, node_line, states_of, took, waits_for

__all__ = ["graph_json", "graph_text", "mermaid", "run_json", "run_row"]

#: Width of a terminal when nobody knows better.
WIDTH: Final = 100
_NAME_LIMIT: Final = 40


def graph_text(flow: Flow, records: Mapping[TaskKey, TaskRecord], now: datetime | None = None, width: int = WIDTH) -> str:
    """The tasks in layers from top to bottom, each after all it waits for, with state and what it waits for.

    Lines are at most `width` columns. Without records the states are left out.
    """
    title = f"{flow.name}: {messages.tally(states_of(flow, records)) if records else messages.plural(len(flow.tasks), 'task')}"
    if not flow.tasks:
        return title
    rows = [row for block in _blocks(flow) for row in _rows(flow, block, records, now)]
    column = min(max(len(left) for left, _ in rows), max(12, width // 2))
    lines = [_line(left, right, column, width) for left, right in rows]
    return "\n".join([_cut(title, width), *lines])


def _blocks(flow: Flow) -> list[tuple[int, list[Task]]]:
    """Tasks in topological layers, as (layer, tasks): one block for each group met in a layer, single tasks by themselves."""
    layers = _layers(flow)
    by_id = {task.id: task for task in flow.tasks}
    blocks: list[tuple[int, list[Task]]] = []
    for layer, ids in itertools.groupby(sorted(layers, key=lambda id: layers[id]), key=lambda id: layers[id]):
        tasks = [by_id[id] for id in ids]
        groups: dict[str, list[Task]] = {}
        for task in tasks:
            groups.setdefault(task.group or task.id + "\0", []).append(task)
        blocks += [(layer, members) for members in groups.values()]
    return blocks


def _layers(flow: Flow) -> dict[TaskId, int]:
    graph = Graph.of(flow)
    layers: dict[TaskId, int] = {}
    for id in graph.order:
        layers[id] = 1 + max((layers[above] for above in graph.upstream(id)), default=-1)
    return {id: layers[id] for id in graph.ids}


def _rows(
    flow: Flow, block: tuple[int, list[Task]], records: Mapping[TaskKey, TaskRecord], now: datetime | None
) -> Iterable[tuple[str, str]]:
    layer, tasks = block
    indent = "  " * min(layer, 12)
    arrow = "└ " if layer else ""
    if not tasks[0].group:
        return [(f"{indent}{arrow}{_name(tasks[0].id, tasks[0], records)}", _notes(flow, tasks[0], records, now))]
    shared = {waits_for(flow, task) for task in tasks}
    common = shared.pop() if len(shared) == 1 else None
    rows = [(f"{indent}{arrow}{tasks[0].group}/", _lower(common or ""))]
    hang = indent + " " * len(arrow)
    for place, task in enumerate(tasks):
        branch = "└─ " if place == len(tasks) - 1 else "├─ "
        rows.append((f"{hang}{branch}{_name(task.label, task, records)}", _notes(flow, task, records, now, waits=common is None)))
    return rows


def _name(name: str, task: Task, records: Mapping[TaskKey, TaskRecord]) -> str:
    shown = cut_middle(name, _NAME_LIMIT)
    return f"{record_view(records.get(TaskKey(task.id))).glyph} {shown}" if records else shown


def _notes(flow: Flow, task: Task, records: Mapping[TaskKey, TaskRecord], now: datetime | None, *, waits: bool = True) -> str:
    """What stands at the right: the state in words and its times during a run, else what the task waits for and takes from it."""
    kind = "branch" if task.options.as_ is TaskKind.BRANCH else ""
    record = records.get(TaskKey(task.id))
    above = _lower(waits_for(flow, task)) if waits else ""
    if record is None:
        return _joined(kind, above, _names(flow, task) if waits else "")
    at = now or record.ended_at or record.started_at
    state = record_view(record).word if at is None else _joined(record_view(record).word, took(record, at), attempt_words(task, record))
    if record.state.is_finished or at is None:
        detail = node_line(task, record, at) if at and record.state.value in {"skipped", "upstream_failed"} else ""
        return _joined(state if detail in {"", state} else f"{state} ({detail})", kind)
    return _joined(state, kind, above)


def _names(flow: Flow, task: Task) -> str:
    names = dict.fromkeys(name for edge in flow.edges if edge.downstream == task.id for name in edge.names)
    return f"({', '.join(names)})" if names else ""


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def _joined(*parts: str) -> str:
    return "  ".join(part for part in parts if part)


def _line(left: str, right: str, column: int, width: int) -> str:
    return _cut(f"{left:<{column}}  {right}".rstrip(), width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(1, width - 1)] + "…"


def cut_middle(name: str, limit: int) -> str:
    """`name`, its middle left out when it is longer than `limit`: both ends tell names apart."""
    if len(name) <= limit:
        return name
    tail = (limit - 1) // 3
    return f"{name[: limit - 1 - tail]}…{name[len(name) - tail :]}"


# --- Mermaid ----------------------------------------------------------------------------------------------------------


def mermaid(flow: Flow) -> str:
    """The graph as a Mermaid flowchart: groups are subgraphs, dashed arrows only order, branches are rhombs."""
    ids = {task.id: f"t{number}" for number, task in enumerate(flow.tasks, start=1)}
    lines = ["flowchart LR", *_group_lines(flow.tasks, ids, (), "  ")]
    for edge in flow.edges:
        if edge.upstream in ids and edge.downstream in ids:
            arrow = "-->" if edge.carries_data else "-.->"
            lines.append(f"  {ids[edge.upstream]} {arrow} {ids[edge.downstream]}")
    return "\n".join(lines)


def _group_lines(tasks: Sequence[Task], ids: Mapping[TaskId, str], path: tuple[str, ...], indent: str) -> list[str]:
    """The tasks under one group, its sub-groups as subgraphs, in the order written."""
    lines: list[str] = []
    depth = len(path)
    inner: dict[str, list[Task]] = {}
    for task in tasks:
        parts = task.id.split(".")
        if len(parts) == depth + 1:
            lines.append(f"{indent}{ids[task.id]}{_shape(task, parts[-1])}")
        else:
            inner.setdefault(parts[depth], []).append(task)
    for name, members in inner.items():
        below = (*path, name)
        lines.append(f'{indent}subgraph g_{_mermaid_id(".".join(below))}["{_mermaid_text(name)}"]')
        lines += _group_lines(members, ids, below, indent + "  ")
        lines.append(f"{indent}end")
    return lines


def _shape(task: Task, label: str) -> str:
    text = f'"{_mermaid_text(label)}"'
    return "{" + text + "}" if task.options.as_ is TaskKind.BRANCH else f"[{text}]"


def _mermaid_id(name: str) -> str:
    """Letters and digits; every other character as its code, so that two names never share an id."""
    return re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):x}_", name)


def _mermaid_text(text: str) -> str:
    """Quotes, brackets and the like as Mermaid's entity codes."""
    return re.sub(r"[^\w .,/:+=()-]", lambda found: f"#{ord(found[0])};", text)
