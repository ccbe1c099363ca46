# SPDX-License-Identifier: BSD-3-Clause
"""What runs inside a Dask worker and a Dask scheduler: the thin task around an attempt, its children, and their end.

Dask pickles these functions by reference, so they live in the installed package.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import threading
import time
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from distributed import WorkerPlugin, get_worker
from distributed.diagnostics.plugin import SchedulerPlugin
from tornado.ioloop import PeriodicCallback

from nbflow.core.ids import Token
from nbflow.core.job import ExecutorEvent, Job, OutputMade, Report
from nbflow.executors.endings import Facts, output_size, unusable
from nbflow.executors.lanes import Lanes
from nbflow.executors.pool import ChildPool
from nbflow.executors.proof import Challenge, trouble_here

KEY_PREFIX: Final = "nbflow-"
#: Of a Dask task that runs several jobs; the first one's token follows.
BUNDLE_PREFIX: Final = "nbflow-bundle-"
#: Live events wait this long for company.
TICK: Final = 0.02
#: Live outputs in one message; more than that is dropped, since the report has them all.
BATCH_LIMIT: Final = 2_000_000
#: Seconds between two looks for attempts nobody waits for.
WATCH: Final = 0.5
#: Seconds between two batches of reports while a bundle is run.
PACE: Final = TICK
_NEVER: Final = float("inf")


def run_attempt(payload: bytes, topic: str, challenge: Challenge | None = None) -> bytes | None:
    """The Dask task: run the pickled job in a child of this worker. Its report goes ahead on `topic`; the result repeats it.

    With a `challenge`, a worker that came after the client had connected proves itself first.
    """
    job: Job = pickle.loads(payload)  # noqa: S301 - whoever may submit to this cluster may run code on it
    worker = get_worker()
    host = host_of(worker)
    mailbox = host.mailbox(topic)
    trouble = trouble_here(challenge, worker.address) if challenge is not None else ""
    report = unusable(Facts(token=job.token, worker=worker.address), trouble) if trouble else host.run(job, mailbox.put)
    if report is None:
        return None
    mailbox.put(report)
    mailbox.flush()
    return pickle.dumps(report, protocol=5)


def run_bundle(payload: bytes, topic: str) -> list[bytes | None]:
    """The Dask task for several jobs: each has its own child, its own report and its own end; this task ends with the last of them."""
    jobs: list[Job] = pickle.loads(payload)  # noqa: S301 - as above
    worker = get_worker()
    host = host_of(worker)
    mailbox = host.mailbox(topic)
    reports = host.run_all(jobs, worker.get_current_task(), mailbox)
    mailbox.flush()
    return [None if report is None else pickle.dumps(report, protocol=5) for report in reports]


class Mailbox:
    """Events on their way to one client, a batch each 20 ms; a report takes along what waits."""

    def __init__(self, worker: Any, topic: str) -> None:
        self._worker = worker
        self._topic = topic
        self._lock = threading.Lock()
        self._events: list[ExecutorEvent] = []
        self._size = 0
        self._flushed_at = 0.0
        #: When the next flush is due.
        self._due = _NEVER

    def put(self, event: ExecutorEvent) -> None:
        with self._lock:
            if isinstance(event, OutputMade):
                self._size += output_size(event.output)
                if self._size > BATCH_LIMIT:
                    return
            self._events.append(event)
            is_first = len(self._events) == 1
        if is_first and not isinstance(event, Report):
            self._flush_later()

    def deliver(self, report: Report, *, at_once: bool) -> None:
        """A report of several that come one after the other: unless it is wanted at once, it waits a moment for company."""
        self.put(report)
        with self._lock:
            is_late = time.monotonic() - self._flushed_at >= PACE
        if at_once or is_late:
            self.flush()
        else:
            self._flush_later(PACE)

    def _flush_later(self, seconds: float = TICK) -> None:
        loop = self._worker.loop
        with self._lock:
            due = time.monotonic() + seconds
            if due >= self._due:
                return
            self._due = due
        loop.add_callback(loop.call_later, seconds, self.flush)

    def flush(self) -> None:
        with self._lock:
            events, self._events, self._size = self._events, [], 0
            self._flushed_at, self._due = time.monotonic(), _NEVER
        if events:
            self._worker.log_event(self._topic, pickle.dumps(events, protocol=5))


class Host:
    """The children of one Dask worker."""

    def __init__(self, worker: Any, *, warm: int = 0, memory_limit: int | None = None, runner: str = "") -> None:
        self._worker = worker
        self.pool = ChildPool(worker.state.nthreads, runner=runner, worker=worker.address, memory_limit=memory_limit, warm=warm)
        self._mailboxes: dict[str, Mailbox] = {}
        #: Every attempt that is running or waits here, with the key of the Dask task that brought it.
        self._running: dict[Token, str] = {}
        self._lanes = Lanes(worker.state.nthreads)
        self._watch: PeriodicCallback | None = None
        worker.loop.add_callback(self._start_watch)

    def mailbox(self, topic: str) -> Mailbox:
        return self._mailboxes.setdefault(topic, Mailbox(self._worker, topic))

    def run(self, job: Job, tell: Any) -> Report | None:
        self._running[job.token] = KEY_PREFIX + job.token
        try:
            return self.pool.run(job, tell)
        finally:
            self._running.pop(job.token, None)

    def run_all(self, jobs: Sequence[Job], key: str, mailbox: Mailbox) -> list[Report | None]:
        """Run them in as many children as there are, with whatever other bundles brought; returns when the last has ended."""
        self._running.update((job.token, key) for job in jobs)
        reports: dict[Token, Report | None] = {}

        def one(job: Job) -> None:
            report = None
            try:
                report = self.pool.run(job, mailbox.put)
            except Exception as error:  # noqa: BLE001 - a lane that ends, or a bundle that waits for ever, would be worse than any error
                report = unusable(Facts(token=job.token, worker=self._worker.address), f"the worker could not run it: {error}")
            finally:
                reports[job.token] = report
                self._running.pop(job.token, None)
            if report is not None and len(reports) < len(jobs):
                mailbox.deliver(report, at_once=self._lanes.is_dry)  # then a child has nothing to do until the client sends more
            elif report is not None:
                mailbox.put(report)  # the last one: the task flushes

        self._lanes.run([(job.priority, partial(one, job)) for job in jobs])
        return [reports[job.token] for job in jobs]

    def close(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        self.pool.close()
        self._lanes.close()

    def _start_watch(self) -> None:
        self._watch = PeriodicCallback(self._end_unwanted, WATCH * 1000)
        self._watch.start()

    async def _end_unwanted(self) -> None:
        """End attempts whose task the scheduler gave up: their client is gone without a word."""
        tasks = self._worker.state.tasks
        running = list(self._running.items())
        unwanted = [token for token, key in running if (task := tasks.get(key)) is None or task.state == "cancelled"]
        if unwanted:
            await asyncio.to_thread(self.pool.cancel, unwanted)


_hosts: weakref.WeakKeyDictionary[Any, Host] = weakref.WeakKeyDictionary()
_hosts_lock = threading.Lock()


def host_of(worker: Any, **facts: Any) -> Host:
    """The worker's host, made when it is first needed."""
    with _hosts_lock:
        host = _hosts.get(worker)
        if host is None:
            host = _hosts[worker] = Host(worker, **facts)
        return host


class NbflowHost(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Warms a worker's children at its start and ends them at its end. Other clusters do without: their children end with the process."""

    name = "nbflow"

    def __init__(self, *, warm: int = 1, memory_limit: int | None = None, runner: str = "") -> None:
        self._facts = {"warm": warm, "memory_limit": memory_limit, "runner": runner}

    def setup(self, worker: Any) -> None:
        host_of(worker, **self._facts)
        _hurry(worker.batched_stream)

    def teardown(self, worker: Any) -> None:
        with _hosts_lock:
            host = _hosts.pop(worker, None)
        if host is not None:
            host.close()


async def end_attempts(tokens: Sequence[Token], dask_worker: Any) -> None:
    """Runs in the worker's event loop, so also while all its threads are busy: returns when nothing of these attempts runs any more."""
    await asyncio.to_thread(host_of(dask_worker).pool.cancel, tokens)


def children_of(dask_worker: Any) -> tuple[int, ...]:
    """Process ids of the worker's children."""
    return host_of(dask_worker).pool.pids()


async def forget(keys: Sequence[str], client: str, dask_scheduler: Any) -> list[str]:
    """Runs in the scheduler: drop these tasks and return the addresses of the workers that may be running them, in one step.

    A key that is not known yet may still be on its way (graphs are unpacked aside), so it gets half a second to arrive.
    """
    where: set[str] = set()
    waiting = set(keys)
    for _ in range(50):
        here = [key for key in waiting if key in dask_scheduler.tasks]
        for key in here:
            worker = dask_scheduler.tasks[key].processing_on
            if worker is not None:
                where.add(worker.address)
        dask_scheduler.client_releases_keys(keys=here, client=client, stimulus_id="nbflow-cancel")
        waiting.difference_update(here)
        if not waiting:
            break
        await asyncio.sleep(0.01)
    return sorted(where)


async def drop_topic(topic: str, dask_scheduler: Any) -> None:
    """Runs in the scheduler: forget the events of a client that goes; Dask would keep the newest thousand for ever."""
    with contextlib.suppress(AttributeError):  # not part of Dask's promises
        dask_scheduler._broker._topics.pop(topic, None)  # noqa: SLF001 - there is no public way


class LowLatency(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """Shorter pauses between messages than Dask's 2 to 10 ms: a task of ours is a cell, not one of a million."""

    name = "nbflow-low-latency"

    def add_worker(self, scheduler: Any, worker: str) -> None:
        _hurry(scheduler.stream_comms.get(worker))

    def add_client(self, scheduler: Any, client: str) -> None:
        scheduler.loop.add_callback(lambda: _hurry(scheduler.client_comms.get(client)))  # the stream is opened right after this call


def _hurry(stream: Any) -> None:
    """No pause after a message: those that come while one is being sent still travel together."""
    with contextlib.suppress(AttributeError):
        stream.interval = 0
