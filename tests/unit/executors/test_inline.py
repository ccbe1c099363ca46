# SPDX-License-Identifier: BSD-3-Clause
"""What is special about attempts on a thread of this process."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest

from nbflow.core.job import Outcome, OutputMade
from nbflow.core.unbroken import Place, may_be_broken_off
from nbflow.executors.inline import InlineExecutor
from tests.contracts.executors import LIMIT, Bench
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


class _SlowToBegin(threading.Thread):
    def __init__(self, gate: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._gate = gate

    def _bootstrap(self) -> None:
        self._gate()
        super()._bootstrap()


@pytest.mark.parametrize("what", ["loads a module", "begins a thread"])
def test_an_attempt_is_not_interrupted_while_it(what, tmp_path, monkeypatch):
    """A lock of Python's imports stayed taken for ever; a thread that was about to begin got the interrupt, and the attempt waited for it for ever."""
    begun, looked, broken = threading.Event(), threading.Event(), []

    def gate() -> None:
        begun.set()
        assert looked.wait(LIMIT)

    def look(stack: list[Place]) -> bool:
        may_be = may_be_broken_off(stack)
        looked.set()
        return may_be

    def run_slowly(job, tell):
        if job.source == "pass":
            return run_job(job, None, tell)
        try:
            if what == "loads a module":
                importlib.import_module("loads_slowly")
            else:
                _SlowToBegin(gate).start()
        except KeyboardInterrupt:
            broken.append(what)
        while True:
            pass

    (tmp_path / "loads_slowly.py").write_text("from gate_of_test import gate\ngate()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "gate_of_test", SimpleNamespace(gate=gate))
    monkeypatch.setattr("nbflow.executors.inline.may_be_broken_off", look)
    bench = Bench(InlineExecutor(run_slowly))
    bench.submit("slow", what)
    assert begun.wait(LIMIT)
    bench.cancel("slow")
    bench.submit("next", "pass")
    assert bench.report("next").outcome is Outcome.SUCCESS
    assert not broken
    bench.executor.close()
    sys.modules.pop("loads_slowly", None)
