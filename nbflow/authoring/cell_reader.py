# SPDX-License-Identifier: BSD-3-Clause
"""The cells of a notebook, one by one: header, tasks with their options, plain cells, parameters; with what is wrong in each."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from nbflow.authoring.cell_kinds import CellKind, classify
from nbflow.authoring.cells import CellNames, analyse
from nbflow.authoring.header import Header, read_header
from nbflow.authoring.magic_line import read_task_line
from nbflow.authoring.magics import plain_cell
from nbflow.authoring.notebook_file import CellSource
from nbflow.authoring.options_reader import LOOKING, kind_mistakes, make_options
from nbflow.authoring.parameters_cell import read_parameters
from nbflow.authoring.templates import template_names
from nbflow.authoring.units import Unit
from nbflow.core.cache_key import why_not_cached
from nbflow.core.errors import Problem, nearest
from nbflow.core.ids import TaskId
from nbflow.core.model import CellRef, Parameter
from nbflow.core.options import TaskKind, TaskOptions

PARAMETERS_TAG: Final = "parameters"
#: What `--operator` may say -> the operator of the task.
_OPERATORS: Final = {
    "": "cell",
    "python": "cell",
    "cell": "cell",
    "bash": "bash",
    "email": "email",
    **{name: name for name in sorted(LOOKING)},
}
_HEADING: Final = re.compile(r"^#{1,6}[ \t]+", re.MULTILINE)
_TASK = re.compile(r"\A(?P<lead>\s*)%%task\b(?P<line>[^\n]*)(?:\n|\Z)")


@dataclass
class _Cell:
    """One cell and where its problems are said."""

    source: CellSource
    offset: int = 0


class CellReader:
    """Reads all cells; the result stands in its attributes."""

    def __init__(self, cells: Sequence[CellSource], installation: Mapping[str, Any] | None = None) -> None:
        """`installation`: options of tasks for where nothing else is said, as `[defaults]` of `nbflow.toml` writes them."""
        self.problems: list[Problem] = []
        self._installation = installation or {}
        self.header = Header().under(self._installation)
        self.parameters: tuple[Parameter, ...] = ()
        self.units: list[Unit] = []
        self.header_cell: CellSource | None = None
        self._named: dict[TaskId, CellSource] = {}
        #: By the number of the cell below each.
        self._texts = {cell.number + 1: cell.source for cell in cells if cell.kind == "markdown" and cell.number}
        code = [(cell, classify(cell.source)) for cell in cells if cell.kind == "code"]
        for cell, kind in code:  # the header first: it may stand anywhere
            if kind is CellKind.FLOW:
                self._read_header(cell)
        for cell, kind in code:
            if kind is CellKind.TASK:
                self._read_task(cell)
            elif kind is not CellKind.FLOW:
                self._read_plain(cell, kind)
        self._read_parameters([cell for cell, _ in code])

    # --- the header -----------------------------------------------------------------------------------------------------

    def _read_header(self, cell: CellSource) -> None:
        if self.header_cell is not None:
            first = _say(self.header_cell)
            self._wrong(cell, 1, f"There is another %%flow header in {first}: keep one of them.", code="header")
            return
        self.header_cell = cell
        self.header = read_header(cell.source, cell.number).under(self._installation)
        self.problems += self.header.problems

    # --- tasks ----------------------------------------------------------------------------------------------------------

    def _read_task(self, cell: CellSource) -> None:
        found = _TASK.match(cell.source)
        assert found is not None
        at = found["lead"].count("\n") + 1
        line = read_task_line(found["line"])
        for mistake in line.mistakes:
            self._wrong(cell, at, mistake, code="option")
        if line.id is None:
            return
        if line.id in self._named:
            first = self._named[line.id]
            self._wrong(
                cell, at, f'There are two tasks named "{line.id}": {_say(first)} and {_say(cell)}. Rename one.', code="duplicate-task"
            )
            return
        self._named[line.id] = cell
        options = make_options(self.header.for_task(line.id), line.overrides)
        body = cell.source[found.end() :]
        operator = self._operator(cell, at, options)
        names = self._task_names(cell, body, at, options, operator)
        self._check_names(cell, at, options, operator)
        for mistake in kind_mistakes(options, line.overrides, fail_fast=self.header.options.fail_fast):
            self._wrong(cell, at, mistake, code="option")
        group = self.header.mapped_group(line.id)
        if group and "map" in line.overrides:
            self._wrong(
                cell, at, f"Task {line.id} stands in group {group}, which is mapped as a whole: it cannot be mapped again.", code="option"
            )
        if why := why_not_cached(options):
            self._wrong(cell, at, why, code="option")
        self.units.append(
            Unit(
                cell=CellRef(number=cell.number, id=cell.id, offset=at),
                names=names,
                task=line.id,
                options=options,
                operator=operator,
                source=body,
                mapped_group=group,
                doc=options.doc or (_docstring(body) if operator == "cell" else "") or self._text_above(cell),
            )
        )

    def _text_above(self, cell: CellSource) -> str:
        """The Markdown cell right above, without the marks of its headings."""
        return _HEADING.sub("", self._texts.get(cell.number, "")).strip() if cell.number else ""

    def _operator(self, cell: CellSource, line: int, options: TaskOptions) -> str:
        operator = _OPERATORS.get(options.operator)
        if operator is None:
            hint = nearest(options.operator, _OPERATORS) or " It can be python, bash, email, file, http, sql, time or flow."
            self._wrong(cell, line, f'There is no operator "{options.operator}".{hint}', code="option")
        return operator or "cell"

    def _task_names(self, cell: CellSource, body: str, offset: int, options: TaskOptions, operator: str) -> CellNames:
        asked = template_names(options.unless_exists)
        if operator == "cell":
            found = self._names(cell, body, offset)
            more = tuple(name for name in asked if name not in found.reads)
            if options.out:  # the answer of an approval
                found = replace(found, writes=tuple(dict.fromkeys([*found.writes, options.out])))
            return replace(found, reads=found.reads | set(more), order=(*more, *found.order)) if more else found
        read = tuple(dict.fromkeys([*asked, *template_names(body)]))
        return CellNames(reads=frozenset(read), order=read, writes=(options.out,) if options.out else ())

    def _check_names(self, cell: CellSource, line: int, options: TaskOptions, operator: str) -> None:
        words = [("--reads", word) for word in options.reads] + [("--writes", word) for word in options.writes]
        for flag, word in [*words, *([("--out", options.out)] if options.out else [])]:
            if not word.isidentifier():
                self._wrong(cell, line, f'{flag} cannot be "{word}": it takes the name of a variable.', code="option")
        if options.out and operator == "cell" and options.as_ is not TaskKind.APPROVAL:
            self._wrong(cell, line, "--out belongs to an operator such as -o bash: a Python task gives what it assigns.", code="option")

    # --- plain cells ----------------------------------------------------------------------------------------------------

    def _read_plain(self, cell: CellSource, kind: CellKind) -> None:
        self.units.append(
            Unit(
                cell=CellRef(number=cell.number, id=cell.id),
                names=self._names(cell, cell.source, 0),
                source=cell.source,
                runs=kind is CellKind.RUN,
            )
        )

    def _names(self, cell: CellSource, source: str, offset: int) -> CellNames:
        try:
            return analyse(source)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            told = getattr(error, "msg", None) or str(error)
            self._wrong(cell, line + offset, f"This is not Python: {told}.", code="syntax")
            return CellNames()
        except RecursionError:
            self._wrong(cell, 1 + offset, "An expression here is nested too deeply to be understood: split it.", code="syntax")
            return CellNames()

    def _read_parameters(self, cells: list[CellSource]) -> None:
        tagged = [cell for cell in cells if PARAMETERS_TAG in cell.tags]
        declared = self.header.params
        if tagged:
            try:
                self.parameters = read_parameters(tagged[0].source, declared)
            except (SyntaxError, ValueError):
                return  # said where the cell was read
        if len(tagged) > 1:
            self._wrong(tagged[1], 0, f"Two cells are tagged parameters: {_say(tagged[0])} and {_say(tagged[1])}.", code="parameters")
        known = [parameter.name for parameter in self.parameters]
        for name in declared:
            if name not in known and self.header_cell is not None:
                hint = nearest(name, known) if tagged else " Tag the cell that assigns it with `parameters`."
                line = self.header.lines.get(("params", name), 0)
                self._wrong(self.header_cell, line, f"params.{name}: no cell tagged parameters assigns {name}.{hint}", code="parameters")

    def _wrong(self, cell: CellSource, line: int, message: str, *, code: str) -> None:
        self.problems.append(Problem(cell=cell.number, line=line, message=message, code=code))


def _docstring(body: str) -> str:
    """The text a body begins with, when more follows."""
    try:
        statements = plain_cell(body).tree.body
    except (SyntaxError, ValueError):
        return ""
    if len(statements) > 1 and isinstance(statements[0], ast.Expr) and isinstance(statements[0].value, ast.Constant):
        value = statements[0].value.value
        return inspect.cleandoc(value) if isinstance(value, str) else ""
    return ""


def _say(cell: CellSource) -> str:
    return f"cell {cell.number}" if cell.number else "a cell that is not in the file yet"
