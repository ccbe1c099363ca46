# SPDX-License-Identifier: BSD-3-Clause
"""The moves every evaluation of code is made of: a name is read, bound, deleted, or its object is changed in place."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from nbflow.authoring.effects import Body, Call, State
from nbflow.authoring.mutations import parts_of


class Moves(ast.NodeVisitor):
    """Names and assignments; what is found stands in its attributes."""

    def __init__(self, local: frozenset[str] = frozenset()) -> None:
        self._local = local
        self.state = State()
        #: Names that may be read before this code binds them, in order of appearance.
        self.reads: dict[str, None] = {}
        #: Of these, the ones read only inside functions that this code does not call.
        self.deferred: dict[str, None] = {}
        #: Everything bound, in order of appearance.
        self.writes: dict[str, None] = {}
        self.mutates: dict[str, None] = {}
        #: Deleted at the end, on every path or on some.
        self.deletes: dict[str, None] = {}
        self.local_changes: dict[str, None] = {}
        self.stars: list[str] = []
        self.magics: list[str] = []
        self.is_async = False
        #: Bound by an import statement -> what is imported.
        self.imports: dict[str, str] = {}
        self.bodies: dict[str, Body] = {}
        self.calls: list[Call] = []
        self._comprehended: list[dict[str, frozenset[str]]] = []
        self._breaks: list[list[State]] = []
        self._left = False
        self._running: set[str] = set()

    # --- the little moves ---------------------------------------------------------------------------------------------

    def _is_local(self, name: str) -> bool:
        return name in self._local or any(name in names for names in self._comprehended)

    def _load(self, name: str) -> None:
        if self._is_local(name):
            return
        if name not in self.state.bound:
            self.reads[name] = None
        self.deferred.pop(name, None)
        body = self.bodies.get(name)
        if body is not None and name not in self._running:
            self._running.add(name)  # a recursive function
            self._run(body)
            self._running.discard(name)

    def _run(self, body: Body) -> None:
        """A function defined here is used: from now on it may have run."""
        for name in body.reads:
            self._load(name)
        for name in body.mutates:
            self._change(name)
        self.state.bound.update(body.writes)

    def _store(self, name: str, origins: frozenset[str] = frozenset()) -> None:
        if any(name in names for names in self._comprehended):
            return
        own = frozenset() if name in self._local else frozenset({name})
        self.state.origins[name] = origins | own
        if name in self._local:
            return
        self.writes[name] = None
        self.deletes.pop(name, None)
        self.imports.pop(name, None)
        self.bodies.pop(name, None)
        self.state.bound.add(name)

    def _delete(self, name: str) -> None:
        if self._is_local(name):
            return
        if name not in self.state.bound:
            self.reads[name] = None
        self.deletes[name] = None
        self.state.bound.discard(name)

    def _change(self, name: str) -> None:
        if name in self._local:
            self.local_changes[name] = None
        elif not self._is_local(name):
            self.mutates[name] = None

    def _origins(self, nodes: Iterable[ast.expr]) -> frozenset[str]:
        found: set[str] = set()
        for node in nodes:
            assert isinstance(node, ast.Name)
            found |= self._origins_of(node.id)
        return frozenset(found)

    def _origins_of(self, name: str) -> frozenset[str]:
        for names in reversed(self._comprehended):
            if name in names:
                return names[name]
        return self.state.origins.get(name, frozenset({name}))

    def _change_all(self, nodes: Iterable[ast.expr]) -> None:
        for node in nodes:
            for name in sorted(self._origins(parts_of(node))):
                self._change(name)

    def _visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    # --- names and targets --------------------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._load(node.id)
        elif isinstance(node.ctx, ast.Store):
            self._store(node.id)
        else:
            self._delete(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            self._change_all([node.value])

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            self._change_all([node.value])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        overlays, self._comprehended = self._comprehended, []  # a walrus in a comprehension binds outside it
        origins = self._origins(
            part for part in parts_of(node.value) if isinstance(part, ast.Name) and not any(part.id in names for names in overlays)
        )
        self._store(node.target.id, origins)
        self._comprehended = overlays

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._assign(target, node.value)

    def _assign(self, target: ast.expr, value: ast.expr | None) -> None:
        """Bind a target to a value that has been visited."""
        if isinstance(target, ast.Name):
            self._store(target.id, self._origins(parts_of(value)) if value is not None else frozenset())
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, value)
        elif isinstance(target, ast.Starred):
            self._assign(target.value, value)
        else:
            self.visit(target)

    def _unpack(self, target: ast.Tuple | ast.List, value: ast.expr | None) -> None:
        pairwise = (
            isinstance(value, ast.Tuple | ast.List)
            and len(value.elts) == len(target.elts)
            and not any(isinstance(element, ast.Starred) for element in [*value.elts, *target.elts])
        )
        if pairwise and isinstance(value, ast.Tuple | ast.List):
            origins = [self._origins(parts_of(element)) for element in value.elts]  # all of them before any is bound: a, b = b, a
            for element, found in zip(target.elts, origins, strict=True):
                if isinstance(element, ast.Name):
                    self._store(element.id, found)
                else:
                    self._assign(element, None)
            return
        for element in target.elts:
            self._assign(element, value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        self.visit(node.annotation)
        if node.value is not None:
            self._assign(node.target, node.value)
        elif not isinstance(node.target, ast.Name):
            self._visit_all(ast.iter_child_nodes(node.target))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            name = node.target.id
            self._load(name)
            self.visit(node.value)
            others = self._origins_of(name) - {name} if _is_container(node.value) else frozenset()
            for other in sorted(others):  # b = a; b += [1] changes the list that is also a
                self._change(other)
            self._store(name, others)
            return
        self.visit(node.value)
        self.visit(node.target)


def _is_container(node: ast.expr) -> bool:
    """`x += node` may change a list in place; with a number or a text it makes a new object."""
    return not isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp | ast.UnaryOp | ast.Compare)
