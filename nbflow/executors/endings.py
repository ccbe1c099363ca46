# SPDX-License-Identifier: BSD-3-Clause
"""Reports about attempts that could not report themselves: killed for a limit, died, or never begun."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nbflow.core.durations import say_duration
from nbflow.core.ids import Token
from nbflow.core.job import ErrorInfo, OutputMade, Outcome, OutputsRef, Report

#: Characters of live outputs that are kept for a report nobody else can write.
_KEPT: Final = 200_000


def timed_out(token: Token, timeout: timedelta, *, worker: str, started_at: datetime | None, outputs: OutputsRef) -> Report:
    """FAILED: `TaskTimeout: did not end within 2 s`."""
    error = ErrorInfo(ename="TaskTimeout", evalue=f"did not end within {say_limit(timeout)}", timed_out=True)
    return _failed(token, error, worker=worker, started_at=started_at, outputs=outputs)


def out_of_memory(token: Token, used: int, limit: int, *, worker: str, started_at: datetime | None, outputs: OutputsRef) -> Report:
    """FAILED: `MemoryLimitExceeded: killed: used 2.1 GB of 2 GB`."""
    error = ErrorInfo(ename="MemoryLimitExceeded", evalue=f"killed: used {say_bytes(used)} of {say_bytes(limit)}")
    return _failed(token, error, worker=worker, started_at=started_at, outputs=outputs, peak_bytes=used)


def lost(token: Token, reason: str, *, worker: str = "", started_at: datetime | None = None, outputs: OutputsRef | None = None) -> Report:
    """LOST: `started_at` None says that user code had not begun."""
    return Report(
        token=token,
        outcome=Outcome.LOST,
        worker=worker,
        started_at=started_at,
        ended_at=datetime.now(UTC),
        reason=reason,
        outputs=outputs or OutputsRef(),
    )


def unusable(token: Token, reason: str) -> Report:
    """FAILED for good: the worker can never run this job, trying again would not help."""
    error = ErrorInfo(ename="WorkerError", evalue=reason, may_retry=False)
    return _failed(token, error, worker="", started_at=None, outputs=OutputsRef())


def _failed(
    token: Token, error: ErrorInfo, *, worker: str, started_at: datetime | None, outputs: OutputsRef, peak_bytes: int = 0
) -> Report:
    return Report(
        token=token,
        outcome=Outcome.FAILED,
        worker=worker,
        started_at=started_at,
        ended_at=datetime.now(UTC),
        reason=error.sentence,
        error=error,
        outputs=outputs,
        peak_bytes=peak_bytes,
    )


def say_limit(duration: timedelta) -> str:
    """A limit as the person wrote it: `2 s`, `0.5 s`, `1 m 30 s`."""
    seconds = duration.total_seconds()
    return f"{seconds:g} s" if seconds < 60 else say_duration(seconds)


def say_bytes(count: int) -> str:
    """`2 GB`, `2.1 GB`, `512 MB`: decimal units, as limits are written."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.1f}".removesuffix(".0") + f" {unit}"
        size /= 1000
    return f"{size:.1f}".removesuffix(".0") + " TB"


def say_death(status: int | None) -> str:
    """Why a process is gone, from its wait status (None: nobody could tell)."""
    if status is None:
        return "its process disappeared"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = " (perhaps the system was out of memory)" if number == signal.SIGKILL else ""
        return f"its process ended by {name}{hint}"
    return f"its process ended by itself with exit code {os.WEXITSTATUS(status)}"


class HeardOutputs:
    """The live outputs of an attempt, in case it cannot hand them in itself. Keeps the first 200,000 characters or so."""

    def __init__(self) -> None:
        self._outputs: list[dict[str, Any]] = []
        self._size = 0

    def add(self, event: OutputMade) -> None:
        kind = event.output.get("output_type")
        if kind == "clear_output":
            self._outputs, self._size = [], 0
        elif kind != "update_display_data" and self._size < _KEPT:
            self._size += output_size(event.output)
            self._append(event.output)

    def _append(self, output: Mapping[str, Any]) -> None:
        last = self._outputs[-1] if self._outputs else {}
        if output.get("output_type") == "stream" and last.get("name") == output.get("name"):
            last["text"] += output.get("text", "")
        else:
            self._outputs.append(dict(output))

    def ref(self) -> OutputsRef:
        return OutputsRef(inline=tuple(self._outputs), size=self._size)


def output_size(output: Mapping[str, Any]) -> int:
    """Characters it takes, roughly."""
    return len(output["text"]) if output.get("output_type") == "stream" else len(str(output.get("data", "")))
