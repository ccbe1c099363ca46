# SPDX-License-Identifier: BSD-3-Clause
"""Processes that a test ended, or saw end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import psutil


def is_running(pid: int) -> bool:
    try:
        process = psutil.Process(pid)  # one that was killed lets go of its memory first, and is a zombie a moment later
        return process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD} and process.memory_info().vms > 0
    except psutil.NoSuchProcess:
        return False


def command(process: psutil.Process) -> str:
    """Empty for one that has ended; a zombie is one, too."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def still_running(pids: Iterable[int], seconds: float = 120) -> list[int]:
    """Those that have not ended within so many seconds; one that was killed is gone when the system finds the time."""
    left, until = list(pids), time.monotonic() + seconds
    while (left := [pid for pid in left if is_running(pid)]) and time.monotonic() < until:
        time.sleep(0.05)  # not psutil.wait_procs: for that a zombie of somebody else's has not ended
    return left
