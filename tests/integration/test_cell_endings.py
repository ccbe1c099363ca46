# SPDX-License-Identifier: BSD-3-Clause
"""How a cell fails, skips or decides, and what the report of its attempt says then."""

import pytest

from nbflow.core.job import Outcome
from nbflow.core.options import TaskKind
from tests.integration.cells import definition, plain


def test_a_traceback_shows_the_users_cell_line_and_code_only(child):
    report = child.run("""x = 1
def inner(value):
    return value["temp_c"]

inner({})
""")
    assert report.outcome is Outcome.FAILED
    error = report.error
    assert (error.ename, error.evalue, error.line) == ("KeyError", "'temp_c'", 4)
    assert error.sentence == report.reason == "KeyError: 'temp_c'"
    text = plain(error)
    assert "Cell 4 (clean), line 6" in text
    assert 'return value["temp_c"]' in text
    assert "----> 4" in text
    for foreign in ("nbflow/operators", "IPython/core", "asyncio"):
        assert foreign not in text
    assert child.outputs(report)[-1]["output_type"] == "error"
    assert {"KeyError", "builtins.KeyError", "LookupError", "Exception"} <= set(error.classes)
    assert "object" not in error.classes


def test_a_traceback_through_a_notebook_function_shows_that_functions_cell(child):
    helper = definition("helper", "def helper(x):\n    return 1 / x", number=2, line=3)
    report = child.run("helper(0)", captures={"helper": helper})
    assert report.error.line == 2
    assert "Cell 2 (helper), line 4" in plain(report.error)
    assert "return 1 / x" in plain(report.error)


def test_a_syntax_error_names_the_line_of_the_cell(child):
    report = child.run("x = 1\ny = (\n")
    assert report.error.ename in {"SyntaxError", "_IncompleteInputError"}
    assert report.error.line == 3


def test_a_group_of_exceptions_is_shown_whole_without_foreign_frames(child):
    report = child.run("raise ExceptionGroup('several', [ValueError('a'), KeyError('b')])")
    assert (report.error.ename, report.error.line) == ("ExceptionGroup", 2)
    (shown,) = child.outputs(report)
    assert "ValueError: a" in plain(report.error)
    assert "interactiveshell" not in plain(report.error)
    assert shown["traceback"] == list(report.error.traceback)


def test_a_wrong_magic_is_one_line(child):
    report = child.run("%nosuchmagic")
    assert report.error.traceback == ("UsageError: Line magic function `%nosuchmagic` not found.",)
    assert len(child.outputs(report)) == 1


def test_an_error_under_a_timing_magic_has_its_line_of_the_cell(child):
    assert child.run("%%time\nx = 1\n1 / 0").error.line == 4


def test_input_is_refused_with_a_sentence(child):
    report = child.run("name = input('who? ')")
    assert "a task runs unattended" in report.reason


@pytest.mark.parametrize(
    "ending", ["import sys; sys.exit(3)", "raise KeyboardInterrupt", "raise BaseException('odd')", "%nosuchmagic", "import nowhere"]
)
def test_every_ending_is_a_report(child, ending):
    report, following = child.run_all(child.job(ending), child.job("x = 1"))
    assert report.outcome is Outcome.FAILED
    assert report.error.ename
    assert following.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("waiting", ["while True:\n    sum(range(1000))", "import asyncio\nawait asyncio.sleep(60)"])
def test_an_interrupt_ends_the_cell_with_a_report(child, waiting):
    alarm = "import os, signal, threading\nthreading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
    report, following = child.run_all(child.job(alarm + waiting), child.job("x = 1"))
    assert (report.outcome, report.error.ename) == (Outcome.FAILED, "KeyboardInterrupt")
    assert following.outcome is Outcome.SUCCESS


def test_leaving_with_zero_is_no_failure(child):
    for report in child.run_all(child.job("import sys\nprint('done')\nsys.exit()"), child.job("print('done')\nexit()\nprint('never')")):
        assert report.outcome is Outcome.SUCCESS
        assert [output["text"] for output in child.outputs(report)] == ["done\n"]


def test_skip_and_fail_end_the_task_as_they_say(child):
    skipped, failed = child.run_all(
        child.job("from nbflow.core.context import SkipTask\nx = 1\nraise SkipTask('nothing new')", offers=("x",)),
        child.job("from nbflow.core.context import FailTask\nraise FailTask('broken for good')"),
    )
    assert (skipped.outcome, skipped.reason, skipped.error, dict(skipped.values)) == (Outcome.SKIPPED, "nothing new", None, {})
    assert child.outputs(skipped) == []
    assert (failed.outcome, failed.error.may_retry, failed.error.evalue) == (Outcome.FAILED, False, "broken for good")


def test_a_name_nobody_gave_says_where_it_would_have_come_from(child):
    sentence = "`model` would come from t2 (skipped)"
    report = child.run("def use():\n    return model\nuse()", unbound={"model": sentence})
    assert (report.error.ename, report.error.evalue) == ("NameError", sentence)


def test_a_demanded_name_that_is_missing_fails_the_attempt(child):
    report = child.run("x = 1", demands=("x", "y"))
    assert report.outcome is Outcome.FAILED
    assert "`y` was not bound by task clean" in report.reason
    assert dict(report.values) == {}


def test_a_demanded_name_that_cannot_be_stored_fails_by_name_with_a_remedy(child):
    report = child.run("rows = (n for n in [])", demands=("rows",))
    assert report.reason == "`rows` is a generator, which cannot be stored: turn it into a list first."


def test_offered_names_that_cannot_be_kept_are_left_out_and_named(child):
    report = child.run("f = open('/dev/null')\nbig = list(range(100_000))\narray = __import__('numpy').zeros(10**6)\nok = 1",
                       offers=("f", "big", "array", "ok", "never"), keep_limit=50_000)  # fmt: skip
    assert report.outcome is Outcome.SUCCESS
    assert set(report.values) == {"ok"}
    assert "an open file" in report.left_out["f"]
    assert set(report.left_out) == {"f", "big", "array"}


def test_a_branch_gives_its_decision(child):
    reports = child.run_all(
        *(child.job(source, decides=TaskKind.BRANCH) for source in ["'alert'", "['a', 'b'];", "import pandas\npandas.DataFrame()", "x = 1"])
    )
    assert reports[0].decision == "alert"
    assert reports[1].decision == ["a", "b"]
    assert reports[2].outcome is Outcome.FAILED
    assert "DataFrame" in reports[2].reason
    assert reports[3].decision is None


def test_a_token_runs_once_and_its_report_is_found_again(child):
    job = child.job("open(mark, 'a').write('ran\\n')", inputs={"mark": child.ref(str(child.folder / "ran"))})
    first, second = child.run_all(job, job)
    assert first == second
    assert (child.folder / "ran").read_text() == "ran\n"


def test_a_token_that_was_started_and_left_nothing_is_lost(child):
    job = child.job("x = 1")
    child.artifacts.mark(f"{job.token}.started")
    report = child.run_all(job)[0]
    assert report.outcome is Outcome.LOST
    assert "already started once" in report.reason
