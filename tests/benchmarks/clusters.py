# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmarks stand on: a workspace with its own local cluster, and plain Dask clusters with stock and with short timers."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbflow.app import Workspace
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.executors.cluster import read_facts, stop_home_cluster
from nbflow.settings import Settings


@contextmanager
def workspace() -> Iterator[Workspace]:
    """A home of its own with its own local cluster."""
    with tempfile.TemporaryDirectory() as folder:
        opened = Workspace.open(Settings(home=Path(folder)))
        try:
            yield opened
        finally:
            opened.close()
            stop_home_cluster(Path(folder))


def cluster_of(opened: Workspace) -> list[int]:
    """The process that holds the workspace's cluster."""
    facts = read_facts(opened.settings.home)
    return [] if facts is None else [facts.pid]


def run(opened: Workspace, flow: Flow) -> None:
    """Run a flow to its recorded end. Raises AssertionError when it does not succeed."""
    handle = opened.start_run(flow, CaptureSet(), trigger="benchmark")
    handle.wait()
    assert handle.snapshot().run.state == "success", handle.snapshot().run


@contextmanager
def raw_cluster(*, tuned: bool = False) -> Iterator[Any]:
    """A client of plain Dask: one worker process, four threads; `tuned`: with the short timers of recipe 8."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=4, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL) as cluster,
        Client(cluster) as client,
    ):
        if tuned:
            client.scheduler_comm.interval = 0
            for stream in [*cluster.scheduler.stream_comms.values(), *cluster.scheduler.client_comms.values()]:
                stream.interval = 0
            client.run(_hurry_worker)
        yield client


def _hurry_worker(dask_worker: Any) -> None:
    dask_worker.batched_stream.interval = 0


def workers_of(client: Any) -> list[int]:
    """The nannies of a raw local cluster, whose scheduler is in this process."""
    return [nanny.pid for nanny in client.cluster.workers.values() if nanny.pid]


def raw_chain(client: Any, length: int) -> None:
    """Submit a task, wait for its result, submit the next."""
    value = 0
    for _ in range(length):
        value = client.submit(_one_more, value, pure=False).result()


def raw_layers(client: Any, widths: Sequence[int]) -> None:
    """The whole graph at once, then wait for its last layer."""
    above: list[Any] = []
    kept = []
    for width in widths:
        if not above:
            above = client.map(_nothing, range(width), pure=False)
        elif len(above) == width:
            above = client.map(_nothing, above, pure=False)
        elif width == 1:
            above = [client.submit(_nothing, *above, pure=False)]
        else:
            above = client.map(_nothing, *[[one] * width for one in above], pure=False)
        kept.append(above)
    client.gather(above)


def _one_more(value: int) -> int:
    return value + 1


def _nothing(*_: object) -> None:
    return None
