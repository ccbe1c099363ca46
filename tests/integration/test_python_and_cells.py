# SPDX-License-Identifier: BSD-3-Clause
"""The same flow in cells and in Python."""

from __future__ import annotations

from typing import Any

import pytest

from nbflow import chain, ctx, flow, task
from nbflow.core.job import CaptureSet
from nbflow.pytest_plugin import nbflow_workspace  # noqa: F401 - the fixture, also where nbflow was installed before it had one
from tests.unit.authoring import notebooks

pytestmark = pytest.mark.usefixtures("nbflow_workspace")


@task
def start() -> int:
    return 1


@task(retries=2, retry_delay=0)
def left(x: int) -> int:
    if ctx.attempt == 1:
        raise ValueError("once more")
    return x + 1


@task
def right(x: int) -> int:
    raise KeyError("gone")


@task(as_="branch")
def choose(x: int) -> str:
    return "high" if x > 1 else "low"


@task
def high() -> str:
    return "high"


@task
def low() -> str:
    return "low"


@task(trigger_rule="none_failed_min_one_success")
def after_branch() -> None: ...


@task(trigger_rule="all_done")
def always(x: Any = None) -> None: ...


@task
def never(x: int) -> None: ...


@flow
def diamond():
    a = start()
    b, c = left(a), right(a)
    chosen = choose(b)
    h, w = high(), low()
    chain(chosen, [h, w], after_branch())
    done = always(b)
    done << c
    never(c)


CELLS = (
    "%%task start\na = 1",
    "%%task left --retries 2 --retry-delay 0s\nfrom nbflow import ctx\nif ctx.attempt == 1:\n    raise ValueError('once more')\nb = a + 1",
    "%%task right\nc = a + 1\nraise KeyError('gone')",
    '%%task choose --as branch\n"high" if b > 1 else "low"',
    '%%task high --after choose\nh = "high"',
    '%%task low --after choose\nw = "low"',
    "%%task after_branch --after high low --trigger-rule none_failed_min_one_success\npass",
    "%%task always --after right --trigger-rule all_done\nprint(b)",
    "%%task never\nprint(c)",
)


def test_the_same_flow_in_cells_and_in_python_ends_in_the_same_states(nbflow_workspace) -> None:  # noqa: F811
    in_cells = nbflow_workspace.start_run(notebooks.flow(*CELLS), CaptureSet())
    assert in_cells.wait(60)
    in_python = diamond.run()
    states = {str(key): (str(record.state), record.attempt) for key, record in in_cells.snapshot().tasks.items()}
    assert {task.task_id: (task.state, task.attempt) for task in in_python.tasks} == states
    assert states["left"] == ("success", 2)
    assert states["low"] == ("skipped", 0)
    assert states["never"] == ("upstream_failed", 0)
    assert in_python.state == in_cells.snapshot().run.state == "failed"
