# SPDX-License-Identifier: BSD-3-Clause
"""Whose doing it was that a process is gone, and what is said of it."""

from __future__ import annotations

import faulthandler
import signal
from datetime import UTC, datetime

import pytest

from nbflow.core.ids import Token
from nbflow.core.job import Outcome
from nbflow.executors import deaths
from nbflow.executors.endings import Facts

BEGUN = Facts(token=Token("t"), started_at=datetime(2026, 1, 1, tzinfo=UTC))
EXIT_3 = 3 << 8

TRACE = """Fatal Python error: Segmentation fault

Current thread 0x00007f1e (most recent call first):
  File "/usr/lib/python3.13/ctypes/__init__.py", line 519 in string_at
  File "<cell 2 helper>", line 7 in helper
  File "<cell 5 score>", line 4 in <module>
  File "/opt/lib/python3.13/site-packages/IPython/core/interactiveshell.py", line 3577 in run_code
  File "<cell 9 not_this>", line 1 in <module>
"""


def died(status: int | None, *, facts: Facts = BEGUN, oom_kills: int | None = None, trace: str = ""):
    return deaths.of_attempt(facts, status, oom_kills=oom_kills, trace=trace)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_killed_from_outside_is_lost(number):
    assert died(number).outcome is Outcome.LOST


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGALRM])
def test_a_crash_is_a_failure_like_an_exception(number):
    report = died(number)
    assert (report.outcome, report.error.ename, report.error.may_retry) == (Outcome.FAILED, "TaskCrashed", True)
    assert f"killed by {number.name}" in report.reason


def test_a_process_that_ended_itself_is_a_failure():
    report = died(EXIT_3)
    assert report.outcome is Outcome.FAILED
    assert report.reason.startswith("TaskCrashed: it ended its own process with exit code 3;")


@pytest.mark.parametrize("status", [signal.SIGSEGV, EXIT_3, None])
def test_before_user_code_began_it_is_lost_whatever_the_signal(status):
    assert died(status, facts=Facts(token=Token("t"))).outcome is Outcome.LOST


def test_a_process_of_which_nobody_can_tell_disappeared():
    assert died(None).reason == "its process disappeared"


def test_what_ran_out_of_memory_says_so_and_what_to_do(monkeypatch):
    monkeypatch.setattr(deaths, "oom_kill_count", lambda: 8)
    assert died(signal.SIGKILL, oom_kills=7).reason.startswith("the system ran out of memory and killed its process: let it use less")
    assert died(signal.SIGKILL, oom_kills=8).reason == "its process was ended by SIGKILL, from outside"


def test_a_system_that_does_not_count_leaves_it_open(monkeypatch):
    monkeypatch.setattr(deaths, "oom_kill_count", lambda: None)
    assert died(signal.SIGKILL).reason == "its process was ended by SIGKILL (perhaps the system was out of memory)"


def test_a_crash_shows_where_the_cell_was():
    error = died(signal.SIGSEGV, trace=TRACE).error
    assert error.line == 4
    assert error.traceback == (
        "Fatal Python error: Segmentation fault",
        "Traceback (most recent call last):",
        '  File "<cell 5 score>", line 4, in <module>',
        '  File "<cell 2 helper>", line 7, in helper',
        '  File "/usr/lib/python3.13/ctypes/__init__.py", line 519, in string_at',
    )


def test_the_form_is_that_of_this_pythons_faulthandler(tmp_path):
    with (tmp_path / "trace").open("w+") as file:
        faulthandler.dump_traceback(file, all_threads=False)
        file.seek(0)
        lines = [line for line in file.read().splitlines() if __file__ in line]
    assert deaths._traceback("Fatal\n" + "\n".join(lines))[-1].endswith("in test_the_form_is_that_of_this_pythons_faulthandler")
