# SPDX-License-Identifier: BSD-3-Clause
"""Two runs of one flow: what differs, which task was the first to, and because of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from nbflow.core.ids import TaskId
from nbflow.core.messages import name_list, plural
from nbflow.core.records import RunRecord
from nbflow.core.states import TaskState


class CauseKind(StrEnum):
    """What of a task differs, the weightiest first."""

    TASK = "task"  # only one of the runs has it
    CODE = "code"
    PARAMETER = "parameter"
    INPUT = "input"
    VALUE = "value"  # of a plain cell
    ENVIRONMENT = "environment"
    OPTION = "option"


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One thing that a task was made of, and that differs."""

    kind: CauseKind
    #: The parameter, input, package ...; of code, the helper that changed, "" for the task's own.
    name: str = ""
    a: str = ""
    b: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One value that both runs have, or only one."""

    name: str
    is_same: bool
    told: str


@dataclass(frozen=True, kw_only=True)
class TaskDifference:
    """One task in both runs."""

    id: TaskId
    #: None where the run does not have it.
    states: tuple[TaskState | None, TaskState | None]
    seconds: tuple[float | None, float | None] = (None, None)
    causes: tuple[Cause, ...] = ()
    results: tuple[Result, ...] = ()
    #: How what it showed differs; "" when it does not.
    shown: str = ""
    #: Its code in both runs, where that differs.
    sources: tuple[str, str] = ("", "")

    @property
    def differs(self) -> bool:
        """Times, workers and attempts do not count, and what it showed counts only beside something else."""
        return bool(self.causes) or self.states[0] != self.states[1] or any(not result.is_same for result in self.results)


@dataclass(frozen=True, kw_only=True)
class RunDifference:
    """`a` is the older run."""

    a: RunRecord
    b: RunRecord
    #: In the flow's order, those upstream first.
    tasks: tuple[TaskDifference, ...]
    params: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    environment: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def first(self) -> TaskDifference | None:
        """The first task that differs, if any."""
        return next((task for task in self.tasks if task.differs), None)

    @property
    def alike(self) -> tuple[TaskId, ...]:
        return tuple(task.id for task in self.tasks if not task.differs)

    def sentence(self) -> str:
        """What a person wants to know first."""
        first = self.first
        if first is None:
            return f"No task differs: {plural(len(self.tasks), 'task')} alike in state, code and result."
        told = [f"The first task that differs is {first.id}.", *_causes(first), *_ends(first), *self._after(first)]
        return " ".join(told)

    def _after(self, first: TaskDifference) -> list[str]:
        later = self.tasks[self.tasks.index(first) + 1 :]
        stopped = [task for task in later if task.states[1] is TaskState.UPSTREAM_FAILED is not task.states[0]]
        others = [task for task in later if task.differs and task not in stopped]
        found = [f"{plural(len(stopped), 'task')} after it did not run in B."] if stopped else []
        return [*found, f"{plural(len(others), 'task')} after it {'differs' if len(others) == 1 else 'differ'}, too."] if others else found


_SAID: Final[Mapping[CauseKind, str]] = {
    CauseKind.PARAMETER: "parameter",
    CauseKind.INPUT: "input",
    CauseKind.VALUE: "value",
    CauseKind.ENVIRONMENT: "package",
    CauseKind.OPTION: "option",
}


def _causes(task: TaskDifference) -> list[str]:
    if not task.causes:
        if all(result.is_same for result in task.results):
            return []
        return ["Code, parameters, inputs and packages are the same: what differs came from outside, such as files, the time or chance."]
    told = []
    for number, kind in enumerate(kind for kind in CauseKind if any(cause.kind is kind for cause in task.causes)):
        found = [cause for cause in task.causes if cause.kind is kind]
        told.append(_cause(kind, found, also=number > 0))
    return told


def _cause(kind: CauseKind, causes: Sequence[Cause], *, also: bool) -> str:
    too = " as well" if also else ""
    if kind is CauseKind.TASK:
        return f"Only run {'A' if causes[0].a else 'B'} has it."
    if kind is CauseKind.CODE:
        helpers = [f"`{cause.name}`" for cause in causes if cause.name]
        own = any(not cause.name for cause in causes)
        if own and not helpers:
            return f"Its code changed{too}."
        return f"Its code{' changed, and' if own else ', or rather'} {name_list(helpers)}, which it uses{'' if own else ', changed'}{too}."
    pairs = [f"{cause.name} ({cause.a or 'not there'} -> {cause.b or 'not there'})" for cause in causes[:3]]
    more = f" and {len(causes) - 3} more" if len(causes) > 3 else ""
    word = _SAID[kind] if len(causes) == 1 else _SAID[kind] + "s"
    return f"Its {word} {name_list(pairs)}{more} changed{too}."


def _ends(task: TaskDifference) -> list[str]:
    before, after = task.states
    if before == after or before is None or after is None:
        changed = [f"{result.name}: {result.told}" for result in task.results if not result.is_same]
        return [f"It gave {'; '.join(changed[:3])}."] if changed else []
    return [f"It was {before.value.replace('_', ' ')} in A and {after.value.replace('_', ' ')} in B."]
