# SPDX-License-Identifier: BSD-3-Clause
"""`%nbflow debug`: a failed attempt in a real shell, its frames made anew from what it left."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow.notebook import extension
from nbflow.notebook.debugging import NotKept, PostMortem
from tests.unit.notebook.conftest import Shell
from tests.unit.notebook.recording import RecordingChannel

HELPER = "def ratio(part, whole):\n    percent = 100 * part\n    return percent / whole"
FAILING = """%%task rates
password = "hunter2"
lock = __import__("threading").Lock()
totals = {}
for city, (part, whole) in rows.items():
    totals[city] = ratio(part, whole)"""


class Kernel:
    def __init__(self, shell: Shell, channel: RecordingChannel) -> None:
        self.shell, self.channel = shell, channel

    def run(self, source: str, cell: str = "x") -> Any:
        self.channel.current = cell
        return self.shell.execute(source, cell)


@pytest.fixture
def kernel(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    channel = RecordingChannel()
    extension.load(shell, channel)
    try:
        yield Kernel(shell, channel)
    finally:
        extension.unload(shell)
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            sys.__dict__.pop(name, None)


@pytest.fixture
def failed(kernel: Kernel) -> Kernel:
    """A run whose second task failed inside a helper function; since then the kernel has gone on."""
    kernel.run(HELPER, "a").raise_error()
    kernel.run("%%task load\nrows = {'Bern': (1, 2), 'Basel': (3, 0)}", "b").raise_error()
    kernel.run(FAILING, "c").raise_error()
    assert kernel.run("%nbflow run", "d").error_in_exec is not None
    kernel.run("rows = 'something else'", "e").raise_error()
    return kernel


def looked(kernel: Kernel, line: str = "found = %nbflow debug rates --no-pdb") -> PostMortem:
    kernel.run(line).raise_error()
    found: PostMortem = kernel.shell.user_ns["found"]
    return found


def test_the_exact_inputs_are_bound_here(failed: Kernel):
    found = looked(failed)
    assert failed.shell.user_ns["rows"] == {"Bern": (1, 2), "Basel": (3, 0)}
    assert found.inputs == {"rows": {"Bern": (1, 2), "Basel": (3, 0)}}


def test_every_frame_of_the_persons_code_is_there_with_its_locals(failed: Kernel):
    cell, helper = looked(failed).frames
    assert (cell.function, cell.line, cell.text) == ("<module>", 6, "totals[city] = ratio(part, whole)")
    assert (cell.locals["city"], cell.locals["totals"]) == ("Basel", {"Bern": 50.0})
    assert (helper.function, helper.line, helper.text) == ("ratio", 3, "return percent / whole")
    assert helper.locals == {"part": 3, "whole": 0, "percent": 300}


def test_what_cannot_be_kept_says_so_and_a_secret_is_not_kept(failed: Kernel):
    names = looked(failed).frames[0].locals
    assert isinstance(names["lock"], NotKept)
    assert "a lock" in repr(names["lock"])
    assert repr(names["password"]) == "<not kept: hidden: its name says that it is a secret>"


def test_it_is_shown_as_a_traceback_with_names(failed: Kernel):
    text = repr(looked(failed))
    assert text.startswith("Attempt 1 of rates in run ")
    assert "ZeroDivisionError: division by zero" in text
    assert "ratio, line 3, in ratio" not in text
    assert "  > return percent / whole\n    part = 3\n    whole = 0\n    percent = 300" in text


def test_the_exception_is_where_debuggers_look(failed: Kernel):
    found = looked(failed)
    assert sys.last_value is found.error
    assert isinstance(found.error, ZeroDivisionError)
    assert str(found.error) == "division by zero"
    trace = sys.last_traceback
    assert trace is not None
    assert trace.tb_next is not None
    assert trace.tb_next.tb_frame.f_locals["percent"] == 300
    assert trace.tb_next.tb_frame.f_code.co_name == "ratio"
    assert (trace.tb_lineno, trace.tb_next.tb_lineno) == (6, 3)


def test_the_debugger_opens_on_these_frames(failed: Kernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    typed = iter(["p percent, whole", "up", "p totals", "p ratio(1, 4)", "list", "q"])
    monkeypatch.setattr(builtins, "input", lambda _prompt="": next(typed))
    monkeypatch.setattr("nbflow.notebook.debugging._can_ask", lambda _shell: True)
    failed.run("%nbflow debug rates").raise_error()
    shown = capsys.readouterr().out
    assert "(300, 0)" in shown
    assert "{'Bern': 50.0}" in shown
    assert "25.0" in shown
    assert "totals[city] = ratio(part, whole)" in shown
    assert next(typed, None) is None


def test_an_attempt_is_chosen_by_number_and_run(kernel: Kernel):
    kernel.run("%%task flaky --retries 1 --retry-delay 0s\nfrom nbflow import ctx\nn = ctx.attempt\nraise ValueError(n)", "a").raise_error()
    assert kernel.run("%nbflow run", "b").error_in_exec is not None
    first = looked(kernel, "found = %nbflow debug flaky --attempt 1 --no-pdb")
    last = looked(kernel, "found = %nbflow debug flaky --no-pdb")
    assert (first.frames[0].locals["n"], last.frames[0].locals["n"]) == (1, 2)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("%nbflow debug load", "Task load of run {run} has no attempt that failed. Succeeded."),
        ("%nbflow debug rates --attempt 7", "Task rates of run {run} has no attempt 7."),
        ("%nbflow debug lod", 'Run {run} has no task "lod". Did you mean "load"?'),
        ("%nbflow debug rates --run nowhere", 'There is no run "nowhere"'),
    ],
)
def test_what_cannot_be_looked_into_is_a_sentence(failed: Kernel, line: str, sentence: str):
    (run,) = extension.load(failed.shell).magics.launcher.host.workspace.find_runs().runs
    told = str(failed.run(line).error_in_exec)
    assert told.startswith(sentence.format(run=run.run_id))


def test_results_and_inputs_of_any_attempt_of_any_run(failed: Kernel):
    (run,) = extension.load(failed.shell).magics.launcher.host.workspace.find_runs().runs
    rows = {"Bern": (1, 2), "Basel": (3, 0)}
    for line in ("load rows", f"load --run {run.run_id}", "load --attempt 1", "rates --inputs", "rates rows --inputs --attempt 1"):
        failed.run(f"found = %nbflow result {line}").raise_error()
        assert failed.shell.user_ns["found"] == rows, line
    told = failed.run("%nbflow result rates --attempt 1").error_in_exec
    assert str(told) == f"Attempt 1 of task rates of run {run.run_id} gave nothing: it failed."
