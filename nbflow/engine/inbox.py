# SPDX-License-Identifier: BSD-3-Clause
"""How news reaches a driver: one inbox for each run, and a switchboard that routes an executor's events by token."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from nbflow.core.ids import Token
from nbflow.core.job import ExecutorEvent


class Inbox:
    """A queue whose reader takes everything that is there at once, so that one commit records it all (architecture.md 2.2)."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def put(self, item: Any) -> None:
        self._queue.put(item)

    def take(self, seconds: float) -> list[Any]:
        """Wait up to `seconds` for news; return all that is there, oldest first."""
        try:
            items = [self._queue.get(timeout=seconds) if seconds > 0 else self._queue.get_nowait()]
        except queue.Empty:
            return []
        while True:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                return items


class Switchboard:
    """Routes what one executor says to the driver that owns the token; what nobody waits for any more is dropped."""

    def __init__(self) -> None:
        self._routes: dict[Token, Callable[[ExecutorEvent], None]] = {}
        self._lock = threading.Lock()

    def connect(self, tokens: Iterable[Token], tell: Callable[[ExecutorEvent], None]) -> None:
        with self._lock:
            for token in tokens:
                self._routes[token] = tell

    def disconnect(self, tokens: Iterable[Token]) -> None:
        with self._lock:
            for token in tokens:
                self._routes.pop(token, None)

    def tell(self, event: ExecutorEvent) -> None:
        route = self._routes.get(event.token)
        if route is not None:
            route(event)


def monotonic() -> float:
    """Seconds of a clock that never jumps: for waiting, never for records."""
    return time.monotonic()
