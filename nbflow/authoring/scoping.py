# SPDX-License-Identifier: BSD-3-Clause
"""Which names a scope (a function, a class, a comprehension) binds for itself, by Python's own rules."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass
class OwnNames:
    """What one scope declares."""

    bound: set[str] = field(default_factory=set)
    #: `global x`: the notebook's name is meant.
    declared_global: set[str] = field(default_factory=set)
    declared_nonlocal: set[str] = field(default_factory=set)

    @property
    def locals(self) -> set[str]:
        return self.bound - self.declared_global - self.declared_nonlocal


def parameters(node: Function) -> list[ast.arg]:
    """All parameters, in the order of a call; `*args` and `**kwargs` last."""
    a = node.args
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *(extra for extra in (a.vararg, a.kwarg) if extra is not None)]


def own_names(node: Function | ast.ClassDef) -> OwnNames:
    """The names the body of a function or class binds itself, without those of scopes inside it."""
    own = OwnNames()
    if not isinstance(node, ast.ClassDef):
        own.bound.update(parameter.arg for parameter in parameters(node))
    own.bound.update(type_parameters(node))
    for child in node.body if isinstance(node.body, list) else [node.body]:
        _collect(child, own)
    return own


def type_parameters(node: ast.AST) -> list[str]:
    """The `T` of `def f[T](x: T)`; empty before Python 3.12."""
    return [parameter.name for parameter in getattr(node, "type_params", [])]


def _collect(node: ast.AST, own: OwnNames) -> None:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            own.bound.add(node.name)
            _collect_all(_evaluated_outside(node), own)
            return
        case ast.Lambda():
            _collect_all(_evaluated_outside(node), own)
            return
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            own.bound.update(inner.target.id for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
            return
        case ast.Global():
            own.declared_global.update(node.names)
        case ast.Nonlocal():
            own.declared_nonlocal.update(node.names)
        case ast.Name(ctx=ast.Store() | ast.Del()):
            own.bound.add(node.id)
        case ast.Import() | ast.ImportFrom():
            own.bound.update(imported_names(node))
        case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
            own.bound.add(name)
        case ast.MatchMapping(rest=str() as rest):
            own.bound.add(rest)
    _collect_all(ast.iter_child_nodes(node), own)


def _collect_all(nodes: Iterable[ast.AST], own: OwnNames) -> None:
    for node in nodes:
        _collect(node, own)


def _evaluated_outside(node: Function | ast.ClassDef) -> Iterator[ast.AST]:
    """What a definition evaluates in the scope it stands in (a walrus there binds there)."""
    yield from getattr(node, "decorator_list", [])
    if isinstance(node, ast.ClassDef):
        yield from node.bases
        yield from (keyword.value for keyword in node.keywords)
    else:
        yield from node.args.defaults
        yield from (default for default in node.args.kw_defaults if default is not None)


def imported_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    """What an import statement binds, without the star."""
    names = [alias.asname or (alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name) for alias in node.names]
    return [name for name in names if name != "*"]


def target_names(node: ast.AST) -> list[str]:
    """The names an assignment target binds."""
    return [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)]
