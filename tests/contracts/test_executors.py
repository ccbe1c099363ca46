# SPDX-License-Identifier: BSD-3-Clause
"""What every executor promises, over every executor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from nbflow.core.job import Outcome, Report
from nbflow.core.protocols import Executor
from nbflow.executors.cluster import read_facts
from nbflow.executors.dask_executor import DaskExecutor
from nbflow.executors.inline import InlineExecutor
from nbflow.executors.local import LocalExecutor
from tests.contracts.executors import Bench
from tests.processes import is_running
from tests.unit.executors.runner import NAME, job, run_job

ALL = ["inline", "local", "dask local", "dask address"]
CERTAIN = ALL[1:]  # those that can end anything


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


def make(kind: str, home: Path) -> Executor:
    if kind == "inline":
        return InlineExecutor(lambda job, tell: run_job(job, None, tell, worker="inline"))
    if kind == "local":
        return LocalExecutor(4, runner=NAME)
    home_cluster = DaskExecutor("local", home=home, workers=4, idle=2, runner=NAME)
    if kind == "dask local":
        return home_cluster
    home_cluster.start(print)  # the cluster outlives its first client
    home_cluster.close()
    facts = read_facts(home)
    assert facts is not None
    return DaskExecutor(facts.address, home=home)


@pytest.fixture(scope="module", params=ALL)
def every(request, home) -> Iterator[Bench]:
    yield from started(make(request.param, home))


@pytest.fixture(scope="module", params=CERTAIN)
def certain(request, home) -> Iterator[Bench]:
    yield from started(make(request.param, home))


def started(executor: Executor) -> Iterator[Bench]:
    yield Bench(executor)
    executor.close()
    executor.close()


def test_a_job_that_ends_well_is_reported_as_success(every):
    every.submit("well", "answer = 42")
    report = every.report("well")
    assert (report.outcome, report.decision, bool(report.worker)) == (Outcome.SUCCESS, 42, True)


def test_a_job_that_raises_is_reported_as_failed_with_its_error(every):
    every.submit("raises", "{}['nothing']")
    report = every.report("raises")
    assert (report.outcome, report.error.ename) == (Outcome.FAILED, "KeyError")


def test_output_is_heard_before_the_job_ends(every):
    every.submit("live", "print('early')\nimport time\nfor _ in range(10**6): time.sleep(0.01)")
    assert every.line("live") == "early"
    assert every.reports("live") == []
    every.cancel("live")


def test_the_begin_is_heard_before_the_report_or_stands_in_it(every):
    every.submit("order", "pass")
    report = every.report("order")
    kinds = [type(event).__name__ for event in every.heard.events if event.token == every.token("order")]
    assert kinds in (["AttemptBegan", "Report"], ["Report"])
    assert report.started_at is not None


def test_a_busy_loop_is_cancelled_without_a_report(every):
    every.submit("busy", "while True: pass")
    every.began("busy")
    every.cancel("busy")
    every.submit("after busy", "pass")
    every.report("after busy")
    assert every.reports("busy") == []


def test_a_job_that_has_not_begun_is_cancelled_and_never_begins(every, tmp_path):
    full = [f"full {number}" for number in range(every.executor.slots())]
    for name in full:
        every.submit(name, "import time\nwhile True: time.sleep(0.01)")
    for name in full:
        every.began(name)
    every.submit("waits", f"open({str(tmp_path / 'began')!r}, 'w')")
    every.cancel("waits")
    every.cancel(*full)
    every.submit("after waits", "pass")
    every.report("after waits")
    assert not (tmp_path / "began").exists()
    assert every.reports("waits") == []


def test_a_timeout_ends_the_attempt_as_failed(every):
    every.submit("late", "while True: pass", timeout=timedelta(seconds=0.2))
    report = every.report("late")
    assert report.outcome is Outcome.FAILED
    assert report.error.sentence == "TaskTimeout: did not end within 0.2 s"
    assert report.error.timed_out


def test_two_hundred_jobs_give_two_hundred_reports(every):
    tokens = sorted(every.token(f"many {number}") for number in range(200))
    every.executor.submit([job("pass", token=token) for token in tokens])
    every.heard.wait(lambda: set(tokens) <= {report.token for report in every.heard.reports()})
    assert sorted(report.token for report in every.heard.reports() if report.token in tokens) == tokens


def test_an_unknown_token_is_cancelled_in_silence(every):
    every.cancel("nobody")


@pytest.mark.parametrize(
    "source",
    [
        "import os; print(os.getpid())\nwhile True: pass",
        "import os, time; print(os.getpid()); time.sleep(1000)",
        "import subprocess; p = subprocess.Popen(['sleep', '1000']); print(p.pid); p.wait()",
        "import os, signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); print(os.getpid()); time.sleep(1000)",
        "import subprocess, time; print(subprocess.Popen(['sleep', '1000'], env={}, start_new_session=True).pid); time.sleep(1000)",
    ],
    ids=["loop", "sleep", "process", "signals blocked", "daemon"],
)
def test_nothing_of_a_cancelled_attempt_survives(certain, source):
    name = f"doomed: {source}"
    certain.submit(name, source)
    pid = int(certain.line(name))
    assert is_running(pid)
    certain.cancel(name)
    assert not is_running(pid)


def timed_out(bench: Bench, source: str, last: str) -> Report:
    """The report of an attempt whose time was over after it had printed its last line, however long it takes on this machine to come so far."""
    for seconds in (0.3, 1, 5, 20):
        name = f"{seconds}: {source}"
        bench.submit(name, source, timeout=timedelta(seconds=seconds))
        report = bench.report(name)
        assert report.error.timed_out
        if bench.heard.text(report.token).endswith(last):
            return report
    raise AssertionError(f"it never printed {last!r}")


def test_a_timeout_ends_what_sleeps_in_c(certain):
    report = timed_out(certain, "import os, time; print(os.getpid(), 'is it'); time.sleep(1000)", "is it\n")
    assert not is_running(int(certain.heard.text(report.token).split()[0]))


def test_a_killed_attempt_hands_in_what_it_had_printed(certain):
    report = timed_out(certain, "print('a'); print('b')\nwhile True: pass", "b\n")
    assert report.outputs.inline == ({"output_type": "stream", "name": "stdout", "text": "a\nb\n"},)


def test_a_job_over_its_memory_limit_fails_and_says_so(certain):
    certain.submit("much", "x = bytearray(400_000_000)\nwhile True: pass", memory_limit=300_000_000)
    report = certain.report("much")
    assert report.error.ename == "MemoryLimitExceeded"
    assert report.error.evalue.endswith("of 300 MB")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import ctypes; ctypes.string_at(0)", "TaskCrashed: killed by SIGSEGV: compiled code it called crashed;"),
        ("import os; os._exit(7)", "TaskCrashed: it ended its own process with exit code 7;"),
    ],
)
def test_user_code_that_takes_its_process_along_has_failed(certain, source, reason):
    certain.submit(reason, f"print('said')\n{source}")
    report = certain.report(reason)
    assert (report.outcome, report.started_at is not None) == (Outcome.FAILED, True)
    assert report.reason.startswith(reason)
    assert report.outputs.inline[0]["text"] == "said\n"
    assert ("string_at" in "".join(report.error.traceback)) == ("ctypes" in source)


def test_a_child_that_is_killed_is_a_lost_attempt_that_had_begun(certain):
    certain.submit("killed", "import os; os.kill(os.getpid(), 9)")
    report = certain.report("killed")
    assert (report.outcome, report.started_at is not None) == (Outcome.LOST, True)
    assert report.reason.startswith("its process was ended by SIGKILL")


def test_what_an_attempt_left_running_is_ended_before_its_report(certain):
    certain.submit("left", "import subprocess; print(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid)")
    assert certain.report("left").outcome is Outcome.SUCCESS
    assert not is_running(int(certain.line("left")))


@pytest.mark.parametrize("kind", ALL)
def test_closing_ends_what_runs_and_may_be_done_twice(kind, home):
    bench = Bench(make(kind, home))
    bench.submit("runs", "import time\nwhile True: time.sleep(0.01)")
    bench.began("runs")
    bench.executor.close()
    bench.executor.close()
    assert bench.reports("runs") == []
