# SPDX-License-Identifier: BSD-3-Clause
"""Catches what is printed: Python's `sys.stdout`/`sys.stderr`, and whatever C code and subprocesses write to file descriptors 1 and 2."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import io
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from nbflow.operators.outputs import Outputs

_PIPE_SIZE: Final = 1024 * 1024
_F_SETPIPE_SZ: Final = 1031  # Linux; `fcntl` names it from Python 3.10 on only where the system does
_CHUNK: Final = 256 * 1024


class _Descriptor:
    """File descriptor 1 or 2, led into a pipe while the attempt runs."""

    def __init__(self, number: int, name: str, outputs: Outputs) -> None:
        self.number = number
        self._name = name
        self._outputs = outputs
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._saved = _duplicate(number)
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        _widen(writer)
        os.dup2(writer, number, inheritable=True)
        os.close(writer)

    def drain(self) -> None:
        """Pass on everything that stands in the pipe now."""
        with self._lock:
            while True:
                try:
                    data = os.read(self.reader, _CHUNK)
                except (BlockingIOError, OSError):
                    return
                if not data:
                    return
                self._outputs.stream(self._name, self._decoder.decode(data))

    def restore(self) -> None:
        if self._saved is None:
            os.close(self.number)
        else:
            os.dup2(self._saved, self.number, inheritable=True)
            os.close(self._saved)

    def close(self) -> None:
        self.drain()
        with self._lock:
            self._outputs.stream(self._name, self._decoder.decode(b"", final=True))
            os.close(self.reader)


def _duplicate(number: int) -> int | None:
    try:
        return os.dup(number)
    except OSError:  # the process was started without it
        return None


def _widen(writer: int) -> None:
    """A wide pipe: C code that prints while it holds the interpreter must not wait for the reading thread."""
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415  not on every system

        with contextlib.suppress(OSError):
            fcntl.fcntl(writer, _F_SETPIPE_SZ, _PIPE_SIZE)


class _Binary(io.RawIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, text: TextStream) -> None:
        self._text = text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._text.write(self._decoder.decode(raw))
        return len(raw)


class TextStream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of an attempt. No terminal, but with a real file descriptor for subprocesses."""

    def __init__(self, name: str, number: int, outputs: Outputs, drain: Callable[[], None]) -> None:
        self.name = f"<{name}>"
        self._name = name
        self._number = number
        self._outputs = outputs
        self._drain = drain
        self._pid = os.getpid()
        self.buffer = _Binary(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a constant here
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]  # a constant here
        return "replace"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if os.getpid() != self._pid:  # a process that user code forked: its parent reads the pipe
            _write_all(self._number, text.encode(errors="replace"))
            return len(text)
        self._drain()
        self._outputs.stream(self._name, text)
        return len(text)

    def flush(self) -> None:
        if os.getpid() == self._pid:
            self._drain()

    def close(self) -> None:
        """Stays open: user code that closes it must not silence what follows."""


def _write_all(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]


@contextlib.contextmanager
def captured(outputs: Outputs) -> Iterator[None]:
    """Everything this process and its children print goes to `outputs` inside the block."""
    before = sys.stdout, sys.stderr
    for stream in before:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    descriptors = [_Descriptor(1, "stdout", outputs), _Descriptor(2, "stderr", outputs)]
    stop_reader, stop = os.pipe()
    reading = threading.Thread(target=_read, args=(descriptors, stop_reader), name="nbflow-pipes", daemon=True)
    reading.start()

    def drain() -> None:
        for descriptor in descriptors:
            descriptor.drain()

    sys.stdout, sys.stderr = TextStream("stdout", 1, outputs, drain), TextStream("stderr", 2, outputs, drain)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        _flush_c()
        for descriptor in descriptors:
            descriptor.restore()
        os.close(stop)
        reading.join()
        for descriptor in descriptors:
            descriptor.close()
        os.close(stop_reader)


def _read(descriptors: list[_Descriptor], stop: int) -> None:
    poll = select.poll()
    by_number = {descriptor.reader: descriptor for descriptor in descriptors}
    for number in (*by_number, stop):
        poll.register(number, select.POLLIN)
    while True:
        ready = poll.poll()
        if any(number == stop for number, _event in ready):
            return
        for number, event in ready:
            by_number[number].drain()
            if event & (select.POLLHUP | select.POLLERR):
                poll.unregister(number)


def _flush_c() -> None:
    """C's own buffers, which `printf` fills when it does not write to a terminal."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)
