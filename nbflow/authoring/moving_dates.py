# SPDX-License-Identifier: BSD-3-Clause
"""Dates of schedules that are computed from the time at which a file is read: another schedule after each reading, so they are refused."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from nbflow.core.errors import UserError
from nbflow.core.model import Flow

#: Keys of a schedule that are instants.
DATES: Final = ("start_date", "end_date")
_CLOCKS: Final = frozenset({"now", "today", "utcnow", "days_ago"})
_ADVICE: Final = "write a date, such as 2026-01-01."


def refuse_moving_dates(path: Path, flows: Sequence[Flow], again: Sequence[Flow]) -> None:
    """Raises UserError where the file asks a clock for a date, or two readings of its flows say different ones."""
    for line, key, clock in _asked(path):
        raise UserError(f"{path.name}, line {line}: {key} is another one each time it is read, since it asks {clock}(): {_ADVICE}")
    later = {flow.name: flow for flow in again}
    for flow in flows:
        if flow.name in later:
            refuse_other_dates(flow, later[flow.name].options.schedule)


def refuse_other_dates(flow: Flow, other: Mapping[str, object]) -> None:
    """Raises UserError when another reading of the very same flow said another date."""
    for key in DATES:
        said, then = (str(schedule.get(key, "")) for schedule in (flow.options.schedule, other))
        if said != then:
            raise UserError(
                f"{key} of flow {flow.name} is another one each time it is read ({said or 'none'}, then {then or 'none'}): {_ADVICE}"
            )


def _asked(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, key and clock of each date of a decorator that asks one, directly or by a name of the file."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # reading it says what is wrong
    bound: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            bound |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
    for inner in ast.walk(tree):
        for decorator in inner.decorator_list if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) else ():
            for word in decorator.keywords if isinstance(decorator, ast.Call) else ():
                value = bound.get(word.value.id, word.value) if isinstance(word.value, ast.Name) else word.value
                clock = _clock(value) if word.arg in DATES else ""
                if clock:
                    yield word.value.lineno, str(word.arg), clock


def _clock(value: ast.expr) -> str:
    """How the expression asks the time; "" when it does not."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.rpartition(".")[2] in _CLOCKS or called == "time.time":
                return called
    return ""
