# SPDX-License-Identifier: BSD-3-Clause
"""The children of one Dask worker, and the ways their events go back to whoever sent the jobs."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from tornado.ioloop import PeriodicCallback

from nbflow.core.ids import Token
from nbflow.core.job import ExecutorEvent, OutputMade
from nbflow.executors.endings import Facts, output_size, unusable
from nbflow.executors.lanes import Lanes, Piece
from nbflow.executors.pool import ChildPool
from nbflow.executors.sealed import SealedJob, SealedReport, seal_report
from nbflow.executors.wire import Door, Wire

#: Of the Dask task of an attempt; its token follows.
KEY_PREFIX: Final = "nbflow-"
#: Live events wait this long for company, and so do reports while there is more to do.
TICK: Final = 0.02
#: Live outputs in one message; more than that is dropped, since the report has them all.
BATCH_LIMIT: Final = 2_000_000
#: Most jobs that a child is given at once, while attempts take no longer than so many seconds (adr/0003).
TOGETHER: Final = 8
QUICK: Final = 0.01
#: Seconds between two looks for attempts nobody waits for.
WATCH: Final = 0.5


class Mailbox:
    """Events on their way to one client, a batch each 20 ms; a report takes along what waits. `send` is called from any thread.

    While the client `is_behind` (it is stopped, perhaps), live events wait, and no more of them than one batch holds.
    """

    def __init__(self, loop: Any, send: Callable[[bytes], None], is_behind: Callable[[], bool] = lambda: False) -> None:
        self._loop, self._send, self._is_behind = loop, send, is_behind
        self._lock = threading.Lock()
        #: Held from taking events out to their being sent: whoever comes second would overtake, and a report leave its outputs behind.
        self._sending = threading.Lock()
        self._events: list[ExecutorEvent | SealedReport] = []
        self._size = 0
        self._flushed_at = 0.0
        #: A flush is on its way: there is one at most, however many attempts begin and end before it.
        self._is_due = False

    def put(self, event: ExecutorEvent | SealedReport) -> None:
        """A report waits for `flush` or `deliver`; everything else goes by itself."""
        with self._lock:
            if isinstance(event, OutputMade):
                self._size += output_size(event.output)
                if self._size > BATCH_LIMIT:
                    return
            self._events.append(event)
            is_first = len(self._events) == 1
        if is_first and not isinstance(event, SealedReport):
            self._flush_later()

    def deliver(self, report: SealedReport, *, at_once: bool) -> None:
        """A report of several that come one after the other: unless it is wanted at once, it waits a moment for company."""
        self.put(report)
        with self._lock:
            is_late = time.monotonic() - self._flushed_at >= TICK
        if at_once or is_late:
            self.flush()
        else:
            self._flush_later()

    def _flush_later(self) -> None:
        with self._lock:
            if self._is_due:
                return
            self._is_due = True
        self._loop.add_callback(self._wait)

    def _wait(self) -> None:
        self._loop.call_later(TICK, self._tick)  # its handle is not returned: tornado would try to wait for it

    def _tick(self) -> None:
        self._is_due = False
        if self._is_behind():
            self._flush_later()
        else:
            self.flush()

    def flush(self) -> None:
        with self._sending:
            with self._lock:
                events, self._events, self._size = self._events, [], 0
                self._flushed_at = time.monotonic()
            if events:
                self._send(pickle.dumps([event.data if isinstance(event, SealedReport) else event for event in events], protocol=5))


class Line:
    """The worker's end of a client's line (adr/0002): jobs come in over a wire, their events go out over it, until it closes."""

    def __init__(self, loop: Any) -> None:
        self._wire: Wire | None = None
        self.mailbox = Mailbox(loop, self._send, lambda: self._wire is not None and self._wire.is_behind)
        self.is_over = False

    def serve(self, wire: Wire, take: Callable[[Sequence[SealedJob]], None]) -> None:
        """Until the client hangs up or is gone, or the line is ended from here."""
        self._wire = wire
        if self.is_over:
            wire.close()
        for piece in wire.pieces():
            take(pickle.loads(piece))  # noqa: S301 - of the person whose cluster this is, over a socket that nobody else reaches
        self.is_over = True

    def end(self) -> None:
        """From any thread; may be called twice."""
        self.is_over = True
        if self._wire is not None:
            self._wire.close()

    def _send(self, events: bytes) -> None:
        if self._wire is not None:
            self._wire.send(events)


class _Sent(NamedTuple):
    """A job, and what it came over."""

    line: Line
    job: SealedJob


def _go_together(first: _Sent, other: _Sent) -> bool:
    """Whether one child may do both: their modules come from the same places."""
    return first.line is other.line and first.job.place == other.job.place


class Host:
    """The children of one Dask worker."""

    def __init__(self, worker: Any, *, warm: int = 0, memory_limit: int | None = None, runner: str = "") -> None:
        self._worker = worker
        self.pool = ChildPool(worker.state.nthreads, runner=runner, worker=worker.address, memory_limit=memory_limit, warm=warm)
        self._mailboxes: dict[str, Mailbox] = {}
        #: Every attempt that is running or waits here, with the key of the Dask task that stands for it.
        self._running: dict[Token, str] = {}
        self._slots = worker.state.nthreads
        self._lanes: Lanes[_Sent] = Lanes(self._slots, self._do, _go_together)
        #: By the key of their Dask task.
        self._lines: dict[str, Line] = {}
        self._watch: PeriodicCallback | None = None
        worker.loop.add_callback(self._start_watch)

    # --- attempts that are Dask tasks themselves -------------------------------------------------------------------------

    def mailbox(self, topic: str) -> Mailbox:
        """For events that go by way of the scheduler."""
        return self._mailboxes.setdefault(topic, Mailbox(self._worker.loop, partial(self._worker.log_event, topic)))

    def run(self, job: SealedJob, tell: Callable[[ExecutorEvent], None]) -> SealedReport | None:
        self._running[job.token] = KEY_PREFIX + job.token
        try:
            return self.pool.run(job, tell)
        finally:
            self._running.pop(job.token, None)

    # --- attempts that come over a line ----------------------------------------------------------------------------------

    def hold(self, key: str, is_open: Callable[[str], None]) -> None:
        """The life of a line, in its Dask task's thread. `is_open` is told where the client may call; returns when nothing of it runs any more."""
        line = self._lines[key] = Line(self._worker.loop)
        try:
            with Door() as door:
                is_open(door.address)
                wire = door.wait(lambda: not line.is_over)
            if wire is not None:
                line.serve(wire, partial(self._take, line, key))
        finally:
            self._lines.pop(key, None)
            self.pool.cancel([token for token, mine in list(self._running.items()) if mine == key])

    def _take(self, line: Line, key: str, jobs: Sequence[SealedJob]) -> None:
        self._running.update((job.token, key) for job in jobs)
        self._lanes.add((job.priority, _Sent(line, job)) for job in jobs)

    def _do(self, pieces: Sequence[Piece[_Sent]]) -> None:
        """What one child does, one after the other."""
        line = pieces[0].work.line
        open_ = {piece.work.job.token: piece for piece in pieces}

        def ended(job: SealedJob, report: SealedReport | None) -> None:
            open_.pop(job.token, None)
            self._running.pop(job.token, None)
            if report is not None:
                self._tell_end(line, report)

        def give_back(jobs: Sequence[SealedJob]) -> None:
            self._lanes.give_back([open_.pop(job.token) for job in jobs])

        jobs = [piece.work.job for piece in pieces]
        try:
            if line.is_over:
                for job in jobs:
                    ended(job, None)
            else:
                self.pool.run_all(jobs, line.mailbox.put, ended, give_back)
        except Exception as error:  # noqa: BLE001 - a lane that ends would be worse than any error
            for piece in list(open_.values()):
                facts = Facts(token=piece.work.job.token, worker=self._worker.address)
                ended(piece.work.job, seal_report(unusable(facts, f"the worker could not run it: {error}")))

    def _tell_end(self, line: Line, report: SealedReport) -> None:
        is_quick = report.seconds is not None and report.seconds <= QUICK
        self._lanes.most = TOGETHER if is_quick else 1
        # When nothing waits here, a child has nothing to do until the client sends more.
        line.mailbox.deliver(report, at_once=len(self._running) < self._slots)

    # --- the end ---------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        for line in list(self._lines.values()):
            line.end()
        self.pool.close()
        self._lanes.close()

    def _start_watch(self) -> None:
        self._watch = PeriodicCallback(self._end_unwanted, WATCH * 1000)
        self._watch.start()

    async def _end_unwanted(self) -> None:
        """End what belongs to Dask tasks that the scheduler gave up: their client is gone without a word."""
        for key, line in list(self._lines.items()):
            if self._is_unwanted(key):
                line.end()
        unwanted = [token for token, key in list(self._running.items()) if self._is_unwanted(key)]
        if unwanted:
            await asyncio.to_thread(self.pool.cancel, unwanted)

    def _is_unwanted(self, key: str) -> bool:
        task = self._worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"


_hosts: weakref.WeakKeyDictionary[Any, Host] = weakref.WeakKeyDictionary()
_hosts_lock = threading.Lock()


def host_of(worker: Any, **facts: Any) -> Host:
    """The worker's host, made when it is first needed."""
    with _hosts_lock:
        host = _hosts.get(worker)
        if host is None:
            host = _hosts[worker] = Host(worker, **facts)
        return host


def dismiss(worker: Any) -> None:
    """End the worker's host, if it has one."""
    with _hosts_lock:
        host = _hosts.pop(worker, None)
    if host is not None:
        host.close()
