# SPDX-License-Identifier: BSD-3-Clause
"""What comes back of the attempts that were sent to a Dask cluster: their events, and for each that is lost with its worker a report all the same."""

from __future__ import annotations

import logging
import pickle
import queue
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nbflow.core.ids import Token
from nbflow.core.job import AttemptBegan, ExecutorEvent, Job, Report
from nbflow.core.protocols import ArtifactStore
from nbflow.executors import endings
from nbflow.executors.dask_client import CONNECT_LIMIT
from nbflow.executors.line import Line

_log = logging.getLogger(__name__)


@dataclass
class Sent:
    """An attempt whose report is still to come."""

    #: What it was sent over; None when its Dask task is its own.
    line: Line | None = None
    #: Of its own Dask task.
    future: Any = None
    began: AttemptBegan | None = None


class Returns:
    """Keeps account of what was sent, and tells each event of it once, in order, never in Dask's event loop."""

    def __init__(self, artifacts: ArtifactStore | None) -> None:
        self._artifacts = artifacts
        self._lock = threading.Lock()
        self.live: dict[Token, Sent] = {}
        self._heard: queue.SimpleQueue[bytes | ExecutorEvent | Callable[[], None] | None] = queue.SimpleQueue()
        self._listener: threading.Thread | None = None
        self._tell: Callable[[ExecutorEvent], None] = lambda _: None
        #: Called when an attempt shows that the client has lost its scheduler; True when there is nobody to tell.
        self.lost_scheduler: Callable[[], bool] = lambda: False

    def start(self, tell: Callable[[ExecutorEvent], None]) -> None:
        self._tell = tell
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, name="nbflow-dask-listener", daemon=True)
            self._listener.start()

    def stop(self) -> None:
        if self._listener is not None:
            self._heard.put(None)
            self._listener = None

    # --- the account -----------------------------------------------------------------------------------------------------

    def expect(self, jobs: Sequence[Job], line: Line | None = None) -> bool:
        """These are about to be sent. False, and nothing was noted, when the line is over."""
        with self._lock:
            if line is not None and line.is_over:
                return False
            self.live.update((job.token, Sent(line=line)) for job in jobs)
        return True

    def sent(self, token: Token, future: Any) -> bool:
        """Its Dask task. False when nobody waits for it any more: it was cancelled, or has reported already."""
        with self._lock:
            sent = self.live.get(token)
            if sent is not None:
                sent.future = future
        if sent is not None:
            future.add_done_callback(lambda future: self._ended([token], future))
        return sent is not None

    def forget(self, tokens: Iterable[Token]) -> list[tuple[Token, Sent]]:
        """Nobody waits for these any more; returns those that were waited for."""
        with self._lock:
            return [(token, self.live.pop(token)) for token in tokens if token in self.live]

    def _unheard(self, tokens: Collection[Token]) -> list[tuple[Token, Sent]]:
        with self._lock:
            return [(token, self.live[token]) for token in tokens if token in self.live]

    # --- what is heard ---------------------------------------------------------------------------------------------------

    def hear(self, events: bytes | ExecutorEvent) -> None:
        """From any thread; returns at once. What a client's event loop brings is pickled still."""
        self._heard.put(events)

    def hear_out(self, events: bytes) -> None:
        """On a line's own thread: when this returns, everybody knows."""
        self._say_all(events)

    def _listen(self) -> None:
        while (batch := self._heard.get()) is not None:
            if callable(batch):
                batch()
                continue
            self._say_all(batch)

    def _say_all(self, heard: bytes | ExecutorEvent) -> None:
        for event in _opened(heard):
            try:
                self._say(event)
            except Exception:  # noqa: BLE001 - whoever listens may fail; the next event must still be heard
                _log.exception("an event of attempt %s was not heard", event.token)

    def _say(self, event: ExecutorEvent) -> None:
        with self._lock:
            sent = self.live.get(event.token)
            if sent is None:
                return
            if isinstance(event, AttemptBegan):
                sent.began = event
            elif isinstance(event, Report):
                del self.live[event.token]
        self._tell(event)

    # --- what is not heard -----------------------------------------------------------------------------------------------

    def line_ended(self, line: Line) -> None:
        """Its Dask task is over, or its worker has hung up; called on a thread of its own, perhaps twice."""
        with self._lock:
            line.is_over = True
            tokens = [token for token, sent in self.live.items() if sent.line is line]
        line.wait_read()
        self._ended(tokens, line.future)
        line.close()

    def _ended(self, tokens: Sequence[Token], future: Any) -> None:
        """Dask says that the task is over, on a thread of its own; nearly always the reports are there already."""
        waiting = self._unheard(tokens)
        if waiting:
            heard = threading.Event()
            self._heard.put(heard.set)  # what came before this is heard first
            heard.wait(CONNECT_LIMIT)
            waiting = self._unheard(tokens)
        for token, sent in waiting:
            report = self._found(token, sent, future)
            if report is not None:
                self._heard.put(report)
        future.release()

    def _found(self, token: Token, sent: Sent, future: Any) -> Report | None:
        try:
            return self._fetch(token, sent, future)
        except Exception as error:  # noqa: BLE001 - whatever Dask or the artifact store raises: somebody waits for a report
            facts = endings.Facts(token=token, worker=sent.began.worker if sent.began else "")
            return endings.lost(facts, f"what became of it cannot be found out: {str(error) or type(error).__name__}")

    def _fetch(self, token: Token, sent: Sent, future: Any) -> Report | None:
        status = future.status
        if status == "finished":
            return self._result(token, sent, future)
        if status == "error":
            return self._error(token, sent, future.exception(timeout=CONNECT_LIMIT))
        if status == "pending" and sent.line is not None:
            return self._lost(token, sent, sent.line.trouble or f"its Dask worker {sent.line.address} hung up")
        if self.lost_scheduler():
            return None
        return self._lost(token, sent, "the connection to the Dask scheduler was lost")

    def _result(self, token: Token, sent: Sent, future: Any) -> Report | None:
        data = None
        if sent.line is None:
            try:
                data = future.result(timeout=CONNECT_LIMIT)
            except Exception as error:  # noqa: BLE001 - the worker is gone with the result, or anything Dask raises
                return self._lost(token, sent, f"its report could not be fetched: {error}")
        if data is None:
            return self._lost(token, sent, "the Dask worker gave it up")
        report: Report = pickle.loads(data)  # noqa: S301 - from our own workers
        return report

    def _error(self, token: Token, sent: Sent, error: BaseException | None) -> Report:
        from distributed import KilledWorker  # noqa: PLC0415 - loaded with the client

        if isinstance(error, KilledWorker):
            return self._lost(token, sent, f"its Dask worker {getattr(error.last_worker, 'address', '')} died")
        return endings.unusable(endings.Facts(token=token), f"the Dask worker could not run it: {type(error).__name__}: {error}")

    def _lost(self, token: Token, sent: Sent, reason: str) -> Report:
        """Nothing came back: perhaps the attempt had ended and its manifest says how, else it is lost."""
        report = self._manifest(token)
        if report is not None:
            return report
        began = sent.began
        started_at = began.at if began else self._started_mark(token)
        return endings.lost(endings.Facts(token=token, worker=began.worker if began else "", started_at=started_at), reason)

    def _manifest(self, token: Token) -> Report | None:
        """The report as it was written down where the values are, before it was sent."""
        data = self._artifacts.manifest(token) if self._artifacts is not None else None
        report: Report | None = pickle.loads(data) if data is not None else None  # noqa: S301 - written by our own workers
        return report

    def _started_mark(self, token: Token) -> datetime | None:
        """When user code began, by the mark that stands in the artifact store; its text is an ISO instant, or anything.

        Where there is none it is made here: a worker that is cut off from its scheduler, but lives, must not begin what is handed over again.
        """
        if self._artifacts is None or self._artifacts.mark(f"{token}.started", b"taken back"):
            return None
        mark = self._artifacts.read_mark(f"{token}.started")
        if mark is None:
            return None
        try:
            instant = datetime.fromisoformat(mark.decode())
        except ValueError:
            return datetime.now(UTC)
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _opened(heard: bytes | ExecutorEvent) -> Iterator[ExecutorEvent]:
    """What a worker sends is a pickled list, in which reports are as their children had pickled them."""
    if not isinstance(heard, bytes):
        yield heard
        return
    for said in pickle.loads(heard):  # noqa: S301 - from our own workers
        yield pickle.loads(said) if isinstance(said, bytes) else said  # noqa: S301 - as above
