# SPDX-License-Identifier: BSD-3-Clause
"""Whole pieces of bytes between two processes of one person on one machine, in the order sent, over a socket in a folder that nobody else may enter."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Self

#: Length of the piece that follows.
_HEAD: Final = struct.Struct("!Q")
#: A socket's path may not be longer on some systems (macOS: 104 bytes).
_LONGEST_ADDRESS: Final = 90
#: Seconds between two looks whether a caller is still wanted.
_LOOK: Final = 0.5


class Wire:
    """One end. Somebody iterates over `pieces` to the end, which closes it; everything else may be called from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        #: What the other side has not taken yet: a thread of its own waits for that.
        self._waiting: deque[bytes | memoryview] = deque()
        self._is_over = False

    @property
    def is_behind(self) -> bool:
        """The other side has not taken yet what was sent."""
        return bool(self._waiting)

    def send(self, piece: bytes) -> None:
        """Never waits for the other side; once the wire is closed, pieces are dropped."""
        data = _HEAD.pack(len(piece)) + piece
        with self._lock:
            if self._is_over:
                return
            if self._waiting:
                self._waiting.append(data)
                return
            try:
                sent = self._socket.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError:  # the other side is gone, which whoever reads hears too
                return
            if sent < len(data):
                self._waiting.append(memoryview(data)[sent:])
                threading.Thread(target=self._send_waiting, name="nbflow-wire", daemon=True).start()

    def pieces(self) -> Iterator[bytes]:
        """What the other side sends, until it hangs up, is gone, or this end is closed."""
        try:
            with contextlib.suppress(OSError), self._socket.makefile("rb") as incoming:
                while len(head := incoming.read(_HEAD.size)) == _HEAD.size:
                    (length,) = _HEAD.unpack(head)
                    piece = incoming.read(length)
                    if len(piece) < length:
                        return
                    yield piece
        finally:
            self.close()
            self._socket.close()

    def close(self) -> None:
        """Hang up; may be called twice."""
        with self._lock:
            self._is_over = True
            self._waiting.clear()
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _send_waiting(self) -> None:
        with self._lock:
            data = self._waiting[0] if self._waiting else None
        while data is not None:
            try:
                self._socket.sendall(data)
            except OSError:
                return
            # In one step, since whoever sends when nothing waits may start another thread: two would send the same.
            with self._lock:
                if self._waiting:
                    self._waiting.popleft()
                data = self._waiting[0] if self._waiting else None


class Door:
    """Where one caller connects. To be used as a context manager; nobody can call afterwards."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="nbflow-")  # mode 0700: only this person can connect
        if len(os.fsencode(self._folder)) > _LONGEST_ADDRESS:
            os.rmdir(self._folder)  # noqa: PTH106 - as it was made
            self._folder = tempfile.mkdtemp(prefix="nbflow-", dir="/tmp")  # private too; the usual place's name is too long
        self.address = f"{self._folder}/line"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.address)
        self._socket.listen(1)
        self._socket.settimeout(_LOOK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def wait(self, is_wanted: Callable[[], bool]) -> Wire | None:
        """The caller's wire; None when nobody had called before it was not wanted any more."""
        while is_wanted():
            with contextlib.suppress(TimeoutError):
                caller, _ = self._socket.accept()
                caller.settimeout(None)
                return Wire(caller)
        return None


def call(address: str) -> Wire:
    """Connect with a door. Raises OSError where there is none."""
    caller = socket.socket(socket.AF_UNIX)
    try:
        caller.connect(address)
    except OSError:
        caller.close()
        raise
    return Wire(caller)
