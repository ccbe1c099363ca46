# SPDX-License-Identifier: BSD-3-Clause
"""A shell serves the next attempt only when user code never got hold of it; then it is like a new one."""

import itertools

import pytest

from nbflow.core.ids import TaskKey
from nbflow.core.job import Job, JobContext, Outcome
from nbflow.core.options import TaskKind
from nbflow.operators import shell
from nbflow.operators.entry import prepare, run_job
from nbflow.operators.outputs import Outputs
from nbflow.store.artifacts import open_artifacts

tokens = map("t{}".format, itertools.count())


@pytest.fixture
def run(tmp_path):
    artifacts = open_artifacts(str(tmp_path))

    def run(source: str):
        context = JobContext(flow="f", run_id="r", key=TaskKey("t"), attempt=1)
        job = Job(token=next(tokens), context=context, operator="cell", source=source, decides=TaskKind.BRANCH)
        return run_job(job, artifacts, lambda _event: None)

    shell._spare.clear()
    prepare()
    yield run
    shell._spare.clear()


def spare():
    return shell._spare[0] if shell._spare else None


def test_a_shell_that_nobody_asked_for_serves_the_next_attempt(run):
    before = spare()
    assert run("x = 1\nx + 1").decision == 2
    assert before is not None
    assert spare() is before


@pytest.mark.parametrize(
    "source",
    [
        "get_ipython()",
        "import IPython\nIPython.get_ipython()",
        "from IPython.core.interactiveshell import InteractiveShell\nInteractiveShell.instance()",
        "%precision 3",
        "%alias hi echo",
        "display(1)",
        "1 / 0",
        "import nbflow\nraise nbflow.SkipTask('enough')",
        "exit()",
        "def broken(",
    ],
)
def test_a_shell_that_was_asked_for_or_shows_an_error_does_not(run, source):
    before = spare()
    run(source + "\nNone")
    assert spare() is not before


@pytest.mark.parametrize(
    ("first", "then", "answer"),
    [
        ("'left behind'", "[_, len(Out), len(In)]", ["", 0, 2]),
        ("x = 1", "'x' in globals()", False),
        ("x = 1", "[_i, _ii, '_i2' in globals()]", ["", "", False]),
        ("from __future__ import annotations", "def f(a: int): pass\nf.__annotations__['a'] is int", True),
        ("old = In\nimport builtins\nbuiltins.kept = old", "In is globals().get('kept')", False),
        ("_ = 5", "_", ""),
    ],
)
def test_what_a_cell_left_in_its_shell_is_not_there_for_the_next(run, first, then, answer):
    assert run(first + ";").outcome is Outcome.SUCCESS
    assert run(then).decision == answer


def test_a_new_one_is_made_while_nothing_runs(run):
    run("get_ipython()\nNone")
    assert spare() is None
    prepare()
    assert spare() is not None
    assert run("display is not None and In[-1].startswith('display')").decision is True


def test_making_one_leaves_the_process_as_it_was(run):
    import builtins
    import sys

    shell._spare.clear()
    before = sys.modules["__main__"], set(vars(builtins))
    prepare()
    assert (sys.modules["__main__"], set(vars(builtins))) == before


def test_outputs_close_while_their_thread_is_at_work():
    for _ in range(200):
        outputs = Outputs()
        outputs.stream("stdout", "a")
        assert outputs.close()[0]["text"] == "a"


def test_leaving_with_a_code_shows_where_and_advises_nothing_that_cannot_be_typed(run):
    report = run("import sys\nsys.exit('no data today')")
    assert (report.outcome, report.error.sentence) == (Outcome.FAILED, "SystemExit: no data today")
    shown = "".join(report.error.traceback)
    assert "Traceback" in shown
    assert "%tb" not in shown
