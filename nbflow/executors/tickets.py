# SPDX-License-Identifier: BSD-3-Clause
"""Which jobs a child may still begin: a byte in a pipe for each, for whoever takes it first, the child or its parent (adr/0003)."""

from __future__ import annotations

import os
from typing import Final

#: More than a pipe ever holds here.
_ALL: Final = 4096


class Tickets:
    """The parent's side: both ends of the pipe are its own, so that it can take back what it gave. One thread at a time."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._is_closed = False

    def give(self, count: int) -> None:
        if count and not self._is_closed:
            os.write(self._writer, b"." * count)

    def take_all(self) -> int:
        """How many were left: so many jobs, the last ones, will never be begun by the child."""
        if self._is_closed:
            return 0
        try:
            return len(os.read(self.reader, _ALL))
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Once the child is gone."""
        if not self._is_closed:
            self._is_closed = True
            os.close(self.reader)
            os.close(self._writer)


class Taker:
    """The child's side."""

    def __init__(self, reader: int) -> None:
        self._reader, self._identity = reader, os.fstat(reader)

    def take(self) -> bool:
        """Whether it may begin one more. Not when user code closed what it did not know: the number may be another file's by now."""
        try:
            return os.path.samestat(os.fstat(self._reader), self._identity) and len(os.read(self._reader, 1)) == 1
        except OSError:
            return False
