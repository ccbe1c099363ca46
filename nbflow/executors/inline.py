# SPDX-License-Identifier: BSD-3-Clause
"""Attempts one at a time on a thread of this process: for tests and tiny machines.

Nothing here is certain as it is in a child process. A running attempt is ended by raising KeyboardInterrupt in its thread, which Python delivers
between two bytecodes: a loop ends at once, a blocking call (`time.sleep`, a query) only when it returns, and code that catches KeyboardInterrupt
goes on. Such a thread is given up after `GRACE`: nothing it still does is reported, but it is not stopped. What would stay with the process when it
is broken off half-way (an import, the taking of a lock, output that is led elsewhere) is left to come to its end, for at most `PATIENCE`. Memory
limits do not apply, and a crash takes the process along. Use any other executor when that matters.
"""

from __future__ import annotations

import contextlib
import ctypes
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from nbflow.core.ids import Token
from nbflow.core.job import AttemptBegan, ExecutorEvent, Job, OutputMade, Report
from nbflow.core.protocols import RunJob
from nbflow.core.resources import Offers
from nbflow.core.unbroken import may_be_broken_off, unbroken
from nbflow.executors import endings
from nbflow.executors.standing import standing

#: Seconds an attempt has to obey the KeyboardInterrupt before its thread is given up.
GRACE: Final = 1.0
#: Seconds for which it is not interrupted at all while it does what must not be broken off. On a slow machine libraries take that long to load.
PATIENCE: Final = 10.0
#: Seconds between two looks whether it still does.
LOOK: Final = 0.005

# A thread that was not begun yet has the number of the one that begins it, which would get its interrupt, die of it, and be waited for by the other.
unbroken(threading.Thread.start)


def _raise_in(ident: int, error: type[BaseException] | None) -> None:
    """None takes back what has not been raised yet."""
    raised = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), raised)


class _Running:
    """One attempt on its thread, and what it says.

    An interrupt may come between any two steps of that thread, also between the taking of a Condition's lock and the `with` that lets go of it.
    So it takes no lock that anybody else waits for: it puts what it says into a queue, which is one step, and the executor's thread does the rest.
    """

    def __init__(self, job: Job, run_job: RunJob) -> None:
        self.job = job
        self._run_job = run_job
        self._began = time.monotonic()
        self._started_at: datetime | None = None
        self._outputs = endings.HeardOutputs()
        #: In order; at last its report, what it raised, or None: it was given up.
        self._said: queue.SimpleQueue[ExecutorEvent | BaseException | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_over = False
        self._thread = threading.Thread(target=self._attempt, name="nbflow-attempt", daemon=True)
        self._thread.start()

    def events(self) -> Iterator[ExecutorEvent]:
        """What it says until it has reported, which is done for it where it raised or has run out of time, or until it is given up."""
        while (said := self._hear()) is not None:
            event = endings.raised(self._facts(), said) if isinstance(said, BaseException) else said
            self._note(event)
            yield event
            if isinstance(event, Report):
                self.end()
                return

    def end(self) -> None:
        """Interrupt it until it is over or `GRACE` has passed; once may not be enough, since a library may catch it.

        Each time it has twice as long to tell how it was interrupted, which takes a while the first time in a process.
        """
        patient_until, patience = time.monotonic() + PATIENCE, 0.05
        limit = patient_until + GRACE
        while self._thread.is_alive() and (now := time.monotonic()) < limit:
            if self._interrupt(at_any_cost=now >= patient_until):
                limit = min(limit, now + GRACE)
                self._thread.join(patience)
                patience *= 2
            else:
                self._thread.join(LOOK)
        self._said.put(None)

    def _hear(self) -> ExecutorEvent | BaseException | None:
        """What it says next; when its time is over, however much it still says, that."""
        if (timeout := self.job.timeout) is None:
            return self._said.get()
        left = self._began + timeout.total_seconds() - time.monotonic()
        if left > 0:
            with contextlib.suppress(queue.Empty):
                return self._said.get(timeout=left)
        return endings.timed_out(self._facts(), timeout)

    def _note(self, event: ExecutorEvent) -> None:
        """In case it cannot report itself."""
        if isinstance(event, AttemptBegan):
            self._started_at = event.at
        elif isinstance(event, OutputMade):
            self._outputs.add(event)

    def _facts(self) -> endings.Facts:
        return endings.Facts(token=self.job.token, worker="inline", started_at=self._started_at, outputs=self._outputs.ref())

    def _interrupt(self, *, at_any_cost: bool) -> bool:
        """KeyboardInterrupt in its thread, unless it is over. False where it stands in what must not be broken off, unless that does not matter."""
        with self._lock:
            ident = self._thread.ident
            if self._is_over or ident is None:
                return True
            if not at_any_cost and not may_be_broken_off(standing(ident)):
                return False
            _raise_in(ident, KeyboardInterrupt)
            if at_any_cost or may_be_broken_off(standing(ident)):
                return True
            _raise_in(ident, None)  # it went on between the look and the interrupt, which may not have reached it yet
            return False

    def _attempt(self) -> None:
        """In its thread."""
        said: Report | BaseException
        try:
            try:
                said = self._run_job(self.job, self._said.put)
            except BaseException as error:  # noqa: BLE001 - user code, or our own KeyboardInterrupt, may raise anything
                said = error
            self._leave()
            self._said.put(said)
        except KeyboardInterrupt:  # once more, on its way out: whoever interrupts says how it ended
            self._leave()

    def _leave(self) -> None:
        """In its thread: from here on nobody interrupts it. One that is on its way already comes before this is left."""
        with self._lock:
            self._is_over = True


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
            running.end()

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
        while (running := self._next()) is not None:
            for event in running.events():
                self._say(event)
            with self._changed:
                self._running = None

    def _next(self) -> _Running | None:
        """The next job, on its thread; None when this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            self._running = _Running(self._queue.popleft(), self._run_job)
            return self._running

    def _say(self, event: ExecutorEvent) -> None:
        with self._changed:
            if event.token not in self._live:
                return
            if isinstance(event, Report):
                self._live.discard(event.token)
        self._tell(event)
