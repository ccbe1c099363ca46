# SPDX-License-Identifier: BSD-3-Clause
"""How many notebooks of one process have a busy kernel at once. One whose tasks run elsewhere, or that waits for its slot, does not count."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Turns:
    """Given in the order they are asked for. Safe to use from several threads and event loops."""

    def __init__(self, at_once: int | None) -> None:
        """None: as many as ask."""
        self._free = at_once
        self._waiting: deque[Turn] = deque()
        self._lock = Lock()

    def one(self) -> Turn:
        """For one notebook."""
        return Turn(self)

    def ask(self, turn: Turn) -> bool:
        """Whether it is held now; else it is told later."""
        with self._lock:
            if self._free is None or self._free > 0:
                self._free = None if self._free is None else self._free - 1
                turn.is_held = True
            else:
                self._waiting.append(turn)
            return turn.is_held

    def back(self, turn: Turn) -> None:
        """It is not held, or wanted, any more: whoever waits longest has it."""
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                turn.has_come()  # whoever waited for it need not any more
            if not turn.is_held:
                return
            turn.is_held = False
            while self._waiting:
                following = self._waiting.popleft()
                if following.has_come():
                    following.is_held = True
                    return
            self._free = None if self._free is None else self._free + 1


class Turn:
    """Of one notebook, in its event loop."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.is_held = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._come: asyncio.Future[None] | None = None

    async def take(self) -> None:
        """Returns when it is this notebook's turn, or when it was given back meanwhile."""
        if self.is_held:
            return
        self._loop = asyncio.get_running_loop()
        self._come = self._loop.create_future()
        if self._turns.ask(self):
            return
        try:
            await self._come
        except asyncio.CancelledError:
            self.give()
            raise

    def give(self) -> None:
        """Let others have it; nothing happens when it is not held."""
        self._turns.back(self)

    def has_come(self) -> bool:
        """Tell whoever waits for it, from any thread; False when its loop has ended without it."""
        assert self._loop is not None
        assert self._come is not None
        try:
            self._loop.call_soon_threadsafe(_set, self._come)
        except RuntimeError:
            return False
        return True

    @contextmanager
    def held_at_most(self) -> Iterator[None]:
        """After the block others have it."""
        try:
            yield
        finally:
            self.give()


def _set(come: asyncio.Future[None]) -> None:
    with contextlib.suppress(asyncio.InvalidStateError):  # whoever waited was cancelled, and gives it back
        come.set_result(None)
