# SPDX-License-Identifier: BSD-3-Clause
"""The threads of one worker that run what lines bring, whoever brought it: no child waits while anything is waiting."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable


class Lanes:
    """At most `size` pieces of work at once; higher priority first, then in the order brought. The threads start when they are needed and stay."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._changed = threading.Condition()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._threads = self._idle = 0
        self._closed = False

    def add(self, work: Iterable[tuple[int, Callable[[], None]]]) -> None:
        """Do all of this (a priority and a function that does not raise each); returns at once."""
        with self._changed:
            pieces = 0
            for priority, piece in work:
                heapq.heappush(self._queue, (-priority, next(self._count), piece))
                pieces += 1
            for _ in range(min(self._size - self._threads, len(self._queue) - self._idle)):
                self._threads += 1
                threading.Thread(target=self._serve, name="nbflow-lane", daemon=True).start()
            self._changed.notify(pieces)

    @property
    def is_dry(self) -> bool:
        """Nothing waits for a thread."""
        return not self._queue

    def close(self) -> None:
        """The threads end when there is nothing left to do."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._queue and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if not self._queue:
                    self._threads -= 1
                    return
                _, _, piece = heapq.heappop(self._queue)
            piece()
