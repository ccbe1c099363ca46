# SPDX-License-Identifier: BSD-3-Clause
"""Operators by name: nbflow's own, and those of other distributions through the entry point group `nbflow.operators`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from nbflow.core.errors import UserError, nearest
from nbflow.operators.attempt import Operator

_GROUP: Final = "nbflow.operators"
#: Where each of ours lives; imported when first used.
_OWN: Final = {
    "cell": "nbflow.operators.cell:run_cell",
    "bash": "nbflow.operators.bash:run_bash",
    "python": "nbflow.operators.python:run_python",
    "email": "nbflow.operators.mailing:run_email",
    "file": "nbflow.operators.sensing:run_file",
    "http": "nbflow.operators.sensing:run_http",
    "sql": "nbflow.operators.sql:run_sql",
    "time": "nbflow.operators.sensing:run_time",
    "flow": "nbflow.operators.sensing:run_flow",
}


def operator_names() -> tuple[str, ...]:
    """Every name `--operator` takes in this environment, sorted."""
    return tuple(sorted({*_OWN, *(point.name for point in entry_points(group=_GROUP))}))


@cache
def find_operator(name: str) -> Operator:
    """Raises UserError naming the nearest operator there is."""
    if name in _OWN:
        module, _, attribute = _OWN[name].partition(":")
        own: Operator = getattr(import_module(module), attribute)
        return own
    for point in entry_points(group=_GROUP, name=name):
        found: Operator = point.load()
        return found
    known = operator_names()
    raise UserError(f'There is no operator "{name}".{nearest(name, known)} There are: {", ".join(known)}.')
