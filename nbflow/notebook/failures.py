# SPDX-License-Identifier: BSD-3-Clause
"""How a cell that ran the graph fails: with the task's own traceback, or in one line. (Any NbflowError is one line, see core/errors.py.)"""

from __future__ import annotations

from nbflow.core.errors import RunFailed
from nbflow.core.hosting import Advanced, TaskFailure
from nbflow.core.states import RunState

_RED, _BOLD, _PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"


class TaskFailed(RunFailed):
    """A task of the run failed: shown as its own traceback under one line that says where."""

    def __init__(self, failure: TaskFailure, sentence: str) -> None:
        self.failure = failure
        where = f", line {failure.error.line}" if failure.error.line else ""
        super().__init__(f"Task {failure.task} failed: {failure.error.sentence}{where}")
        self.sentence = sentence

    def _render_traceback_(self) -> list[str]:
        cell = f" (cell {self.failure.cell.number})" if self.failure.cell.number else ""
        line = f", line {self.failure.error.line}" if self.failure.error.line else ""
        header = f"{_RED}{_BOLD}Task {self.failure.task}{cell}{line} failed.{_PLAIN} {self.sentence}"
        own = list(self.failure.error.traceback) or [f"{_RED}{self.failure.error.sentence}{_PLAIN}"]
        return [header, *own]


class RunEnded(RunFailed):
    """The run ended badly without a failed task of its own: cancelled by somebody, timed out."""


class Interrupted(KeyboardInterrupt):
    """The kernel was interrupted and the run was cancelled."""

    def _render_traceback_(self) -> list[str]:
        return [f"{_RED}KeyboardInterrupt{_PLAIN}: {self}"]


def raise_unless_well(advanced: Advanced) -> None:
    """Raises TaskFailed or RunEnded when the run, as far as it went, did not go well. A failure that the flow handled is not one of the run's."""
    if advanced.failures and advanced.state is not RunState.SUCCESS:
        raise TaskFailed(advanced.failures[0], advanced.sentence)
    if advanced.state in {RunState.FAILED, RunState.CANCELLED}:
        raise RunEnded(advanced.sentence)
