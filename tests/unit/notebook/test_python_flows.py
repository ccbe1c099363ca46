# SPDX-License-Identifier: BSD-3-Clause
"""Flows written in plain cells: what they are made of travels as definitions of the notebook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow.notebook.extension import load, unload
from nbflow.notebook.runs import LiveHost
from nbflow.testing import memory_workspace
from tests.unit.notebook.conftest import Shell

PLAIN = """
from dataclasses import dataclass
from nbflow import task, flow
FACTOR = 3

@dataclass
class Point:
    x: int

def scaled(x):
    return Point(x * FACTOR)
"""
FLOW = """
@task
def make():
    return [scaled(1), scaled(2)]

@task
def use(points, extra):
    assert all(isinstance(one, Point) for one in [*points, extra])
    return sum(one.x for one in points) + extra.x

@flow
def sales():
    use(make(), Point(100))
"""


@pytest.fixture
def loaded(shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    import sys

    with memory_workspace(tmp_path) as workspace:
        extension = load(shell)
        extension.magics.launcher.host = LiveHost(lambda: workspace)
        sys.modules["__main__"] = shell.user_module
        yield shell
        unload(shell)


def run(shell: Shell, source: str, cell: str) -> Any:
    result = shell.execute(source, cell)
    result.raise_error()
    return result.result


def test_functions_and_classes_of_the_notebook_are_what_they_are_in_every_task(loaded) -> None:
    run(loaded, PLAIN, "a")
    run(loaded, FLOW, "b")
    done = run(loaded, "run = sales.run()\nrun", "c")
    assert done.state == "success", done.task("make").reason
    assert done.task("use").result() == 109
    assert run(loaded, "all(isinstance(one, Point) for one in run.task('make').result())", "d")


def test_what_a_function_of_the_notebook_needs_and_cannot_travel_is_named(loaded) -> None:
    run(loaded, "from nbflow import task, flow\nimport threading\nlock = threading.Lock()", "a")
    run(loaded, "@task\ndef f():\n    return lock\n\n@flow\ndef g():\n    f()", "b")
    with pytest.raises(Exception, match=r"`.*` of the notebook cannot be sent to a worker"):
        run(loaded, "g.run()", "c")


def test_a_task_is_a_plain_function_by_hand(loaded) -> None:
    run(loaded, PLAIN, "a")
    run(loaded, FLOW, "b")
    assert run(loaded, "use(make(), Point(1))", "c") == 10
