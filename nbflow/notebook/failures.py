# SPDX-License-Identifier: BSD-3-Clause
"""Exceptions as IPython shows them: one line for a mistake, the task's own traceback for a failed task. All of them stop "Run all"."""

from __future__ import annotations

from nbflow.core.errors import NbflowError, RunFailed
from nbflow.core.hosting import Advanced, TaskFailure
from nbflow.core.states import RunState

_RED, _BOLD, _PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"


class Mistake(Exception):
    """What a person typed cannot be done: shown as its sentence, without a stack. Wraps any NbflowError on its way out of a magic."""

    def __init__(self, error: NbflowError) -> None:
        super().__init__(str(error))
        self.error = error

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a stack."""
        return [f"{_RED}{line}{_PLAIN}" for line in str(self).splitlines()]


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

    def _render_traceback_(self) -> list[str]:
        return [f"{_RED}{self}{_PLAIN}"]


class Interrupted(KeyboardInterrupt):
    """The kernel was interrupted and the run was cancelled."""

    def _render_traceback_(self) -> list[str]:
        return [f"{_RED}KeyboardInterrupt{_PLAIN}: {self}"]


def raise_unless_well(advanced: Advanced) -> None:
    """Raises TaskFailed or RunEnded when the run, as far as it went, did not go well."""
    if advanced.failures:
        raise TaskFailed(advanced.failures[0], advanced.sentence)
    if advanced.state in {RunState.FAILED, RunState.CANCELLED}:
        raise RunEnded(advanced.sentence)
