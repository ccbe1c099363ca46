# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: N802 - ast.NodeVisitor finds methods by the names of the nodes
"""Paths through code: branches, loops, exceptions and patterns.

Where a path may be taken or not, a name counts as bound only when every path binds it: that errs on the side of one dependency too many.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from functools import partial

from nbflow.authoring.effects import State, join
from nbflow.authoring.moves import Moves
from nbflow.authoring.mutations import element_parts_of, parts_of


class Paths(Moves):
    """Statements that may or may not run."""

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        before = self.state.copy()
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self._assign(item.optional_vars, item.context_expr)
        self._visit_all(node.body)
        if any(_may_swallow(item.context_expr) for item in node.items):
            self.state = join([before, self.state])

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        self.is_async = True
        self.visit_With(node)

    def _path(self, start: State, steps: Callable[[], None]) -> State | None:
        """The state after these steps; None when they always leave (raise, break, ...)."""
        left, self._left = self._left, False
        self.state = start.copy()
        steps()
        gone, self._left = self._left, left
        return None if gone else self.state

    def _meet(self, ends: Iterable[State | None], otherwise: State) -> None:
        """Go on where these paths meet; when all have left, what follows is never reached."""
        arriving = [end for end in ends if end is not None]
        if not arriving:
            self._left = True
        self.state = join(arriving) if arriving else otherwise

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        start = self.state
        self._meet([self._path(start, partial(self._visit_all, body)) for body in (node.body, node.orelse)], start)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        start = self.state
        self._meet([self._path(start, partial(self.visit, side)) for side in (node.body, node.orelse)], start)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        start = self.state.copy()
        self._visit_all(node.values[1:])
        self.state = join([start, self.state])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        start = self.state.copy()
        origins = self._origins(element_parts_of(node.iter))

        def body() -> None:
            self._assign_element(node.target, origins)
            self._visit_all(node.body)

        self._loop(start, body, node.orelse, at_least_once=_is_never_empty(node.iter))

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.is_async = True
        self.visit_For(node)

    def _assign_element(self, target: ast.expr, origins: frozenset[str]) -> None:
        if isinstance(target, ast.Name):
            self._store(target.id, origins)
        elif isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._assign_element(element.value if isinstance(element, ast.Starred) else element, origins)
        else:
            self.visit(target)

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        forever = isinstance(node.test, ast.Constant) and bool(node.test.value)
        start = self.state.copy()
        self._loop(start, lambda: self._visit_all(node.body), node.orelse, at_least_once=forever, forever=forever)

    def _loop(self, start: State, body: Callable[[], None], orelse: list[ast.stmt], *, at_least_once: bool, forever: bool = False) -> None:
        self._breaks.append([])
        after = self._path(start, body)
        breaks = self._breaks.pop()
        normal = [] if forever else [end for end in (after, None if at_least_once else start) if end is not None]
        if normal:
            end = self._path(join(normal), lambda: self._visit_all(orelse))
            self._meet([end, *breaks], start)
        else:
            self._meet(breaks, after or start)

    def visit_Break(self, node: ast.Break) -> None:  # noqa: ARG002 - the visitor's signature
        if self._breaks:
            self._breaks[-1].append(self.state.copy())
        self._left = True

    def visit_Raise(self, node: ast.Raise) -> None:
        self.generic_visit(node)
        self._left = True

    def visit_Continue(self, node: ast.Continue) -> None:  # noqa: ARG002 - as above
        self._left = True

    def visit_Return(self, node: ast.Return) -> None:
        self.generic_visit(node)
        self._left = True

    def visit_Try(self, node: ast.Try) -> None:
        self._try(node)

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        before = self.state.copy()
        finished = self._path(before, lambda: self._visit_all(node.body))
        if finished is not None:
            finished = self._path(finished, lambda: self._visit_all(node.orelse))
        ends = [finished, *(self._path(before, self._handling(handler)) for handler in node.handlers)]
        self._meet(ends, before)
        left, self._left = self._left, False
        self._visit_all(node.finalbody)
        self._left = self._left or left

    def visit_TryStar(self, node: ast.TryStar) -> None:
        self._try(node)

    def _handling(self, handler: ast.ExceptHandler) -> Callable[[], None]:
        def steps() -> None:
            if handler.type is not None:
                self.visit(handler.type)
            if handler.name is None:
                self._visit_all(handler.body)
                return
            self._comprehended.append({handler.name: frozenset()})  # unbound again when the handler ends
            self._visit_all(handler.body)
            self._comprehended.pop()

        return steps

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        start = self.state.copy()
        origins = self._origins(parts_of(node.subject))
        ends: list[State | None] = []
        for case in node.cases:

            def steps(case: ast.match_case = case) -> None:
                self._bind_pattern(case.pattern, origins)
                self._visit_all([case.guard, *case.body])

            ends.append(self._path(start, steps))
        last = node.cases[-1]
        takes_all = last.guard is None and isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
        self._meet([*ends, None if takes_all else start], start)

    def _bind_pattern(self, pattern: ast.pattern, origins: frozenset[str]) -> None:
        for node in ast.walk(pattern):
            if isinstance(node, ast.expr) and isinstance(node, ast.Name):
                self._load(node.id)
            name = getattr(node, "rest", None) if isinstance(node, ast.MatchMapping) else getattr(node, "name", None)
            if isinstance(node, ast.MatchAs | ast.MatchStar | ast.MatchMapping) and name:
                self._store(name, origins)


def _may_swallow(node: ast.expr) -> bool:
    """`with suppress(...)`: its body may stop half-way and the cell goes on."""
    function = node.func if isinstance(node, ast.Call) else node
    name = function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    return name in {"suppress", "raises"}


def _is_never_empty(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return bool(node.elts) and not any(isinstance(element, ast.Starred) for element in node.elts)
    match node:
        case ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=int() as count)]):
            return count > 0
    return False
