# SPDX-License-Identifier: BSD-3-Clause
"""The page in which it stands that an attempt has begun."""

import os
from datetime import UTC, datetime

import pytest

from nbflow.core.ids import Token
from nbflow.core.job import AttemptBegan, OutputMade
from nbflow.executors.begun import Begun, new_page
from nbflow.executors.child import ChildProcess
from nbflow.executors.sealed import seal
from tests.unit.executors.runner import NAME, job

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


@pytest.fixture
def sides():
    page = new_page()
    child, parent = Begun(page), Begun(page)
    os.close(page)
    return child, parent


def test_the_parent_reads_what_the_child_wrote(sides):
    child, parent = sides
    assert parent.read(Token("t1"), "w") is None
    child.write(AttemptBegan(token=Token("t1"), at=AT, worker="w"))
    assert parent.read(Token("t1"), "w") == AttemptBegan(token=Token("t1"), at=AT, worker="w")


def test_the_beginning_of_another_attempt_is_none_of_this_one(sides):
    child, parent = sides
    child.write(AttemptBegan(token=Token("t123"), at=AT, worker="w"))
    assert [parent.read(Token(other), "w") for other in ("t1", "t12", "t1234", "x123")] == [None] * 4
    child.write(AttemptBegan(token=Token("t1"), at=AT, worker="w"))
    assert parent.read(Token("t123"), "w") is None
    assert parent.read(Token("t1"), "w") is not None


def test_a_beginning_is_told_once_before_anything_else_of_the_attempt():
    told = []
    child = ChildProcess(runner=NAME)
    child.wait_ready()
    try:
        for number in range(3):
            child.run(seal(job("print(1)\nprint(2)", token=f"t{number}")), told.append, worker="w")
    finally:
        child.end()
    assert [type(event) for event in told] == [AttemptBegan, OutputMade, OutputMade] * 3
    assert [event.token for event in told if isinstance(event, AttemptBegan)] == ["t0", "t1", "t2"]


def test_an_attempt_that_dies_at_once_had_begun():
    told = []
    child = ChildProcess(runner=NAME)
    child.wait_ready()
    report = child.run(seal(job("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")), told.append, worker="w")
    child.end()
    assert [type(event) for event in told] == [AttemptBegan]
    assert report.open().started_at == told[0].at
