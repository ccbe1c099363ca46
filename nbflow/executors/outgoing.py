# SPDX-License-Identifier: BSD-3-Clause
"""What goes out over one of Dask's comms, as soon as it can. Dask's own batches wait for company first, which costs a short task twice what sending does."""

from __future__ import annotations

import contextlib
import threading
from typing import Any


class Outgoing:
    """Pieces in the order given; those that come while others are being written travel together. Before `start` they wait, after `abort` they are dropped."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._comm: Any = None
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        #: A write is on its way, or asked for.
        self._is_due = False
        self._is_over = False

    def start(self, comm: Any) -> None:
        """Where it goes. In the event loop."""
        with self._lock:
            self._comm = comm
        self._ask()

    def send(self, piece: bytes) -> None:
        """From any thread."""
        with self._lock:
            if self._is_over:
                return
            self._waiting.append(piece)
        self._ask()

    def abort(self) -> None:
        """Nothing more goes out, and the comm closes. In the event loop; may be called twice."""
        with self._lock:
            self._is_over = True
            self._waiting.clear()
        if self._comm is not None:
            self._comm.abort()

    def _ask(self) -> None:
        with self._lock:
            if self._is_due or not self._waiting or self._comm is None:
                return
            self._is_due = True
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the comm with it
            self._loop.add_callback(self._write)

    async def _write(self) -> None:
        while pieces := self._take():
            try:
                await self._comm.write(pieces)
            except OSError:  # the other side is gone, which whoever reads hears too
                self.abort()

    def _take(self) -> list[bytes]:
        with self._lock:
            pieces, self._waiting = self._waiting, []
            self._is_due = bool(pieces)
        return pieces
