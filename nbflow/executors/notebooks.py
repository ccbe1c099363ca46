# SPDX-License-Identifier: BSD-3-Clause
"""Headless notebooks as Dask tasks. One holds the resource `nbflow_host` and no attempt slot: its thread secedes, since it only waits for a kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbflow.core.messages import sentence
from nbflow.executors.cluster import HOST_RESOURCE
from nbflow.executors.dask_executor import DaskExecutor


def aside(function: Callable[..., str], arguments: tuple[Any, ...]) -> str:
    """On a worker: run this beside its threads."""
    from distributed import secede  # noqa: PLC0415 - on a worker it is loaded already

    secede()
    return function(*arguments)


def why_not(future: Any) -> str:
    """What kept the function of an ended future from ending as it should, by its own words or Dask's; empty where the cluster went away."""
    if future.status == "finished":
        return str(future.result())
    if future.status != "error":
        return ""
    error = future.exception()
    said = " ".join(str(error).split())[:300]
    return sentence(f"No worker of the cluster can do it: {type(error).__name__}{f': {said}' if said else ''}")


class NotebookHosting:
    """Notebooks hosted on the workers of a cluster."""

    def __init__(self, executor: DaskExecutor) -> None:
        self._connection = executor.connection

    def offered(self) -> int:
        """How many notebooks the workers host at once; 0 where the cluster offers no such resource. Raises SetupError when it is away."""
        self._connection.client()
        offers = self._connection.offers()
        return int(sum(worker.get(HOST_RESOURCE, 0) for worker in offers.workers)) if offers is not None else 0

    def address(self) -> str:
        """Where the cluster is found, from one of its workers too."""
        return str(self._connection.client().scheduler.address)

    def host(self, key: str, function: Callable[..., str], arguments: tuple[Any, ...], ended: Callable[[str], None]) -> None:
        """Returns at once; `ended` is called, on a thread, when the function has ended or its worker has, with why it could not. Raises SetupError.

        The function returns such a sentence itself, or an empty text.
        """
        future = self._connection.client().submit(
            aside, function, arguments, key=key, resources={HOST_RESOURCE: 1}, retries=0, pure=False, allow_other_workers=False
        )
        future.add_done_callback(lambda done: ended(why_not(done)))
