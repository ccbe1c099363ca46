# SPDX-License-Identifier: BSD-3-Clause
"""What tasks show in an executed notebook: each task's card and outputs under the cell that defines it, the graph under the cell that runs it.

A cell's outputs are what the kernel showed there (its own outputs, cards among them), and behind each card the outputs of that task.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import nbformat

from nbflow.core.hosting import TaskFailure
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.mapping import copy_heading
from nbflow.core.model import Flow
from nbflow.operators.notebook_cells import Displays
from nbflow.operators.notebook_host import AttemptShown, CardShown, GraphShown, OutputShown, Shown

GRAPH_MIME: Final = "application/vnd.nbflow.graph+json"
_TASK_LINE: Final = re.compile(r"\A\s*%%task[ \t]+(?P<name>[^\s-][^\s]*)")


def card_id(task: str) -> str:
    """The display id under which the kernel shows a task's card."""
    return f"nbflow-card-{task}"


@dataclass
class _Area:
    """The outputs of one task instance."""

    attempt: int = 0
    outputs: list[Any] = field(default_factory=list)
    #: Those that stand in the cell now.
    placed: list[Any] = field(default_factory=list)
    clear_next: bool = False
    _heading: Any = None

    def heading(self, key: TaskKey) -> Any:
        """The line above the outputs of one copy of a mapped task."""
        if self._heading is None:
            self._heading = nbformat.v4.new_output("display_data", data=copy_heading(key))
        return self._heading


class TaskAreas:
    """Writes what the host shows into the notebook. Used in the loop of the execution only."""

    def __init__(self, cells: Sequence[Any], displays: Displays) -> None:
        self._cells, self._displays = cells, displays
        self._areas: dict[TaskKey, _Area] = {}
        self._ids: dict[TaskId, str] = {}
        self._named = {found["name"]: index for index, cell in enumerate(cells) if (found := _task_line(cell))}
        #: The graph to show in a cell, by the cell's index.
        self._graphs: dict[int, Mapping[str, Any]] = {}

    def know(self, flow: Flow) -> None:
        """The flow as the kernel understands it now: it says which cell each task stands in."""
        self._ids.update({task.id: task.cell.id for task in flow.tasks if task.cell.id})

    def cell_of(self, task: TaskId) -> int | None:
        """The index of the cell a task's outputs belong under: where its card is, else where it was defined."""
        for card in self._displays.shown(card_id(task)):
            for index, cell in enumerate(self._cells):
                if any(output is card for output in cell.get("outputs", ())):
                    return index
        cell_id = self._ids.get(task)
        if cell_id is not None:
            for index, cell in enumerate(self._cells):
                if cell.get("id") == cell_id:
                    return index
        return self._named.get(task)

    def show(self, shown: Shown, asking: int | None) -> Any:
        """Write it; `asking` is the index of the cell that asked for the advance. Returns the live output it added, for papermill's log."""
        match shown:
            case CardShown(task=task, data=data):
                self._displays.update(card_id(task), data, {})
            case GraphShown(data=data):
                if asking is not None:
                    self._graphs[asking] = data
                    for output in self._cells[asking].outputs:
                        self.place_graph(asking, output)
            case AttemptShown(key=key, attempt=attempt, outputs=outputs):
                self._areas[key] = _Area(attempt, placed=self._area(key).placed)
                for output in outputs:
                    self._add(key, output)
                self._place(key)
            case OutputShown(key=key, attempt=attempt, output=output):
                if attempt != self._area(key).attempt:
                    self._areas[key] = _Area(attempt, placed=self._area(key).placed)
                added = self._add(key, output)
                self._place(key)
                return added
        return None

    def place_graph(self, index: int, output: Any) -> None:
        """An output of a cell: when it is the graph, it gets the newest one."""
        if index in self._graphs and GRAPH_MIME in output.get("data", {}):
            output["data"] = nbformat.from_dict(dict(self._graphs[index]))

    def settle(self, failures: Sequence[TaskFailure]) -> list[int]:
        """The run has ended: only tasks that made it fail keep an `error` output, which is what papermill looks for; others show theirs as text.

        Returns the indexes of the failed cells, the first failure's first.
        """
        failed = {failure.task for failure in failures}
        for key, area in self._areas.items():
            if key.task_id not in failed:
                area.outputs = [_as_text(output) for output in area.outputs]
                self._place(key)
        return [index for failure in failures if (index := self._blame(failure)) is not None]

    def hand_over_errors(self, indexes: Iterable[int]) -> None:
        """Cells that ran the graph failed with their tasks: papermill shall find the error where it is, under the task."""
        for index in indexes:
            self._cells[index].outputs = [_as_text(output, limit=1) for output in self._cells[index].outputs]

    def _blame(self, failure: TaskFailure) -> int | None:
        index = self.cell_of(failure.task)
        if index is None:
            return None
        keys = [key for key in self._areas if key.task_id == failure.task] or [TaskKey(failure.task)]
        if not any(output["output_type"] == "error" for key in keys for output in self._area(key).outputs):
            error = failure.error
            lines = error.traceback or (error.sentence,)
            self._area(keys[-1]).outputs.append(
                nbformat.v4.new_output("error", ename=error.ename, evalue=error.evalue, traceback=list(lines))
            )
            self._place(keys[-1])
        return index

    # --- one area ---------------------------------------------------------------------------------------------------

    def _area(self, key: TaskKey) -> _Area:
        return self._areas.setdefault(key, _Area())

    def _add(self, key: TaskKey, output: Mapping[str, Any]) -> Any:
        area = self._area(key)
        kind = output["output_type"]
        display_id = (output.get("transient") or {}).get("display_id")
        if kind == "clear_output":
            area.clear_next = bool(output.get("wait"))
            if not area.clear_next:
                area.outputs = []
            return None
        if display_id and kind != "stream":
            self._displays.update(display_id, output["data"], output.get("metadata", {}))
        if kind == "update_display_data":
            return None
        if area.clear_next:
            area.outputs, area.clear_next = [], False
        last = area.outputs[-1] if area.outputs else None
        if kind == "stream" and last is not None and last["output_type"] == "stream" and last["name"] == output["name"]:
            last["text"] += _text(output["text"])
            return _node(output)
        added = _node(output)
        if display_id:
            self._displays.register(display_id, added)
        area.outputs.append(added)
        return added

    def _place(self, key: TaskKey) -> None:
        """Put the area's outputs behind the task's card."""
        index = self.cell_of(key.task_id)
        if index is None:
            return
        cell = self._cells[index]
        area = self._area(key)
        for output in area.outputs:
            if output["output_type"] == "execute_result":
                output["execution_count"] = cell.get("execution_count")  # the prompt of the cell it stands under
        mine = {id(output) for output in area.placed}
        others = [output for output in cell.outputs if id(output) not in mine]
        shown = [*([area.heading(key)] if key.map_index >= 0 and area.outputs else []), *area.outputs]
        cell.outputs = _inserted(others, self._before(key, others), shown)
        area.placed = shown

    def _before(self, key: TaskKey, outputs: Sequence[Any]) -> int:
        """How many of the cell's outputs stand before this instance's: up to the card and the instances of lower index."""
        anchors = {id(card) for card in self._displays.shown(card_id(key.task_id))}
        for other, area in self._areas.items():
            if other.task_id == key.task_id and other.map_index < key.map_index:
                anchors |= {id(output) for output in area.placed}
        return max((place + 1 for place, output in enumerate(outputs) if id(output) in anchors), default=len(outputs))


def _inserted(outputs: Sequence[Any], place: int, new: Collection[Any]) -> list[Any]:
    return [*outputs[:place], *new, *outputs[place:]]


def _task_line(cell: Any) -> re.Match[str] | None:
    return _TASK_LINE.match(cell.source) if cell.cell_type == "code" else None


def _node(output: Mapping[str, Any]) -> Any:
    """A fresh output that nbformat accepts."""
    plain = {name: value for name, value in output.items() if name != "transient"}
    if plain["output_type"] == "stream":
        plain["text"] = _text(plain["text"])
    elif plain["output_type"] != "error":
        plain.setdefault("metadata", {})
    if plain["output_type"] == "execute_result":
        plain.setdefault("execution_count", None)
    return nbformat.from_dict(plain)


def _as_text(output: Any, limit: int | None = None) -> Any:
    """An `error` output as the same lines (or the first `limit`) on stderr; any other as it is."""
    if output["output_type"] != "error":
        return output
    lines = output.get("traceback") or [f"{output['ename']}: {output['evalue']}"]
    return nbformat.v4.new_output("stream", name="stderr", text="\n".join(lines[:limit]) + "\n")


def _text(text: str | Sequence[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
