# SPDX-License-Identifier: BSD-3-Clause
"""Catches what is printed: Python's `sys.stdout`/`sys.stderr`, and whatever C code and subprocesses write to file descriptors 1 and 2.

An attempt may share its process with its host (`dask = "inline"`): what threads print that were there before it, or are the host's by their name,
goes where it went before. What C code of the host writes to descriptor 2 meanwhile cannot be told from the attempt's, and goes to its output.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import io
import os
import selectors
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from nbflow.core.unbroken import unbroken
from nbflow.operators.outputs import TAKING_IN, Outputs

_PIPE_SIZE: Final = 1024 * 1024
_F_SETPIPE_SZ: Final = 1031  # Linux; `fcntl` names it from Python 3.10 on only where the system does
#: Less than what malloc asks the system for each time.
_CHUNK: Final = 64 * 1024
#: How the names begin of nbflow's own threads, which are the host's in a process that has one. No thread has the other name.
_HOSTS: Final = "nbflow-"
_NOBODYS: Final = "\0"
#: A selector that waits notices what is registered meanwhile.
_SEES_CHANGES: Final = issubclass(
    selectors.DefaultSelector, tuple(getattr(selectors, name) for name in ("EpollSelector", "KqueueSelector") if hasattr(selectors, name))
)


class _Descriptor:
    """File descriptor 1 or 2, led into a pipe. What comes out of it goes to the attempt that listens; while none does, nowhere."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self._name = name
        self._outputs: Outputs | None = None
        self._lock = TAKING_IN
        #: Of what the attempt has written here; None until it writes.
        self._decoder: codecs.IncrementalDecoder | None = None
        self._saved = _duplicate(number)
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        _widen(self._writer)
        self._identity = os.fstat(self._writer)
        self._is_closed = False
        self.put_in_place()

    def put_in_place(self) -> None:
        """Lead the descriptor into the pipe, unless it leads there already: user code may have led it elsewhere, or closed it."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self.number), self._identity):
                return
        os.dup2(self._writer, self.number, inheritable=True)

    @property
    def is_whole(self) -> bool:
        """Whether both ends are still ours: user code may have closed whatever it did not know."""
        try:
            return all(os.path.samestat(os.fstat(end), self._identity) for end in (self.reader, self._writer))
        except OSError:
            return False

    def write_past(self, text: str) -> None:
        """To where it led before."""
        if self._saved is not None:
            _write_all(self._saved, text.encode(errors="replace"))

    def begin(self, outputs: Outputs) -> None:
        """What comes from now on is this attempt's."""
        self.drain()
        with self._lock:
            self._decoder, self._outputs = None, outputs

    def drain(self) -> bool:
        """Pass on everything that stands in the pipe now. False when nothing can come any more."""
        with self._lock:
            while not self._is_closed:
                try:
                    data = os.read(self.reader, _CHUNK)
                except BlockingIOError:
                    return True
                except OSError:
                    return False
                if not data:
                    return False
                if self._outputs is not None:
                    self._decoder = self._decoder or _new_decoder()
                    self._outputs.stream(self._name, self._decoder.decode(data))
        return False

    def end(self) -> None:
        """Nothing more is the attempt's."""
        self.drain()
        with self._lock:
            if self._outputs is not None and self._decoder is not None:
                self._outputs.stream(self._name, self._decoder.decode(b"", final=True))
            self._outputs = None

    def restore(self) -> None:
        """The descriptor leads where it did before; what is in the pipe can still be read."""
        os.close(self._writer)
        if self._saved is None:
            os.close(self.number)
        else:
            os.dup2(self._saved, self.number, inheritable=True)
            os.close(self._saved)

    def close(self) -> None:
        self.end()
        with self._lock:
            self._is_closed = True
            os.close(self.reader)


def _new_decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


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
        self._decoder = _new_decoder()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._text.write(self._decoder.decode(raw))
        return len(raw)


class _Elsewhere:
    """The stream that an attempt's stands in for, for the threads that are not the attempt's."""

    def __init__(self, stream: Any, descriptor: _Descriptor, threads: frozenset[threading.Thread], name: str) -> None:
        """`threads` were there before the attempt; a later one is not its own either if it has a name that begins with `name`."""
        self._stream, self._descriptor, self._threads, self._name = stream, descriptor, threads, name
        self._attempt = threading.current_thread()

    def is_asked(self) -> bool:
        """Whether this thread is not one of the attempt's."""
        thread = threading.current_thread()
        return thread is not self._attempt and (thread in self._threads or thread.name.startswith(self._name))

    def write(self, text: str) -> None:
        if self._descriptor.number == _number_of(self._stream):
            self._descriptor.write_past(text)
        elif self._stream is not None:
            self._stream.write(text)

    def flush(self) -> None:
        if self._stream is not None and self._descriptor.number != _number_of(self._stream):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream is not None and bool(self._stream.isatty())


def _number_of(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


class TextStream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of an attempt. No terminal, but with a real file descriptor for subprocesses."""

    def __init__(self, name: str, number: int, outputs: Outputs, drain: Callable[[], None], elsewhere: _Elsewhere) -> None:
        self._elsewhere = elsewhere
        self.name = f"<{name}>"
        self._name = name
        self._number = number
        self._outputs = outputs
        self._drain = drain
        self._pid = os.getpid()
        self._buffer: _Binary | None = None

    @property
    def buffer(self) -> _Binary:
        """Made when it is asked for, as hardly anybody does."""
        if self._buffer is None:
            self._buffer = _Binary(self)
        return self._buffer

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

    def isatty(self) -> bool:
        return self._elsewhere.is_asked() and self._elsewhere.isatty()

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._elsewhere.is_asked():
            self._elsewhere.write(text)
            return len(text)
        if os.getpid() != self._pid:  # a process that user code forked: its parent reads the pipe
            _write_all(self._number, text.encode(errors="replace"))
            return len(text)
        self._drain()
        self._outputs.stream(self._name, text)
        return len(text)

    def flush(self) -> None:
        if self._elsewhere.is_asked():
            self._elsewhere.flush()
        elif os.getpid() == self._pid:
            self._drain()

    def close(self) -> None:
        """Stays open: user code that closes it must not silence what follows."""


def _write_all(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]


def stay() -> None:
    """For a process that does nothing but attempts: its descriptors stay in their pipes, which saves every attempt a dozen system calls."""
    _standing[:] = _led_away()
    _standing_in[:] = [os.getpid()]


_standing: Final[list[_Descriptor]] = []
_standing_in: Final[list[int]] = []


def _led_away() -> list[_Descriptor]:
    descriptors = [_Descriptor(1, "stdout"), _Descriptor(2, "stderr")]
    reading = _Reader.of_process()
    for descriptor in descriptors:
        reading.add(descriptor)
    return descriptors


@contextlib.contextmanager
@unbroken
def captured(outputs: Outputs) -> Iterator[None]:
    """Everything this process and its children print goes to `outputs` inside the block."""
    before = sys.stdout, sys.stderr
    for stream in before:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    stays = _standing_in == [os.getpid()]
    if stays and not all(descriptor.is_whole for descriptor in _standing):
        stay()
    descriptors = _standing if stays else _led_away()
    for descriptor in descriptors:
        descriptor.put_in_place()
        descriptor.begin(outputs)

    def drain() -> None:
        for descriptor in descriptors:
            descriptor.drain()

    others = frozenset(threading.enumerate()) - {threading.current_thread()}
    name = _NOBODYS if stays else _HOSTS
    out, err = (_Elsewhere(stream, descriptor, others, name) for stream, descriptor in zip(before, descriptors, strict=True))
    sys.stdout, sys.stderr = TextStream("stdout", 1, outputs, drain, out), TextStream("stderr", 2, outputs, drain, err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        _flush_c()
        if stays:
            for descriptor in descriptors:
                descriptor.end()
        else:
            _lead_back(descriptors)


def _lead_back(descriptors: list[_Descriptor]) -> None:
    for descriptor in descriptors:
        descriptor.restore()
    reading = _Reader.of_process()
    for descriptor in descriptors:
        reading.remove(descriptor)
        descriptor.close()


class _Reader:
    """The thread of this process that reads pipes while user code is busy. It stays, since starting and joining one takes longer than a short task."""

    _known: _Reader | None = None

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ)
        threading.Thread(target=self._serve, name="nbflow-pipes", daemon=True).start()

    @classmethod
    def of_process(cls) -> _Reader:
        if cls._known is None or cls._known.pid != os.getpid():
            cls._known = cls()
        return cls._known

    def add(self, descriptor: _Descriptor) -> None:
        """Read it from now on; where the system looks at a list of its own while it waits, it is told to look again."""
        with self._lock:
            self._selector.register(descriptor.reader, selectors.EVENT_READ, descriptor)
        if not _SEES_CHANGES:
            os.write(self._waker, b".")

    def remove(self, descriptor: _Descriptor) -> None:
        """The thread may still be about to read it, which then finds it closed; its number may be another one's by now."""
        with self._lock:
            known = self._selector.get_map().get(descriptor.reader)
            if known is not None and known.data is descriptor:
                self._selector.unregister(descriptor.reader)

    def _serve(self) -> None:
        while True:
            for key, _event in self._selector.select():
                if key.data is None:
                    os.read(self._wake, 1024)
                    continue
                if not key.data.drain():
                    self.remove(key.data)


def _flush_c() -> None:
    """C's own buffers, which `printf` fills when it does not write to a terminal."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        _c().fflush(None)


@cache
def _c() -> ctypes.CDLL:
    return ctypes.CDLL(None)
