# SPDX-License-Identifier: BSD-3-Clause
"""Plain Dask, in a process of its own: the threads of its scheduler and its nanny would slow what is measured besides, and ours would slow it."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any


class Raw:
    """A client of a local cluster with one worker process of four threads; this side asks it to work, and waits."""

    def __init__(self, pid: int, link: Connection) -> None:
        self.pid = pid
        self._link = link

    def chain(self, length: int) -> None:
        """Submit a task, wait for its result, submit the next."""
        self._do("chain", length)

    def layers(self, widths: Sequence[int]) -> None:
        """The whole graph at once, then wait for its last layer."""
        self._do("layers", widths)

    def _do(self, name: str, argument: object) -> None:
        self._link.send((name, argument))
        self._link.recv()  # EOFError when the process has ended


@contextmanager
def raw_cluster(*, tuned: bool = False) -> Iterator[Raw]:
    """`tuned`: with the short timers of recipe 8."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, tuned))
    process.start()
    theirs.close()
    try:
        ours.recv()  # it is ready
        assert process.pid is not None
        yield Raw(process.pid, ours)
    finally:
        ours.close()
        process.join()


def _serve(link: Connection, tuned: bool) -> None:  # noqa: FBT001 - of a process
    from distributed import Client, LocalCluster

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.WARNING)
    with (
        LocalCluster(n_workers=1, threads_per_worker=4, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL) as cluster,
        Client(cluster) as client,
    ):
        if tuned:
            client.scheduler_comm.interval = 0
            for stream in [*cluster.scheduler.stream_comms.values(), *cluster.scheduler.client_comms.values()]:
                stream.interval = 0
            client.run(_hurry_worker)
        works: dict[str, Callable[[Any, Any], None]] = {"chain": _chain, "layers": _layers}
        try:
            link.send(None)
            while True:
                name, argument = link.recv()
                works[name](client, argument)
                link.send(None)
        except EOFError:
            pass


def _hurry_worker(dask_worker: Any) -> None:
    dask_worker.batched_stream.interval = 0


def _chain(client: Any, length: int) -> None:
    value = 0
    for _ in range(length):
        value = client.submit(_one_more, value, pure=False).result()


def _layers(client: Any, widths: Sequence[int]) -> None:
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
