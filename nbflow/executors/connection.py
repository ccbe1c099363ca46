# SPDX-License-Identifier: BSD-3-Clause
"""The connection to the cluster that the setting names: made when it is needed, made anew when it was lost, proved once for each scheduler."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from nbflow.core.errors import SetupError
from nbflow.core.protocols import ArtifactStore
from nbflow.core.resources import Offers
from nbflow.executors import cluster
from nbflow.executors.cluster_class import PREFIX, OwnCluster, parse_cluster
from nbflow.executors.dask_client import (
    BUSY_LIMIT,
    CONNECT_LIMIT,
    check_cluster,
    close_quietly,
    import_dask,
    open_client,
    prove_workers,
    resolve,
    topic_of,
)
from nbflow.executors.proof import Challenge

_log = logging.getLogger(__name__)
#: Times the home's cluster may fail to answer in `CONNECT_LIMIT` seconds before it is started again: a busy machine is slow.
HOME_PATIENCE: Final = 4
#: Seconds for which the slots and resources of a foreign cluster are believed.
_SLOTS_AGE: Final = 5.0
#: What a client raises that another thread gives up for a new one meanwhile: its loop is closed, its scheduler is none. One that is asked without a
#: limit then never answers.
_GONE: Final = (OSError, ValueError, RuntimeError, AttributeError)


class Connection:
    """See `DaskExecutor` for the arguments. `connected` is called with each new client, `gone` with each that is given up for another."""

    def __init__(
        self,
        spec: str,
        *,
        home: Path,
        artifacts_url: str,
        workers: int,
        memory: int | None,
        idle: float,
        artifacts: ArtifactStore | None,
        opener: Callable[[str], ArtifactStore] | None,
        runner: str,
        connected: Callable[[Any], None],
    ) -> None:
        self._spec, self._home, self._runner = spec, home, runner
        self._workers, self._memory, self._idle = workers, memory, idle
        self._artifacts = artifacts
        self._connected = connected
        #: What workers of a foreign cluster prove that they reach the artifacts by.
        self.challenge = Challenge(url=artifacts_url, opener=opener) if opener is not None and spec != "local" else None
        #: Schedulers whose workers have proved themselves.
        self._proven: set[str] = set()
        self._own: OwnCluster | None = None
        self._connecting = threading.Lock()
        self._slots: tuple[float, int | None] = (0.0, None)
        self._offers: tuple[float, Offers | None] = (0.0, None)
        #: The client in use, if there is one; it may have lost its scheduler.
        self.current: Any = None
        #: Somebody found that the client has lost its scheduler.
        self.is_broken = False
        self.is_closed = False
        #: Of the home's cluster; None on any other.
        self.facts: cluster.ClusterFacts | None = None

    def slots(self) -> int | None:
        """Threads of all workers; None while there is no worker."""
        if self.facts is not None:
            return self.facts.slots
        age, slots = self._slots
        client = self.current
        if client is not None and time.monotonic() - age > _SLOTS_AGE:
            with contextlib.suppress(*_GONE):
                slots = sum(client.nthreads(callback_timeout=CONNECT_LIMIT).values()) or None
                self._slots = (time.monotonic(), slots)
        return slots

    def offers(self) -> Offers | None:
        """What the workers have, by Dask's own accounts; None while there is no worker, or none can be asked."""
        if self.facts is not None:
            return Offers(where="the local cluster", workers=(self.facts.offers,))
        age, offers = self._offers
        client = self.current
        if client is not None and time.monotonic() - age > _SLOTS_AGE:
            with contextlib.suppress(*_GONE):
                workers = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=CONNECT_LIMIT)["workers"].values()
                found = tuple(dict(worker["resources"]) for worker in workers)
                grows = self._own is not None and self._own.is_adaptive
                offers = Offers(where=client.scheduler.address, workers=found, may_grow=grows) if found else None
                self._offers = (time.monotonic(), offers)
        return offers

    def client(self) -> Any:
        """A client that works. Raises SetupError when the cluster cannot be reached (or, a local one, started)."""
        with self._connecting:
            if self.is_closed:
                raise SetupError("This executor was closed: make a new one.")
            if self.current is not None and not self.is_broken and self.current.status == "running":
                return self.current
            if self.current is not None:
                old, self.current = self.current, None
                threading.Thread(target=close_quietly, args=(old,), daemon=True).start()
            client = self._home_client() if self._spec == "local" else self._foreign_client(self._address())
            client.scheduler_comm.interval = 0  # stock 10 ms: half of a short task's round trip
            self._connected(client)
            self.current, self.is_broken = client, False
            return client

    def close(self) -> None:
        """Disconnect. A local cluster stays for others and stops by itself; one of a class ends here."""
        if self.current is not None:
            _disconnect(self.current)
            self.current = None
        self._end_own_cluster()
        if self.challenge is not None and self._proven and self._artifacts is not None:
            with contextlib.suppress(SetupError):  # a mark that stays does no harm
                self._artifacts.delete_mark(self.challenge.name)

    def _home_client(self) -> Any:
        """A client of the home's cluster. One that died meanwhile is started again; one that hangs is ended first."""
        importing = threading.Thread(target=import_dask, name="nbflow-import", daemon=True)
        importing.start()  # while the cluster does the same
        silent, was_ended = 0, False
        while True:
            facts = cluster.connect_home_cluster(
                self._home, workers=self._workers, memory=self._memory, idle=self._idle, runner=self._runner
            )
            silent = silent + 1 if facts == self.facts else 1
            self.facts = facts
            importing.join()
            try:
                return open_client(facts.address)
            except SetupError:
                if silent < HOME_PATIENCE:
                    continue
                if was_ended:
                    raise
            _log.warning("the local cluster at %s does not answer: it is started again", facts.address)
            cluster.stop_home_cluster(self._home)
            silent, was_ended = 0, True

    def _foreign_client(self, address: str) -> Any:
        client = None
        try:
            client = open_client(address, self._own.cluster if self._own is not None else None, busy=BUSY_LIMIT)
            self._prove(client, address)
        except SetupError:
            if client is not None:
                close_quietly(client)
            self._end_own_cluster()
            raise
        return client

    def _address(self) -> str:
        """Of the cluster the setting names; one of a class is started, again when it has ended."""
        if not self._spec.startswith(PREFIX):
            return resolve(self._spec)
        if self._own is not None and not self._own.is_running:
            self._end_own_cluster()
        if self._own is None:
            import_dask()
            try:
                self._own = OwnCluster(parse_cluster(self._spec))
            except ValueError as error:
                raise SetupError(f'dask is "{self._spec}", but {error}.') from None
        return self._own.address

    def _end_own_cluster(self) -> None:
        own, self._own = self._own, None
        if own is not None:
            own.close()

    def _prove(self, client: Any, address: str) -> None:
        """That both sides fit together, once for each scheduler. Raises SetupError."""
        scheduler = client.scheduler_info(n_workers=0)["id"]
        if scheduler in self._proven:
            return
        check_cluster(client, address)
        if self.challenge is not None and self._artifacts is not None:
            prove_workers(client, self.challenge, self._artifacts)
        self._proven.add(scheduler)


def _disconnect(client: Any) -> None:
    from nbflow.executors.dask_worker import drop_topic  # noqa: PLC0415 - loaded with the client

    with contextlib.suppress(OSError, TimeoutError):
        if client.status == "running":
            client.unsubscribe_topic(topic_of(client))
            client.run_on_scheduler(drop_topic, topic_of(client), callback_timeout=CONNECT_LIMIT)
        client.close(timeout=CONNECT_LIMIT)
