# SPDX-License-Identifier: BSD-3-Clause
"""What every task of a chaos flow does: it writes down that it runs, for as long as it runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

from nbflow import ctx

#: Seconds between two lines of a running body.
TICK = 0.02


def work(seconds: float, *, fails_first: bool = False) -> None:
    """Say the start, every tick and the end; with `fails_first`, raise the first time that the end is reached."""
    _say("start")
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(TICK, left))
        _say("tick")
    if fails_first and _is_first():
        _say("end")
        raise RuntimeError("fails the first time")
    _say("end")


def _say(what: str) -> None:
    line = f"{what} {ctx.task} {ctx.attempt} {os.getpid()} {time.time():.6f}\n"
    journal = os.open(os.environ["CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(journal, line.encode())
    finally:
        os.close(journal)


def _is_first() -> bool:
    try:
        Path(os.environ["CHAOS_JOURNAL"] + "." + ctx.task).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
