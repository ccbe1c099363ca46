# SPDX-License-Identifier: BSD-3-Clause
"""Warm children: when one is used again, when it is not, and that nothing of it ever stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta

import psutil
import pytest

from nbflow.core.job import Outcome, ProcessState, Report
from nbflow.executors import child as child_module
from nbflow.executors import pool as pool_module
from nbflow.executors.pool import ChildPool
from tests.contracts.executors import Heard
from tests.processes import is_running
from tests.unit.executors.runner import NAME, job, run_in

PID = "import os; answer = os.getpid()"


@pytest.fixture
def pool() -> Iterator[ChildPool]:
    pool = ChildPool(2, runner=NAME, worker="here")
    yield pool
    pool.close()


class Runs:
    """Runs sources one after the other, each under a token of its own."""

    def __init__(self, pool: ChildPool) -> None:
        self.pool, self.heard, self.count = pool, Heard(), 0

    def __call__(self, source: str, **facts) -> Report:
        self.count += 1
        report = run_in(self.pool, job(source, token=f"t{self.count}", **facts), self.heard)
        assert report is not None
        return report

    def pid(self, **facts) -> int:
        return self(PID, **facts).decision


@pytest.fixture
def run(pool) -> Runs:
    return Runs(pool)


def test_a_child_is_used_again(run):
    assert run.pid() == run.pid()


def test_two_jobs_at_once_run_in_two_children(pool, tmp_path):
    pids = []

    def attempt(token: str) -> None:
        meet = f"open({str(tmp_path / token)!r}, 'w').close()\nwhile len(os.listdir({str(tmp_path)!r})) < 2: time.sleep(0.001)"
        source = f"{PID}\nimport time\n{meet}"
        pids.append(run_in(pool, job(source, token=token)).decision)

    threads = [threading.Thread(target=attempt, args=(token,)) for token in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pids)) == 2


def test_who_waits_goes_on_when_a_child_could_not_be_started_for_another(monkeypatch):
    pool = ChildPool(1, runner=NAME)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(run_in(pool, job("answer = 1", token="b"))), daemon=True)

    def start(**_: object) -> None:
        monkeypatch.undo()
        waiting.start()
        while not pool._changed._waiters:
            os.sched_yield()
        raise OSError("no more processes")

    monkeypatch.setattr(pool_module, "ChildProcess", start)
    with pytest.raises(OSError, match="no more processes"):
        run_in(pool, job("answer = 1", token="a"))
    waiting.join(60)
    assert [report.decision for report in answers] == [1]
    pool.close()


def test_user_code_runs_in_the_main_thread_of_its_own_session(run):
    source = "import os, threading; answer = [threading.current_thread() is threading.main_thread(), os.getsid(0) == os.getpid()]"
    assert run(source).decision == [True, True]


def helper(tmp_path, text: str) -> ProcessState:
    (tmp_path / "helper.py").write_text(text)
    os.utime(tmp_path / "helper.py", ns=(0, len(text)))
    return ProcessState(cwd=str(tmp_path), sys_path=(str(tmp_path),))


def use_helper(run: Runs, process: ProcessState) -> Report:
    source = f"import os, sys; sys.path[:0] = {list(process.sys_path)}; import helper; answer = [helper.N, os.getpid()]"
    return run(source, process=process)


def test_a_child_with_an_unchanged_helper_module_is_used_again(run, tmp_path):
    process = helper(tmp_path, "N = 1")
    assert use_helper(run, process).decision == use_helper(run, process).decision


def test_a_changed_helper_module_is_loaded_anew_in_another_child(run, tmp_path):
    number, pid = use_helper(run, helper(tmp_path, "N = 1")).decision
    other, other_pid = use_helper(run, helper(tmp_path, "N = 22")).decision
    assert (number, other) == (1, 22)
    assert pid != other_pid


def test_a_helper_module_of_another_folder_is_not_mistaken_for_this_one(run, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    assert use_helper(run, helper(first, "N = 1")).decision[0] == 1
    assert use_helper(run, helper(second, "N = 2")).decision[0] == 2


def test_a_helper_that_was_written_while_the_job_ran_is_not_trusted(run, tmp_path):
    source = (
        f"{PID}\nimport sys; sys.path.insert(0, {str(tmp_path)!r})\nopen({str(tmp_path / 'written.py')!r}, 'w').close()\nimport written"
    )
    assert run(source).decision != run.pid()


@pytest.mark.parametrize(
    "leave",
    [
        "import subprocess; subprocess.Popen(['sleep', '1000'])",
        "import threading, time; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
    ],
    ids=["a process", "a thread"],
)
def test_a_child_in_which_something_was_left_is_not_used_again(run, leave):
    assert run(f"{PID}\n{leave}").decision != run.pid()


def test_a_child_that_uses_much_memory_is_not_used_again(run):
    source = f"{PID}\nimport sys; sys.kept = bytearray(1_200_000_000)"
    assert run(source).decision != run.pid()


def test_signal_handlers_and_alarms_of_a_job_do_not_reach_the_next(run):
    pid = run(f"{PID}\nimport signal; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.alarm(1000)").decision
    source = f"{PID}\nimport signal; answer = [answer, signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.alarm(0)]"
    assert run(source).decision == [pid, True, 0]


def test_a_heavy_library_is_imported_before_the_first_job_of_the_next_child(run):
    run("import numpy, os")
    run("import os; os._exit(0)")
    assert run("import sys; answer = 'numpy' in sys.modules").decision is True


def test_a_forked_process_does_not_speak_for_the_attempt(run):
    source = "import os\nif not os.fork():\n    print('from the fork'); os._exit(0)\nos.wait(); print('from the attempt')"
    assert run(source).outcome is Outcome.SUCCESS
    assert run.heard.text("t1") == "from the attempt\n"


def test_a_report_that_cannot_be_sent_is_a_failed_attempt(run):
    report = run("answer = lambda: 1")
    assert report.outcome is Outcome.FAILED
    assert "pickle" in report.error.evalue


def test_what_escapes_the_runner_is_a_failed_attempt(run):
    report = run("import sys\nfrom tests.unit.executors import runner\nrunner.Report = None")
    assert (report.outcome, report.error.ename) == (Outcome.FAILED, "TypeError")


def test_a_job_cancelled_before_it_arrives_is_not_run(pool, tmp_path):
    pool.cancel(["early"])
    assert run_in(pool, job(f"open({str(tmp_path / 'ran')!r}, 'w')", token="early")) is None
    assert not (tmp_path / "ran").exists()


def test_a_child_that_cannot_start_is_a_lost_attempt_that_had_not_begun():
    pool = ChildPool(1, runner="tests.unit.executors.runner:nothing")
    report = run_in(pool, job("pass"))
    assert (report.outcome, report.started_at) == (Outcome.LOST, None)
    assert report.reason == "a process for user code could not be started: its process ended by itself with exit code 1"
    pool.close()


def test_nothing_survives_when_the_supervisor_is_killed(pool):
    heard, reports = Heard(), []
    source = "import os, subprocess; p = subprocess.Popen(['sleep', '1000'], start_new_session=True); print(os.getpid(), p.pid); p.wait()"
    thread = threading.Thread(target=lambda: reports.append(run_in(pool, job(source), heard)))
    thread.start()
    pids = [int(word) for word in heard.line("t").split()]
    os.kill(psutil.Process(pids[0]).ppid(), signal.SIGKILL)
    thread.join()
    assert (reports[0].outcome, reports[0].reason) == (Outcome.LOST, "its process disappeared")
    assert [pid for pid in pids if is_running(pid)] == []


def test_what_a_signal_handler_says_amid_another_message_comes_after_it(run):
    source = """
import signal
beats = []
def beat(*_):
    beats.append(1)
    print("beat")
signal.signal(signal.SIGPROF, beat)
signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
while len(beats) < 10:
    print("x" * 20_000)
signal.setitimer(signal.ITIMER_PROF, 0)
"""
    assert run(source).outcome is Outcome.SUCCESS
    lines = run.heard.text("t1").splitlines()
    assert set(lines) == {"x" * 20_000, "beat"}
    assert lines.count("beat") >= 10


def test_a_child_that_says_what_cannot_be_read_is_not_used_again(run):
    """What it said later was taken for the end of the next job, whose own never came."""
    source = """
import os, sys, time, types
from nbflow.core.job import OutputMade
print(os.getpid())
sys.modules["only_here"] = types.ModuleType("only_here")
sys.modules["only_here"].Shown = Shown = type("Shown", (), {"__module__": "only_here"})
tell(OutputMade(token="t1", output={"output_type": "display_data", "data": {"x": Shown()}, "metadata": {}}))
time.sleep(1000)
"""
    report = run(source)
    assert report.error.evalue.startswith(
        "what it showed cannot be read outside its process (ModuleNotFoundError: No module named 'only_here')"
    )
    assert not is_running(int(run.heard.line("t1")))
    assert run("answer = 'its own'").decision == "its own"


def test_a_cancel_ends_an_attempt_whose_supervisor_does_not_answer(pool, monkeypatch):
    monkeypatch.setattr(child_module, "END_LIMIT", 0.2)
    heard, reports = Heard(), []
    thread = threading.Thread(
        target=lambda: reports.append(run_in(pool, job("import os, time; print(os.getpid()); time.sleep(1000)"), heard))
    )
    thread.start()
    pid = int(heard.line("t"))
    os.kill(psutil.Process(pid).ppid(), signal.SIGSTOP)
    pool.cancel(["t"])
    thread.join()
    assert reports == [None]
    assert not is_running(pid)


def test_nothing_survives_when_the_parent_is_killed():
    program = """
from nbflow.executors.pool import ChildPool
from nbflow.executors.sealed import seal
from tests.unit.executors.runner import NAME, job
source = '''import os, subprocess, signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
p = subprocess.Popen(["sleep", "1000"], start_new_session=True, env={})
print(os.getpid(), p.pid)
p.wait()'''
ChildPool(1, runner=NAME).run(seal(job(source)), lambda event: print(getattr(event, "output", {}).get("text", ""), flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        try:
            words = next(line for line in parent.stdout if line.strip()).split()
            processes = [psutil.Process(int(word)) for word in words]
        finally:
            parent.kill()
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert [process for process in alive if is_running(process.pid)] == []


def test_a_timeout_bites_though_the_interpreter_is_locked(run):
    source = "import re; re.match('(a+)+$', 'a' * 40 + 'b')"
    assert run(source, timeout=timedelta(seconds=0.3)).error.timed_out


def test_a_stopped_process_group_is_ended_by_its_timeout(run):
    source = "import os, signal; os.killpg(0, signal.SIGSTOP)"
    assert run(source, timeout=timedelta(seconds=0.3)).error.timed_out


def test_a_closed_pool_has_no_processes(pool, run):
    pid = run.pid()
    pool.close()
    assert not is_running(pid)


def test_warm_children_are_there_before_the_first_job():
    pool = ChildPool(2, runner=NAME, warm=1)
    first = run_in(pool, job(PID)).decision
    assert first in pool.pids()
    pool.close()
