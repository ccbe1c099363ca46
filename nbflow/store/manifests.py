# SPDX-License-Identifier: BSD-3-Clause
"""How attempts ended, written down before their reports are sent: a record in a file of the process that ran them.

They are written by every attempt and read hardly ever, after something died, so writing costs one append and finding one looks through files:
only those in which something was written after the attempt had been marked as started.
"""

from __future__ import annotations

import errno
import os
import struct
import time
import uuid
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("!II")
#: Bytes after which a process begins another file.
FULL: Final = 4 * 1024 * 1024
#: Seconds by which the clock of a file server may be set back.
_SLACK: Final = 60.0


class Manifests:
    """Manifests in a folder. A record that was cut short by a death counts as not written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = ""
        self._process = 0
        self._written = 0
        self._read: dict[str, _File] = {}

    def keep(self, token: str, data: bytes) -> None:
        """Raises OSError."""
        body = token.encode() + b"\0" + data
        record = _HEAD.pack(len(body), zlib.crc32(body)) + body
        if self._process != os.getpid() or self._written > FULL:
            self._begin_file()
        began, self._process = self._process, 0  # what follows a record that was cut short could not be read
        # Opened for each record: closing it is what makes it seen on other machines of a network file system.
        handle = os.open(self._file, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o666)
        try:
            written = os.write(handle, record)
        finally:
            os.close(handle)
        if written < len(record):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._process = began
        self._written += len(record)

    def find(self, token: str, after: float) -> bytes | None:
        """The data kept for `token` at or after this instant (seconds since 1970)."""
        for path in self._written_after(after - _SLACK):
            file = self._read.setdefault(path, _File(path))
            found = file.find(token.encode())
            if found is not None:
                return found
        return None

    def _begin_file(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = f"{self._folder}/{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        self._process, self._written = os.getpid(), 0

    def _written_after(self, instant: float) -> list[str]:
        """Newest first."""
        found: list[tuple[float, str]] = []
        with suppress(FileNotFoundError):
            for entry in os.scandir(self._folder):
                with suppress(FileNotFoundError):
                    changed = entry.stat().st_mtime
                    if changed >= instant:
                        found.append((changed, entry.path))
        return [path for _, path in sorted(found, reverse=True)]


class _File:
    """A file as far as it was read: where the records of each token stand."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._read_to = 0
        self._places: dict[bytes, tuple[int, int]] = {}

    def find(self, token: bytes) -> bytes | None:
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            self._note(file.read())
            if token not in self._places:
                return None
            place, length = self._places[token]
            file.seek(place)
            return file.read(length)

    def _note(self, data: bytes) -> None:
        """Whole records, up to the first that is not: it is looked at again next time."""
        place = 0
        while place + _HEAD.size <= len(data):
            length, check = _HEAD.unpack_from(data, place)
            body = data[place + _HEAD.size : place + _HEAD.size + length]
            if len(body) < length or zlib.crc32(body) != check:
                break
            token, _, kept = body.partition(b"\0")
            self._places[token] = (self._read_to + place + _HEAD.size + len(token) + 1, len(kept))
            place += _HEAD.size + length
        self._read_to += place
