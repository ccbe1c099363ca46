# SPDX-License-Identifier: BSD-3-Clause
"""What is special about attempts on a thread of this process."""

from __future__ import annotations

import threading
from datetime import timedelta

from nbflow.core.job import Outcome, OutputMade
from nbflow.executors.inline import InlineExecutor
from tests.contracts.executors import Bench
from tests.unit.executors.runner import run_job


def inline() -> Bench:
    return Bench(InlineExecutor(lambda job, tell: run_job(job, None, tell)))


def test_an_attempt_that_cannot_be_interrupted_is_given_up_and_the_next_one_runs():
    bench = inline()
    bench.submit("stuck", "import threading; threading.Event().wait(20)", timeout=timedelta(seconds=0.1))
    bench.submit("next", "pass")
    assert bench.report("stuck").error.timed_out
    assert bench.report("next").outcome is Outcome.SUCCESS
    bench.executor.close()


def test_jobs_run_one_at_a_time_in_order():
    bench = inline()
    for name in ("first", "second", "third"):
        bench.submit(name, "import time; time.sleep(0.01)")
    bench.report("third")
    kinds = [type(event).__name__ for event in bench.heard.events]
    assert kinds == ["AttemptBegan", "Report"] * 3
    bench.executor.close()


def test_an_attempt_that_is_interrupted_again_on_its_way_out_ends_quietly(monkeypatch):
    """Going takes a while where the machine is busy."""
    fell = []
    monkeypatch.setattr(threading, "excepthook", fell.append)
    bench = inline()
    bench.submit("loops", "try:\n    print()\n    while True: pass\nfinally:\n    while True: pass")
    bench.line("loops")
    bench.cancel("loops")
    bench.submit("next", "pass")
    assert bench.report("next").outcome is Outcome.SUCCESS
    assert not fell
    bench.executor.close()


def test_an_attempt_that_is_interrupted_while_it_tells_leaves_the_executor_whole():
    """What an interrupt breaks off in a thread, it may break off between the taking of a lock and the `with` that lets go of it."""

    def run_or_print(job, tell):
        if job.source == "pass":
            return run_job(job, None, tell)
        while True:
            tell(OutputMade(token=job.token, output={"output_type": "stream", "name": "stdout", "text": "\n"}))

    bench = Bench(InlineExecutor(run_or_print))
    for number in range(30):
        bench.submit(f"prints {number}", "print()")
        bench.line(f"prints {number}")
        bench.cancel(f"prints {number}")
    bench.submit("next", "pass")
    assert bench.report("next").outcome is Outcome.SUCCESS
    bench.executor.close()
