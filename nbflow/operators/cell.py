# SPDX-License-Identifier: BSD-3-Clause
"""The `cell` operator: a notebook cell, run as a kernel runs it."""

from __future__ import annotations

import asyncio
from typing import Any

from nbflow.core.context import FailTask
from nbflow.core.options import TaskKind
from nbflow.operators import loops
from nbflow.operators.attempt import Attempt, Ending
from nbflow.operators.deciding import as_decision
from nbflow.operators.errors import ending_of
from nbflow.operators.shell import ZMQInteractiveShell, current, new_shell


def run_cell(attempt: Attempt) -> Ending:
    """Run the body in a fresh shell over the attempt's `__main__`."""
    return run_source(attempt, attempt.job.source)


def run_source(attempt: Attempt, source: str) -> Ending:
    """Run this text as the attempt's cell."""
    shell = new_shell(attempt)
    with current(shell):
        result = _run(shell, source)
    error = result.error_before_exec or result.error_in_exec
    if error is not None and not (isinstance(error, SystemExit) and error.code in (None, 0)):
        return ending_of(error, filename=shell.filename, offset=shell.offset, shown=tuple(shell.shown_traceback))
    if attempt.job.decides is TaskKind.PLAIN:
        return Ending()
    try:
        return Ending(decision=as_decision(result.result, attempt.job.decides))
    except FailTask as refused:
        return ending_of(refused)


def _run(shell: ZMQInteractiveShell, source: str) -> Any:
    """In an event loop, as in a kernel: `asyncio.create_task` works in any cell, top-level `await` too."""
    if _is_in_loop():
        return shell.run_cell(source, store_history=True)
    loop = loops.take()  # not asyncio.Runner: it would take SIGINT away from code that does not await
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(shell.run_in_loop(source))
    finally:
        try:
            loops.end(loop)
        finally:
            asyncio.set_event_loop(None)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


__all__ = ["run_cell", "run_source"]
