# SPDX-License-Identifier: BSD-3-Clause
"""Attempts on this machine without Dask: a queue, a few threads and a pool of child processes."""

from __future__ import annotations

import heapq
import itertools
import os
import threading
from collections.abc import Callable, Sequence

from nbflow.core.ids import Token
from nbflow.core.job import ExecutorEvent, Job, Report
from nbflow.core.resources import Offers
from nbflow.executors.pool import ChildPool
from nbflow.executors.sealed import SealedJob, seal


class LocalExecutor:
    """At most `slots` attempts at once, each in a child process; higher priority first, then in the order submitted."""

    def __init__(self, slots: int = 0, *, runner: str = "", memory_limit: int | None = None, warm: int = 0) -> None:
        self._slots = slots or max(4, os.cpu_count() or 1)
        self._pool = ChildPool(self._slots, runner=runner, worker="this machine", memory_limit=memory_limit, warm=warm)
        self._changed = threading.Condition()
        self._queue: list[tuple[int, int, SealedJob]] = []
        self._count = itertools.count()
        self._live: set[Token] = set()
        self._idle_threads = 0
        self._threads = 0
        self._closed = False
        self._tell: Callable[[ExecutorEvent], None] = lambda _: None

    def slots(self) -> int | None:
        return self._slots

    def offers(self) -> Offers | None:
        """Nothing is counted here."""
        return None

    def start(self, tell: Callable[[ExecutorEvent], None]) -> None:
        self._tell = tell

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue them; returns at once."""
        with self._changed:
            for job in jobs:
                self._live.add(job.token)
                heapq.heappush(self._queue, (-job.priority, next(self._count), seal(job)))
            for _ in range(min(self._slots - self._threads, len(self._queue) - self._idle_threads)):
                self._threads += 1
                threading.Thread(target=self._work, name="nbflow-local", daemon=True).start()
            self._changed.notify_all()

    def cancel(self, tokens: Sequence[Token]) -> None:
        """End these attempts for certain, children included."""
        gone = set(tokens)
        with self._changed:
            known = gone & self._live
            self._live -= known
            self._queue = [entry for entry in self._queue if entry[2].token not in known]
            heapq.heapify(self._queue)
        self._pool.cancel(known)

    def end(self, tokens: Sequence[Token]) -> None:
        """Attempts of another process ended with it: their supervisors see to that."""
        self.cancel(tokens)

    def close(self) -> None:
        """Cancel everything and end the children. May be called twice."""
        with self._changed:
            self._closed = True
            self._live.clear()
            self._queue.clear()
            self._changed.notify_all()
        self._pool.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle_threads += 1
                while not self._queue and not self._closed:
                    self._changed.wait()
                self._idle_threads -= 1
                if self._closed:
                    return
                _, _, job = heapq.heappop(self._queue)
            report = self._pool.run(job, self._say)
            if report is not None:
                self._say(report.open())

    def _say(self, event: ExecutorEvent) -> None:
        with self._changed:
            if event.token not in self._live:
                return
            if isinstance(event, Report):
                self._live.discard(event.token)
        self._tell(event)
