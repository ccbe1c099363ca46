# SPDX-License-Identifier: BSD-3-Clause
"""The flow as text: a drawing for terminals, Mermaid for documents, and the JSON shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from nbflow.core import messages
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.mapping import is_mapped, summary
from nbflow.core.model import Flow, Task
from nbflow.core.options import TaskKind
from nbflow.core.records import TaskRecord
from nbflow.core.states import TaskState
from nbflow.views.glyphs import record_view
from nbflow.views.payloads import graph_json, run_json, run_row
from nbflow.views.words import attempt_words, copies_in, copies_line, listed, node_line, states_of, times, took, waits_for

__all__ = ["graph_json", "graph_text", "mermaid", "run_json", "run_row"]

#: Width of a terminal when nobody knows better.
WIDTH: Final = 100
_NAME_LIMIT: Final = 40
_NAMES_SHOWN: Final = 3
#: States whose reason is worth a few words.
_EXPLAINED: Final = frozenset({TaskState.SKIPPED, TaskState.UPSTREAM_FAILED, TaskState.UP_FOR_RETRY})
_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


def graph_text(flow: Flow, records: Mapping[TaskKey, TaskRecord], now: datetime | None = None, width: int = WIDTH) -> str:
    """The tasks from top to bottom, each below one it waits for (the last of them to be reached), with state and times, or the names it takes.

    Tasks of a group that wait for the same stand together. Lines are at most `width` columns. Raises CycleError.
    """
    title = f"{flow.name}: {messages.tally(states_of(flow, records)) if records else messages.plural(len(flow.tasks), 'task')}"
    if not flow.tasks:
        return title
    rows = _Tree(flow, records, now).rows()
    column = min(max(len(left) for left, _ in rows), max(12, width * 3 // 5))
    return "\n".join([_cut(title, width), *(_line(left, right, column, width) for left, right in rows)])


class _Tree:
    """The flow as a tree of units: a unit is a task, or several tasks of one group with the same upstream."""

    def __init__(self, flow: Flow, records: Mapping[TaskKey, TaskRecord], now: datetime | None) -> None:
        self._flow, self._records, self._now = flow, records, now
        graph = self._graph = Graph.of(flow)
        by_id = {task.id: task for task in flow.tasks}
        layer: dict[TaskId, int] = {}
        units: dict[tuple[str, tuple[TaskId, ...]], list[Task]] = {}
        home: dict[TaskId, list[Task]] = {}
        for id in graph.order:
            above = graph.upstream(id)
            layer[id] = 1 + max((layer[other] for other in above), default=-1)
            unit = units.setdefault((by_id[id].group or f"\0{id}", above), [])
            unit.append(by_id[id])
            home[id] = unit
        self._roots: list[list[Task]] = []
        self._below: dict[TaskId, list[list[Task]]] = {}
        for (_, above), unit in units.items():
            unit.sort(key=lambda task: graph.position[task.id])
            if above:
                parent = home[max(above, key=lambda other: (layer[other], graph.position[other]))]
                self._below.setdefault(parent[0].id, []).append(unit)
            else:
                self._roots.append(unit)

    def rows(self) -> list[tuple[str, str]]:
        """Left: the drawing; right: the words."""
        rows: list[tuple[str, str]] = []
        todo: list[tuple[list[Task], str, str, list[Task]]] = [(unit, "", "", []) for unit in reversed(self._roots)]
        while todo:
            unit, first, rest, parent = todo.pop()
            below = self._below.get(unit[0].id, [])
            rows += self._unit(unit, first, rest + ("│ " if len(below) > 1 else "  "), parent)
            if len(below) == 1:
                todo.append((below[0], rest + "↓ ", rest, unit))
                continue
            for place in range(len(below) - 1, -1, -1):
                last = place == len(below) - 1
                todo.append((below[place], rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "), unit))
        return rows

    def _unit(self, unit: Sequence[Task], first: str, rest: str, parent: Sequence[Task]) -> Iterable[tuple[str, str]]:
        obvious = set(self._graph.upstream(unit[0].id)) == {task.id for task in parent}
        waits = "" if obvious else _lower(waits_for(self._flow, unit[0]))
        if len(unit) == 1:
            return [(first + _name(unit[0].id, unit[0], self._records), self._notes(unit[0], waits))]
        head = (f"{first}{unit[0].group}/", _joined(messages.plural(len(unit), "task"), waits))
        return [head, *((rest + _name(task.label, task, self._records), self._notes(task, "")) for task in unit)]

    def _notes(self, task: Task, waits: str) -> str:
        """During a run the state in words, its times and why; before it, what the task waits for and takes."""
        kind = "branch" if task.options.as_ is TaskKind.BRANCH else "mapped" if is_mapped(task) else ""
        record = summary(self._records, task.id)
        if record is None:
            names = dict.fromkeys(name for edge in self._flow.edges if edge.downstream == task.id for name in edge.names)
            reads = f"reads {listed(list(names), _NAMES_SHOWN)}" if names else ""
            updates = f"updates {listed(task.options.outlets, _NAMES_SHOWN)}" if task.options.outlets else ""
            return _joined(kind, waits, reads, updates)
        at = self._now or record.ended_at or record.started_at
        time = took(record, at) if at else ""
        if copies_in(record):
            return _joined(times(record), copies_line(record), time, kind, waits)
        return _joined(
            record_view(record).word.partition(",")[0], time, attempt_words(task, record), kind, self._why(task, record, at) or waits
        )

    @staticmethod
    def _why(task: Task, record: TaskRecord, at: datetime | None) -> str:
        if record.state not in _EXPLAINED:
            return ""
        line = node_line(task, record, at or _NO_TIME)
        return "" if record_view(record).word.startswith(line) else f"({line})"


def _name(name: str, task: Task, records: Mapping[TaskKey, TaskRecord]) -> str:
    shown = cut_middle(name, _NAME_LIMIT)
    return f"{record_view(summary(records, task.id)).glyph} {shown}" if records else shown


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
