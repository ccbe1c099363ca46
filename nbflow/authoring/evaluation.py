# SPDX-License-Identifier: BSD-3-Clause
"""A cell, walked in the order Python evaluates it: what it reads before binding it, what it binds, what it changes in place.

One visitor serves the cell and every function in it. Inside a function the names of `Scope.locals` are its own; all others are the notebook's.
Where a path may be taken or not, a name counts as bound only when every path binds it: that errs on the side of one dependency too many.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from nbflow.authoring import scoping
from nbflow.authoring.magics import magic_call
from nbflow.authoring.mutations import PROCESS_STATE, element_parts_of, mutated_by_call, parts_of


@dataclass
class Body:
    """What the body of a function does to the notebook's names when it runs."""

    #: In order of appearance.
    reads: dict[str, None] = field(default_factory=dict)
    #: Through `global`.
    writes: dict[str, None] = field(default_factory=dict)
    mutates: dict[str, None] = field(default_factory=dict)
    #: Parameters whose arguments it changes in place.
    changes: dict[str, None] = field(default_factory=dict)
    #: All its parameters that can be given by position.
    positional: tuple[str, ...] = ()
    calls: list[Call] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """A call of a plain name: which names' objects went in, by position (or `*`: anywhere) and by keyword."""

    function: str
    positional: tuple[frozenset[str], ...] = ()
    keywords: tuple[tuple[str, frozenset[str]], ...] = ()


@dataclass
class State:
    """What holds at one point of the evaluation."""

    #: Names every path to here has bound.
    bound: set[str] = field(default_factory=set)
    #: Name -> the names whose object it may be, or be a part of.
    origins: dict[str, frozenset[str]] = field(default_factory=dict)

    def copy(self) -> State:
        return State(set(self.bound), dict(self.origins))


def join(states: Sequence[State]) -> State:
    """What holds where these paths meet."""
    first, *others = states
    bound = first.bound.intersection(*(state.bound for state in others))
    names = {name for state in states for name in state.origins}
    origins = {name: frozenset().union(*(state.origins.get(name, frozenset({name})) for state in states)) for name in names}
    return State(bound, origins)


class Evaluation(ast.NodeVisitor):
    """Walks statements; the result stands in its attributes."""

    def __init__(self, local: frozenset[str] = frozenset(), *, is_function: bool = False) -> None:
        self._local = local
        self._is_function = is_function
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
        origins = self._origins(part for part in parts_of(node.value) if isinstance(part, ast.Name) and not _is_in(part.id, overlays))
        self._store(node.target.id, origins)
        self._comprehended = overlays

    def visit_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Lambda):
            self._define_lambda(node.targets[0].id, node.value)
            return
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
            others = self._origins_of(name) - {name}
            for other in sorted(others):  # b = a; b += [1] changes the list that is also a
                self._change(other)
            self._store(name, others)
            return
        self.visit(node.value)
        self.visit(node.target)

    def visit_TypeAlias(self, node: ast.AST) -> None:
        """`type X = ...` (3.12): evaluated when it is used, so what it reads is a function's."""
        name = node.name.id  # type: ignore[attr-defined] # Python 3.12's syntax tree
        inner = Evaluation(self._local | frozenset(scoping.type_parameters(node)), is_function=True)
        inner.visit(node.value)  # type: ignore[attr-defined] # as above
        self._bind_body(name, Body(reads=inner.reads))

    # --- calls and magics ---------------------------------------------------------------------------------------------

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

    def visit_Global(self, node: ast.Global) -> None:
        """Scoping has seen it."""

    # --- paths ----------------------------------------------------------------------------------------------------------

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
        self._meet([self._path(start, lambda: self._visit_all(body)) for body in (node.body, node.orelse)], start)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        start = self.state
        self._meet([self._path(start, lambda: self.visit(side)) for side in (node.body, node.orelse)], start)

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
        before = self.state.copy()
        finished = self._path(before, lambda: self._visit_all(node.body))
        if finished is not None:
            finished = self._path(finished, lambda: self._visit_all(node.orelse))
        ends = [finished, *(self._path(before, self._handling(handler)) for handler in node.handlers)]
        self._meet(ends, before)
        left, self._left = self._left, False
        self._visit_all(node.finalbody)
        self._left = self._left or left

    visit_TryStar = visit_Try

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

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

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
        inner = Evaluation(frozenset((hidden - own.declared_global) | own.locals), is_function=True)
        names = [parameter.arg for parameter in scoping.parameters(node)]
        inner.state.origins = {name: frozenset({name}) for name in names}
        inner._visit_all(node.body if isinstance(node.body, list) else [node.body])  # noqa: SLF001 - the same class
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

    visit_AsyncFunctionDef = visit_FunctionDef

    def _define_lambda(self, name: str, node: ast.Lambda) -> None:
        self._outside(node)
        self._bind_body(name, self._body(node))

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


def changed_by(call: Call, body: Body | None) -> list[str]:
    """The names whose objects a call of this function changes in place."""
    if body is None or not body.changes:
        return []
    given = dict(zip(body.positional, call.positional, strict=False)) | dict(call.keywords)
    return sorted({name for parameter in body.changes for name in given.get(parameter, frozenset())})


def _is_in(name: str, overlays: Iterable[dict[str, frozenset[str]]]) -> bool:
    return any(name in names for names in overlays)


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
