# SPDX-License-Identifier: BSD-3-Clause
"""What is special about attempts on a thread of this process."""

from __future__ import annotations

from datetime import timedelta

from nbflow.core.job import Outcome
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
