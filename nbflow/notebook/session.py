# SPDX-License-Identifier: BSD-3-Clause
"""What was executed in this kernel: the cells that make the flow as it stands now.

A definition belongs to its cell: executing the cell again replaces it, also under a new name. Only executed cells count; the saved file
gives their order, matched by cell id (or by text, for front ends that send no id of the file). Cells that are not in it come last.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbflow.authoring.magic_line import read_task_line
from nbflow.authoring.notebook_file import CellSource, read_notebook
from nbflow.core.errors import NbflowError, UserError, nearest
from nbflow.core.ids import FlowName, TaskId, slug
from nbflow.core.model import Flow

_TASK = re.compile(r"\A\s*(?P<line>%%task\b[^\n]*)")
_FLOW = re.compile(r"\A\s*%%flow\b")
#: Keys of plain cells without an id.
_TURN = "turn:"


@lru_cache(maxsize=10_000)
def task_name(source: str) -> str:
    """The name on the `%%task` line of a cell; "" when it has none."""
    found = _TASK.match(source)
    return str(read_task_line(found["line"]).id or "") if found else ""


def map_of(source: str) -> tuple[tuple[str, str], ...]:
    """What the `%%task` line of a cell maps over: (element, name) pairs."""
    found = _TASK.match(source)
    pairs: tuple[tuple[str, str], ...] = read_task_line(found["line"]).overrides.get("map", ()) if found else ()
    return pairs


@dataclass(frozen=True)
class Executed:
    """A cell as it was last executed."""

    key: str
    source: str
    #: The request that executed it: outputs sent with it land under the cell.
    parent: Mapping[str, Any] = field(default_factory=dict)
    #: The prompt number of that execution.
    count: int = 0
    #: Counts executions: when this cell was executed first, and last.
    first: int = 0
    last: int = 0
    #: It was found in the saved file by its id.
    was_in_file: bool = False

    @property
    def task(self) -> str:
        """The name on its `%%task` line, "" for any other cell."""
        return task_name(self.source)


class Session:
    """The executed cells of one kernel."""

    def __init__(self, shell: Any, path: str = "") -> None:
        self._shell = shell
        self._path = path
        self._cells: dict[str, Executed] = {}
        #: The file holds the whole flow, whatever was executed yet: a headless run.
        self.is_hosted = False
        #: Options of tasks for where nothing else is said, which the installation has.
        self.installation: Callable[[], Mapping[str, Any]] = dict
        self._counter = 0
        self._file: _NotebookFile = _NotebookFile()
        #: The cell being executed; None between cells.
        self.current: Executed | None = None
        self._before: Executed | None = None

    # --- what IPython tells ------------------------------------------------------------------------------------------

    def pre_run_cell(self, info: Any) -> None:
        """A cell begins."""
        self.current = None
        if info.silent or not info.store_history or not info.raw_cell.strip():
            return
        key = str(info.cell_id) if getattr(info, "cell_id", None) else _key_without_id(info.raw_cell, self._counter + 1)
        self._before = self._cells.get(key)
        self.current = self._record(key, info.raw_cell)

    def post_run_cell(self, result: Any) -> None:
        """A cell has ended; one that could not even be compiled was not executed."""
        current, self.current = self.current, None
        if current is not None and getattr(result, "error_before_exec", None) is not None:
            self._restore(current.key)

    def _restore(self, key: str) -> None:
        if self._before is None:
            self._cells.pop(key, None)
        else:
            self._cells[key] = self._before

    def _record(self, key: str, source: str) -> Executed:
        self._counter += 1
        if not key.startswith(_TURN):
            self._forget_guess(source)
        older = self._cells.get(key)
        parent = self._shell.get_parent() if hasattr(self._shell, "get_parent") else {}
        cell = Executed(
            key=key,
            source=source,
            parent=parent,
            count=self._shell.execution_count,
            first=older.first if older else self._counter,
            last=self._counter,
            was_in_file=older.was_in_file if older else False,
        )
        self._cells[key] = cell
        return cell

    def _forget_guess(self, source: str) -> None:
        """A cell that was only known by its text is this one, now that its id is known."""
        for cell in list(self._cells.values()):
            if cell.key.startswith(_TURN) and cell.source.strip() == source.strip():
                del self._cells[cell.key]
                return

    def remember(self, sources: Iterable[str]) -> None:
        """Cells that were executed before the extension was loaded, oldest first."""
        for source in sources:
            if source.strip():
                self._record(f"{_TURN}{self._counter + 1}", source)

    # --- what magics tell ---------------------------------------------------------------------------------------------

    def define(self, source: str) -> Executed:
        """The `%%task` or `%%flow` cell being executed; one made by a call has no cell and is known by its name."""
        current = self.current
        if current is None or current.source.strip().splitlines()[0].split()[:1] != source.split()[:1]:
            current = self._record(_key_without_id(source, self._counter + 1), source)
        for other in list(self._cells.values()):
            same = other.key != current.key and bool(current.task) and other.task == current.task
            # The older one was most likely deleted or moved: a definition that a saved file holds is never dropped by guess.
            if same and not self._places().get(other.key):
                del self._cells[other.key]
            if other.key != current.key and _FLOW.match(current.source) and _FLOW.match(other.source) and not self._places().get(other.key):
                del self._cells[other.key]
        return current

    def drop(self, cell: Executed) -> None:
        """The cell turned out not to define anything."""
        self._cells.pop(cell.key, None)

    def forget(self, task: str) -> None:
        """Forget a task's definition until its cell is executed again. Raises UserError."""
        found = [cell.key for cell in self._cells.values() if cell.task == task]
        if not found:
            known = [cell.task for cell in self._cells.values() if cell.task]
            raise UserError(f'There is no task "{task}" to forget.{nearest(task, known)}')
        for key in found:
            del self._cells[key]

    # --- what the flow is made of ---------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """The notebook's file, absolute; "" when there is none or nobody says where."""
        if self._path:
            return self._path
        for candidate in (self._shell.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
            path = Path(str(candidate or "").removeprefix("RTC:"))
            if path.suffix == ".ipynb" and path.is_file():
                return str(path.absolute())
        return ""

    @property
    def name(self) -> FlowName:
        """The flow's name when no header gives one."""
        return slug(Path(self.path).stem) if self.path else FlowName("notebook")

    def cells(self, without: str = "") -> tuple[CellSource, ...]:
        """The executed cells in the notebook's order, with the text cells of the file; the cell of key `without` left out."""
        self._refresh()
        places = self._places()
        by_place = {place: self._cells[key] for key, place in places.items() if key != without}
        sources: list[CellSource] = []
        for place, saved in enumerate(self._file.cells, start=1):
            executed = by_place.get(place)
            if executed is not None:
                sources.append(replace(saved, id=executed.key, source=executed.source, order=len(sources)))
            elif saved.kind != "code":
                sources.append(replace(saved, order=len(sources)))
        for cell in sorted(self._cells.values(), key=lambda one: one.first):
            if cell.key not in places and cell.key != without:
                sources.append(CellSource(id=cell.key, number=0, kind="code", source=cell.source, tags=(), order=len(sources)))
        return tuple(sources)

    def follow_file(self, path: str) -> None:
        """A headless run of this file: its tasks are known before their cells are executed. Raises UserError when it cannot be read."""
        read_notebook(path)
        self._path, self.is_hosted = path, True
        self._refresh()

    def draft(self) -> Flow:
        """The flow as it stands now. Raises FlowError with every problem."""
        from nbflow.authoring.flow_builder import build_flow  # noqa: PLC0415 - loading the extension stays quick

        cells = self._file.cells if self.is_hosted else self.cells()
        return build_flow(cells, name=self.name, path=self.path, installation=self.installation())

    def tasks_above(self, flow: Flow) -> tuple[TaskId, ...]:
        """The tasks whose cells stand above the cell being executed; all of them when that is not in the file."""
        place = self._places().get(self.current.key) if self.current else None
        return tuple(task.id for task in flow.tasks if place is None or 0 < task.cell.number < place)

    def cell_of(self, task: str) -> Executed | None:
        """The executed cell that defines the task, the newest when there are two."""
        found = [cell for cell in self._cells.values() if cell.task == task]
        return max(found, key=lambda cell: cell.last, default=None)

    def defined_above(self, cell: Executed) -> tuple[Executed, ...]:
        """The tasks' cells above this one, which may be about to run."""
        places = self._places()
        last = len(self._file.cells) + 1

        def position(one: Executed) -> tuple[int, int]:
            return (places.get(one.key, last), one.first)

        return tuple(other for other in self._cells.values() if other.task and position(other) < position(cell))

    def executed(self) -> Iterator[Executed]:
        """The executed cells, the last executed first."""
        return iter(sorted(self._cells.values(), key=lambda cell: -cell.last))

    def number_of(self, key: str) -> int:
        """The cell's number in the file, 0 when it is not there."""
        return self._places().get(key, 0)

    def task_names(self) -> tuple[str, ...]:
        """The tasks defined so far, as executed."""
        return tuple(dict.fromkeys(cell.task for cell in sorted(self._cells.values(), key=lambda one: one.first) if cell.task))

    def saved_task_names(self) -> tuple[str, ...]:
        """The tasks of the saved file, executed or not."""
        self._refresh()
        return tuple(name for cell in self._file.cells if (name := task_name(cell.source)))

    def _refresh(self) -> None:
        """Read the file again when it changed; what was in it and no longer is was deleted."""
        if not self._file.read(self.path):
            return
        places = self._places()
        for cell in list(self._cells.values()):
            if cell.key in self._file.ids:
                self._cells[cell.key] = replace(cell, was_in_file=True)
            elif cell.was_in_file and cell.key not in places and cell is not self.current:
                del self._cells[cell.key]

    def _places(self) -> dict[str, int]:
        """Where executed cells stand in the file, from 1: by id, else by their text."""
        places = {key: self._file.ids[key] for key in self._cells if key in self._file.ids}
        taken = set(places.values())
        for cell in sorted(self._cells.values(), key=lambda one: one.first):
            if cell.key in places or cell.was_in_file:
                continue
            for place, saved in enumerate(self._file.cells, start=1):
                if place not in taken and saved.kind == "code" and saved.source.strip() == cell.source.strip():
                    places[cell.key] = place
                    taken.add(place)
                    break
        return places


class _NotebookFile:
    """The saved cells, read again only when the file changed."""

    def __init__(self) -> None:
        self.cells: tuple[CellSource, ...] = ()
        self.ids: Mapping[str, int] = {}
        self._seen: tuple[str, int] = ("", 0)

    def read(self, path: str) -> bool:
        """True when the cells were read anew."""
        if not path:
            return False
        try:
            seen = (path, Path(path).stat().st_mtime_ns)
            if seen == self._seen:
                return False
            cells = tuple(read_notebook(path).cells)
        except (OSError, NbflowError):
            return False  # being saved at this moment, or gone: what was known of it still holds
        self._seen, self.cells = seen, cells
        self.ids = {cell.id: place for place, cell in enumerate(cells, start=1) if cell.id}
        return True


def _key_without_id(source: str, count: int) -> str:
    """A key for a cell of a front end without cell ids: a task is known by its name, the header as such, any other cell by its turn."""
    name = task_name(source)
    if name:
        return f"task:{name}"
    return "flow:" if _FLOW.match(source) else f"{_TURN}{count}"
