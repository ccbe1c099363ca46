# SPDX-License-Identifier: BSD-3-Clause
"""What a parent knows of the jobs it handed to a child together: the one the child is at, and those it may still begin (adr/0003)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from nbflow.core.ids import Token
from nbflow.core.job import Report
from nbflow.executors import endings
from nbflow.executors.sealed import SealedJob, SealedReport, seal_report
from nbflow.executors.tickets import Tickets

#: How an attempt ended; None: it was cancelled.
Ended = Callable[[SealedJob, SealedReport | None], None]
#: Gets those that were not begun.
GiveBack = Callable[[Sequence[SealedJob]], None]


@dataclass
class Attempt:
    """The job a child is running."""

    job: SealedJob
    worker: str
    memory_limit: int | None
    #: On this side's clock.
    since: float = field(default_factory=time.monotonic)
    started_at: datetime | None = None
    outputs: endings.HeardOutputs = field(default_factory=endings.HeardOutputs)
    #: Set when it is ended from here: the report to give, or None for a cancelled attempt.
    ended: bool = False
    report: SealedReport | None = None
    ended_at: float = 0.0

    @property
    def deadline(self) -> float | None:
        return None if self.job.timeout is None else self.since + self.job.timeout.total_seconds()

    def facts(self) -> endings.Facts:
        return endings.Facts(token=self.job.token, worker=self.worker, started_at=self.started_at, outputs=self.outputs.ref())

    def end(self, report: Report | None = None) -> None:
        self.ended, self.report, self.ended_at = True, seal_report(report) if report is not None else None, time.monotonic()


class Handed:
    """Jobs that a child does one after the other. `give_back` gets those that it will not begin; from any thread."""

    def __init__(self, jobs: Sequence[SealedJob], give_back: GiveBack, *, worker: str, memory_limit: int | None, tickets: Tickets) -> None:
        self.give_back = give_back
        self._worker, self._memory_limit, self._tickets = worker, memory_limit, tickets
        self._left = deque(jobs)
        #: The child is at it, or further: what it says of that may still be on its way.
        self.current = self._next()
        #: Cancelled while the child was further than `current`.
        self.cancelled: set[Token] = set()
        #: How many processes the system had killed for want of memory when they were handed over.
        self.oom_kills: int | None = None
        #: Set when nothing of these runs any more.
        self.gone = threading.Event()
        tickets.give(len(self._left))

    @property
    def has_left(self) -> bool:
        return bool(self._left)

    def is_left(self, token: Token) -> bool:
        return any(job.token == token for job in self._left)

    def advance(self) -> None:
        """The child has begun the next one."""
        self.current = self._next()
        if self.current.job.token in self.cancelled:
            self.current.end()

    def take_back(self) -> list[SealedJob]:
        """Those that the child has not begun, and never will from now on."""
        return [self._left.pop() for _ in range(self._tickets.take_all())][::-1] if self._left else []

    def take_rest(self) -> list[SealedJob]:
        """The same, of a child that begins none any more."""
        if not self._left:
            return []
        self._tickets.take_all()
        rest = list(self._left)
        self._left.clear()
        return rest

    def _next(self) -> Attempt:
        job = self._left.popleft()
        return Attempt(job, self._worker, job.memory_limit or self._memory_limit)
