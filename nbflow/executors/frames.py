# SPDX-License-Identifier: BSD-3-Clause
"""What a child process and its parent send each other: pickles with a length in front, over a socket."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from nbflow.core.job import ExecutorEvent
from nbflow.executors.sealed import SealedReport

_HEAD: Final = struct.Struct("!Q")
#: Less than what malloc asks the system for each time.
_CHUNK: Final = 1 << 16


class FileStamp(NamedTuple):
    """A file of a user's module as it was when a job had used it."""

    path: str
    mtime_ns: int
    size: int


class Ready(NamedTuple):
    """The child has imported what it needs and waits for jobs."""

    pid: int


class Begin(NamedTuple):
    """Run these jobs, each pickled, one after the other as long as there are tickets. `worker` is the name people are shown."""

    jobs: tuple[bytes, ...]
    worker: str


class Said(NamedTuple):
    """Something to pass on while the job runs."""

    event: ExecutorEvent


class Done(NamedTuple):
    """The job's report, and what decides whether the child may be used again."""

    report: SealedReport
    #: Why it must not be used again; "" when it may.
    spent: str = ""
    #: The child begins the next of the jobs it was given; otherwise it waits for others.
    goes_on: bool = False
    #: Modules of the user it has loaded.
    files: tuple[FileStamp, ...] = ()
    #: Heavy libraries it has loaded: the next child imports them before its first job.
    heavy: tuple[str, ...] = ()


class Unreadable(Exception):
    """A message that cannot be unpickled here: the class of something in it is known in the other process only, or raises when it is made anew."""


def pack(message: Any) -> bytes:
    """One frame. Raises whatever pickle raises."""
    body = pickle.dumps(message, protocol=5)
    return _HEAD.pack(len(body)) + body


def _unpack(body: bytes) -> Any:
    try:
        return pickle.loads(body)  # noqa: S301 - both ends are nbflow on this machine, joined by a socketpair
    except Exception as error:  # constructors of user classes run here
        raise Unreadable(f"{type(error).__name__}: {error}") from error


class FrameReader:
    """Collects frames from a socket; `read` takes what is there now, so that a half-sent frame never blocks a limit check."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self.ended = False

    def read(self) -> Iterator[Any]:
        """Receive once (blocks when nothing is there) and yield every complete message. Sets `ended` when the other side is gone.

        Raises Unreadable.
        """
        try:
            data = self._sock.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._buffer)
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            yield _unpack(body)

    def next(self) -> Any | None:
        """The next message, waiting for it; None when the other side is gone."""
        while not self.ended:
            for message in self.read():
                return message
        return None
