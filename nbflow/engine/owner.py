# SPDX-License-Identifier: BSD-3-Clause
"""Who holds a lease: a process, named so that its death can be told from anywhere on the same machine."""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path


def me() -> str:
    """This process: `host:pid/start@machine`. `start` and `machine` tell it from a later process of the same number, or of another container."""
    return f"{socket.gethostname()}:{os.getpid()}/{_started(os.getpid())}@{_machine()}"


def say_owner(owner: str) -> str:
    """An owner as a sentence names it: `host:pid`."""
    return owner.partition("/")[0]


def is_dead(owner: str) -> bool:
    """Whether this owner is a process of this machine that has ended. False for anybody we cannot look at."""
    place, _, identity = owner.partition("/")
    host, _, pid = place.rpartition(":")
    start, _, machine = identity.partition("@")
    if not pid.isdecimal() or not start or (host, machine) != (socket.gethostname(), _machine()):
        return False
    return _started(int(pid)) != start


def _started(pid: int) -> str:
    """When that process began, in the system's own unit; "" when it has ended, a zombie too."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(") ")[2].split()
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else _started_elsewhere(pid)
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else fields[18]


def _started_elsewhere(pid: int) -> str:
    import psutil  # noqa: PLC0415 - not needed on Linux

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


@lru_cache(maxsize=1)
def _machine() -> str:
    """This boot of this machine, and the space its process numbers are of; "" where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
        return boot + "." + Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        return ""
