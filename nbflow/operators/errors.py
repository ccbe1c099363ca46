# SPDX-License-Identifier: BSD-3-Clause
"""Exceptions of user code as plain data: what failed, in which line of the cell, and whether trying again makes sense."""

from __future__ import annotations

import traceback
from typing import Final

from nbflow.core.context import FailTask, SkipTask
from nbflow.core.job import ErrorInfo, Outcome
from nbflow.operators.attempt import Ending

_LIMIT: Final = 10_000
#: What IPython calls the code under `%%time`, counting its lines from 1.
_TIMED: Final = "<timed exec>"


def text_of(error: BaseException) -> str:
    """`str(error)`, which may raise, within bounds."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  a user's own __str__
        text = f"<unprintable {type(error).__name__}>"
    return text if len(text) <= _LIMIT else text[:_LIMIT] + "…"


def class_names(error: BaseException) -> tuple[str, ...]:
    """Qualified and bare names from the exception's class up to Exception, for --retry-on."""
    names: list[str] = []
    for kind in type(error).__mro__:
        if issubclass(kind, BaseException) and kind is not object:
            names += [f"{kind.__module__}.{kind.__qualname__}", kind.__name__]
        if kind is Exception:
            break
    return tuple(dict.fromkeys(names))


def line_in(error: BaseException, filename: str, offset: int = 0) -> int:
    """The deepest line of `filename` on the way to the error; 0 when it does not pass through it."""
    line = 0
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == filename:
            line = number
        elif frame.f_code.co_filename == _TIMED and line:
            line = number + offset + 1  # below the line with the magic
    if isinstance(error, SyntaxError) and error.filename == filename:
        line = error.lineno or line
    return line


def error_info(error: BaseException, *, filename: str = "", offset: int = 0, shown: tuple[str, ...] = ()) -> ErrorInfo:
    """`shown` is the traceback as a person saw it; without it, Python's own."""
    lines = shown or tuple("".join(traceback.format_exception(error)).splitlines())
    return ErrorInfo(
        ename=type(error).__name__,
        evalue=text_of(error),
        line=line_in(error, filename, offset),
        traceback=lines,
        may_retry=not isinstance(error, FailTask),
        classes=class_names(error),
    )


def ending_of(error: BaseException, *, filename: str = "", offset: int = 0, shown: tuple[str, ...] = ()) -> Ending:
    """Skipped for SkipTask, failed for everything else."""
    if isinstance(error, SkipTask):
        return Ending(outcome=Outcome.SKIPPED, reason=error.reason or "the task skipped itself")
    info = error_info(error, filename=filename, offset=offset, shown=shown)
    return Ending(outcome=Outcome.FAILED, reason=info.sentence, error=info, exception=error)
