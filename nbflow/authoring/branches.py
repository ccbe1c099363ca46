# SPDX-License-Identifier: BSD-3-Clause
"""Which tasks a branch may name: the texts in its last expression.

The tasks a branch chooses must stand downstream of it. Where such a text names a task below that nothing connects to the branch yet, an edge
without data does: `"alert" if n > 3 else "all_quiet"` needs no `--after`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from nbflow.authoring.magics import plain_cell


@dataclass(frozen=True)
class Choices:
    """The texts of a branch's last expression."""

    #: All of them, in order of appearance.
    texts: tuple[str, ...] = ()
    #: Those that are surely chosen on some path, with their lines: a typing mistake in one is worth a warning.
    certain: tuple[tuple[str, int], ...] = ()


def read_choices(source: str) -> Choices:
    """The choices of a branch's body. Raises SyntaxError."""
    body = plain_cell(source).tree.body
    if not body or not isinstance(body[-1], ast.Expr):
        return Choices()
    last = body[-1].value
    expressions = [last]
    if isinstance(last, ast.Name):  # choice = "a" if x else "b", then choice
        expressions += _assigned(body, last.id)
    texts = [text for expression in expressions for node in ast.walk(expression) for text, _ in _text(node)]
    certain = [found for expression in expressions for found in _results(expression)]
    return Choices(tuple(dict.fromkeys(texts)), tuple(dict.fromkeys(certain)))


def read_returned(source: str) -> tuple[str, ...]:
    """The choices of a branch that is a function: texts it returns, and names of what it returns. Raises SyntaxError."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    returned = [node.value for node in _own_nodes(functions[0]) if isinstance(node, ast.Return) and node.value] if functions else []
    inner = [node for value in returned for node in ast.walk(value)]
    names = [node.id for node in inner if isinstance(node, ast.Name)]
    return tuple(dict.fromkeys([*(text for node in inner for text, _ in _text(node)), *names]))


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """What stands in the function itself, not in functions inside it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield node
            yield from _own_nodes(node)


def _assigned(body: list[ast.stmt], name: str) -> list[ast.expr]:
    found = []
    for statement in body:
        for node in ast.walk(statement):
            match node:
                case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                    found.append(value)
    return found


def _text(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, node.lineno


def _results(node: ast.expr) -> Iterator[tuple[str, int]]:
    """The texts that are the expression's value, or elements of it."""
    match node:
        case ast.Constant(value=str()):
            yield from _text(node)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _results(body)
            yield from _results(orelse)
        case ast.BoolOp(values=values):
            yield from _results(values[-1])
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            for element in elements:
                yield from _results(element)
