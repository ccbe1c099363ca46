# SPDX-License-Identifier: BSD-3-Clause
"""Which connections and variables a task names, found without running it, and what its attempt is lent of them.

    --conn NAME   ctx.connection("NAME")   ctx.var("NAME")   {{ conn.NAME.host }}   {{ var.NAME }}

What is lent travels in the job, in memory, and nowhere else.
"""

from __future__ import annotations

import ast
import pickle
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Final

from nbflow.core.connections import Connection

_CALL: Final = re.compile(r"\bctx\.(?P<what>var|connection)\(\s*(?P<quote>[\"'])(?P<name>[^\"'\n]+)(?P=quote)\s*(?P<more>,?)")
_MARK: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_IN_TEMPLATE: Final = re.compile(
    r"(?<![\w.])(?P<what>var|conn)(?:\.(?P<word>[A-Za-z_]\w*)|\[\s*[\"'](?P<text>[^\"']+)[\"']\s*\])(?P<more>\s*\|\s*default\b)?"
)
_COMMENT: Final = re.compile(r"^\s*#.*$", re.MULTILINE)
#: Operators whose text is Python.
_PYTHON: Final = frozenset({"cell", "python"})


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a task names."""

    connections: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()
    #: Those it has a default for: they may be missing.
    maybe_connections: frozenset[str] = frozenset()
    maybe_variables: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.connections or self.variables or self.maybe_connections or self.maybe_variables)

    def __or__(self, other: Named) -> Named:
        if not other or not self:
            return self or other
        return Named(
            connections=self.connections | other.connections,
            variables=self.variables | other.variables,
            maybe_connections=self.maybe_connections | other.maybe_connections,
            maybe_variables=self.maybe_variables | other.maybe_variables,
        )


NOTHING_NAMED: Final = Named()


@dataclass(frozen=True, kw_only=True)
class Lent:
    """What one attempt may use."""

    #: The name of the task's own connection (`--conn`).
    conn: str = ""
    connections: Mapping[str, Connection] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    #: The variables that are secrets.
    sealed: frozenset[str] = frozenset()
    #: Texts that nothing the attempt shows or gives may hold.
    hidden: tuple[str, ...] = ()
    #: Why it could not be lent what it names: the attempt fails with this sentence.
    problem: str = ""

    def __reduce__(self) -> Any:
        """Compressed: where the bytes of a job are shown (a worker's log of what failed), nobody reads a secret in them."""
        if self is NOTHING_LENT:
            return "NOTHING_LENT"
        return _unpacked, (zlib.compress(pickle.dumps({one.name: getattr(self, one.name) for one in fields(self)}, protocol=5)),)

    @property
    def told(self) -> dict[str, object]:
        """What may be said of it, and what a result depends on as far as that may be said."""
        plain = {name: value for name, value in self.variables.items() if name not in self.sealed}
        told = {"variables": plain, "sealed": sorted(self.sealed), "connections": sorted(self.connections)}
        return {what: names for what, names in told.items() if names}


NOTHING_LENT: Final = Lent()


def _unpacked(data: bytes) -> Lent:
    return Lent(**pickle.loads(zlib.decompress(data)))  # noqa: S301 - a part of a job's own pickle


def named(operator: str, source: str, *, conn: str = "", templates: Iterable[str] = ()) -> Named:
    """What a task of this operator names; `templates` are options that are rendered."""
    found = _in_python(source) if operator in _PYTHON else _in_template(source)
    for template in filter(None, templates):
        found |= _in_template(template)
    return found | Named(connections=frozenset({conn})) if conn else found


def named_by_code(source: str) -> Named:
    """What a function of the notebook names."""
    return _in_python(source)


@lru_cache(maxsize=4096)
def _in_python(source: str) -> Named:
    if "var" not in source and "connection" not in source:
        return NOTHING_NAMED
    try:
        return _named(_calls(ast.parse(source)))
    except (SyntaxError, ValueError):  # a cell with magics
        return _calls_in_text(_COMMENT.sub("", source))


@lru_cache(maxsize=4096)
def _in_template(text: str) -> Named:
    if "{{" not in text and "{%" not in text:
        return NOTHING_NAMED
    marks = "\n".join(_MARK.findall(text))
    found = [(one["what"], one["word"] or one["text"], bool(one["more"])) for one in _IN_TEMPLATE.finditer(marks)]
    return _named(found) | _calls_in_text(marks)


def _calls_in_text(text: str) -> Named:
    return _named((one["what"], one["name"], bool(one["more"])) for one in _CALL.finditer(text))


def _calls(tree: ast.AST) -> Iterator[tuple[str, str, bool]]:
    """`ctx.var("name", default)` wherever it stands, also as `nbflow.ctx.var` and under another name for ctx."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in {"var", "connection"}:
            continue
        first = node.args[0] if node.args else next((one.value for one in node.keywords if one.arg == "name"), None)
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and isinstance(node.func.value, ast.Name | ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else node.func.value.attr
            if owner in _contexts(tree):
                has_default = len(node.args) > 1 or any(one.arg == "default" for one in node.keywords)
                yield node.func.attr, first.value, has_default


def _contexts(tree: ast.AST) -> set[str]:
    names = {"ctx"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names.update(alias.asname for alias in node.names if alias.name == "ctx" and alias.asname)
    return names


def _named(found: Iterable[tuple[str, str, bool]]) -> Named:
    kinds: dict[tuple[bool, bool], set[str]] = {(is_variable, maybe): set() for is_variable in (True, False) for maybe in (True, False)}
    for what, name, has_default in found:
        kinds[what == "var", has_default].add(name)
    return Named(
        connections=frozenset(kinds[False, False]),
        variables=frozenset(kinds[True, False]),
        maybe_connections=frozenset(kinds[False, True]),
        maybe_variables=frozenset(kinds[True, True]),
    )
