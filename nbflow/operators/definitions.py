# SPDX-License-Identifier: BSD-3-Clause
"""How functions and classes of the notebook travel: as definitions that are executed again, never inside pickles.

A pickle names them (`__main__.Point`), and whoever decodes has executed the definition in its own `__main__` before. So an instance of
`Point` is one in every task, in the kernel afterwards and after a resume in another process.
"""

from __future__ import annotations

import linecache
import pickle
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import cloudpickle

from nbflow.core.errors import UserError
from nbflow.core.job import Capture, CaptureKind
from nbflow.core.model import CellRef


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A `def` or `class` statement of the notebook."""

    name: str
    source: str = ""
    hash: str = ""


class DefinitionTable(Mapping[str, Definition]):
    """The definitions that stand (or can be made to stand) in `__main__` wherever a value is decoded."""

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        self._by_name = {definition.name: definition for definition in definitions}

    @classmethod
    def from_captures(cls, captures: Mapping[str, Capture]) -> DefinitionTable:
        """Those among the captures of a job or of a kernel."""
        return cls(
            Definition(name=name, source=capture.source, hash=capture.hash)
            for name, capture in captures.items()
            if capture.kind is CaptureKind.DEFINITION
        )

    @classmethod
    def of_names(cls, names: Iterable[str]) -> DefinitionTable:
        """A table of which only the names matter: enough to encode."""
        return cls(Definition(name=name) for name in names)

    def __getitem__(self, name: str) -> Definition:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def reference(self, thing: Any) -> str | None:
        """The qualified name by which `thing`, a class or function of the notebook, is found again; None: it must travel by value."""
        if not self._by_name or getattr(thing, "__module__", None) != "__main__":
            return None
        path = getattr(thing, "__qualname__", "")
        root = path.partition(".")[0]
        if root not in self._by_name:
            return None
        found: Any = sys.modules["__main__"]
        for part in path.split("."):
            found = getattr(found, part, None)
        return path if found is thing else None

    def names_by_id(self) -> dict[int, str]:
        """What the names stand for in `__main__` now: a decorator may have made something there that does not know its name."""
        namespace = vars(sys.modules["__main__"])
        return {id(namespace[name]): name for name in self._by_name if name in namespace}


NO_DEFINITIONS: Final = DefinitionTable()


class NamingPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle, except that definitions of the notebook are written by name (collected in `needs`) and some types are refused."""

    def __init__(
        self,
        file: Any,
        definitions: DefinitionTable,
        *,
        refuse: Callable[[Any], None],
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.needs: set[str] = set()
        self._definitions = definitions
        self._refuse = refuse
        self._names = definitions.names_by_id()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, types.FunctionType)):
            path = self._definitions.reference(obj)
            if path is not None:
                self.needs.add(path.partition(".")[0])
                return path  # pickle writes it as a global of __main__ and checks that it is found there
        if id(obj) in self._names:
            name = self._names[id(obj)]
            self.needs.add(name)
            return of_main, (name,)
        if not isinstance(obj, (type, types.FunctionType)):
            self._refuse(obj)
        return super().reducer_override(obj)


def of_main(name: str) -> Any:
    """What stands under `name` in `__main__`: how pickles find again what a decorator made of a definition."""
    return getattr(sys.modules["__main__"], name)


def file_name(name: str, cell: CellRef) -> str:
    """What tracebacks call the place of a definition or of a task's body."""
    return f"<cell {cell.number} {name}>" if cell.number else f"<cell {name}>"


def remember_source(filename: str, source: str, first_line: int = 1) -> None:
    """Let tracebacks show the lines of `source`, the first of which is line `first_line` of its cell."""
    lines = ["\n"] * (first_line - 1) + [line + "\n" for line in source.splitlines()]
    linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)


def execute_definition(capture: Capture, namespace: MutableMapping[str, Any]) -> None:
    """Execute the statement in `namespace`, with the lines of its own cell. Raises what it raises."""
    first = max(1, capture.line)
    filename = file_name(capture.name, capture.cell)
    remember_source(filename, capture.source, first)
    code = compile("\n" * (first - 1) + capture.source, filename, "exec", dont_inherit=True)
    exec(code, _as_dict(namespace))  # noqa: S102  it is the user's own code, running it is the purpose


def _as_dict(namespace: MutableMapping[str, Any]) -> dict[str, Any]:
    if not isinstance(namespace, dict):
        raise TypeError("definitions are executed in a dict: the namespace of __main__")
    return namespace


def dependency_order(captures: Mapping[str, Capture]) -> list[str]:
    """Names such that what a capture needs comes before it; within a cycle, in the order given."""
    ordered: list[str] = []
    entered: set[str] = set()

    def visit(name: str) -> None:
        stack = [(name, iter(_needs(captures[name])))]
        entered.add(name)
        while stack:
            current, waiting = stack[-1]
            following = next((need for need in waiting if need in captures and need not in entered), None)
            if following is None:
                ordered.append(current)
                stack.pop()
            else:
                entered.add(following)
                stack.append((following, iter(_needs(captures[following]))))

    for name in captures:
        if name not in entered:
            visit(name)
    return ordered


def _needs(capture: Capture) -> tuple[str, ...]:
    return (*capture.needs, *(capture.value.needs if capture.value is not None else ()))


def install(captures: Mapping[str, Capture], bind: Callable[[Capture], None]) -> None:
    """Bind every capture, what it needs first.

    Two definitions may need each other, one when it is defined (an annotation, a base class), the other only when it is called: a definition that
    misses a name which is still to come waits for it.
    """
    waiting = [captures[name] for name in dependency_order(captures) if captures[name].kind is not CaptureKind.UNSENDABLE]
    while waiting:
        later: list[Capture] = []
        still = {capture.name for capture in waiting}
        for capture in waiting:
            try:
                bind(capture)
            except NameError as error:
                missing = error.name or _missing_name(error)
                if missing not in still or missing == capture.name:
                    raise
                later.append(capture)
            else:
                still.discard(capture.name)
        if len(later) == len(waiting):
            names = ", ".join(capture.name for capture in later)
            raise UserError(f"The definitions {names} need each other before either can be defined: define one inside the other, or later.")
        waiting = later


def _missing_name(error: NameError) -> str:
    found = re.search(r"'([^']+)'", str(error))
    return found.group(1) if found else ""
