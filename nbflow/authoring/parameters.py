# SPDX-License-Identifier: BSD-3-Clause
"""The parameters of a flow function: their types from annotations, their values as the annotations want them."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, Union, get_args, get_origin

from nbflow.core.durations import parse_duration
from nbflow.core.errors import UserError, nearest
from nbflow.core.model import Parameter

#: How each type is said in sentences.
_SAID: Final[Mapping[Any, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    date: "a date such as 2026-01-31",
    datetime: "an instant such as 2026-01-31T03:00:00+00:00",
    time: "a time such as 03:00",
    timedelta: "a duration such as 30s, 5m or 1h30m",
}


class Unset:
    """Stands for a parameter without a default while a graph is only looked at: it can be passed on, and nothing else."""

    def __init__(self, flow: str, name: str) -> None:
        self._sentence = f"Parameter {name} of flow {flow} has no default, so the graph depends on a value nobody gave: give it a default."

    def _refuse(self, *_: Any) -> NoReturn:
        raise UserError(self._sentence)

    __bool__ = __iter__ = __len__ = __getitem__ = __format__ = __call__ = __lt__ = __gt__ = __add__ = __int__ = __index__ = _refuse


class FlowParameters:
    """The signature of a flow function. Raises UserError for one that takes any number of arguments."""

    def __init__(self, function: Callable[..., Any], flow: str, declared: Mapping[str, Mapping[str, Any]]) -> None:
        self._flow = flow
        self._declared = declared
        self._signature = inspect.signature(function)
        self._hints = _hints(function)
        for parameter in self._signature.parameters.values():
            if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
                raise UserError(f"Flow {flow} takes {parameter}, but the parameters of a flow are known by name: name each of them.")
        unknown = [name for name in declared if name not in self._signature.parameters]
        if unknown:
            hint = nearest(unknown[0], self._signature.parameters)
            raise UserError(f"Flow {flow} has no parameter {unknown[0]}, which params declares.{hint}")

    def described(self) -> tuple[Parameter, ...]:
        """As the flow's version records them."""
        return tuple(
            Parameter(
                name=name,
                default="" if parameter.default is parameter.empty else repr(parameter.default),
                **{"type": _name(self._hints.get(name)), "choices": _choices(self._hints.get(name)), **self._declared.get(name, {})},
            )
            for name, parameter in self._signature.parameters.items()
        )

    def named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of a call by name, without defaults. Raises UserError when the function cannot be called so."""
        unknown = [name for name in kwargs if name not in self._signature.parameters]
        if unknown:
            known = ", ".join(self._signature.parameters) or "none"
            hint = nearest(unknown[0], self._signature.parameters) or f" It has {known}."
            raise UserError(f"Flow {self._flow} has no parameter {unknown[0]}.{hint}")
        try:
            return dict(self._signature.bind_partial(*args, **kwargs).arguments)
        except TypeError as error:
            raise UserError(f"Flow {self._flow}{self._signature} cannot be run so: {error}.") from None

    def values(self, given: Mapping[str, Any], texts: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Every parameter's value for a run. `texts` are values as typed on a command line. Raises UserError."""
        chosen = self._given(given, texts or {})
        missing = [name for name in self._signature.parameters if name not in chosen]
        if missing:
            raise UserError(
                f"Flow {self._flow} needs a value for {' and for '.join(missing)}: give it to run(), or with -p {missing[0]} VALUE."
            )
        return chosen

    def defaults(self) -> dict[str, Any]:
        """Every parameter's value for looking at the graph."""
        return self.known({})

    def known(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """As `defaults`, with these values. Raises UserError."""
        chosen = self._given(given, {})
        return {name: chosen.get(name, Unset(self._flow, name)) for name in self._signature.parameters}

    def bound(self, values: Mapping[str, Any]) -> inspect.BoundArguments:
        """The call of the function with these values."""
        parameters = self._signature.parameters
        positional = [name for name in parameters if parameters[name].kind is inspect.Parameter.POSITIONAL_ONLY]
        return self._signature.bind(*(values[name] for name in positional), **{n: v for n, v in values.items() if n not in positional})

    def _given(self, given: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        self.named((), dict.fromkeys([*given, *texts]) if not self._positional_only() else {})
        for name, parameter in self._signature.parameters.items():
            if name in texts and self._takes_text(name):
                chosen[name] = self._checked(name, texts[name])
            elif name in given:
                chosen[name] = self._checked(name, given[name])
            elif parameter.default is not parameter.empty:
                chosen[name] = parameter.default
        return chosen

    def _positional_only(self) -> bool:
        return any(parameter.kind is parameter.POSITIONAL_ONLY for parameter in self._signature.parameters.values())

    def _takes_text(self, name: str) -> bool:
        return str in _members(self._hints.get(name))

    def _checked(self, name: str, value: Any) -> Any:
        hint, declared = self._hints.get(name), self._declared.get(name, {})
        try:
            read = _read(hint, value)
        except (ValueError, TypeError, KeyError, UserError):
            raise UserError(f'Parameter {name} of flow {self._flow} takes {_said(hint)}, and "{value}" is none.') from None
        low, high, choices = declared.get("minimum"), declared.get("maximum"), declared.get("choices")
        if (low is not None and read < low) or (high is not None and read > high):
            bounds = " and ".join([f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None))
            raise UserError(f"Parameter {name} of flow {self._flow} must be {bounds}, not {read}.")
        if choices and read not in choices:
            raise UserError(f'Parameter {name} of flow {self._flow} takes one of {", ".join(map(str, choices))}, and "{read}" is none.')
        return read


def _choices(hint: Any) -> tuple[Any, ...]:
    """The values that a Literal takes, as far as JSON has them."""
    values = get_args(hint) if get_origin(hint) is Literal else ()
    return values if all(isinstance(value, str | int | None) and not isinstance(value, Enum) for value in values) else ()


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations as types; one that cannot be resolved here counts as any."""
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - evaluating annotations runs the user's expressions; names of TYPE_CHECKING blocks are not there
        return {name: hint for name, hint in getattr(function, "__annotations__", {}).items() if not isinstance(hint, str)}


def _members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union; anything else by itself."""
    return get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)


def _read(hint: Any, value: Any) -> Any:
    """`value` as the annotation has it. Raises ValueError, TypeError, KeyError or UserError when it cannot be."""
    members = _members(hint)
    if len(members) > 1:
        return _read_one_of(members, value)
    if get_origin(hint) is Literal:
        return get_args(hint)[get_args(hint).index(value)]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return value if isinstance(value, hint) else _member(hint, value)
    read = _READERS.get(hint)
    return value if read is None else read(value)


def _of_kind(*kinds: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError
        return value

    return read


def _text(value: Any) -> str:
    return str(_of_kind(str, date, int, float)(value))


def _number(value: Any) -> float:
    return float(_of_kind(int, float)(value))


def _instant_of(kind: Any) -> Callable[[Any], Any]:
    """A date stays what it is (pendulum's too); text is read."""
    return lambda value: value if isinstance(value, kind) else kind.fromisoformat(value)


_READERS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    bool: _of_kind(bool),
    type(None): _of_kind(type(None)),
    int: _of_kind(int),
    float: _number,
    str: _text,
    date: _instant_of(date),
    datetime: _instant_of(datetime),
    time: _instant_of(time),
    timedelta: parse_duration,
    Path: Path,
}


def _read_one_of(members: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in members:
        return None
    for member in members:
        try:
            return _read(member, value)
        except (ValueError, TypeError, KeyError, UserError):
            continue
    raise ValueError


def _member(kind: type[Enum], value: Any) -> Enum:
    try:
        return kind(value)
    except ValueError:
        return kind[value]


def _said(hint: Any) -> str:
    members = [member for member in _members(hint) if member is not type(None)]
    return " or ".join(_said_one(member) for member in members)


def _said_one(hint: Any) -> str:
    if hint in _SAID:
        return _SAID[hint]
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(str(member.value) for member in hint)
    return _name(hint)


def _name(hint: Any) -> str:
    if hint is None:
        return ""
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
