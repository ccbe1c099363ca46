# SPDX-License-Identifier: BSD-3-Clause
"""The processes of one seed: all that carry its mark in their environment, and what each of them is."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

MARK = "CHAOS_SEED"
KINDS = ("driver", "kernel", "cluster", "scheduler", "nanny", "worker", "supervisor", "child")


def marked(mark: str) -> dict[int, str]:
    """Living processes with this mark: pid -> command line, blanks between the words."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed, and this is asked often
        if entry.isdecimal() and wanted in _read(entry, "environ").split(b"\0") and not is_over(int(entry)):
            found[int(entry)] = _read(entry, "cmdline").replace(b"\0", b" ").decode(errors="replace")
    return found


def is_over(pid: int) -> bool:
    """Ended, or a zombie nobody has collected yet."""
    stat = _read(str(pid), "stat")
    return not stat or stat[stat.rfind(b")") + 2 :].split()[0] in {b"Z", b"X"}


def by_kind(mark: str, driver: int) -> dict[str, list[int]]:
    """What could be struck now."""
    every = marked(mark)
    found = defaultdict(list)
    for pid, command in every.items():
        kind = _kind(pid, command, every, driver)
        if kind:
            found[kind].append(pid)
    return found


def _kind(pid: int, command: str, every: dict[int, str], driver: int) -> str:
    parent = every.get(_parent(pid), "")
    if pid == driver:
        return "driver"
    if "ipykernel_launcher" in command:
        return "kernel"
    if "nbflow.headless.host_process" in command:
        return "host"
    if "nbflow.executors.cluster" in command:
        return "cluster"
    if "nbflow.worker" in command:
        return "child" if "nbflow.worker" in parent else "supervisor"
    if "distributed.cli.dask_scheduler" in command:
        return "scheduler"
    if "distributed.cli.dask_worker" in command:
        return "nanny"
    if ("nbflow.executors.cluster" in parent or "distributed.cli.dask_worker" in parent) and "resource_tracker" not in command:
        return "worker"
    return ""


def _parent(pid: int) -> int:
    stat = _read(str(pid), "stat")
    return int(stat[stat.rfind(b")") + 2 :].split()[1]) if stat else 0


def _read(pid: str, name: str) -> bytes:
    try:
        return Path("/proc", pid, name).read_bytes()
    except OSError:
        return b""
