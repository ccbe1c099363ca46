# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: N802 - ast.NodeVisitor finds methods by the names of the nodes
"""A cell, walked in the order Python evaluates it: what it reads before binding it, what it binds, what it changes in place.

One visitor serves the cell and every function in it. Inside a function, the names in `local` are its own; all others are the notebook's.
"""

from __future__ import annotations

import ast

from nbflow.authoring import scoping
from nbflow.authoring.effects import Body, Call, changed_by
from nbflow.authoring.magics import magic_call
from nbflow.authoring.mutations import PROCESS_STATE, element_parts_of, mutated_by_call, parts_of
from nbflow.authoring.paths import Paths


class Evaluation(Paths):
    """Walks statements; the result stands in its attributes. Call `finish` at the end."""

    def visit_Call(self, node: ast.Call) -> None:
        magic = magic_call(node)
        if magic is not None:
            self.magics.append(magic.label)
            for name in magic.reads:
                self._load(name)
            for name in magic.writes:
                self._store(name)
            if magic.binds_anything:
                self.stars.append(" ".join([magic.label, *magic.words[1:2]]))
            return
        self.generic_visit(node)
        self._change_all(mutated_by_call(node))
        if isinstance(node.func, ast.Name):
            self._note_call(node.func.id, node)

    def _note_call(self, function: str, node: ast.Call) -> None:
        if self._is_local(function):
            return
        positional = tuple(self._origins(parts_of(argument)) for argument in node.args)
        keywords = tuple((word.arg, self._origins(parts_of(word.value))) for word in node.keywords if word.arg is not None)
        call = Call(function, positional, keywords)
        if any(positional) or any(origins for _, origins in keywords):
            self.calls.append(call)
        for name in changed_by(call, self.bodies.get(function)):
            self._change(name)

    def visit_Await(self, node: ast.Await) -> None:
        self.is_async = True
        self.generic_visit(node)

    # --- statements that bind -----------------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._store(name)
            self.imports[name] = alias.name if alias.asname else name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
                continue
            name = alias.asname or alias.name
            self._store(name)
            shared = (module, alias.name) in PROCESS_STATE
            self.imports[name] = f"{module}.{alias.name}" if shared else f"{module}:{alias.name}"

    def visit_TypeAlias(self, node: ast.AST) -> None:
        """`type X = ...` (3.12): evaluated when it is used, so what it reads is a function's."""
        name = node.name.id  # type: ignore[attr-defined] # Python 3.12's syntax tree
        inner = Evaluation(self._local | frozenset(scoping.type_parameters(node)))
        inner.visit(node.value)  # type: ignore[attr-defined] # as above
        self._bind_body(name, Body(reads=inner.reads))

    def visit_Global(self, node: ast.Global) -> None:
        """Scoping has seen it."""

    # --- comprehensions -------------------------------------------------------------------------------------------------

    def _comprehension(self, node: scoping.Comprehension) -> None:
        own: dict[str, frozenset[str]] = {}
        self.visit(node.generators[0].iter)
        self._comprehended.append(own)
        for place, generator in enumerate(node.generators):
            self.is_async = self.is_async or bool(generator.is_async)
            if place:
                self.visit(generator.iter)
            origins = self._origins(element_parts_of(generator.iter))
            own.update(dict.fromkeys(scoping.target_names(generator.target), origins))
            self._visit_all(generator.ifs)
        self._visit_all(getattr(node, part) for part in ("elt", "key", "value") if hasattr(node, part))
        self._comprehended.pop()

    visit_ListComp = visit_SetComp = _comprehension  # noqa: N815 - ast.NodeVisitor finds them by these names
    visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815 - as above

    # --- functions and classes ------------------------------------------------------------------------------------------

    def _outside(self, node: scoping.Function) -> None:
        """Decorators, defaults and annotations are evaluated where the function stands."""
        self._visit_all(getattr(node, "decorator_list", []))
        self._visit_all([*node.args.defaults, *node.args.kw_defaults])
        self._comprehended.append(dict.fromkeys(scoping.type_parameters(node), frozenset()))
        self._visit_all(parameter.annotation for parameter in scoping.parameters(node))
        self._visit_all([getattr(node, "returns", None)])
        self._comprehended.pop()

    def _body(self, node: scoping.Function) -> Body:
        own = scoping.own_names(node)
        hidden = self._local | {name for names in self._comprehended for name in names}
        inner = Evaluation(frozenset((hidden - own.declared_global) | own.locals))
        names = [parameter.arg for parameter in scoping.parameters(node)]
        inner.state.origins = {name: frozenset({name}) for name in names}
        inner._visit_all(node.body if isinstance(node.body, list) else [node.body])
        inner.finish()
        self.stars += inner.stars
        self.magics += inner.magics
        outer_changes = [name for name in inner.local_changes if name not in own.locals]
        for name in outer_changes:
            self._change(name)  # a closure changes a name of the function around it
        return Body(
            reads=inner.reads,
            writes=inner.writes,
            mutates=inner.mutates,
            changes={name: None for name in names if name in inner.local_changes},
            positional=tuple(parameter.arg for parameter in [*node.args.posonlyargs, *node.args.args]),
            calls=inner.calls,
        )

    def _bind_body(self, name: str, body: Body) -> None:
        self._store(name)
        if self._is_local(name):
            self._run(body)  # inside a function: whatever it defines counts as used
            return
        self.writes.update(body.writes)
        self.bodies[name] = body

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._outside(node)
        self._bind_body(node.name, self._body(node))

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - as above

    def visit_Assign(self, node: ast.Assign) -> None:
        """`f = lambda ...` defines a function."""
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Lambda):
            self._outside(node.value)
            self._bind_body(node.targets[0].id, self._body(node.value))
            return
        super().visit_Assign(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """A lambda without a name is taken to be called where it stands."""
        self._outside(node)
        self._run(self._body(node))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all(node.decorator_list)
        self._comprehended.append(dict.fromkeys(scoping.type_parameters(node), frozenset()))
        self._visit_all([*node.bases, *(keyword.value for keyword in node.keywords)])
        body = self._class_body(node)
        self._comprehended.pop()
        self._bind_body(node.name, body)

    def _class_body(self, node: ast.ClassDef) -> Body:
        """The body runs now, in a scope of its own; the methods run when the class is used, and do not see that scope."""
        own = scoping.own_names(node)
        methods = Body()
        self._comprehended.append({})
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                self._outside(statement)
                names = self._comprehended.pop()
                body = self._body(statement)
                self._comprehended.append({**names, statement.name: frozenset()})
                methods.reads.update(body.reads)
                methods.writes.update(body.writes)
                methods.mutates.update(body.mutates)
                continue
            self._visit_class_statement(statement, own)
        self._comprehended.pop()
        return methods

    def _visit_class_statement(self, statement: ast.stmt, own: scoping.OwnNames) -> None:
        inner = Evaluation(self._local | {name for names in self._comprehended for name in names})
        inner.state = self.state.copy()
        inner.bodies = dict(self.bodies)
        inner.visit(statement)
        inner.finish()
        for name in inner.reads:
            self._load(name)
        for name in inner.mutates:
            if name not in own.locals:
                self._change(name)
        self.magics += inner.magics
        self._comprehended[-1].update(dict.fromkeys((name for name in inner.writes if name in own.locals), frozenset()))

    # --- the end --------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Functions that were defined and not called: what they read and this code has not bound must come from elsewhere."""
        for body in list(self.bodies.values()):
            for name in body.reads:
                if name not in self.state.bound and not self._is_local(name):
                    if name not in self.reads:
                        self.deferred[name] = None
                    self.reads[name] = None
