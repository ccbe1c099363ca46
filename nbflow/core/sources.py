# SPDX-License-Identifier: BSD-3-Clause
"""What a piece of source means, whatever it looks like: its normal form, the modules it imports, and what it asks of `ctx`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

#: Turns a cell with magics into plain Python. Raises SyntaxError when it is neither.
AsPython = Callable[[str], str]
#: Asked of `ctx` in a way that could be anything.
ANYTHING: Final = "*"

_TEMPLATE: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_TEMPLATE_WORD: Final = re.compile(r"\bctx\.(\w+)|\b(ctx|ds|ts|params)\b")
_RUN_VARIABLES: Final = {"NBFLOW_RUN_ID": "run_id", "NBFLOW_ATTEMPT": "attempt"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source, understood."""

    #: The same for two sources that differ in comments and layout only.
    normal: str
    #: Top-level names of the modules it imports.
    modules: frozenset[str] = frozenset()
    #: The attributes of `ctx` it reads; `ANYTHING` when it hands `ctx` on.
    asks: frozenset[str] = frozenset()


def read_python(text: str, as_python: AsPython | None = None) -> Source:
    """A cell or a function. Text that is no Python, not even with `as_python`, means what it says, letter by letter."""
    return _read_python(text, as_python)


@lru_cache(maxsize=4096)
def _read_python(text: str, as_python: AsPython | None) -> Source:
    tree = _parsed(text) or (_transformed(text, as_python) if as_python else None)
    if tree is None:
        return Source(normal=text.strip())
    return Source(normal=ast.unparse(tree), modules=frozenset(_modules(tree)), asks=frozenset(_asked(tree)))


def read_template(text: str) -> Source:
    """A script or another operator's text: every letter counts, and what stands in `{{ }}` may ask for the run's date and parameters."""
    words = [found for part in _TEMPLATE.findall(text) for found in _TEMPLATE_WORD.findall(part)]
    asks = {attribute or (ANYTHING if name == "ctx" else name) for attribute, name in words}
    asks |= {attribute for variable, attribute in _RUN_VARIABLES.items() if variable in text}
    return Source(normal=text.strip(), asks=frozenset(asks))


def _parsed(text: str) -> ast.Module | None:
    """Without the decorators that make a task of a function: what they say is an option of the task."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.decorator_list:
            node.decorator_list = [one for one in node.decorator_list if not _makes_a_task(one)]
    return tree


def _makes_a_task(decorator: ast.expr) -> bool:
    named = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (named.id if isinstance(named, ast.Name) else named.attr if isinstance(named, ast.Attribute) else "") == "task"


def _transformed(text: str, as_python: AsPython) -> ast.Module | None:
    try:
        return _parsed(as_python(text))
    except (SyntaxError, ValueError):
        return None


def _modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str() as module, level=0):
                yield module.partition(".")[0]


def _asked(tree: ast.AST) -> Iterator[str]:
    """`ctx.ds` asks for ds; a bare `ctx` may be asked anything by whoever gets it."""
    names = {"ctx"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "nbflow":
            names.update(alias.asname for alias in node.names if alias.name == "ctx" and alias.asname)
    asked_of: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_ctx(node.value, names):
            asked_of.add(id(node.value))
            yield node.attr
    for node in ast.walk(tree):
        if _is_ctx(node, names) and id(node) not in asked_of and not isinstance(getattr(node, "ctx", None), ast.Store):
            yield ANYTHING


def _is_ctx(node: ast.AST, names: set[str]) -> bool:
    return (isinstance(node, ast.Name) and node.id in names) or (isinstance(node, ast.Attribute) and node.attr == "ctx")


# --- what a function of a file refers to --------------------------------------------------------------------------------


def part_of(text: str, names: frozenset[str]) -> str:
    """The statements of a module that these names, and whatever they refer to, are made of; in the module's order."""
    tree = _parsed(text)
    if tree is None:
        return text
    binding: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _bound(statement):
            binding.setdefault(name, []).append(statement)
    chosen: dict[int, ast.stmt] = {}
    waiting, seen = list(names), set(names)
    while waiting:
        for statement in binding.get(waiting.pop(), ()):
            if id(statement) in chosen:
                continue
            chosen[id(statement)] = statement
            for name in {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - seen:
                seen.add(name)
                waiting.append(name)
    return "\n".join(ast.unparse(statement) for statement in tree.body if id(statement) in chosen)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names a statement at the top of a module binds, those inside its `if` and `try` too."""
    for node in ast.walk(statement):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
