# SPDX-License-Identifier: BSD-3-Clause
"""Keeps a driver's lease while its thread is busy elsewhere: starting a cluster, waiting for a store that others keep busy."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from nbflow.core.errors import NbflowError, Superseded
from nbflow.core.protocols import Store
from nbflow.core.records import Lease
from nbflow.engine.inbox import monotonic

_log = logging.getLogger("nbflow.driver")


class LeaseKeeper:
    """Renews the lease three times within its life. A commit renews it too: `noted` says that there was one."""

    def __init__(self, store: Store, lease: Lease, superseded: Callable[[Superseded], None]) -> None:
        self._store, self._lease, self._superseded = store, lease, superseded
        self._period = lease.seconds / 3
        self._renewed = monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"nbflow-lease-{lease.run_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def noted(self) -> None:
        self._renewed = monotonic()

    def stop(self) -> None:
        """Returns when nothing is renewed any more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        wait = self._period
        while not self._stop.wait(wait):
            wait = self._renewed + self._period - monotonic()
            if wait > 0:
                continue
            wait = self._period
            try:
                self._store.renew(self._lease)
                self.noted()
            except Superseded as error:
                self._superseded(error)
                return
            except NbflowError as error:
                _log.warning("the lease of run %s could not be renewed: %s", self._lease.run_id, error)
                wait = self._period / 3
