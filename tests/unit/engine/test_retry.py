# SPDX-License-Identifier: BSD-3-Clause
"""Running tasks of a run again: of one that has ended, of one that goes on here, of one that another process drives."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nbflow.core.errors import UserError
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import CaptureSet, Job
from nbflow.core.model import Read
from nbflow.core.states import RunState
from nbflow.engine.resume import with_downstream
from tests.unit.engine.test_driver import ended, fails, flow, gives, next_of, states, task, value, workspace_of

A, B, C, D = (TaskId(id) for id in "abcd")
#: b and d read a; c reads b.
DIAMOND = flow(
    task("a", writes=("x",)),
    task("b", Read(name="x", writers=(A,)), writes=("y",)),
    task("c", Read(name="y", writers=(B,)), writes=("z",)),
    task("d", Read(name="x", writers=(A,)), writes=("w",)),
)


def test_what_depends_on_a_task_is_cleared_with_it_and_nothing_else() -> None:
    graph = Graph.of(DIAMOND)
    assert with_downstream(graph, [TaskKey(B)]) == (TaskKey(B), TaskKey(C))
    assert with_downstream(graph, [TaskKey(A, 3), TaskKey(A, 3)]) == (TaskKey(A, 3), TaskKey(B), TaskKey(C), TaskKey(D))
    assert with_downstream(graph, [TaskKey(A), TaskKey(C)]) == (TaskKey(A), TaskKey(C), TaskKey(B), TaskKey(D))


def test_a_failed_task_runs_again_with_what_could_not_run_and_all_else_is_kept(tmp_path: Path) -> None:
    seen: list[Job] = []
    bodies = {"a": gives(x="1"), "b": next_of(iter([fails, gives(y="2")])), "c": gives(z="3"), "d": gives(w="4")}
    with workspace_of(tmp_path, bodies, seen) as workspace:
        first = workspace.start_run(DIAMOND, CaptureSet())
        assert first.wait(30)
        assert states(first) == {"a": "success", "b": "failed", "c": "upstream_failed", "d": "success"}
        again = workspace.retry_run(first.run_id)
        assert again is not None
        assert again.wait(30)
        assert again.snapshot().run.state is RunState.SUCCESS
        assert [job.context.key.task_id for job in seen] == ["a", "b", "d", "b", "c"]
        assert again.advanced().values == {name: value(text) for name, text in {"x": "1", "y": "2", "z": "3", "w": "4"}.items()}


def test_a_run_that_succeeded_goes_on_from_the_task_that_is_named(tmp_path: Path) -> None:
    seen: list[Job] = []
    bodies = {"a": gives(x="1"), "b": next_of(iter([gives(y="2"), gives(y="5")])), "c": gives(z="3"), "d": gives(w="4")}
    with workspace_of(tmp_path, bodies, seen) as workspace:
        first = workspace.start_run(DIAMOND, CaptureSet())
        assert first.wait(30)
        again = workspace.retry_run(first.run_id, ["b"])
        assert again is not None
        assert again.wait(30)
        assert sorted(job.context.key.task_id for job in seen[4:]) == ["b", "c"]
        assert seen[-1].inputs == {"y": value("5")}
        assert states(again) == dict.fromkeys("abcd", "success")


def test_a_run_that_goes_on_here_takes_its_failed_task_up_again_and_keeps_what_runs(tmp_path: Path) -> None:
    go_on = threading.Event()

    def waits(job: Job):
        assert go_on.wait(30)
        return ended(job, values={"w": value("4")})

    bodies = {"a": gives(x="1"), "b": next_of(iter([fails, gives(y="2")])), "c": gives(z="3"), "d": waits}
    with workspace_of(tmp_path, bodies) as workspace:
        handle = workspace.start_run(DIAMOND, CaptureSet())
        assert handle.wait_for([B, C], 30)
        assert workspace.retry_run(handle.run_id, ["b"]) is handle
        go_on.set()
        assert handle.wait(30)
        assert states(handle) == dict.fromkeys("abcd", "success")
        assert handle.advanced().failures == ()


def test_a_wish_that_comes_as_the_run_ends_is_heard_or_refused_never_lost(tmp_path: Path) -> None:
    bodies = {"a": gives(x="1")}
    with workspace_of(tmp_path, bodies) as workspace:
        for _ in range(20):
            handle = workspace.start_run(flow(task("a", writes=("x",))), CaptureSet())
            heard = handle.clear([TaskKey(A)]) and handle.wait_for([A], 30)
            assert handle.wait(30)
            attempts = len(workspace.attempts(handle.run_id))
            assert attempts == workspace.snapshot(handle.run_id).tasks[TaskKey(A)].attempt
            assert not heard or handle.snapshot().run.state is RunState.SUCCESS
            assert not handle.clear([TaskKey(A)])


def test_the_driver_of_another_process_is_asked(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {"a": fails}) as workspace:
        first = workspace.start_run(flow(task("a")), CaptureSet())
        assert first.wait(30)
        workspace.store.claim(first.run_id, "elsewhere:1/1@x", 30)
        assert workspace.ask_to_clear(first.run_id)
        assert [(request.kind, request.keys) for request in workspace.store.requests(first.run_id)] == [("clear", (TaskKey(A),))]


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        ((), "No task of run {run} has failed: name the task that is to run again."),
        (("aa",), 'Run {run} has no task "aa". Did you mean "a"?'),
    ],
)
def test_what_cannot_run_again_is_said_and_nothing_is_done(tmp_path: Path, tasks: tuple[str, ...], sentence: str) -> None:
    with workspace_of(tmp_path, {"a": gives(x="1")}) as workspace:
        first = workspace.start_run(flow(task("a", writes=("x",))), CaptureSet())
        assert first.wait(30)
        with pytest.raises(UserError) as told:
            workspace.retry_run(first.run_id, tasks)
        assert str(told.value) == sentence.format(run=first.run_id)
        assert workspace.run(first.run_id).state is RunState.SUCCESS
