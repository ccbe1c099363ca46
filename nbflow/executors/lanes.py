# SPDX-License-Identifier: BSD-3-Clause
"""The threads of one worker that run what lines bring, whoever brought it: no child waits while anything is waiting."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Piece(NamedTuple, Generic[T]):
    """One piece of work and its place in the queue, which it keeps when it comes back."""

    rank: int
    number: int
    work: T


class Lanes(Generic[T]):
    """At most `size` threads that `do` work; higher priority first, then in the order brought. They start when they are needed and stay.

    `do` does not raise. It gets one piece, or several at once that go `together`: up to `most`, but only while many more are waiting.
    """

    def __init__(self, size: int, do: Callable[[Sequence[Piece[T]]], None], together: Callable[[T, T], bool] = lambda *_: False) -> None:
        self._size, self._do, self._together = size, do, together
        #: Whoever knows how long pieces take sets it.
        self.most = 1
        self._changed = threading.Condition()
        self._queue: list[Piece[T]] = []
        self._count = itertools.count()
        self._threads = self._idle = 0
        self._closed = False

    def add(self, work: Iterable[tuple[int, T]]) -> None:
        """Do all of this (a priority and a piece each); returns at once."""
        self.give_back([Piece(-priority, next(self._count), piece) for priority, piece in work])

    def give_back(self, pieces: Sequence[Piece[T]]) -> None:
        """Do these after all, in their turn."""
        with self._changed:
            for piece in pieces:
                heapq.heappush(self._queue, piece)
            for _ in range(min(self._size - self._threads, len(self._queue) - self._idle)):
                self._threads += 1
                threading.Thread(target=self._serve, name="nbflow-lane", daemon=True).start()
            self._changed.notify(len(pieces))

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
                pieces = self._next()
            self._do(pieces)

    def _next(self) -> list[Piece[T]]:
        """Half of this lane's share at most, so that the lanes come to an end together."""
        most = min(self.most, len(self._queue) // (2 * self._size))
        pieces = [heapq.heappop(self._queue)]
        while len(pieces) < most and self._together(pieces[0].work, self._queue[0].work):
            pieces.append(heapq.heappop(self._queue))
        return pieces
