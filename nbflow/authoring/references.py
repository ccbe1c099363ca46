# SPDX-License-Identifier: BSD-3-Clause
"""What calling a task inside a flow gives: references to later values, groups of tasks, and the order written with `>>`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, Self

from nbflow.authoring.lazy import Lazy
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId
from nbflow.core.options import TaskKind

if TYPE_CHECKING:
    from nbflow.authoring.trace import Node, Trace


class Ordered:
    """Something that stands in the order of a flow: `a >> b`, `b << a`, with lists on either side.

    Lists are connected each to each: `a >> [b, c] >> [d, e]` lets `d` wait for `b` and for `c`, and `e` likewise.
    """

    def __rshift__(self, other: Any) -> Any:
        return _connect(self, other, later=True)

    def __lshift__(self, other: Any) -> Any:
        return _connect(self, other, later=False)

    def __rrshift__(self, other: Any) -> Self:
        _connect(self, other, later=False)
        return self

    def __rlshift__(self, other: Any) -> Self:
        _connect(self, other, later=True)
        return self

    def set_downstream(self, other: Any) -> None:
        """`other` (a task, a group or a list of them) waits for this."""
        _connect(self, other, later=True)

    def set_upstream(self, other: Any) -> None:
        """This waits for `other` (a task, a group or a list of them)."""
        _connect(self, other, later=False)


class Reference(Ordered, Lazy):
    """The later value of a task: pass it to other tasks, index it, order it. It has no value while the flow is being written."""

    def __init__(self, trace: Trace, node: Node, path: tuple[Any, ...] = ()) -> None:
        self._trace = trace
        self._node = node
        self._path = path

    @property
    def task_id(self) -> TaskId:
        """The task's name in the flow, with its groups."""
        return self._node.id

    def __getitem__(self, key: Any) -> Reference:
        """The value under `key` of the later value."""
        return Reference(self._trace, self._node, (*self._path, key))

    def partial(self, **arguments: Any) -> Reference:
        """Arguments that are the same for every copy of a mapped task: `score.expand(model=models).partial(seed=1)`. Raises UserError."""
        self._trace.add_arguments(self._node, arguments)
        return self

    def as_setup(self) -> Reference:
        """The task makes what tasks below it need (`semantics.md` 9)."""
        self._trace.make(self._node, TaskKind.SETUP)
        return self

    def as_teardown(self, setups: Any = (), *, on_failure_fail_run: bool = False) -> Reference:
        """The task takes away what `setups` made, which become setups that it stands below. Raises UserError for what is no task."""
        options = {"on_failure_fail_run": True} if on_failure_fail_run else {}
        self._trace.make(self._node, TaskKind.TEARDOWN, **options)
        for setup in members(setups):
            if not isinstance(setup, Reference):
                raise UserError(f"{setup!r} is no task: the setups of a teardown are tasks.")
            self._trace.order(setup.as_setup(), self)
        return self

    @property
    def written(self) -> str:
        """`extract()['rows']`"""
        return f"{self._node.id}()" + "".join(f"[{key!r}]" for key in self._path)

    def __repr__(self) -> str:
        return f"<reference to {self.written}>"

    # --- what would silently be wrong ---------------------------------------------------------------------------------

    def __bool__(self) -> NoReturn:  # noqa: PLE0304 - it never answers
        self._refuse("cannot be asked whether it is true", 'let a task decide: @task(as_="branch")')

    def __iter__(self) -> Iterator[Any]:
        self._refuse("cannot be looped over", "make a task for each element: task.expand(x=...)")

    def __eq__(self, other: object) -> bool:
        if other is not None and not isinstance(other, Ordered):
            self._refuse("cannot be compared", "compare inside a task")
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __format__(self, _: str) -> NoReturn:
        self._refuse("cannot stand in a text", "make the text inside a task")

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse("cannot be called", "call it inside a task")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(f"{self._node.id}() has no value yet, so it has no .{name}: use it inside a task.")

    def __reduce__(self) -> NoReturn:
        self._refuse("is hidden inside an argument", "pass it by itself, or in a list, tuple or dict")

    def _refuse(self, what: str, instead: str) -> NoReturn:
        raise UserError(f"{self._node.id}() has no value while the flow is written, so it {what}: {instead}.")


class Group(Ordered):
    """A group of tasks as a node: `g >> t` lets `t` wait for the last tasks of the group, `t >> g` its first tasks for `t`."""

    def __init__(self, trace: Trace, name: str) -> None:
        self._trace = trace
        self.name = name

    def __repr__(self) -> str:
        return f"<group {self.name}>"


class Several(list[Any], Ordered):
    """What `a >> [b, c]` gives: a list that `>>` goes on from."""

    __hash__ = None  # type: ignore[assignment]  # as of any list


def members(thing: Any) -> list[Reference | Group]:
    """The tasks and groups that `thing` stands for. Raises UserError for anything else."""
    if isinstance(thing, Reference | Group):
        return [thing]
    if isinstance(thing, Iterable) and not isinstance(thing, str | bytes | dict):
        return [member for item in thing for member in members(item)]
    task_id = getattr(thing, "task_id", "")
    if task_id and callable(thing):
        raise UserError(f"{task_id} has no place in the flow before it is called: write {task_id}(...) on both sides of >>.")
    raise UserError(f"Only tasks and groups stand in the order of a flow, and {thing!r:.60} is none.")


def _connect(one: Ordered, other: Any, *, later: bool) -> Any:
    here, there = members(one), members(other)
    for a in here:
        for b in there:
            trace: Trace = a._trace  # noqa: SLF001 - references and groups belong to their trace
            trace.order(*((a, b) if later else (b, a)))
    return other if isinstance(other, Ordered) else Several(other)


def chain(*items: Any) -> None:
    """`chain(a, b, c)` is `a >> b >> c`. A list stands for all its tasks: neighbours are connected each to each. Raises UserError."""
    for above, below in itertools.pairwise(items):
        _connect(Several(members(above)), below, later=True)
