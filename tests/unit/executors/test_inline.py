# SPDX-License-Identifier: BSD-3-Clause
"""What is special about attempts on a thread of this process."""

from __future__ import annotations

import threading
from datetime import timedelta

from nbflow.core.job import Outcome
from nbflow.executors import endings
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


def test_an_attempt_that_is_interrupted_again_while_it_tells_of_the_first_time_ends_quietly(monkeypatch):
    """Telling takes a while where the machine is busy."""
    fell, raised = [], endings.raised
    monkeypatch.setattr(threading, "excepthook", fell.append)

    def tell_for_ever(*_):
        while True:
            pass

    def run_or_raise(job, tell):
        if job.source == "pass":
            return run_job(job, None, tell)
        begun.set()
        tell_for_ever()
        raise AssertionError

    begun, bench = threading.Event(), Bench(InlineExecutor(run_or_raise))
    monkeypatch.setattr(endings, "raised", tell_for_ever)
    bench.submit("loops", "while True: pass")
    assert begun.wait(30)
    bench.cancel("loops")
    monkeypatch.setattr(endings, "raised", raised)
    bench.submit("next", "pass")
    assert bench.report("next").outcome is Outcome.SUCCESS
    assert not fell
    bench.executor.close()
