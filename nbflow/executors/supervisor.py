# SPDX-License-Identifier: BSD-3-Clause
"""The small process between a parent and the child that runs user code. It runs no user code itself, so it can always act.

It ends everything below it when its parent says so, when its parent is gone (SIGKILL included: the socket then reads its end), and when the child
died by itself. Its last word to the parent is the child's wait status; by then nothing of the child is left.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
from typing import Final

from nbflow.executors import processes

#: The parent's order to end everything.
END: Final = b"E"
STATUS: Final = struct.Struct("!i")


def supervise(child: int, control: socket.socket) -> None:
    """Watch `child` (a process group of its own) until it ends or has to; returns when nothing of it runs any more."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    status: int | None = None
    while True:
        status = processes.reap().get(child)
        if status is not None:
            break
        ready = {fd for fd, _ in poll.poll()}
        if control.fileno() in ready or (wake_read in ready and signal.SIGTERM in os.read(wake_read, 4096)):
            break
    if status is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    processes.end_all(lambda: processes.descendants(os.getpid()))
    processes.reap()  # no zombies for a container's first process, which may not collect them
    with contextlib.suppress(OSError):
        control.sendall(STATUS.pack(status))
