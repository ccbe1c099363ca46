# SPDX-License-Identifier: BSD-3-Clause
"""What the last failed attempt of a task means (`--on-failure`), and other ways on after a failure."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook, writes

from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import CaptureSet, Job, Outcome, Report
from nbflow.core.model import Edge, Flow, Read
from nbflow.core.options import OnFailure, TaskKind, TriggerRule
from nbflow.core.states import RunState
from tests.unit.engine.test_driver import Body, ended, fails, flow, gives, next_of, states, task, value, workspace_of

A = TaskKey(TaskId("a"))
READS_X = Read(name="x", writers=(TaskId("a"),))


def lost(job: Job) -> Report:
    return ended(job, Outcome.LOST, reason="its worker is gone")


def decides(choice: str, **values: str) -> Body:
    return lambda job: ended(job, decision=choice, values={name: value(text) for name, text in values.items()})


def test_skip_means_skipped_and_the_run_goes_well(tmp_path: Path):
    first = task("a", on_failure=OnFailure.SKIP, retries=1, retry_delay=timedelta(0))
    below = task("b", trigger_rule=TriggerRule.ALL_DONE)
    asked = Flow(name="f", tasks=(first, below), edges=(Edge(upstream=first.id, downstream=below.id),))
    with workspace_of(tmp_path, {"a": fails, "b": gives()}) as workspace:
        handle = workspace.start_run(asked, CaptureSet())
        handle.wait(30)
        assert (handle.snapshot().run.state, states(handle)) == (RunState.SUCCESS, {"a": "skipped", "b": "success"})
        assert handle.snapshot().tasks[A].reason == "Skipped: failed after 2 attempts: ValueError: no in a, line 2."
        assert [attempt.outcome for attempt in workspace.attempts(handle.run_id, "a")] == ["failed", "failed"]


def runs_of(workspace: Any, asked: Flow, count: int) -> list[Any]:
    handles = []
    for _ in range(count):
        handle = workspace.start_run(asked, CaptureSet())
        assert handle.wait(30)
        handles.append(handle)
    return handles


@pytest.mark.parametrize("ends", [fails, lost], ids=["failed", "lost"])
def test_last_good_goes_on_with_the_value_of_the_last_good_run(tmp_path: Path, ends: Body):
    seen: list[Job] = []
    asked = flow(task("a", writes=("x",), on_failure=OnFailure.LAST_GOOD, infra_retries=0), task("b", READS_X))
    bodies = {"a": next_of(iter([gives(x="1"), gives(x="2"), ends, ends])), "b": gives()}
    with workspace_of(tmp_path, bodies, seen) as workspace:
        _, good, third, fourth = runs_of(workspace, asked, 4)
        record = third.snapshot().tasks[A]
        assert states(third) == states(fourth) == {"a": "success", "b": "success"}
        assert record.note["last_good"] == good.run_id
        assert record.reason.startswith(f"The last good value, of run {good.run_id}. Failed")
        assert fourth.snapshot().tasks[A].note["last_good"] == good.run_id  # never the value of a run that had only borrowed it
        assert [job.inputs["x"] for job in seen if job.context.key.task_id == "b"] == [value("1"), value("2"), value("2"), value("2")]
        assert third.advanced().values == {"x": value("2")}
        assert workspace.given(third.run_id, "a") == {"x": value("2")}
        assert sorted(attempt.outcome for attempt in workspace.attempts(third.run_id, "a")) == sorted(
            [ends(seen[0]).outcome.value, "success"]
        )


def test_without_a_good_run_it_fails_and_says_so(tmp_path: Path):
    with workspace_of(tmp_path, {"a": fails}) as workspace:
        (handle,) = runs_of(workspace, flow(task("a", on_failure=OnFailure.LAST_GOOD)), 1)
        assert handle.snapshot().run.state is RunState.FAILED
        assert handle.snapshot().tasks[A].reason == "Failed: ValueError: no in a, line 2. No earlier run has a good value to go on with."


def test_an_earlier_value_that_lacks_what_is_read_now_is_not_good(tmp_path: Path):
    bodies = {"a": next_of(iter([gives(x="1"), fails])), "b": gives()}
    with workspace_of(tmp_path, bodies) as workspace:
        runs_of(workspace, flow(task("a", writes=("x",), on_failure=OnFailure.LAST_GOOD)), 1)
        (handle,) = runs_of(workspace, flow(task("a", writes=("y",), on_failure=OnFailure.LAST_GOOD)), 1)
        assert states(handle) == {"a": "failed"}


def test_a_branch_follows_what_it_last_chose(tmp_path: Path):
    branch = task("a", on_failure=OnFailure.LAST_GOOD, as_=TaskKind.BRANCH)
    tasks = (branch, task("left"), task("right"))
    asked = Flow(name="f", tasks=tasks, edges=tuple(Edge(upstream=branch.id, downstream=one.id) for one in tasks[1:]))
    bodies = {"a": next_of(iter([decides("right"), fails])), "left": gives(), "right": gives()}
    with workspace_of(tmp_path, bodies) as workspace:
        _, second = runs_of(workspace, asked, 2)
        assert states(second) == {"a": "success", "left": "skipped", "right": "success"}


def test_what_failed_and_was_skipped_for_it_runs_again_when_the_run_goes_on(tmp_path: Path):
    bodies = {"a": next_of(iter([fails, gives()])), "b": next_of(iter([fails, gives()]))}
    with workspace_of(tmp_path, bodies) as workspace:
        (handle,) = runs_of(workspace, flow(task("a", on_failure=OnFailure.SKIP), task("b")), 1)
        assert states(handle) == {"a": "skipped", "b": "failed"}
        again = workspace.resume_run(handle.run_id)
        assert again.wait(30)
        assert states(again) == {"a": "success", "b": "success"}


@pytest.mark.parametrize(
    ("ends", "given", "backup"), [(gives(rows="file"), "file", "skipped"), (fails, "backup", "success")], ids=["well", "badly"]
)
def test_an_alternative_path_written_in_cells(tmp_path: Path, ends: Body, given: str, backup: str):
    """The README's example: a task for the failure, and a join that reads the nearest writer that succeeded."""
    cells = [
        "%%task from_file\nrows = read()",
        "%%task from_backup --after from_file --trigger-rule one_failed\nrows = read_backup()",
        "%%task report --trigger-rule one_success\nresult = rows",
    ]
    notebook = tmp_path / "fallback.ipynb"
    notebook.write_text(writes(new_notebook(cells=[new_code_cell(cell) for cell in cells])))
    seen: list[Job] = []
    with workspace_of(tmp_path, {"from_file": ends, "from_backup": gives(rows="backup"), "report": gives(result="ok")}, seen) as workspace:
        (handle,) = runs_of(workspace, workspace.load_flow(notebook), 1)
        assert (handle.snapshot().run.state, states(handle)["from_backup"]) == (RunState.SUCCESS, backup)
        assert seen[-1].inputs == {"rows": value(given)}
