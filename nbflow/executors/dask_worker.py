# SPDX-License-Identifier: BSD-3-Clause
"""What runs inside a Dask worker and a Dask scheduler: the thin task around an attempt, its children, and their end.

Dask pickles these functions by reference, so they live in the installed package.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from collections.abc import Sequence
from typing import Any, Final

from distributed import WorkerPlugin, get_worker, secede
from distributed.diagnostics.plugin import SchedulerPlugin

from nbflow.core.ids import Token
from nbflow.executors.endings import Facts, unusable
from nbflow.executors.host import KEY_PREFIX, dismiss, host_of
from nbflow.executors.proof import Challenge, trouble_here
from nbflow.executors.sealed import SealedJob, seal_report

__all__ = ["KEY_PREFIX", "LINE_PREFIX", "LowLatency", "NbflowHost", "end_attempts", "forget", "hold_line", "run_attempt"]

#: Of the Dask task that stands for a client's line; the line's name follows.
LINE_PREFIX: Final = "nbflow-line-"


def run_attempt(payload: bytes, topic: str, challenge: Challenge | None = None) -> bytes | None:
    """The Dask task: run the sealed job, pickled, in a child of this worker. Its report goes ahead on `topic`; the result repeats it.

    With a `challenge`, a worker that came after the client had connected proves itself first.
    """
    job: SealedJob = pickle.loads(payload)  # noqa: S301 - whoever may submit to this cluster may run code on it
    worker = get_worker()
    host = host_of(worker)
    mailbox = host.mailbox(topic)
    trouble = trouble_here(challenge, worker.address) if challenge is not None else ""
    refused = seal_report(unusable(Facts(token=job.token, worker=worker.address), trouble)) if trouble else None
    report = refused or host.run(job, mailbox.put)
    if report is None:
        return None
    mailbox.put(report)
    mailbox.flush()
    return report.data


def hold_line(topic: str) -> None:
    """The Dask task for everything that comes over one line (adr/0002). It holds no thread: each job waits for a lane and a child by itself."""
    worker = get_worker()
    key = worker.get_current_task()
    secede()
    host_of(worker).hold(key, lambda door: worker.log_event(topic, [key, worker.address, door]))


class NbflowHost(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Warms a worker's children at its start and ends them at its end. Other clusters do without: their children end with the process."""

    name = "nbflow"

    def __init__(self, *, warm: int = 1, memory_limit: int | None = None, runner: str = "") -> None:
        self._facts = {"warm": warm, "memory_limit": memory_limit, "runner": runner}

    def setup(self, worker: Any) -> None:
        host_of(worker, **self._facts)
        _hurry(worker.batched_stream)

    def teardown(self, worker: Any) -> None:
        dismiss(worker)


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
