# SPDX-License-Identifier: BSD-3-Clause
"""What every task of a chaos flow does: it writes down that it runs, for as long as it runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

from nbflow import FailTask, SkipTask, ctx

#: Seconds between two lines of a running body.
TICK = 0.02


def work(seconds: float, ending: str = "well") -> None:
    """Say the start, every tick and the end, and end as told: `raises`, `exits` and `hangs first`: the first time that the end is reached."""
    say("start")
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(TICK, left))
        say("tick")
    is_first = ending.endswith("first") and _is_first()
    if ending == "hangs first" and is_first:
        time.sleep(1000)
    say("end")
    if ending == "raises first" and is_first:
        raise RuntimeError("fails the first time")
    if ending == "exits first" and is_first:
        os._exit(3)
    if ending == "skips":
        raise SkipTask("it always skips itself")
    if ending == "fails":
        raise FailTask("it always fails")


def looked(times: int) -> bool:
    """Whether this task has begun so often, all its attempts together."""
    lines = Path(os.environ["CHAOS_JOURNAL"]).read_text(encoding="utf-8").splitlines()
    return sum(line.startswith(f"start {_key()} ") for line in lines) >= times


def cells(seconds: float, number: int) -> None:
    """The cell of that number of a notebook without tasks: the first one begins an execution, which counts as an attempt."""
    journal = Path(os.environ["CHAOS_JOURNAL"])
    begun = journal.read_text(encoding="utf-8").count("start ") if journal.exists() else 0
    attempt = begun + (number == 0)
    if number == 0:
        _write("start", "plain", attempt)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(TICK, left))
        _write("tick", "plain", attempt)


def say(what: str) -> None:
    """A line of the task that is running."""
    _write(what, _key(), ctx.attempt)


def _key() -> str:
    return ctx.task if ctx.map_index < 0 else f"{ctx.task}[{ctx.map_index}]"


def _write(what: str, key: str, attempt: int) -> None:
    line = f"{what} {key} {attempt} {os.getpid()} {time.time():.6f}\n"
    journal = os.open(os.environ["CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(journal, line.encode())
    finally:
        os.close(journal)


def _is_first() -> bool:
    try:
        Path(os.environ["CHAOS_JOURNAL"] + "." + _key()).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
