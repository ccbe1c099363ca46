# SPDX-License-Identifier: BSD-3-Clause
"""What any attempt of any run was given, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbflow.core.calls import CALL
from nbflow.core.errors import UserError
from nbflow.core.ids import task_key
from nbflow.core.job import Capture, CaptureKind, Outcome, ValueRef
from nbflow.core.mapping import list_ref
from nbflow.core.records import AttemptRecord
from nbflow.engine.attempts import values_of
from nbflow.engine.captures import HandedOver
from nbflow.engine.jobs import closure

if TYPE_CHECKING:
    from nbflow.app.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class TaskInputs:
    """Everything one attempt was given."""

    attempt: AttemptRecord
    #: Values of tasks above it, by name.
    values: Mapping[str, ValueRef]
    #: What plain cells gave it, with everything that refers to.
    captures: Mapping[str, Capture]

    def shown(self) -> dict[str, ValueRef]:
        """The values among them, those of plain cells too."""
        plain = {
            name: capture.value
            for name, capture in self.captures.items()
            if capture.kind is CaptureKind.VALUE and capture.value is not None and name != CALL
        }
        return {**self.values, **plain}


def attempt_of(workspace: Workspace, run_id: str, task: str, number: int | None = None, *, failed: bool = False) -> AttemptRecord:
    """The newest attempt of a task (or the newest that failed), or the one of that number. Raises UserError when there is none."""
    attempts = [one for one in workspace.attempts(run_id, task) if number is None or one.attempt == number]
    if failed:
        attempts = [one for one in attempts if one.outcome == Outcome.FAILED.value]
    if attempts:
        return attempts[-1]
    what = f"no attempt {number}" if number is not None else "no attempt that failed" if failed else "no finished attempt"
    raise UserError(f"Task {task} of run {run_id} has {what}. {workspace.reason_of(run_id, task)}".rstrip())


def given_by(workspace: Workspace, run_id: str, task: str, number: int | None = None) -> Mapping[str, ValueRef]:
    """What a task gave in a run, or in its attempt of that number. Raises UserError when that gave nothing."""
    if number is None:
        return workspace.given(run_id, task)
    attempt = attempt_of(workspace, run_id, task, number)
    if attempt.outcome != Outcome.SUCCESS.value:
        raise UserError(f"Attempt {number} of task {task} of run {run_id} gave nothing: it {_ended(attempt)}.")
    return attempt.values


def inputs_of(workspace: Workspace, run_id: str, task: str, number: int | None = None, *, failed: bool = False) -> TaskInputs:
    """What an attempt of a task was given; by default the newest. Raises UserError when there is no such attempt."""
    attempt = attempt_of(workspace, run_id, task, number, failed=failed)
    run = workspace.run(run_id)
    flow = workspace.flow_of(run)
    known = {one.id: one for one in flow.tasks}
    id = task_key(task).task_id
    handed = HandedOver.decode(workspace.store.captures(run_id))
    captures: dict[str, Capture] = {}
    if id in known and id in handed:
        taken = handed.of(id)
        early = taken.early.get(id, {})
        plain = [read.name for read in known[id].reads if read.plain and not read.element and read.name not in attempt.inputs]
        needed = [CALL, *plain, *(name for ref in attempt.inputs.values() for name in ref.needs)]
        captures = closure(needed, {**taken.names, **early}, attempt.inputs)
    values = {name: _with_items(workspace, run_id, name, ref) for name, ref in attempt.inputs.items()}
    return TaskInputs(attempt=attempt, values=values, captures=captures)


def only(name: str, given: Mapping[str, ValueRef], run_id: str, task: str, did: str = "gave") -> Mapping[str, ValueRef]:
    """The value of that name; all of them when it is empty. `did`: what the task did with them. Raises UserError when there is no such value."""
    if not name:
        return given
    if name not in given:
        raise UserError(f'Task {task} {did} no "{name}" in run {run_id}; it {did}: {", ".join(given) or "nothing"}.')
    return {name: given[name]}


def _with_items(workspace: Workspace, run_id: str, name: str, ref: ValueRef) -> ValueRef:
    """A record keeps of a list that copies gave its hash only; the items are those of the copies, if they still are the same."""
    if ref.format != "list" or ref.items:
        return ref
    values = values_of(workspace.store, run_id)
    for task in values.tasks():
        found = values.of(task).values.get(name)
        if found is not None and found.hash == ref.hash:
            return found
    return replace(list_ref(()), hash=ref.hash, shown=f"{ref.shown} (its copies have run again since)")


def _ended(attempt: AttemptRecord) -> str:
    words = {"failed": "failed", "skipped": "was skipped", "cancelled": "was cancelled", "lost": "was lost"}
    return words.get(attempt.outcome, f"is {attempt.outcome}")
