# SPDX-License-Identifier: BSD-3-Clause
"""What tasks take from this kernel, ready to travel, and what they give back.

Modules and what they hold are imported on the other side; functions and classes of the notebook travel as their source, with everything they
refer to; any other value is encoded. Only the names a task uses travel, and what cannot is named before anything runs.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nbflow.core.cache_key import is_cached
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId
from nbflow.core.job import Capture, CaptureKind, CaptureSet, ProcessState, ValueRef
from nbflow.core.mapping import map_sources
from nbflow.core.model import CellRef, Flow
from nbflow.core.sendable import refuse_unsendable

_PLAIN_DATA: Final = (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, type(None))

#: Encodes a value element by element for the task that maps over it: name, value, task. Raises UserError.
EncodeElements = Callable[[str, Any, str], tuple[ValueRef, ...]]
#: Encodes names that belong together, so that one object under two names stays one: name -> reference, or the reason why not.
Encode = Callable[[Mapping[str, Any]], Mapping[str, ValueRef | str]]


@dataclass(frozen=True)
class Statement:
    """A top-level statement of an executed plain cell that binds a name."""

    source: str
    cell: CellRef
    line: int
    #: `from module import attribute [as name]`: the two words; else empty.
    imported: tuple[str, str] = ("", "")
    #: Modules of `import a.b.c` lines that bind the name `a`.
    submodules: tuple[str, ...] = ()


@dataclass
class Statements:
    """Which statement binds each name, the last executed first; and what a source reads."""

    by_name: Mapping[str, Statement]
    reads: Callable[[str], Iterable[str]]


def statements_of(cells: Iterable[tuple[CellRef, str]]) -> dict[str, Statement]:
    """The binding statements of plain cells (as plain Python), given the last executed first."""
    found: dict[str, Statement] = {}
    for cell, source in cells:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue
        own: dict[str, Statement] = {}
        for node in _top_level(tree.body):
            _note(node, source, cell, own)
        for name, statement in own.items():
            older = found.get(name)
            if older is None:
                found[name] = statement
            elif statement.submodules:
                found[name] = replace(older, submodules=tuple(dict.fromkeys([*older.submodules, *statement.submodules])))
    return found


def _top_level(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    """Statements that run with the cell: also those inside `if`, `try` and `with`."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if isinstance(node, ast.If | ast.Try | ast.With):
                yield from _top_level(getattr(node, part, ()))
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                yield from _top_level(handler.body)


def _note(node: ast.stmt, source: str, cell: CellRef, found: dict[str, Statement]) -> None:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = Statement(_text(node, source), cell, first)
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            found[name] = Statement(_text(node, source), cell, node.lineno)
        case ast.ImportFrom(module=str() as module, level=0, names=names):
            for alias in names:
                found[alias.asname or alias.name] = Statement(_text(node, source), cell, node.lineno, imported=(module, alias.name))
        case ast.Import(names=names):
            for alias in names:
                if alias.asname is None and "." in alias.name:
                    top = alias.name.partition(".")[0]
                    older = found[top].submodules if top in found else ()
                    found[top] = Statement(_text(node, source), cell, node.lineno, submodules=(*older, alias.name))


def _text(node: ast.stmt, source: str) -> str:
    """The statement as typed, decorators included, moved to the left margin."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (node.decorator_list or node.col_offset):
        return ast.unparse(node)
    return ast.get_source_segment(source, node) or ast.unparse(node)


@dataclass
class Capturer:
    """Makes the captures of names in a kernel's namespace."""

    namespace: Mapping[str, Any]
    statements: Statements
    encode: Encode
    encode_elements: EncodeElements
    #: Names that belong to the shell itself; a worker's shell has its own.
    hidden: Mapping[str, Any] = field(default_factory=dict)

    def capture(self, names: Iterable[str]) -> dict[str, Capture]:
        """The captures of these names and of everything they refer to. A name that is not bound is left out: its reader says so."""
        found: dict[str, Capture] = {}
        values: dict[str, Any] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in found or name in values or not self._is_of_the_notebook(name):
                continue
            value = self.namespace[name]
            capture = self._by_reference(name, value)
            if capture is None:
                values[name] = value
                continue
            found[name] = capture
            waiting += capture.needs
            found.update(
                {module: Capture(name=module, kind=CaptureKind.MODULE, module=module) for module in capture.needs if "." in module}
            )
        encoded = self.encode(values)
        for name in values:
            found[name] = _of_value(name, encoded[name])
            missing = [need for need in found[name].needs if need not in found]
            if missing:
                found.update({need: capture for need, capture in self.capture(missing).items() if need not in found})
        return _spread_unsendable(found)

    def capture_elements(self, name: str, task: str) -> dict[str, Capture]:
        """The capture of what `task` maps over, element by element, with what the elements refer to. Raises UserError when it has none.

        Empty for a name that is not bound.
        """
        if not self._is_of_the_notebook(name):
            return {}
        elements = self.encode_elements(name, self.namespace[name], task)
        needs = tuple(dict.fromkeys(need for element in elements for need in element.needs))
        digest = _hash("elements", *(element.hash for element in elements))
        return {**self.capture(needs), name: Capture(name=name, kind=CaptureKind.VALUE, elements=elements, needs=needs, hash=digest)}

    def _is_of_the_notebook(self, name: str) -> bool:
        if name not in self.namespace:
            return False
        return not (name in self.hidden and self.hidden[name] is self.namespace[name])

    def _by_reference(self, name: str, value: Any) -> Capture | None:
        """How the value travels without being encoded; None when it must be."""
        statement = self.statements.by_name.get(name)
        if isinstance(value, types.ModuleType):
            return self._module(name, value, statement)
        if is_definition(value):
            if statement is None or statement.imported[0] or statement.submodules:
                return None
            needs = tuple(
                sorted(need for need in self.statements.reads(statement.source) if need != name and self._is_of_the_notebook(need))
            )
            return Capture(
                name=name,
                kind=CaptureKind.DEFINITION,
                source=statement.source,
                cell=statement.cell,
                line=statement.line,
                needs=needs,
                hash=_hash(_normal(statement.source), *needs),
            )
        return _importable(name, value, statement)

    def _module(self, name: str, value: types.ModuleType, statement: Statement | None) -> Capture | None:
        module = value.__name__
        if module == "__main__" or module not in sys.modules:
            return None
        deeper = statement.submodules if statement is not None else ()
        return Capture(name=name, kind=CaptureKind.MODULE, module=module, needs=deeper, hash=_hash("module", module, *deeper))


def is_definition(value: Any) -> bool:
    """Whether this is a function or class that the notebook wrote (a decorated one too)."""
    own = getattr(value, "__dict__", None)
    is_code = isinstance(value, type | types.FunctionType) or (own is not None and "__wrapped__" in own)
    return is_code and getattr(value, "__module__", "") == "__main__"


def _importable(name: str, value: Any, statement: Statement | None) -> Capture | None:
    """The value as an attribute of a module, when importing gives this very object."""
    if statement is not None and statement.imported[0] and not isinstance(value, _PLAIN_DATA):
        module, attribute = statement.imported
        if getattr(sys.modules.get(module), attribute, None) is value:
            return Capture(
                name=name, kind=CaptureKind.ATTRIBUTE, module=module, attribute=attribute, hash=_hash("attribute", module, attribute)
            )
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        module, attribute = getattr(value, "__module__", None) or "", getattr(value, "__qualname__", "")
        if module != "__main__" and getattr(sys.modules.get(module), attribute, None) is value:
            return Capture(
                name=name, kind=CaptureKind.ATTRIBUTE, module=module, attribute=attribute, hash=_hash("attribute", module, attribute)
            )
    return None


def _of_value(name: str, encoded: ValueRef | str) -> Capture:
    if isinstance(encoded, ValueRef):
        return Capture(name=name, kind=CaptureKind.VALUE, value=encoded, needs=encoded.needs, hash=encoded.hash)
    return Capture(name=name, kind=CaptureKind.UNSENDABLE, reason=encoded)


def _spread_unsendable(found: dict[str, Capture]) -> dict[str, Capture]:
    """A definition that refers to something that cannot travel cannot travel either, and says because of what."""
    changed = True
    while changed:
        changed = False
        for name, capture in found.items():
            broken = next((need for need in capture.needs if need in found and found[need].kind is CaptureKind.UNSENDABLE), None)
            if broken is not None and capture.kind is CaptureKind.DEFINITION:
                reason = (
                    f"it refers to `{broken}`, and {found[broken].reason.replace('Create it inside the task', 'Give it as an argument')}"
                )
                found[name] = replace(capture, kind=CaptureKind.UNSENDABLE, reason=reason)
                changed = True
    return found


def _normal(source: str) -> str:
    """The source without what does not change its meaning: comments, spacing."""
    return ast.unparse(ast.parse(source))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


#: What tasks took at their definition: task -> name -> the captures of that name and of all it refers to.
Early = Mapping[TaskId, Mapping[str, Mapping[str, Capture]]]


def capture_set(flow: Flow, capturer: Capturer, early: Early, process: ProcessState, tasks: Iterable[TaskId]) -> CaptureSet:
    """Everything these tasks take from the kernel. Raises UserError naming the task and the variable that cannot travel."""
    taken: dict[TaskId, dict[str, Capture]] = {}
    for task, name in flow.early_captures:
        taken.setdefault(task, {}).update(early.get(task, {}).get(name, {}))
    chosen = tuple(tasks)
    names = with_elements(capturer.capture(flow.captures), _elements_of(flow, capturer, taken, chosen))
    captures = CaptureSet(names=names, early={task: kept for task, kept in taken.items() if kept}, process=process)
    refuse_unsendable(flow, captures, chosen)
    refuse_unstable(flow, captures, capturer, chosen)
    return captures


def _elements_of(
    flow: Flow, capturer: Capturer, early: Mapping[TaskId, dict[str, Capture]], tasks: Collection[TaskId]
) -> dict[str, Capture]:
    """What mapped tasks map over. Raises UserError for the value of a plain cell that has no elements."""
    found: dict[str, Capture] = {}
    for task in flow.tasks:
        for read in map_sources(task):
            was_taken = read.name in early.get(task.id, {})
            if not read.plain or read.name in found or was_taken or task.id not in tasks:
                continue
            try:
                found.update(capturer.capture_elements(read.name, task.id))
            except UserError:
                if not read.writers:
                    raise  # where tasks give it too, theirs is most likely meant
    return found


def with_elements(captures: Mapping[str, Capture], elements: Mapping[str, Capture]) -> dict[str, Capture]:
    """Both in one: a name that is taken whole and element by element has both."""
    merged = dict(captures)
    for name, capture in elements.items():
        known = merged.get(name)
        if known is None or capture.elements is None:
            merged.setdefault(name, capture)
        else:
            merged[name] = replace(known, elements=capture.elements, needs=tuple(dict.fromkeys([*known.needs, *capture.needs])))
    return merged


def refuse_unstable(flow: Flow, captures: CaptureSet, capturer: Capturer, tasks: Iterable[TaskId]) -> None:
    """Raises UserError for a value of a task with --cache whose bytes say nothing: it is stored as other bytes each time."""
    chosen = set(tasks)
    for task in flow.tasks:
        if task.id not in chosen or not is_cached(task.options):
            continue
        for name in _values_behind(captures.names, (read.name for read in task.reads if read.plain)):
            first, again = captures.names[name].value, capturer.encode({name: capturer.namespace[name]})[name]
            if first is not None and first.format == "pickle" and isinstance(again, ValueRef) and again.hash != first.hash:
                raise UserError(
                    f"Task {task.id} has --cache, but nobody can tell whether `{name}` ({first.shown}) is the same as before, since it is "
                    "stored as other bytes each time: use the plain data in it, or leave --cache out."
                )


def _values_behind(captures: Mapping[str, Capture], names: Iterable[str]) -> list[str]:
    """The pickled values among these captures and all they refer to."""
    found: dict[str, None] = {}
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        capture = captures.get(name)
        if name in seen or capture is None:
            continue
        seen.add(name)
        waiting += capture.needs
        if capture.value is not None and capture.value.format == "pickle":
            found[name] = None
    return list(found)
