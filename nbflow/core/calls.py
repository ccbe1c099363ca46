# SPDX-License-Identifier: BSD-3-Clause
"""A call of a Python function as a task's body: what `@task` writes down and the `python` operator carries out.

A call is plain data that pickles: it travels to the attempt as a captured value under the name `CALL`, apart from the flow, so that a flow has
one version whatever its parameters are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

#: The name under which an attempt finds its call. It is no identifier, so it hides nothing of the user's.
CALL: Final = "(call)"


def result_name(task: str) -> str:
    """What a task's result is called among values: `extract()`. Being no identifier, it hides no name of the functions that run beside it."""
    return f"{task}()"


def item_name(task: str, key: Any) -> str:
    """What one key of a result with `multiple_outputs` is called: `extract()['rows']`."""
    return f"{result_name(task)}[{key!r}]"


def element_name(parameter: str) -> str:
    """What the element is called that one copy of a mapped task gets for `parameter`."""
    return f"({parameter})"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A function of a module that every worker can import."""

    module: str
    qualname: str
    #: The module's file where the flow was written: a module of the same name elsewhere is not meant.
    file: str = ""


@dataclass(frozen=True, kw_only=True)
class Defined:
    """A function of the notebook: it travels as a definition and stands in `__main__` under this name."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Placeholder:
    """Where a value of an upstream task goes among the arguments."""

    #: Its name among the attempt's inputs.
    name: str
    #: Indexed with these, one after the other.
    path: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a function makes of one element: `rows.map(clean)`."""

    function: Imported | Defined | Callable[..., Any]
    part: Any


@dataclass(frozen=True, kw_only=True)
class Zipped:
    """The elements in the same place, as a tuple; `fillvalue` for those that have none there."""

    parts: tuple[Any, ...]
    fillvalue: Any = None


@dataclass(frozen=True, kw_only=True)
class Joined:
    """The element of whichever part it comes from."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Call:
    """Call the function with these arguments and give its result."""

    #: The function itself where it can only travel by value.
    function: Imported | Defined | Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    #: `expand_kwargs`: where the further arguments of one copy, a dict, come from.
    spread: Any = None
    #: The name its result is bound to.
    result: str
    #: `multiple_outputs`: key of the result -> the name it is bound to as well.
    items: Mapping[Any, str] = field(default_factory=dict)
    #: The operator that carries out the text the function returns; "" when the function's result is the task's.
    then: str = ""


#: The module being imported to find a task's function: what stands at its top level must not start runs. "" when none is.
IMPORTING: Final[ContextVar[str]] = ContextVar("nbflow_importing", default="")
