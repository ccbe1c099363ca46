# SPDX-License-Identifier: BSD-3-Clause
"""Which task instances of real runs update their outlets: over the memory store and bodies written here."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from nbflow.app import Workspace
from nbflow.core.ids import TaskId, task_key
from nbflow.core.job import CaptureSet, Job, Outcome, Report
from nbflow.core.model import Flow, Read, Task
from nbflow.core.options import OnFailure, TaskOptions
from nbflow.core.selection import Selection
from nbflow.core.states import TaskState
from tests.unit.engine.test_driver import ended, fails, flow, gives, next_of, task, workspace_of
from tests.unit.engine.test_mapped import LISTED, lists

OUT = {"outlets": ("logs",)}
NO_WAIT = {"retries": 1, "retry_delay": timedelta(0)}


def run(workspace: Workspace, flow: Flow, **more: Any) -> Any:
    handle = workspace.start_run(flow, CaptureSet(), **more)
    assert handle.wait(30)
    return handle


def updates(workspace: Workspace, asset: str = "logs") -> list[str]:
    """Who updated it, the oldest first."""
    newest_first = workspace.store.occasions.updates_of(asset)
    return [f"{each.task}[{each.map_index}]" if each.map_index >= 0 else each.task for each in reversed(newest_first)]


def skips(job: Job) -> Report:
    return ended(job, Outcome.SKIPPED, reason="nothing to do")


def lost(job: Job) -> Report:
    return ended(job, Outcome.LOST, reason="its worker is gone")


def test_a_success_updates_once_however_many_attempts_it_took(tmp_path: Path) -> None:
    bodies = {"a": next_of(iter([lost, fails, gives()])), "b": fails, "c": skips}
    with workspace_of(tmp_path, bodies) as workspace:
        handle = run(workspace, flow(task("a", **OUT, **NO_WAIT), task("b", **OUT), task("c", **OUT)))
        assert updates(workspace) == ["a"]
        (update,) = workspace.store.occasions.updates_of("logs")
        assert (update.flow, update.run_id) == ("f", handle.run_id)


def test_each_copy_of_a_mapped_task_updates(tmp_path: Path) -> None:
    copies = task("score", Read(name="xs", writers=(TaskId("listed"),), element="x"), **OUT)
    bodies = {"listed": lists("a", "b", "c"), "score": lambda job: (fails if job.context.key.map_index == 1 else gives())(job)}
    with workspace_of(tmp_path, bodies) as workspace:
        run(workspace, flow(LISTED, copies))
        assert sorted(updates(workspace)) == ["score[0]", "score[2]"]


def test_a_task_without_a_body_updates(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {}) as workspace:
        run(workspace, Flow(name="f", tasks=(Task(id=TaskId("done"), options=TaskOptions(**OUT)),)))
        assert updates(workspace) == ["done"]


def test_a_task_that_was_cleared_and_succeeded_again_updates_again(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {"a": gives()}) as workspace:
        handle = run(workspace, flow(task("a", **OUT)))
        workspace.clear(handle.run_id, Selection(keys=(task_key("a"),)))
        assert workspace.resume_run(handle.run_id).wait(30)
        assert updates(workspace) == ["a", "a"]


def test_a_result_from_the_cache_or_of_an_earlier_run_updates_nothing(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {"a": gives(x="1")}) as workspace:
        for _ in range(2):
            run(workspace, flow(task("a", writes=("x",), cache=True, **OUT)))
        assert updates(workspace) == ["a"]
    with workspace_of(tmp_path, {"a": next_of(iter([gives(x="1"), fails]))}) as workspace:
        for _ in range(2):
            handle = run(workspace, flow(task("a", writes=("x",), on_failure=OnFailure.LAST_GOOD, **OUT)))
        assert handle.snapshot().tasks[task_key("a")].state is TaskState.SUCCESS
        assert updates(workspace) == ["a"]


def test_what_existed_already_updates_nothing(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {"a": lambda job: ended(job, already="s3://b/x")}) as workspace:
        handle = run(workspace, flow(task("a", unless_exists="s3://b/x", **OUT)))
        assert handle.snapshot().tasks[task_key("a")].note == {"already": "s3://b/x"}
        assert updates(workspace) == []


def test_what_a_person_marked_updates_nothing(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {"a": fails}) as workspace:
        handle = run(workspace, flow(task("a", **OUT)))
        workspace.mark(handle.run_id, "success", Selection(keys=(task_key("a"),)))
        assert workspace.store.task_records(handle.run_id)[0].state is TaskState.SUCCESS
        assert updates(workspace) == []
