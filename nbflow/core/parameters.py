# SPDX-License-Identifier: BSD-3-Clause
"""Whether values given for the parameters of a flow may be: asked before a run exists."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, Final

from nbflow.core.errors import UserError, nearest
from nbflow.core.model import Flow, Parameter

_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "text"),
    "bool": ((bool,), "true or false"),
    "list": ((list,), "a list"),
    "dict": ((dict,), "a table"),
}

#: Of Python flows; as text they are ISO dates.
_DATES: Final[Mapping[str, type[date | time]]] = {"date": date, "datetime": datetime, "time": time}
_EXAMPLES: Final = {"date": "2026-01-31", "datetime": "2026-01-31T03:00", "time": "03:00"}


def check_parameters(flow: Flow, given: Mapping[str, Any]) -> None:
    """Raises UserError for a parameter the flow does not have, or a value it does not take."""
    known = {parameter.name: parameter for parameter in flow.parameters}
    for name, value in given.items():
        if name not in known:
            has = f"It has {', '.join(known)}." if known else 'Tag the cell that sets it with "parameters".'
            raise UserError(f'Flow {flow.name} has no parameter "{name}".{nearest(name, known)} {has}')
        _check(flow, known[name], value)


def _check(flow: Flow, parameter: Parameter, value: Any) -> None:
    called = f"Parameter {parameter.name} of flow {flow.name}"
    if parameter.type in _DATES:
        _check_date(called, parameter.type, value)
    kinds, said = _TYPES.get(parameter.type, ((object,), ""))
    if said and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        raise UserError(f'{called} takes {said}, and "{value}" is none.')
    low, high = parameter.minimum, parameter.maximum
    if low is not None or high is not None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f'{called} takes a number, and "{value}" is none.')
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = " and ".join([f"at least {low:g}"] * (low is not None) + [f"at most {high:g}"] * (high is not None))
            raise UserError(f"{called} must be {bounds}, not {value}.")
    if parameter.choices and value not in parameter.choices:
        raise UserError(f'{called} takes one of {", ".join(map(str, parameter.choices))}, and "{value}" is none.')


def _check_date(called: str, kind: str, value: Any) -> None:
    wanted = _DATES[kind]
    try:
        found = wanted.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, wanted):
        raise UserError(f'{called} takes a {kind} such as {_EXAMPLES[kind]}, and "{value}" is none.')
