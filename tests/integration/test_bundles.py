# SPDX-License-Identifier: BSD-3-Clause
"""Jobs that are handed over together are one Dask task; each keeps its own beginning, end and report."""

import os
import signal
from datetime import timedelta

import pytest

from nbflow.core.job import Outcome
from nbflow.executors.dask_executor import DaskExecutor
from tests.contracts.executors import Bench
from tests.unit.executors.runner import NAME, job

LONG = "import time\nfor _ in range(10**6): time.sleep(0.01)"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    executor = DaskExecutor("local", home=tmp_path_factory.mktemp("home"), workers=2, idle=2, runner=NAME)
    yield Bench(executor)
    executor.close()


def submit(bench, **sources):
    bench.executor.submit([job(source, token=bench.token(name)) for name, source in sources.items()])


def test_each_job_reports_once(bench):
    submit(bench, **{f"each{number}": f"answer = {number}" for number in range(30)})
    assert [bench.report(f"each{number}").decision for number in range(30)] == list(range(30))
    assert [len(bench.reports(f"each{number}")) for number in range(30)] == [1] * 30


def test_one_that_fails_dies_or_takes_too_long_leaves_the_others_alone(bench):
    jobs = [
        job("{}['x']", token=bench.token("fails")),
        job("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", token=bench.token("dies")),
        job(LONG, token=bench.token("late"), timeout=timedelta(seconds=0.5)),
        job("answer = 1", token=bench.token("well")),
    ]
    bench.executor.submit(jobs)
    outcomes = {name: bench.report(name).outcome for name in ("fails", "dies", "late", "well")}
    assert outcomes == {"fails": Outcome.FAILED, "dies": Outcome.LOST, "late": Outcome.FAILED, "well": Outcome.SUCCESS}


def test_cancelling_one_ends_it_and_the_others_go_on(bench):
    submit(bench, endless=LONG, other="answer = 2")
    bench.began("endless")
    bench.cancel("endless")
    assert bench.report("other").decision == 2
    assert bench.reports("endless") == []


def test_one_that_is_cancelled_before_it_began_never_begins(bench):
    submit(bench, one=LONG, two=LONG, waits="answer = 3")
    bench.began("one")
    bench.began("two")
    bench.cancel("waits")
    bench.cancel("one", "two")
    submit(bench, after="answer = 4", last="answer = 5")
    assert bench.report("after").decision == 4
    assert [event for event in bench.heard.events if event.token == bench.token("waits")] == []


def test_a_long_job_of_one_bundle_does_not_keep_another_waiting(bench):
    submit(bench, slow=LONG, quick="answer = 6")
    bench.began("slow")
    submit(bench, third="answer = 7", fourth="answer = 8")
    assert [bench.report(name).decision for name in ("quick", "third", "fourth")] == [6, 7, 8]
    bench.cancel("slow")


def test_jobs_of_a_worker_that_died_are_lost(bench):
    submit(bench, first=LONG, second=LONG)
    bench.began("first")
    bench.began("second")
    where = bench.executor.connection.current.run(os.getpid)
    for pid in where.values():
        os.kill(pid, signal.SIGKILL)
    assert [bench.report(name).outcome for name in ("first", "second")] == [Outcome.LOST, Outcome.LOST]
