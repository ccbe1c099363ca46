# SPDX-License-Identifier: BSD-3-Clause
"""What no plainer format carries: pickle protocol 5 with its large buffers beside the stream, so that they are copied once, not four times.

The bytes are a plain pickle when there are no such buffers, else: magic, number of buffers, length of the stream and of each buffer (8 bytes
each, little-endian), the stream, the buffers.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import pickle
import socket
import struct
import sys
import threading
import types
from collections.abc import AsyncGenerator, Coroutine
from multiprocessing.process import BaseProcess
from subprocess import Popen
from typing import Any, Final

from nbflow.core.errors import NbflowError, UserError
from nbflow.operators.definitions import DefinitionTable, NamingPickler

Bytes = bytes | memoryview

_MAGIC: Final = b"nbflow5\n"
#: Smaller buffers stay in the stream.
_OUT_OF_BAND: Final = 64 * 1024
_FILE_REMEDY: Final = "give its path or its content instead"
_CONNECTION_REMEDY: Final = "open it inside the task that uses it"
_THREAD_REMEDY: Final = "make it inside the task that uses it"
_REFUSED: Final[tuple[tuple[type | types.UnionType, str, str], ...]] = (
    (types.GeneratorType, "a generator", "turn it into a list first"),
    (types.CoroutineType | Coroutine, "a coroutine that was not awaited", "await it and give its result"),
    (types.AsyncGeneratorType | AsyncGenerator, "an async generator", "turn it into a list first"),
    (asyncio.Future, "an asyncio task or future", "await it and give its result"),
    (concurrent.futures.Future, "a future", "give its result() instead"),
    (io.BytesIO | io.StringIO, "", ""),
    (io.IOBase, "an open file", _FILE_REMEDY),
    (socket.socket, "a socket", _CONNECTION_REMEDY),
    (threading.Thread, "a thread", _THREAD_REMEDY),
    (Popen, "a running program", "give what it printed instead"),
    (BaseProcess, "a process", _THREAD_REMEDY),
    (type(threading.Lock()) | type(threading.RLock()), "a lock", _THREAD_REMEDY),
    (threading.Event | threading.Condition | threading.Semaphore | threading.Barrier, "a lock", _THREAD_REMEDY),
    (types.FrameType | types.TracebackType, "a traceback", "give its text (traceback.format_exc()) instead"),
    (memoryview, "a memoryview", "give its bytes(...) instead"),
)


class UnstorableValue(UserError):
    """A value that cannot travel; the sentence names its type and a remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} cannot be stored: {remedy}")
        self.what = what
        self.remedy = remedy


class TooLarge(NbflowError):
    """The encoded value takes more bytes than allowed."""

    def __init__(self, size: int) -> None:
        super().__init__(f"takes more than {size / 1e6:.0f} MB")
        self.size = size


class _Stream(io.RawIOBase):
    """Collects a pickle, and gives up as soon as it is larger than allowed."""

    def __init__(self, limit: int | None) -> None:
        self.limit = sys.maxsize if limit is None else limit
        self.size = 0
        self.pieces: list[bytes] = []

    def take(self, count: int) -> None:
        self.size += count
        if self.size > self.limit:
            raise TooLarge(self.limit)

    def write(self, piece: Any) -> int:
        data = bytes(piece)
        self.take(len(data))
        self.pieces.append(data)
        return len(data)


def refuse(value: Any) -> None:
    """Raises UnstorableValue for what pickle would refuse with a riddle, or would store as something else."""
    for kinds, what, remedy in _REFUSED:
        if isinstance(value, kinds):
            if what:
                raise UnstorableValue(what, remedy)
            return
    if type(value).__name__ in {"Connection", "Cursor"}:
        raise UnstorableValue(f"a connection ({type_name(value)})", _CONNECTION_REMEDY)


def type_name(value: Any) -> str:
    """`sqlite3.Connection`, `Point`, `dict`."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"


def pickle_parts(value: Any, definitions: DefinitionTable, limit: int | None = None) -> tuple[tuple[Bytes, ...], tuple[str, ...]]:
    """The parts of the encoding and the definitions it refers to. Raises UnstorableValue and TooLarge."""
    stream = _Stream(limit)
    buffers: list[memoryview] = []

    def aside(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not in one piece: pickle copies it into the stream
            return True
        if raw.nbytes < _OUT_OF_BAND:
            return True
        stream.take(raw.nbytes)
        buffers.append(raw)
        return False

    pickler = NamingPickler(stream, definitions, refuse=refuse, buffer_callback=aside)
    try:
        refuse(value)
        pickler.dump(value)
    except (UnstorableValue, TooLarge):
        raise
    except Exception as error:  # whatever a class's own pickling raises means the same here
        raise _unstorable(value, error) from error
    parts: tuple[Bytes, ...] = tuple(stream.pieces)
    if buffers:
        length = sum(map(len, stream.pieces))
        lengths = struct.pack(f"<{len(buffers) + 2}Q", len(buffers), length, *(buffer.nbytes for buffer in buffers))
        parts = (_MAGIC, lengths, *parts, *buffers)
    return parts, tuple(sorted(pickler.needs))


def _unstorable(value: Any, error: Exception) -> UnstorableValue:
    said = str(error).partition("\n")[0] or type(error).__name__
    if isinstance(error, RecursionError):
        return UnstorableValue(f"a {type_name(value)} nested this deeply", "give a flatter structure")
    article = "an" if type_name(value)[:1].lower() in "aeiou" else "a"
    return UnstorableValue(f"{article} {type_name(value)}", f"{said}; give the plain data in it, or make it inside the task that uses it")


def unpickle(data: bytes) -> Any:
    """The value. Raises UnstorableValue when it was stored but cannot be read back."""
    stream, buffers = _split(data)
    try:
        return pickle.loads(stream, buffers=buffers)  # noqa: S301  our own bytes, verified against the database's hash
    except Exception as error:  # constructors of user classes run here
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UnstorableValue("this value was pickled but cannot be unpickled, so it", f"{said}; give the plain data in it") from error


def _split(data: bytes) -> tuple[Bytes, list[bytearray]]:
    if not data.startswith(_MAGIC):
        return data, []
    view = memoryview(data)
    start = len(_MAGIC)
    (count,) = struct.unpack_from("<Q", view, start)
    length, *lengths = struct.unpack_from(f"<{count + 1}Q", view, start + 8)
    position = start + 8 * (count + 2)
    stream = view[position : position + length]
    position += length
    buffers = []
    for size in lengths:
        buffers.append(bytearray(view[position : position + size]))  # a copy that may be written to
        position += size
    return stream, buffers
