# SPDX-License-Identifier: BSD-3-Clause
"""The arguments of a task's call: references in them become placeholders, at any depth of lists, tuples, sets and dicts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, time, timedelta
from typing import Any, Final

from nbflow.authoring.references import Group, Reference
from nbflow.core.errors import UserError

#: Characters of one argument that the written form of a call shows.
_SHOWN: Final = 80
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, date, time, timedelta)


def filled(value: Any, place: Callable[[Reference], Any]) -> Any:
    """`value` with `place(reference)` for every reference in it. What holds none stays the object it is. Raises UserError for a group."""
    if isinstance(value, Reference):
        return place(value)
    if isinstance(value, Group):
        raise UserError(f"Group {value.name} has no value to pass on: pass the tasks of it.")
    kind = type(value)
    if kind in {list, tuple, set, frozenset}:
        items = [filled(item, place) for item in value]
        return kind(items) if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if kind is dict:
        pairs = {key: filled(item, place) for key, item in value.items()}
        return pairs if any(pairs[key] is not value[key] for key in value) else value
    if isinstance(value, tuple) and hasattr(value, "_make"):
        items = [filled(item, place) for item in value]
        return value._make(items) if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def references_in(value: Any) -> list[Reference]:
    """Every reference in `value`, in the order written."""
    found: list[Reference] = []

    def note(reference: Reference) -> Reference:
        found.append(reference)
        return reference

    filled(value, note)
    return found


def elements_of(task: str, parameter: str, value: Any) -> tuple[Any, ...]:
    """What a literal gives to map over: its items; of a dict, its pairs. Raises UserError for what has none."""
    if references_in(value):
        raise UserError(f"{task}.expand({parameter}=...): a list of references cannot be mapped over: let a task return the list.")
    if isinstance(value, Mapping):
        return tuple(value.items())
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return tuple(value)
    raise UserError(f"{task}.expand({parameter}=...): {_shown(value)} has no elements to map over: give a list, a dict or a task's result.")


def check_call(function: Callable[..., Any], called: str, args: Sequence[Any], names: Iterable[str], *, partly: bool = False) -> None:
    """Raises UserError when a function cannot be called with so many arguments and these names."""
    signature = inspect.signature(function)
    try:
        (signature.bind_partial if partly else signature.bind)(*args, **dict.fromkeys(names))
    except TypeError as error:
        shown = signature.replace(return_annotation=signature.empty)
        raise UserError(f"{called}{shown} cannot be called so: {error}.") from None


def written(called: str, args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Mapping[int, str]) -> str:
    """The call as a person would write it; `parameters` are the flow's, by the identity of their values."""
    shown = [_written(value, parameters) for value in args]
    shown += [f"{name}={_written(value, parameters)}" for name, value in kwargs.items()]
    return f"{called}({', '.join(shown)})"


def _written(value: Any, parameters: Mapping[int, str]) -> str:
    if id(value) in parameters:
        return parameters[id(value)]
    if isinstance(value, Reference):
        return value.written
    if isinstance(value, list | tuple) and references_in(value):
        inner = ", ".join(_written(item, parameters) for item in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
    if isinstance(value, dict) and references_in(value):
        return "{" + ", ".join(f"{key!r}: {_written(item, parameters)}" for key, item in value.items()) + "}"
    return _shown(value)


def _shown(value: Any) -> str:
    if _is_plain(value, depth=3):
        text = repr(value)
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return f"<{type(value).__name__}>"


def _is_plain(value: Any, depth: int) -> bool:
    """Whether its repr says what it is, the same in every process."""
    if isinstance(value, _PLAIN):
        return True
    if not depth or len(value if isinstance(value, list | tuple | dict) else ()) > _SHOWN:
        return False
    if isinstance(value, list | tuple):
        return all(_is_plain(item, depth - 1) for item in value)
    return isinstance(value, dict) and all(_is_plain(key, 0) and _is_plain(item, depth - 1) for key, item in value.items())
