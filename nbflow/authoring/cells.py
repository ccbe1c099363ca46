# SPDX-License-Identifier: BSD-3-Clause
"""What a cell reads, binds and changes in place, found without running it."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from nbflow.authoring.effects import Body, Call
from nbflow.authoring.evaluation import Evaluation
from nbflow.authoring.magics import PlainCell, plain_cell

#: Names that are there in every IPython namespace.
SHELL_NAMES: Final = frozenset(
    {"get_ipython", "display", "exit", "quit", "In", "Out", "_", "__", "___", "__name__", "__file__", "__builtins__"}
)
BUILTINS: Final = frozenset(dir(builtins)) | SHELL_NAMES


@dataclass(frozen=True)
class DefinitionSource:
    """A function, class or named lambda at the top level of a cell."""

    name: str
    #: The statement as typed, decorators included.
    source: str
    #: The first line of it in the cell, from 1.
    line: int
    #: Names of the notebook its body reads when it runs, in order of appearance.
    reads: tuple[str, ...] = ()
    #: Names of the notebook its body binds (`global`) or changes in place when it runs.
    writes: tuple[str, ...] = ()
    mutates: tuple[str, ...] = ()
    #: What its body does, for whoever follows calls from cell to cell.
    body: Body = field(default_factory=Body, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class CellNames:
    """The names of one cell."""

    #: Must come from another cell (on some path they are read before the cell binds them).
    reads: frozenset[str] = frozenset()
    #: Bound when the cell has run, in order of appearance.
    writes: tuple[str, ...] = ()
    #: Objects changed in place: `d["x"] = 1`, `d.a = 1`, `d.append(1)`.
    mutates: frozenset[str] = frozenset()
    #: Unbound when the cell has run.
    deletes: frozenset[str] = frozenset()
    #: Read, and builtins unless another cell binds them.
    builtin_reads: frozenset[str] = frozenset()
    #: Modules whose names are all imported, and magics that may bind anything.
    stars: tuple[str, ...] = ()
    magics: tuple[str, ...] = ()
    is_async: bool = False
    definitions: Mapping[str, DefinitionSource] = field(default_factory=dict)
    #: The part of `reads` that is read only when a function defined here is called later.
    deferred: frozenset[str] = frozenset()
    #: The part of `writes` that is bound on some paths only: on the others it stays what it was.
    maybe: frozenset[str] = frozenset()
    #: Every name read or changed, in order of appearance.
    order: tuple[str, ...] = ()
    #: Bound by an import statement -> what is imported (`numpy`, `pathlib:Path`).
    imports: Mapping[str, str] = field(default_factory=dict)
    #: Calls of functions by name, with the names that went in.
    calls: tuple[Call, ...] = ()

    @property
    def gives(self) -> tuple[str, ...]:
        """Everything the cell binds, unbinds or changes in place."""
        return tuple(dict.fromkeys([*self.writes, *(name for name in self.order if name in self.mutates or name in self.deletes)]))


@lru_cache(maxsize=4096)
def analyse(source: str) -> CellNames:
    """The names of a cell as typed, magics included. Raises SyntaxError, with the line of the cell."""
    cell = plain_cell(source)
    evaluation = Evaluation()
    for name in cell.reads:
        evaluation.visit_Name(ast.Name(name, ast.Load()))
    for statement in cell.tree.body:
        evaluation.visit(statement)
    evaluation.finish()
    for name in cell.writes:
        evaluation.writes[name] = None
    return _names(cell, evaluation)


def _names(cell: PlainCell, found: Evaluation) -> CellNames:
    writes = [] if cell.runs_apart else [name for name in found.writes if name not in found.deletes]
    mutates = [name for name in found.mutates if name in found.reads or name in writes]
    return CellNames(
        reads=frozenset(found.reads) - BUILTINS,
        writes=tuple(writes),
        mutates=frozenset(mutates),
        deletes=frozenset(found.deletes),
        builtin_reads=frozenset(found.reads) & BUILTINS,
        stars=tuple(found.stars),
        magics=(*cell.magics, *found.magics),
        is_async=found.is_async,
        definitions=MappingProxyType(_definitions(cell, found)),
        deferred=frozenset(found.deferred) - BUILTINS,
        maybe=frozenset(name for name in writes if name not in found.state.bound and name not in cell.writes),
        order=tuple(dict.fromkeys([*found.reads, *found.mutates, *found.deletes])),
        imports=MappingProxyType(dict(found.imports)),
        calls=tuple(found.calls),
    )


def _definitions(cell: PlainCell, found: Evaluation) -> dict[str, DefinitionSource]:
    """Those that hold when the cell has run: a later definition of the same name replaces an earlier one."""
    definitions: dict[str, DefinitionSource] = {}
    for node in cell.tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda()):
                first = node.lineno
            case _:
                continue
        body = found.bodies.get(name)
        if body is not None:
            lines = cell.source.splitlines()[first - 1 : node.end_lineno]
            reads = tuple(read for read in body.reads if read not in BUILTINS)
            definitions[name] = DefinitionSource(name, "\n".join(lines), first, reads, tuple(body.writes), tuple(body.mutates), body)
    return definitions
