# SPDX-License-Identifier: BSD-3-Clause
"""The sentences, with their plural forms."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nbflow.core import messages
from nbflow.core.job import ErrorInfo
from nbflow.core.states import RunState, TaskState
from tests.unit.core.world import error


def test_the_wait_of_the_page_of_sentences():
    names = ["extApp", "notificationApp", "tokenApp", "daemonApp", "messageApp"]
    assert messages.waiting_for(names, 9) == "Waiting for 5 of 9 upstream tasks: extApp, notificationApp, tokenApp, daemonApp, messageApp."


@pytest.mark.parametrize(
    ("names", "told"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c"), (list("abcdefgh"), "a, b, c, d, e, f and 2 more")],
)
def test_names_are_listed_as_people_do(names: list[str], told: str):
    assert messages.name_list(names) == told


@pytest.mark.parametrize(("count", "told"), [(0, "0 tasks"), (1, "1 task"), (2, "2 tasks")])
def test_one_is_not_many(count: int, told: str):
    assert messages.plural(count, "task") == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-3, "now"), (0, "now"), (0.5, "in 0.5 s"), (1, "in 1 s"), (18.2, "in 18 s"), (59.7, "in 1 m 00 s"), (65, "in 1 m 05 s")],
)
def test_the_instant_of_a_retry_is_told_without_false_precision(seconds: float, told: str):
    found = messages.retry_starts(attempt=2, attempts=3, wait=timedelta(seconds=seconds), error="KeyError: 1")
    assert found == f"Attempt 2 of 3 starts {told}. Attempt 1 failed: KeyError: 1."


def test_a_failure_tells_the_first_line_of_its_error_only():
    assert messages.failed(attempts=1, name="t", error=error("E", "one\ntwo", line=0)) == "Failed: E: one in t."


def test_an_error_that_ends_in_a_full_stop_gets_no_second_one():
    assert messages.failed(attempts=2, name="t", error=error("E", "no.", line=3)) == "Failed after 2 attempts: E: no in t, line 3."


def test_a_long_error_follows_its_place():
    told = "a task runs unattended, so input() cannot ask anybody: read a parameter instead"
    assert messages.failed(attempts=1, name="t", error=error("RuntimeError", told, line=2)) == f"Failed in t, line 2: RuntimeError: {told}."


def test_a_sentence_of_nbflow_stands_without_the_name_of_its_class():
    own = ErrorInfo(ename="NotGiven", evalue="`g` is a generator: make it a list.", classes=("nbflow.core.errors.NbflowError",))
    assert messages.failed(attempts=1, name="t", error=own) == "Failed in t: `g` is a generator: make it a list."


def test_losing_a_worker_once_is_told_as_once():
    assert messages.failed_lost(losses=1, reason="") == "Failed: its worker disappeared once."


def test_a_tally_lists_what_there_is_in_a_fixed_order():
    assert messages.tally({TaskState.SKIPPED: 1, TaskState.FAILED: 0, TaskState.SUCCESS: 15}) == "15 succeeded, 1 skipped"


def test_the_end_of_a_run_is_told_by_its_state():
    counts = {TaskState.SUCCESS: 2, TaskState.CANCELLED: 1}
    assert messages.run_ended("f", RunState.SUCCESS, 108, counts, failed=[], why="") == "f finished in 1 m 48 s: 2 succeeded, 1 cancelled."
    assert (
        messages.run_ended("f", RunState.CANCELLED, 1.25, counts, failed=[], why="")
        == "f was cancelled after 1.2 s: 2 succeeded, 1 cancelled."
    )
    assert messages.run_ended("f", RunState.FAILED, 48, counts, failed=["a", "b"], why="Late") == "f failed at a and b after 48.0 s. Late."
    assert messages.run_ended("f", RunState.FAILED, 48, counts, failed=[], why="") == "f failed after 48.0 s: 2 succeeded, 1 cancelled."
