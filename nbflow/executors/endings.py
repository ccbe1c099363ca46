# SPDX-License-Identifier: BSD-3-Clause
"""Reports about attempts that could not report themselves: killed for a limit, died, or never begun."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nbflow.core.durations import say_duration
from nbflow.core.ids import Token
from nbflow.core.job import ErrorInfo, Outcome, OutputMade, OutputsRef, Report

#: Characters of live outputs that are kept for a report nobody else can write.
_KEPT: Final = 200_000


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known about the attempt."""

    token: Token
    worker: str = ""
    #: None: user code had not begun, as far as anybody knows.
    started_at: datetime | None = None
    outputs: OutputsRef = field(default_factory=OutputsRef)


def timed_out(facts: Facts, timeout: timedelta) -> Report:
    """FAILED: `TaskTimeout: did not end within 2 s`."""
    return failed(facts, ErrorInfo(ename="TaskTimeout", evalue=f"did not end within {say_limit(timeout)}", timed_out=True))


def out_of_memory(facts: Facts, used: int, limit: int) -> Report:
    """FAILED: `MemoryLimitExceeded: killed: used 2.1 GB of 2 GB`."""
    error = ErrorInfo(ename="MemoryLimitExceeded", evalue=f"killed: used {say_bytes(used)} of {say_bytes(limit)}")
    return failed(facts, error, peak_bytes=used)


def unusable(facts: Facts, reason: str) -> Report:
    """FAILED for good: no worker can ever run this job, trying again would not help."""
    return failed(facts, ErrorInfo(ename="WorkerError", evalue=reason, may_retry=False))


def raised(facts: Facts, error: BaseException) -> Report:
    """FAILED: the attempt itself let an exception out."""
    lines = tuple(traceback.format_exception(error))
    return failed(facts, ErrorInfo(ename=type(error).__name__, evalue=str(error), traceback=lines))


def lost(facts: Facts, reason: str) -> Report:
    """LOST: nobody's fault; `started_at` decides who pays."""
    return Report(
        token=facts.token,
        outcome=Outcome.LOST,
        worker=facts.worker,
        started_at=facts.started_at,
        ended_at=datetime.now(UTC),
        reason=reason,
        outputs=facts.outputs,
    )


def failed(facts: Facts, error: ErrorInfo, *, peak_bytes: int = 0) -> Report:
    """FAILED, for this reason."""
    return Report(
        token=facts.token,
        outcome=Outcome.FAILED,
        worker=facts.worker,
        started_at=facts.started_at,
        ended_at=datetime.now(UTC),
        reason=error.sentence,
        error=error,
        outputs=facts.outputs,
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
