# SPDX-License-Identifier: BSD-3-Clause
"""Whether a child has begun its attempt: a page of memory that it shares with its parent, who looks when there is a reason to.

A message would wake the parent once more for each attempt, and most attempts of a large flow end before anybody could act on it. What stands in the
page is there at once and stays there however the child ends.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from datetime import UTC, datetime, timedelta
from typing import Final

from nbflow.core.ids import Token
from nbflow.core.job import AttemptBegan

#: Length of the token, written last and first taken back; microseconds since 1970; then the token.
_HEAD: Final = struct.Struct("=Hq")
_LENGTH: Final = struct.Struct("=H")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def new_page() -> int:
    """A descriptor of memory that a child may inherit."""
    if hasattr(os, "memfd_create"):
        page = os.memfd_create("nbflow-begun", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            page = os.dup(file.fileno())
    os.ftruncate(page, mmap.PAGESIZE)
    return page


class Begun:
    """One side of the page. The descriptor may be closed afterwards."""

    def __init__(self, page: int) -> None:
        self._page = mmap.mmap(page, mmap.PAGESIZE)

    def write(self, event: AttemptBegan) -> None:
        """The child's: user code is about to run."""
        token = event.token.encode()
        self._page[: _LENGTH.size] = _LENGTH.pack(0)
        self._page[_LENGTH.size : _HEAD.size + len(token)] = (
            _HEAD.pack(0, (event.at - _EPOCH) // timedelta(microseconds=1))[_LENGTH.size :] + token
        )
        self._page[: _LENGTH.size] = _LENGTH.pack(len(token))

    def read(self, token: Token, worker: str) -> AttemptBegan | None:
        """The parent's: the beginning of this attempt, if it has begun."""
        length, micros = _HEAD.unpack_from(self._page)
        if self._page[_HEAD.size : _HEAD.size + length] != token.encode():
            return None
        return AttemptBegan(token=token, at=_EPOCH + timedelta(microseconds=micros), worker=worker)
