# SPDX-License-Identifier: BSD-3-Clause
"""The executor of a notebook without tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from nbflow.app import SystemClock
from nbflow.core.ids import Token
from nbflow.core.job import AttemptBegan, ErrorInfo, ExecutorEvent, Job, Outcome, Report
from nbflow.core.resources import Offers
from nbflow.operators.notebook_host import Ending, EndKind


class CellsExecutor:
    """The executor of a plain notebook: its one attempt is the execution of the cells, which the engine does and reports through `finish`."""

    def __init__(self, stop: Callable[[str], None]) -> None:
        self._stop = stop
        self._tell: Callable[[ExecutorEvent], None] = lambda _: None
        self._begun = threading.Event()
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._at: datetime | None = None
        #: How the execution ended before the attempt was handed over: its report then.
        self._ended: Ending | None = None

    def slots(self) -> int | None:
        return 1

    def offers(self) -> Offers | None:
        """Nothing is counted here."""
        return None

    def start(self, tell: Callable[[ExecutorEvent], None]) -> None:
        self._tell = tell

    def submit(self, jobs: Sequence[Job]) -> None:
        """The cells may run."""
        with self._lock:
            self._token, self._at = jobs[0].token, _now()
            ended = self._ended
        self._tell(AttemptBegan(token=self._token, at=self._at, worker="this process"))
        self._begun.set()
        if ended is not None:
            self._report(self._token, ended)

    def may_run(self, seconds: float) -> bool:
        """Whether the attempt was handed over, within so many seconds: before that it has no slot."""
        return self._begun.wait(seconds)

    def cancel(self, tokens: Sequence[Token]) -> None:
        """Stop the execution of the cells."""
        if self._token in tokens:
            self._stop("The run was cancelled.")

    def end(self, tokens: Sequence[Token]) -> None:
        """The kernel of a host that is gone ends by itself."""

    def finish(self, ending: Ending) -> None:
        """The engine is done with the cells, or never comes to them."""
        with self._lock:
            self._ended, token = ending, self._token
        if token is not None:
            self._report(token, ending)

    def _report(self, token: Token, ending: Ending) -> None:
        outcome = Outcome.SUCCESS if ending.kind is EndKind.COMPLETE else Outcome.FAILED
        error = None if outcome is Outcome.SUCCESS else ending.error or ErrorInfo(ename="NotebookError", evalue=ending.reason)
        if error is not None:
            error = replace(error, may_retry=False)
        self._tell(Report(token=token, outcome=outcome, worker="this process", started_at=self._at, ended_at=_now(), error=error))

    def close(self) -> None:
        """Nothing is held."""


def _now() -> datetime:
    return SystemClock().now()
