# SPDX-License-Identifier: BSD-3-Clause
"""`@task` and the half of `@flow` that needs no workspace: functions that know their options and can be written into a graph."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from nbflow.authoring import trace
from nbflow.authoring.arguments import check_call
from nbflow.authoring.header import Header
from nbflow.authoring.map_reads import SPREAD
from nbflow.authoring.parameters import FlowParameters
from nbflow.authoring.python_options import OWN, TaskKeywords, names_of, read_flow_options, read_task_options, split_callbacks
from nbflow.authoring.references import Group, Reference
from nbflow.core.callbacks import OF_FLOW, OF_TASK
from nbflow.core.errors import UserError
from nbflow.core.ids import FlowName, flow_name, task_id
from nbflow.core.model import Flow

P = ParamSpec("P")
R = TypeVar("R")


class TaskFunction(Generic[P, R]):
    """A function that is a task: called in a flow it takes its place in the graph, called anywhere else it runs.

    Calls are typed to give `Any`: inside a flow they give a reference, which goes where the value would and also knows `>>`; no type says both.
    """

    def __init__(self, function: Callable[P, R], keywords: Mapping[str, Any], *, is_named: bool = False) -> None:
        """`is_named`: the person gave the `task_id`, so another task of that name is a mistake."""
        if not callable(function):
            raise UserError(f"@task stands above a function, and {function!r:.60} is none: write @task(option=value) with names.")
        functools.update_wrapper(self, function)
        self.function = function
        self._keywords = dict(keywords)
        self._is_named = is_named
        name = str(keywords.get("task_id") or getattr(function, "__name__", "task").strip("<>"))
        self.task_id = task_id(name)
        options, self._callbacks = split_callbacks(keywords, OF_TASK, f"@task {name}")
        self._options = read_task_options({key: value for key, value in options.items() if key not in OWN}, f"@task {name}")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        writing = trace.active()
        if writing is None:
            return self.function(*args, **kwargs)
        return self._add(writing, args=args, kwargs=kwargs)

    def override(self, **keywords: Unpack[TaskKeywords]) -> TaskFunction[P, R]:
        """The same task with other options: `extract.override(task_id=f"extract_{t}", retries=5)(t)`. Raises UserError."""
        return TaskFunction(self.function, {**self._keywords, **keywords}, is_named=self._is_named or "task_id" in keywords)

    def partial(self, **arguments: Any) -> Partial:
        """Arguments for every copy of a task that is to be mapped: `score.partial(seed=1).expand(model=models)`."""
        return Partial(self, arguments)

    def expand(self, **sources: Any) -> Any:
        """One copy of the task for each element: `score.expand(model=["a", "b"])`. Several sources: all combinations, the last varies fastest.

        A source is a list, a dict (its pairs), a task's result, or a result with `.map`, `.zip` or `.concat`.
        Gives a reference to the list of results. Raises UserError outside a flow.
        """
        return self.partial().expand(**sources)

    def expand_kwargs(self, kwargs: Any) -> Any:
        """One copy of the task for each dict of arguments: a list of dicts, or a task's result that is one. Raises UserError outside a flow."""
        return self.partial().expand_kwargs(kwargs)

    def _add(self, writing: trace.Trace, **arguments: Any) -> Reference:
        return writing.add(
            self.function,
            name=self.task_id,
            is_named=self._is_named,
            options=self._options,
            callbacks=self._callbacks,
            is_multiple=bool(self._keywords.get("multiple_outputs")),
            **arguments,
        )

    def _not_called(self, _: Any) -> Any:
        raise UserError(f"{self.task_id} has no place in the flow before it is called: write {self.task_id}(...) on both sides of >>.")

    __rshift__ = __lshift__ = __rrshift__ = __rlshift__ = _not_called

    def __repr__(self) -> str:
        return f"<task {self.task_id}>"

    def __reduce__(self) -> Any:
        """One of a module travels by its name."""
        module = sys.modules.get(self.__module__)
        if self.__module__ != "__main__" and getattr(module, self.function.__qualname__, None) is self:
            return self.function.__qualname__
        return functools.partial(TaskFunction, is_named=self._is_named), (self.function, self._keywords)


class Partial:
    """A task with some arguments, to be mapped over others."""

    def __init__(self, task: TaskFunction[Any, Any], arguments: Mapping[str, Any]) -> None:
        self._task, self._arguments = task, dict(arguments)

    def partial(self, **arguments: Any) -> Partial:
        """More arguments for every copy."""
        return Partial(self._task, {**self._arguments, **arguments})

    def expand(self, **sources: Any) -> Any:
        """See `TaskFunction.expand`."""
        name = self._task.task_id
        writing = trace.active()
        if writing is None:
            raise UserError(f"{name}.expand(...) makes copies of a task, so it stands inside a flow.")
        if not sources:
            raise UserError(f"{name}.expand() has nothing to map over: write {name}.expand(x=xs).")
        return self._task._add(writing, kwargs=self._arguments, mapped=sources)  # noqa: SLF001 - one thing in two steps

    def expand_kwargs(self, kwargs: Any) -> Any:
        """See `TaskFunction.expand_kwargs`."""
        return self.expand(**{SPREAD: kwargs})


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...
@overload
def task(**options: Unpack[TaskKeywords]) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """This function is a task: `@task`, or `@task(retries=2, retry_delay="10s")` with the options of `%%task` under the same names.

    `task_id` names it (default: the function's name); `multiple_outputs=True` gives each key of the dict it returns by itself.
    Raises UserError for an option that there is not, or a value that it cannot have.
    """
    if function is not None:
        return TaskFunction(function, options)
    return lambda decorated: TaskFunction(decorated, options, is_named="task_id" in options)


class group(Generic[P, R]):  # noqa: N801 - written as `with group("name"):` and as `@group`
    """Tasks called inside `with group("name"):` belong to the group; options hold for each of them that does not say otherwise.

    It gives the group as a node: `g >> t`, `t >> g`. Outside a flow the tasks just run.
    `@group` above a function makes a group of the tasks it calls, each time it is called; `.expand(x=xs)` maps the group as a whole: each copy
    is a chain of its own. Raises UserError.
    """

    @overload
    def __init__(self, name: Callable[P, R], /, **options: Unpack[TaskKeywords]) -> None: ...
    @overload
    def __init__(self, name: str = "", /, **options: Unpack[TaskKeywords]) -> None: ...
    def __init__(self, name: Any = "", /, **options: Any) -> None:
        self._function: Callable[..., Any] | None = None
        self._options = read_task_options(options, f"group {name if isinstance(name, str) else name.__name__}".rstrip())
        self._open: ExitStack | None = None
        self.name = name if isinstance(name, str) else ""
        if not isinstance(name, str):
            self._decorate(name)

    def _decorate(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.name = self.name or function.__name__
        functools.update_wrapper(cast("Callable[..., Any]", self), function)

    # --- as a block ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Group:
        writing = trace.active()
        if writing is None:
            return _NoGroup()
        if not self.name:
            raise UserError('A group has a name: write with group("publish").')
        self._open = ExitStack()
        return self._open.enter_context(writing.group(self.name, self._options))

    def __exit__(self, *_: object) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()

    # --- as a decorator -----------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call its function as a group; of `group("name")` and `group(retries=2)`, decorate one."""
        if self._function is None:
            (function,) = args
            made = group[..., Any](self.name)
            made._options = self._options
            made._decorate(function)
            return made
        writing = trace.active()
        if writing is None:
            return self._function(*args, **kwargs)
        with writing.group(self.name, self._options):
            return self._function(*args, **kwargs)

    def partial(self, **arguments: Any) -> PartialGroup:
        """Arguments for every copy of a group that is to be mapped."""
        return PartialGroup(self, arguments)

    def expand(self, **sources: Any) -> Any:
        """One copy of the whole group for each element; sources as of a task. Gives what its function returns: outside, lists."""
        return self.partial().expand(**sources)


class PartialGroup:
    """A group with some arguments, to be mapped over others."""

    def __init__(self, of: group[Any, Any], arguments: Mapping[str, Any]) -> None:
        self._group, self._arguments = of, dict(arguments)

    def partial(self, **arguments: Any) -> PartialGroup:
        """More arguments for every copy."""
        return PartialGroup(self._group, {**self._arguments, **arguments})

    def expand(self, **sources: Any) -> Any:
        """See `group.expand`."""
        made, name, writing = self._group, self._group.name, trace.active()
        if writing is None:
            raise UserError(f"{name}.expand(...) makes copies of a group, so it stands inside a flow.")
        if made._function is None:  # noqa: SLF001 - one thing in two steps
            raise UserError(f"Group {name} has no function to map: write @group above one.")
        if not sources:
            raise UserError(f"{name}.expand() has nothing to map over: write {name}.expand(x=xs).")
        check_call(made._function, name, (), [*self._arguments, *sources])  # noqa: SLF001 - as above
        with writing.mapped_group(name, made._options, sources) as elements:  # noqa: SLF001 - as above
            return made._function(**self._arguments, **elements)  # noqa: SLF001 - as above


class _NoGroup(Group):
    """A group where nothing is ordered, since everything runs at once in the order written."""

    def __init__(self) -> None:
        self.name = ""

    def __rshift__(self, other: Any) -> Any:
        return other

    def __lshift__(self, other: Any) -> Any:
        return other

    def __rrshift__(self, other: Any) -> Any:
        return self

    __rlshift__ = __rrshift__


class FlowFunction(Generic[P, R]):
    """A function that writes a graph of tasks when it runs."""

    def __init__(self, function: Callable[P, R], keywords: Mapping[str, Any]) -> None:
        if not inspect.isfunction(function):
            raise UserError(f"@flow stands above a function, and {function!r:.60} is none: write @flow(option=value) with names.")
        functools.update_wrapper(cast("Callable[..., Any]", self), function)
        self.function = function
        options = dict(keywords)
        given = options.pop("name", None) or function.__name__.strip("<>")
        self.name: FlowName = flow_name(str(given))
        options, self._callbacks = split_callbacks(options, OF_FLOW, f"@flow {self.name}")
        self._header: Header = read_flow_options(options, f"@flow {self.name}")
        self.parameters = FlowParameters(function, self.name, self._header.params)

    @property
    def path(self) -> str:
        """The file it was written in; "" when there is none, as in a notebook."""
        filename = self.function.__code__.co_filename
        return "" if filename.startswith("<") or "ipykernel" in filename else filename

    def traced(self, values: Mapping[str, Any] | None = None, *, installation: Mapping[str, Any] | None = None) -> trace.Traced:
        """The graph with these values of the parameters; without, with their defaults. Raises UserError, and what the function raises.

        `installation` are options of tasks for where nothing else is said, as [defaults] of `nbflow.toml` has them.
        """
        chosen = self.parameters.defaults() if values is None else dict(values)
        header = self._header.under(installation or {})
        writing = trace.Trace(header, chosen)
        bound = self.parameters.bound(chosen)
        with writing.writing():
            self.function(*bound.args, **bound.kwargs)
        return replace(writing.finish(self._empty(header)), callbacks=self._callbacks)

    def _empty(self, header: Header) -> Flow:
        doc = (self.function.__doc__ or "").strip()
        options = header.options
        first = doc.partition("\n")[0]
        options = replace(options, doc=options.doc or doc, description=options.description or first)
        return Flow(
            name=self.name, options=options, parameters=self.parameters.described(), path=self.path, callbacks=names_of(self._callbacks)
        )

    def __repr__(self) -> str:
        return f"<flow {self.name}>"


__all__ = ["FlowFunction", "Partial", "PartialGroup", "TaskFunction", "group", "task"]
