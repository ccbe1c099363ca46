# SPDX-License-Identifier: BSD-3-Clause
"""What the tasks of a storm do: they write down when they begin and when they have ended."""

from __future__ import annotations

import os
import time

from nbflow import FailTask, ctx


def work(seconds: float, ending: str = "well") -> None:
    """Say the start and the end; then raise in the first attempt (`unsteady`), or fail for good (`fails`)."""
    _say("start")
    time.sleep(seconds)
    _say("end")
    if ending == "unsteady" and ctx.attempt == 1:
        raise RuntimeError("fails the first time")
    if ending == "fails":
        raise FailTask("it always fails")


def _say(what: str) -> None:
    line = f"{what} {ctx.flow} {ctx.run_id} {ctx.task} {ctx.attempt} {os.getpid()} {time.time():.6f}\n"
    journal = os.open(os.environ["CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(journal, line.encode())
    finally:
        os.close(journal)
