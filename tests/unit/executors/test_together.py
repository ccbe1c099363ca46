# SPDX-License-Identifier: BSD-3-Clause
"""Several jobs that a child was given at once: each ends or comes back, and what the child does to one is not done to the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from nbflow.core.job import Job, Outcome, ProcessState, Report
from nbflow.executors import child
from nbflow.executors.pool import ChildPool
from nbflow.executors.sealed import SealedJob, SealedReport, seal
from nbflow.executors.tickets import Taker, Tickets
from tests.contracts.executors import Heard
from tests.unit.executors.runner import NAME, job, run_in


@pytest.fixture
def pool() -> Iterator[ChildPool]:
    pool = ChildPool(1, runner=NAME)
    yield pool
    pool.close()


@pytest.fixture
def patient(monkeypatch) -> None:
    """Nothing is taken back for being slow, however busy this machine is."""
    monkeypatch.setattr(child, "SLOW", 1000.0)


class Together:
    """Runs sources together, under the tokens 0, 1, 2 ..."""

    def __init__(self, pool: ChildPool) -> None:
        self.pool, self.heard = pool, Heard()
        self.ended: dict[str, Report | None] = {}
        self.back: list[str] = []
        self.came_back = threading.Event()

    def __call__(self, *sources: str | Job) -> None:
        jobs = [source if isinstance(source, Job) else job(source, token=str(number)) for number, source in enumerate(sources)]
        self.pool.run_all([seal(job) for job in jobs], self.heard, self._end, self._give_back)
        assert sorted([*self.ended, *self.back]) == [job.token for job in jobs]

    def _end(self, job: SealedJob, report: SealedReport | None) -> None:
        assert job.token not in self.ended
        self.ended[job.token] = None if report is None else report.open()

    def _give_back(self, jobs: Sequence[SealedJob]) -> None:
        self.back += [job.token for job in jobs]
        self.came_back.set()

    def answers(self) -> list[object]:
        return [report.decision for report in self.ended.values() if report is not None]


@pytest.fixture
def together(pool, patient) -> Together:
    return Together(pool)


def while_it_runs(together: Together, token: str, act: Callable[[], object], *sources: str | Job) -> None:
    """Run the sources, and act once this attempt has printed something."""
    thread = threading.Thread(target=together, args=sources)
    thread.start()
    together.heard.line(token)
    act()
    thread.join(60)
    assert not thread.is_alive()


SLEEP = "import time; print(1); time.sleep(1000)"


def touch(path: Path) -> str:
    return f"open({str(path)!r}, 'a').write('x')"


def test_one_child_does_them_in_order(together):
    together(*(f"import os; answer = {number}, os.getpid()" for number in range(5)))
    answers = together.answers()
    assert [number for number, _ in answers] == [0, 1, 2, 3, 4]
    assert len({pid for _, pid in answers}) == 1
    assert together.back == []


def test_one_that_raises_does_not_stop_the_others(together):
    together("answer = 1", "1 / 0", "answer = 3")
    assert [report.outcome for report in together.ended.values()] == [Outcome.SUCCESS, Outcome.FAILED, Outcome.SUCCESS]


def test_those_behind_a_slow_one_are_given_back_while_it_runs(pool):
    together = Together(pool)

    def act() -> None:
        assert together.came_back.wait(60)
        pool.cancel(["0"])

    while_it_runs(together, "0", act, SLEEP, "answer = 1", "answer = 2")
    assert together.back == ["1", "2"]


def test_a_cancelled_one_ends_and_those_behind_it_are_given_back(together, pool, tmp_path):
    ran = tmp_path / "ran"
    while_it_runs(together, "0", lambda: pool.cancel(["0"]), SLEEP, touch(ran), touch(ran))
    assert together.ended == {"0": None}
    assert together.back == ["1", "2"]
    assert not ran.exists()


def test_one_that_is_cancelled_before_it_was_begun_never_begins_and_nobody_waits_for_the_one_before(together, pool, tmp_path):
    ran, go_on = tmp_path / "ran", tmp_path / "go_on"
    slow = f"import os, time; print(1)\nwhile not os.path.exists({str(go_on)!r}): time.sleep(0.001)\nanswer = 'done'"

    def act() -> None:
        pool.cancel(["1"])
        go_on.touch()

    while_it_runs(together, "0", act, slow, touch(ran))
    assert together.answers() == ["done"]
    assert together.back == ["1"]
    assert not ran.exists()
    assert run_in(pool, job(touch(ran), token="1")) is None
    assert not ran.exists()


@pytest.mark.parametrize(("crash", "outcome"), [("os._exit(3)", Outcome.FAILED), ("os.kill(os.getpid(), 9)", Outcome.LOST)])
def test_a_crash_costs_nobody_else_anything(together, crash, outcome):
    together("answer = 0", f"import os; {crash}", "answer = 2")
    assert [report.outcome for report in together.ended.values()] == [Outcome.SUCCESS, outcome]
    assert together.back == ["2"]


@pytest.mark.parametrize(
    "leave",
    [
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import subprocess; subprocess.Popen(['sleep', '1000'])",
        "answer = lambda: 1",
    ],
    ids=["a thread", "a process", "a report that cannot be sent"],
)
def test_a_child_that_must_not_be_used_again_gives_back_the_rest(together, leave):
    together("answer = 0", leave, "answer = 2")
    assert list(together.ended) == ["0", "1"]
    assert together.back == ["2"]


def test_a_helper_module_that_changed_meanwhile_is_not_used_by_those_behind(together, tmp_path):
    helper = tmp_path / "helper_together.py"
    helper.write_text("word = 'old'")
    process = ProcessState(cwd=str(tmp_path), sys_path=(str(tmp_path),))
    use = f"import os, sys; sys.path.insert(0, {str(tmp_path)!r}); import helper_together; answer = helper_together.word"
    change = f"import os; open({str(helper)!r}, 'w').write('word = 1234567')"
    together(*(job(source, token=str(number), process=process) for number, source in enumerate([use, change, use])))
    assert together.answers()[:1] == ["old"]
    assert together.back[-1:] == ["2"]


def test_the_time_of_each_counts_from_its_own_begin(together):
    source = "import time; time.sleep(0.4)"
    together(*(job(source, token=str(number), timeout=timedelta(seconds=3.5)) for number in range(9)))
    assert together.back == []
    assert [report.outcome for report in together.ended.values()] == [Outcome.SUCCESS] * 9


def test_one_that_runs_out_of_time_takes_nobody_along(together):
    slow = job("import time; time.sleep(1000)", token="1", timeout=timedelta(seconds=0.2))
    together("answer = 0", slow, "answer = 2")
    assert together.ended["1"].error.timed_out
    assert together.back == ["2"]


def test_of_those_that_were_cancelled_before_none_runs(together, pool, tmp_path):
    ran = tmp_path / "ran"
    pool.cancel(["0", "2"])
    together(touch(ran), "answer = 1", touch(ran))
    assert {token: report and report.decision for token, report in together.ended.items()} == {"0": None, "1": 1, "2": None}
    assert not ran.exists()


def test_a_ticket_is_taken_once():
    tickets = Tickets()
    child = Taker(tickets.reader)
    tickets.give(3)
    assert child.take()
    assert tickets.take_all() == 2
    assert not child.take()
    assert tickets.take_all() == 0
    tickets.close()
    tickets.close()
    assert tickets.take_all() == 0


def test_a_file_of_the_user_is_not_mistaken_for_tickets(tmp_path):
    (tmp_path / "file").write_text("......")
    tickets = Tickets()
    child = Taker(os.dup(tickets.reader))
    with (tmp_path / "file").open() as file:
        os.dup2(file.fileno(), child._reader)
        tickets.give(1)
        assert not child.take()
    os.close(child._reader)
    assert not child.take()
    assert tickets.take_all() == 1
    tickets.close()
