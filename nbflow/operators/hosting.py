# SPDX-License-Identifier: BSD-3-Clause
"""The link between a kernel and the process that drives its graph: one authenticated local connection, one `Advance` at a time.

    kernel -> host    ("advance", Advance)          host -> kernel    ("advanced", Advanced)
                      ("cancel",)                                     ("error", kind, sentence)

A `cancel` may come while an advance is under way; the advance then ends as the host ends it, and that answer is the last word.
A kernel that is gone cancels nothing: who watches its process knows how it ended, and ends the run with that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, Final

from nbflow.core.errors import NbflowError, RunFailed, SetupError, UserError
from nbflow.core.hosting import Advance, Advanced

_log = logging.getLogger("nbflow.operators")
#: Seconds between two looks at whether the person has interrupted the kernel.
_TICK: Final = 0.1
#: A socket's path may not be longer on some systems (macOS: 104 bytes).
_LONGEST_ADDRESS: Final = 90
_KINDS: Final[Mapping[str, type[NbflowError]]] = {"UserError": UserError, "RunFailed": RunFailed, "SetupError": SetupError}
_INTERRUPTED: Final = "KeyboardInterrupt"
_GONE: Final = "The process that drives this run is gone: run the notebook again."


class HostServer:
    """The host's end. Serves one kernel (a second connection is served too) on threads of its own."""

    def __init__(self, handle: Callable[[Advance], Advanced], cancel: Callable[[], None]) -> None:
        """`handle` is called once for each advance, on a thread; `cancel` must make a handle under way return (or raise KeyboardInterrupt)."""
        self._handle, self._cancel = handle, cancel
        key = secrets.token_bytes(32)
        self._folder = ""
        family, address = self._place()
        self._listener = Listener(address, family, backlog=8, authkey=key)
        self._closed = False
        #: Where the kernel connects, and the secret it proves to know.
        self.address: str = str(self._listener.address)
        self.authkey_hex: str = key.hex()
        threading.Thread(target=self._accept, name="nbflow-host", daemon=True).start()

    def _place(self) -> tuple[str, str | None]:
        if sys.platform == "win32":
            return "AF_PIPE", None
        self._folder = tempfile.mkdtemp(prefix="nbflow-")  # mode 0700: only this person can connect
        if len(os.fsencode(self._folder)) > _LONGEST_ADDRESS:
            os.rmdir(self._folder)  # noqa: PTH106 - as it was made
            self._folder = tempfile.mkdtemp(prefix="nbflow-", dir="/tmp")  # private too; the usual place's name is too long
        return "AF_UNIX", f"{self._folder}/host"

    def close(self) -> None:
        """Stop listening. May be called twice."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._wake()
        with contextlib.suppress(OSError):
            self._listener.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _wake(self) -> None:
        """accept() does not notice that its socket is closed, but it returns for a caller; one that hangs up at once, since nobody may be there."""
        if sys.platform == "win32":
            threading.Thread(target=Client, args=(self.address,), daemon=True).start()
            return
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(1.0)
            caller.connect(self.address)

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection = self._listener.accept()
            except Exception:  # noqa: BLE001 - a stranger without the key, or a caller that hung up: neither may stop the listener
                if not self._closed:
                    _log.debug("a connection to the host was refused", exc_info=True)
                continue
            if self._closed:
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,), name="nbflow-host-kernel", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        """One kernel: its advances run on a thread, so that a cancel is heard meanwhile."""
        with connection:
            while True:
                try:
                    message = _received(connection)
                except (EOFError, OSError):
                    return
                if message[0] == "cancel":
                    self._cancel()
                elif message[0] == "advance":
                    threading.Thread(target=self._answer, args=(connection, message[1]), name="nbflow-advance", daemon=True).start()
                else:
                    _send(connection, message)  # a broken message: the kernel is told what was wrong with it

    def _answer(self, connection: Connection, request: Advance) -> None:
        try:
            answer: tuple[Any, ...] = ("advanced", self._handle(request))
        except KeyboardInterrupt:
            answer = ("error", _INTERRUPTED, "")
        except NbflowError as error:
            kind = next((name for name, found in _KINDS.items() if isinstance(error, found)), "SetupError")
            answer = ("error", kind, str(error))
        except Exception as error:  # noqa: BLE001 - the kernel must get an answer whatever the host's code did
            _log.exception("the host failed to advance the run")
            answer = ("error", "SetupError", f"The process that drives this run failed: {type(error).__name__}: {error}")
        with contextlib.suppress(OSError):  # the kernel is gone: its connection's thread notices
            _send(connection, answer)


class HostClient:
    """The kernel's end: a `RunHost` whose driver lives in another process."""

    def __init__(self, address: str, authkey_hex: str) -> None:
        """Raises SetupError when nobody listens there."""
        try:
            self._connection = Client(address, authkey=bytes.fromhex(authkey_hex))
        except (OSError, EOFError) as error:
            raise SetupError(f"This kernel cannot reach the process that drives its run ({error}): run the notebook again.") from None
        self._sending = threading.Lock()

    def advance(self, request: Advance) -> Advanced:
        """Blocks until the tasks have ended. Raises the host's error, or KeyboardInterrupt after the host has cancelled; a second one at once."""
        with _interrupts_kept() as kept:
            self._tell("advance", request)
            is_cancelled = False
            while not self._has_answer():
                if kept and not is_cancelled:
                    is_cancelled = True
                    self.cancel()
                elif len(kept) > 1:
                    raise KeyboardInterrupt
            answer = self._answer()
        if kept:
            raise KeyboardInterrupt
        return answer

    def cancel(self) -> None:
        """Ask for the end of the advance under way; from any thread. `advance` returns or raises once the host has ended it."""
        self._tell("cancel")

    def close(self) -> None:
        self._connection.close()

    def _tell(self, *message: object) -> None:
        try:
            with self._sending:
                _send(self._connection, message)
        except OSError:
            raise SetupError(_GONE) from None

    def _has_answer(self) -> bool:
        try:
            return self._connection.poll(_TICK)
        except OSError:
            raise SetupError(_GONE) from None

    def _answer(self) -> Advanced:
        try:
            answer = _received(self._connection)
        except (EOFError, OSError):
            raise SetupError(_GONE) from None
        if answer[0] == "error":
            _, kind, sentence = answer
            if kind == _INTERRUPTED:
                raise KeyboardInterrupt
            raise _KINDS[kind](sentence)
        advanced = answer[1]
        assert isinstance(advanced, Advanced)
        return advanced


@contextlib.contextmanager
def _interrupts_kept() -> Iterator[list[int]]:
    """The interrupts that come meanwhile, each for the caller to act on: raised amid a message, one would break it off and leave the run alone."""
    kept: list[int] = []
    if threading.current_thread() is not threading.main_thread() or not callable(before := signal.getsignal(signal.SIGINT)):
        yield kept  # no interrupt is raised in this thread
        return
    signal.signal(signal.SIGINT, lambda number, _frame: kept.append(number))
    try:
        yield kept
    finally:
        signal.signal(signal.SIGINT, before)


def _send(connection: Connection, message: tuple[Any, ...]) -> None:
    connection.send_bytes(pickle.dumps(message, protocol=5))


def _received(connection: Connection) -> tuple[Any, ...]:
    """The next message; one that cannot be read becomes the error that says so. Raises EOFError, OSError when the other end is gone."""
    data = connection.recv_bytes()
    try:
        message: tuple[Any, ...] = pickle.loads(data)  # noqa: S301 - the other end proved that it knows the key
    except Exception as error:  # noqa: BLE001 - pickles of user values raise anything
        return ("error", "SetupError", f"A message between kernel and host could not be read: {type(error).__name__}: {error}")
    return message
