# SPDX-License-Identifier: BSD-3-Clause
"""A client's end of its line to the worker of its home's cluster (adr/0002): jobs go out, events come in, the scheduler is not asked."""

from __future__ import annotations

import pickle
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from nbflow.core.job import Job
from nbflow.executors.sealed import seal
from nbflow.executors.wire import Wire, call

#: Seconds in which what a worker had sent is read after it died.
_LAST_WORDS: Final = 5.0
#: Seconds Dask has to say why, once a worker has hung up; more means that it does not know.
_WHY: Final = 3.0
#: Before every attempt that is a Dask task: it holds no thread, and everybody's jobs wait for it.
_FIRST: Final = 1_000_000


class Line:
    """One Dask task that stands for all jobs sent this way, and a wire to the worker that runs it. Jobs sent before it is open wait.

    `hear` gets pickled events, on a thread of the line's own. `ended` is called on another one when the Dask task is over, for whatever
    reason, or when its worker has hung up: what has not reported by then never will. It may be called twice.
    """

    def __init__(self, client: Any, hear: Callable[[bytes], None], ended: Callable[[Line], None]) -> None:
        from nbflow.executors.dask_worker import LINE_PREFIX  # noqa: PLC0415 - distributed, loaded with the client

        self._client, self._hear, self._ended = client, hear, ended
        self._key = LINE_PREFIX + uuid.uuid4().hex
        self._lock = threading.Lock()
        self._wire: Wire | None = None
        self._waiting: list[bytes] = []
        #: Of the worker, once it is known.
        self.address = ""
        #: Why it never opened; "" when it did, or may still.
        self.trouble = ""
        #: Nothing more can be sent. Whoever keeps account of the jobs sets it.
        self.is_over = False
        self._hung_up = threading.Event()
        self.future: Any = None
        self._read = threading.Event()
        self._read.set()

    def open(self, topic: str) -> None:
        """Ask for it: the worker answers on `topic`."""
        from nbflow.executors.dask_worker import hold_line  # noqa: PLC0415 - as above

        self.future = self._client.submit(hold_line, topic, key=self._key, pure=False, retries=0, priority=_FIRST)
        self.future.add_done_callback(lambda _: self._ended(self))

    def answered(self, key: str, address: str, door: str) -> None:
        """A worker's word that it holds a line, perhaps another one, and where it listens. Called in the client's event loop."""
        if key == self._key and not self.address:
            self.address = address
            self._read.clear()
            threading.Thread(target=self._serve, args=(door,), name="nbflow-line", daemon=True).start()

    def send(self, jobs: Sequence[Job]) -> None:
        """Hand over; from any thread. Where the worker is gone meanwhile, `ended` says so."""
        piece = pickle.dumps([seal(job) for job in jobs], protocol=5)
        with self._lock:
            if self._wire is None:
                self._waiting.append(piece)
            else:
                self._wire.send(piece)

    def close(self) -> None:
        """Hang up: the worker ends whatever still runs, and the Dask task ends. From any thread."""
        self.is_over = True
        self._hung_up.set()
        with self._lock:
            self._waiting.clear()
            if self._wire is not None:
                self._wire.close()

    def wait_read(self) -> None:
        """Until everything that came over it was heard."""
        self._read.wait(_LAST_WORDS)

    def _serve(self, door: str) -> None:
        try:
            for events in self._connected(door).pieces():
                self._hear(events)
        except OSError as error:
            self.trouble = f"the socket of its Dask worker {self.address} cannot be reached ({error})"
        finally:
            self._read.set()
        # Dask may run its task on another worker by now, which knows nothing of what was sent to the first.
        if not self.is_over and not self._hung_up.wait(_WHY):
            self._ended(self)

    def _connected(self, door: str) -> Wire:
        wire = call(door)
        with self._lock:
            self._wire = wire
            for piece in self._waiting:
                wire.send(piece)
            self._waiting.clear()
        if self.is_over:
            wire.close()
        return wire
