# SPDX-License-Identifier: BSD-3-Clause
"""Attempts one at a time on a thread of this process: for tests and tiny machines.

Nothing here is certain as it is in a child process. A running attempt is ended by raising KeyboardInterrupt in its thread, which Python delivers
between two bytecodes: a loop ends at once, a blocking call (`time.sleep`, a query) only when it returns, and code that catches KeyboardInterrupt
goes on. Such a thread is given up after `GRACE`: nothing it still does is reported, but it is not stopped. Memory limits do not apply, and a
crash takes the process along. Use any other executor when that matters.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from nbflow.core.ids import Token
from nbflow.core.job import AttemptBegan, ExecutorEvent, Job, OutputMade, Report
from nbflow.core.protocols import RunJob
from nbflow.core.resources import Offers
from nbflow.executors import endings

#: Seconds an attempt has to obey the KeyboardInterrupt before its thread is given up.
GRACE: Final = 1.0


class _Running:
    """One attempt on its thread."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.thread: threading.Thread | None = None
        self.started_at: datetime | None = None
        self.outputs = endings.HeardOutputs()
        self.over = threading.Event()
        self.lock = threading.Lock()

    def facts(self) -> endings.Facts:
        return endings.Facts(token=self.job.token, worker="inline", started_at=self.started_at, outputs=self.outputs.ref())

    def interrupt(self) -> None:
        """KeyboardInterrupt in its thread, unless it is over."""
        with self.lock:
            if not self.over.is_set() and self.thread is not None and self.thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(KeyboardInterrupt))

    def end(self) -> None:
        """In its thread: from here on nobody interrupts it. One interrupt may still be on its way."""
        while not self.over.is_set():
            with contextlib.suppress(KeyboardInterrupt), self.lock:
                self.over.set()


class InlineExecutor:
    """Runs one job after the other with `run_job`, each on a fresh thread. See the module's docstring for what it cannot do."""

    def __init__(self, run_job: RunJob) -> None:
        self._run_job = run_job
        self._changed = threading.Condition()
        self._queue: deque[Job] = deque()
        self._live: set[Token] = set()
        self._running: _Running | None = None
        self._driver: threading.Thread | None = None
        self._closed = False
        self._tell: Callable[[ExecutorEvent], None] = lambda _: None

    def slots(self) -> int | None:
        return 1

    def offers(self) -> Offers | None:
        """Nothing is counted here."""
        return None

    def start(self, tell: Callable[[ExecutorEvent], None]) -> None:
        self._tell = tell
        if self._driver is None:
            self._driver = threading.Thread(target=self._drive, name="nbflow-inline", daemon=True)
            self._driver.start()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue them; returns at once."""
        with self._changed:
            self._queue.extend(jobs)
            self._live.update(job.token for job in jobs)
            self._changed.notify_all()

    def cancel(self, tokens: Sequence[Token]) -> None:
        """Forget what has not begun; interrupt what runs, and wait for it for at most `GRACE` seconds."""
        gone = set(tokens)
        with self._changed:
            self._live -= gone
            self._queue = deque(job for job in self._queue if job.token not in gone)
            running = self._running if self._running and self._running.job.token in gone else None
        if running is not None:
            _end(running)

    def end(self, tokens: Sequence[Token]) -> None:
        """Attempts of another process ended with it."""
        self.cancel(tokens)

    def close(self) -> None:
        """Cancel everything and stop. May be called twice."""
        with self._changed:
            self._closed = True
            tokens = list(self._live)
            self._changed.notify_all()
        self.cancel(tokens)

    def _drive(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                running = self._running = _Running(self._queue.popleft())
            self._run(running)
            with self._changed:
                self._running = None

    def _run(self, running: _Running) -> None:
        """Start the attempt and wait until it is over, has run out of time, or was cancelled and given up."""
        job = running.job
        running.thread = threading.Thread(target=self._attempt, args=(running,), name="nbflow-attempt", daemon=True)
        running.thread.start()
        if job.timeout is None:
            self._await(running)
        elif not running.over.wait(job.timeout.total_seconds()):
            report = endings.timed_out(running.facts(), job.timeout)
            self._say(report)
            _end(running)

    def _await(self, running: _Running) -> None:
        while not running.over.wait(GRACE):
            with self._changed:
                if running.job.token not in self._live:
                    break
        if not running.over.is_set():
            running.over.wait(GRACE)

    def _attempt(self, running: _Running) -> None:
        def tell(event: ExecutorEvent) -> None:
            if isinstance(event, AttemptBegan):
                running.started_at = event.at
            elif isinstance(event, OutputMade):
                running.outputs.add(event)
            self._say(event)

        report: Report | None = None
        try:
            try:
                report = self._run_job(running.job, tell)
            except BaseException as error:  # noqa: BLE001 - user code, or our own KeyboardInterrupt, may raise anything
                report = endings.raised(running.facts(), error)
        except KeyboardInterrupt:
            pass  # interrupted once more, while it told of the first: whoever interrupts has said already how it ended
        running.end()
        if report is not None:
            with contextlib.suppress(KeyboardInterrupt):
                self._say(report)

    def _say(self, event: ExecutorEvent) -> None:
        with self._changed:
            if event.token not in self._live:
                return
            if isinstance(event, Report):
                self._live.discard(event.token)
        self._tell(event)


def _end(running: _Running) -> None:
    """Interrupt until it is over or `GRACE` has passed; once may not be enough, since a library may catch it.

    Each time it has twice as long to tell how it was interrupted, which takes a while the first time in a process.
    """
    limit, patience = time.monotonic() + GRACE, 0.05
    while not running.over.is_set() and time.monotonic() < limit:
        running.interrupt()
        running.over.wait(patience)
        patience *= 2
