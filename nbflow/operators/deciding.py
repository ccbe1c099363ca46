# SPDX-License-Identifier: BSD-3-Clause
"""What the last expression of a task decides, as JSON: ids to follow, whether to go on, what to ask a person."""

from __future__ import annotations

import json
from typing import Any

from nbflow.core.context import FailTask
from nbflow.core.options import TaskKind
from nbflow.operators.attempt import Attempt, Ending
from nbflow.operators.plain import is_exact_in_json


def as_decision(value: Any, kind: TaskKind) -> Any:
    """What the value means to a task of this kind. Raises FailTask for what it cannot mean."""
    if kind in {TaskKind.SHORT_CIRCUIT, TaskKind.SENSOR}:
        return _truth(value, kind)
    return _plain(value, kind)


def _truth(value: Any, kind: TaskKind) -> bool:
    try:
        return bool(value)
    except (ValueError, TypeError):
        what = f"the last expression of a {kind.value} task is a {type(value).__name__}"
        raise FailTask(f"{what}, which is neither true nor false: end the cell with len(...) > 0, or .any()") from None


def _plain(value: Any, kind: TaskKind) -> Any:
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    if isinstance(value, (tuple, list)):
        return [_plain(item, kind) for item in value]
    if isinstance(value, dict) and kind is TaskKind.APPROVAL:
        return {str(name): _plain(item, kind) for name, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if is_exact_in_json(value):
        return json.loads(json.dumps(value))
    name = type(value).__name__
    if kind is TaskKind.APPROVAL:
        raise FailTask(
            f"the last expression of an approval is a {name}, but it must be a question or a list of answers: end the cell with one"
        )
    raise FailTask(f"the last expression of a branch is a {name}, but it must be a task's name or a list of names: end the cell with one")


def answered(attempt: Attempt) -> Ending:
    """An approval goes on with its answer: its body has run, and what that gave stands in the namespace."""
    if attempt.job.out:
        attempt.namespace[attempt.job.out] = attempt.job.resumed["answer"]
    return Ending(decision=attempt.job.resumed["answer"])


__all__ = ["answered", "as_decision"]
