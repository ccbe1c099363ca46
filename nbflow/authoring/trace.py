# SPDX-License-Identifier: BSD-3-Clause
"""A flow function as a Flow: it is run once, the tasks that are called in it write themselves down, and nothing of them is executed."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from nbflow.authoring.arguments import check_call, filled, references_in, written
from nbflow.authoring.branches import read_returned
from nbflow.authoring.header import Header
from nbflow.authoring.map_reads import SPREAD, Element, MappedGroup, MapReads, indexed, sources_in
from nbflow.authoring.options_reader import kind_mistakes, make_options
from nbflow.authoring.python_options import names_of
from nbflow.authoring.references import Group, Reference
from nbflow.core.cache_key import why_not_cached
from nbflow.core.calls import CALL, Call, Placeholder, item_name, result_name
from nbflow.core.errors import UserError, nearest
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId, task_id
from nbflow.core.model import Edge, Flow, Read, Shape, Task
from nbflow.core.options import PastCheck, TaskKind, TaskOptions

#: What happens -> functions.
Callbacks = Mapping[str, tuple[Callable[..., Any], ...]]
_ACTIVE: Final[ContextVar[Trace | None]] = ContextVar("nbflow_trace", default=None)


def active() -> Trace | None:
    """The flow being written in this context, if any."""
    return _ACTIVE.get()


@dataclass(kw_only=True)
class Node:
    """One call of a task in a flow."""

    id: TaskId
    function: Callable[..., Any]
    #: Fields of TaskOptions that this task says itself.
    options: Mapping[str, Any]
    is_multiple: bool = False
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    #: Parameter -> what the task is mapped over.
    mapped: dict[str, Any] = field(default_factory=dict)
    #: The group mapped as a whole that it stands in.
    group: MappedGroup | None = None
    shape: Shape | None = None
    #: Names of values that others take of it: whole, or by the key of the result.
    taken: dict[str, Any] = field(default_factory=dict)
    callbacks: Callbacks = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a task's attempt is given besides values of other tasks. Its function is the function itself: how it travels is decided later."""

    call: Call
    #: Literals the task is mapped over: name of the read -> the elements.
    elements: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    #: Says for each run whether the task depends on its past.
    asks_past: Callable[..., Any] | None = None
    #: What happens -> the functions that are called then.
    callbacks: Callbacks = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A flow function's graph, and what its tasks call."""

    flow: Flow
    bodies: Mapping[TaskId, Body]
    #: Of the flow itself.
    callbacks: Callbacks = field(default_factory=dict)


class Trace:
    """The tasks, groups and order of one flow while its function runs."""

    def __init__(self, header: Header, parameters: Mapping[str, Any]) -> None:
        self._header = header
        self._parameters = {id(value): name for name, value in parameters.items() if value is not None and not isinstance(value, bool)}
        self._nodes: dict[TaskId, Node] = {}
        self._order: list[tuple[Reference | Group, Reference | Group]] = []
        self._groups: dict[str, dict[str, Any]] = {}
        self._inside: list[str] = []
        self._sources: dict[Callable[..., Any], str] = {}
        self._mapped_group: MappedGroup | None = None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Inside the block, calls of tasks write themselves down here. Raises UserError inside another flow."""
        if _ACTIVE.get() is not None:
            raise UserError("A flow cannot be called inside another one: call its tasks, in a group.")
        token = _ACTIVE.set(self)
        try:
            yield
        finally:
            _ACTIVE.reset(token)

    # --- what is called while the flow function runs --------------------------------------------------------------------

    def add(
        self,
        function: Callable[..., Any],
        *,
        name: str,
        is_named: bool,
        options: Mapping[str, Any],
        callbacks: Callbacks | None = None,
        is_multiple: bool = False,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        mapped: Mapping[str, Any] | None = None,
    ) -> Reference:
        """One more task. A name that is taken gets `_2`, `_3` ..., unless it was given by hand: then it is refused. Raises UserError."""
        id = self._free_id(name, is_named=is_named)
        kwargs, mapped = dict(kwargs or {}), dict(mapped or {})
        if mapped and self._mapped_group:
            raise UserError(
                f"{id} stands in group {self._mapped_group.name}, which is mapped as a whole: its tasks cannot be mapped again."
            )
        both = set(kwargs) & set(mapped)
        if both:
            raise UserError(f"{id}: {min(both)} is given twice, once for all copies and once to expand.")
        check_call(function, name, args, [*kwargs, *(word for word in mapped if word != SPREAD)], partly=bool(mapped))
        for reference in references_in([args, kwargs, *map(sources_in, mapped.values())]):
            self._own(reference)
        node = Node(id=id, function=function, options=options, is_multiple=is_multiple, args=args, kwargs=kwargs, mapped=mapped)
        node.group = self._mapped_group
        node.callbacks = dict(callbacks or {})
        self._nodes[id] = node
        return Reference(self, node)

    def add_arguments(self, node: Node, arguments: Mapping[str, Any]) -> None:
        """Further arguments of a mapped task. Raises UserError."""
        if not node.mapped:
            raise UserError(f"{node.id} is not mapped, so it was called already: give it all arguments at once.")
        twice = set(arguments) & {*node.kwargs, *node.mapped}
        if twice:
            raise UserError(f"{node.id}: {min(twice)} is given twice.")
        named = [word for word in (*node.kwargs, *node.mapped, *arguments) if word != SPREAD]
        check_call(node.function, node.id, node.args, named, partly=True)
        for reference in references_in(dict(arguments)):
            self._own(reference)
        node.kwargs |= arguments

    def make(self, node: Node, kind: TaskKind, **options: Any) -> None:
        """The task is a setup or a teardown."""
        node.options = {**node.options, "as_": kind, **options}

    def order(self, above: Reference | Group, below: Reference | Group) -> None:
        """`below` waits for `above`."""
        self._own(above)
        self._own(below)
        self._order.append((above, below))

    @contextmanager
    def group(self, name: str, options: Mapping[str, Any]) -> Iterator[Group]:
        """Tasks called inside the block belong to the group. Raises UserError for a name that cannot be one."""
        path = task_id(".".join([*self._inside, name]))
        self._groups[path] = {**self._groups.get(path, {}), **options}
        before, self._inside = self._inside, path.split(".")
        try:
            yield Group(self, path)
        finally:
            self._inside = before

    @contextmanager
    def mapped_group(self, name: str, options: Mapping[str, Any], sources: Mapping[str, Any]) -> Iterator[dict[str, Element]]:
        """As `group`, with a copy of the whole group for each element. Gives what stands for the elements. Raises UserError."""
        if self._mapped_group is not None:
            raise UserError(f"Group {name} stands in group {self._mapped_group.name}, and both are mapped: map one of them.")
        for reference in references_in([*map(sources_in, sources.values())]):
            self._own(reference)
        path = task_id(".".join([*self._inside, name]))
        if any(id.startswith(path + ".") for id in self._nodes):
            raise UserError(f'There is a group "{path}" in this flow already: give the mapped one a name of its own.')
        self._mapped_group = group = MappedGroup(name=path, sources=sources, take=self._take)
        try:
            with self.group(name, options):
                yield {parameter: Element(self, group, parameter) for parameter in sources}
        finally:
            self._mapped_group = None

    def _free_id(self, name: str, *, is_named: bool) -> TaskId:
        id = task_id(".".join([*self._inside, name]))
        if id not in self._nodes:
            return id
        if is_named:
            raise UserError(f'There are two tasks "{id}" in this flow: give each its own task_id.')
        count = 2
        while f"{id}_{count}" in self._nodes:
            count += 1
        return TaskId(f"{id}_{count}")

    def _own(self, thing: Reference | Group) -> None:
        if thing._trace is not self:  # noqa: SLF001 - references and groups belong to their trace
            raise UserError(f"{thing!r} belongs to another flow, or to an earlier call of this one: call the task in this flow.")

    # --- the flow -------------------------------------------------------------------------------------------------------

    def finish(self, flow: Flow) -> Traced:
        """`flow` with the tasks that were called. Raises UserError for a flow without tasks, for unknown names and for cycles."""
        if not self._nodes:
            raise UserError(f"Flow {flow.name} calls no task: call a function with @task in it.")
        reads: dict[TaskId, tuple[Read, ...]] = {}
        bodies: dict[TaskId, Body] = {}
        for node in self._nodes.values():
            reads[node.id], bodies[node.id] = self._reads_and_body(node)
        for id, body in bodies.items():  # what others take of a result is known only now
            body.call.items.update(  # type: ignore[attr-defined]  # our own dict, still being filled
                {key: name for name, key in self._nodes[id].taken.items() if key is not _WHOLE}
            )
        tasks = tuple(self._task(node, reads[node.id]) for node in self._nodes.values())
        edges = self._edges(tasks)
        _ = Graph(self._nodes, [(edge.upstream, edge.downstream) for edge in edges]).order
        self._check_groups()
        done = Flow(name=flow.name, tasks=tasks, edges=edges, options=flow.options, parameters=flow.parameters, path=flow.path)
        done = replace(done, callbacks=flow.callbacks)
        return Traced(flow=done, bodies=bodies)

    def _reads_and_body(self, node: Node) -> tuple[tuple[Read, ...], Body]:
        found: dict[str, Read] = {}
        place = partial(self._place, node, found)
        args = filled(node.args, place)
        kwargs = filled(node.kwargs, place)
        over = MapReads(node.id, self._take)
        spread = None
        for parameter, source in {**(node.group.sources if node.group else {}), **node.mapped}.items():
            value = over.add(parameter, source)
            if node.group and parameter in node.group.sources:
                continue  # its tasks take what they use of it
            if parameter == SPREAD:
                spread = value
            else:
                kwargs = {**kwargs, parameter: value}
        operator = self._options(node).operator
        call = Call(
            function=node.function,
            args=args,
            kwargs=kwargs,
            spread=spread,
            result=result_name(node.id),
            items={},
            then="" if operator in {"", "python"} else operator,
        )
        node.shape = over.shape
        return (*over.reads, *found.values()), Body(
            call=call, elements=over.elements, asks_past=self._asks_past(node), callbacks=node.callbacks
        )

    def _place(self, node: Node, found: dict[str, Read], reference: Reference) -> Any:
        if isinstance(reference, Element):
            if node.group is not reference.group:
                raise UserError(f"{reference.written} is of one copy of group {reference.group.name}: take it in a task of that group.")
            return indexed(reference.group.values[reference.parameter], reference._path)  # noqa: SLF001 - as in `_take`
        name, path = self._take(reference)
        found[name] = Read(name=name, writers=(reference.task_id,))
        return Placeholder(name=name, path=path)

    def _take(self, reference: Reference) -> tuple[str, tuple[Any, ...]]:
        """The name of what is taken, and how the reader indexes it further; noted with the task that gives it."""
        node, path = reference._node, reference._path  # noqa: SLF001 - references belong to their trace
        if node.is_multiple and path:
            name = item_name(node.id, path[0])
            node.taken[name] = path[0]
            return name, path[1:]
        name = result_name(node.id)
        node.taken[name] = _WHOLE
        return name, path

    def _task(self, node: Node, reads: tuple[Read, ...]) -> Task:
        options = self._options(node)
        names = tuple(name for name in node.taken if name != result_name(node.id))
        if node.function not in self._sources:
            self._sources[node.function] = _source(node.function)
        shown = {**node.kwargs, **node.mapped}
        call = written(getattr(node.function, "__name__", node.id), node.args, shown, self._parameters)
        return Task(
            id=node.id,
            operator="python",
            source=f"{self._sources[node.function]}\n{call}\n".lstrip(),
            options=options,
            reads=reads,
            writes=(result_name(node.id), *names),
            demands=tuple(node.taken),
            doc=options.doc or inspect.cleandoc(node.function.__doc__ or ""),
            mapped_group=node.group.name if node.group else "",
            shape=node.shape,
            callbacks=names_of(node.callbacks),
        )

    def _asks_past(self, node: Node) -> Callable[..., Any] | None:
        """The callable that says for each run whether the task depends on its past."""
        inherited, own = self._said(node)
        said: Any = own.get("depends_on_past", inherited.get("depends_on_past"))
        return said if callable(said) else None

    def _said(self, node: Node) -> tuple[dict[str, Any], dict[str, Any]]:
        """Options that the task inherits, and its own."""
        inherited = self._header.for_task(node.id)
        parts = node.id.split(".")[:-1]
        for depth in range(1, len(parts) + 1):
            inherited |= self._groups.get(".".join(parts[:depth]), {})
        own = dict(node.options)
        if over := {**(node.group.sources if node.group else {}), **node.mapped}:
            own["map"] = tuple((name.strip("*") or "arguments", getattr(source, "written", name)) for name, source in over.items())
        return inherited, own

    def _options(self, node: Node) -> TaskOptions:
        inherited, own = (
            {name: PastCheck.ASK if name == "depends_on_past" and callable(value) else value for name, value in said.items()}
            for said in self._said(node)
        )
        options = make_options(inherited, own)
        for mistake in kind_mistakes(options, own, fail_fast=self._header.options.fail_fast):
            raise UserError(f"Task {node.id}: {mistake}")
        if why := why_not_cached(options):
            raise UserError(f"Task {node.id}: {why}")
        return options

    def _edges(self, tasks: Sequence[Task]) -> tuple[Edge, ...]:
        names: dict[tuple[TaskId, TaskId], dict[str, None]] = {}
        for task in tasks:
            for read in _ordering(task):
                for writer in read.writers:
                    names.setdefault((writer, task.id), {})[read.name] = None
        data = Graph(self._nodes, names)
        for above, below in self._order:
            for upstream in self._ends(above, data, first=False):
                for downstream in self._ends(below, data, first=True):
                    names.setdefault((upstream, downstream), {})
        for task in tasks:
            for word in task.options.after:
                for upstream in self._after(word, task):
                    names.setdefault((upstream, task.id), {})
        self._follow_branches(tasks, names)
        self._start_groups(tasks, names)
        place = {id: number for number, id in enumerate(self._nodes)}
        ordered = sorted(names, key=lambda pair: (place[pair[0]], place[pair[1]]))
        return tuple(Edge(upstream=up, downstream=down, names=tuple(names[up, down])) for up, down in ordered)

    def _start_groups(self, tasks: Sequence[Task], names: dict[tuple[TaskId, TaskId], dict[str, None]]) -> None:
        """The first tasks of a group that is mapped as a whole wait for what it maps over."""
        group = {task.id: task.mapped_group for task in tasks}
        inside = {below for above, below in names if group[below] and group[above] == group[below]}
        for task in tasks:
            if task.mapped_group and task.id not in inside:
                for read in task.reads:
                    for writer in read.writers if read.element else ():
                        names.setdefault((writer, task.id), {})[read.name] = None

    def _follow_branches(self, tasks: Sequence[Task], names: dict[tuple[TaskId, TaskId], dict[str, None]]) -> None:
        """An edge from a branch to each task written after it that its function names and nothing connects to it yet, as in cells."""
        ids = list(self._nodes)
        for task in tasks:
            if task.options.as_ is not TaskKind.BRANCH:
                continue
            graph = Graph(ids, names)
            below = set(ids[ids.index(task.id) + 1 :])
            for word in self._choices(task):
                chosen = (TaskId(word),) if word in graph else graph.group_roots(word)
                for id in chosen:
                    if id in below and id not in graph.descendants(task.id):
                        names.setdefault((task.id, id), {})

    def _choices(self, task: Task) -> tuple[str, ...]:
        try:
            return read_returned(self._sources[self._nodes[task.id].function])
        except SyntaxError:  # a lambda in the middle of a line, say
            return ()

    def _ends(self, thing: Reference | Group, data: Graph, *, first: bool) -> list[TaskId]:
        """The task; of a group, those that wait for nothing in it (`first`), or those that nothing in it waits for."""
        if isinstance(thing, Reference):
            return [thing.task_id]
        inside = [id for id in self._nodes if id.startswith(thing.name + ".")]
        if not inside:
            raise UserError(f"Group {thing.name} has no task: call one inside its block.")
        pairs = [(a.task_id, b.task_id) for a, b in self._order if isinstance(a, Reference) and isinstance(b, Reference)]
        pairs += [(above, below) for below in inside for above in data.upstream(below)]
        graph = Graph(inside, pairs)
        if first:
            return [id for id in inside if not graph.upstream(id)]
        # What comes after a group does not wait for its teardowns.
        aside = {id for id in inside if self._kind(id) is TaskKind.TEARDOWN}
        last = [id for id in inside if id not in aside and aside.issuperset(graph.downstream(id))]
        return last or [id for id in inside if not graph.downstream(id)]

    def _kind(self, id: TaskId) -> TaskKind:
        return self._options(self._nodes[id]).as_

    def _after(self, word: str, task: Task) -> list[TaskId]:
        """A task, or the tasks of a group, as `--after` has it; a name of the task's own group may be short."""
        for name in (word, f"{task.group}.{word}"):
            if name in self._nodes:
                return [TaskId(name)]
            inside = [id for id in self._nodes if id.startswith(name + ".") and id != task.id]
            if inside:
                return [id for id in inside if self._kind(id) is not TaskKind.TEARDOWN] or inside
        raise UserError(f'after of task {task.id}: there is no task or group "{word}".{nearest(word, [*self._nodes, *self._groups])}')

    def _check_groups(self) -> None:
        for name in self._groups:
            if name in self._nodes:
                raise UserError(f'"{name}" is the name of a task and of a group: rename one of them.')


_WHOLE: Final = object()


def _ordering(task: Task) -> list[Read]:
    """The reads that a task waits for by itself: in a mapped group, the first tasks wait for what it maps over."""
    return [read for read in task.reads if not (read.element and task.mapped_group)]


def _source(function: Callable[..., Any]) -> str:
    """The function as typed; "" where nobody knows it."""
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return ""


__all__ = ["CALL", "Body", "Node", "Trace", "Traced", "active"]
