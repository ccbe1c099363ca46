# SPDX-License-Identifier: BSD-3-Clause
"""Mapped tasks through the driver: each copy gets its element, what is below gets lists, and all of it can be read later."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbflow.core.ids import FlowName, TaskId, TaskKey
from nbflow.core.job import Capture, CaptureKind, CaptureSet, Job, Report, ValueRef
from nbflow.core.mapping import list_ref
from nbflow.core.model import Edge, Flow, Read, Task
from nbflow.core.options import TaskOptions, TriggerRule
from nbflow.core.states import RunState
from nbflow.engine.attempts import values_of
from tests.unit.engine.test_driver import ended, fails, flow, gives, states, task, value, workspace_of

LISTED = task("listed", writes=("xs",))
SCORE = task("score", Read(name="xs", writers=(TaskId("listed"),), element="x"), writes=("y",))
TOTAL = task("total", Read(name="y", writers=(TaskId("score"),)))


def elements(*texts: str) -> tuple[ValueRef, ...]:
    return tuple(value(text) for text in texts)


def lists(*texts: str):
    return lambda job: ended(job, values={"xs": value(" ".join(texts))}, elements={"xs": elements(*texts)})


def doubles(job: Job) -> Report:
    return gives(y=job.inputs["x"].shown * 2)(job)


def plain(name: str, *texts: str) -> CaptureSet:
    return CaptureSet(names={name: Capture(name=name, kind=CaptureKind.VALUE, elements=elements(*texts))})


def test_each_copy_gets_its_element_and_what_is_below_the_list(tmp_path: Path) -> None:
    seen: list[Job] = []
    with workspace_of(tmp_path, {"listed": lists("a", "b", "c"), "score": doubles, "total": gives()}, seen) as workspace:
        handle = workspace.start_run(flow(LISTED, SCORE, TOTAL), CaptureSet())
        assert handle.wait(30)
        jobs = {str(job.context.key): job for job in seen}
        assert dict(jobs["listed"].splits) == {"xs": "score"}
        assert [jobs[f"score[{index}]"].inputs for index in range(3)] == [{"x": value("a")}, {"x": value("b")}, {"x": value("c")}]
        assert jobs["total"].inputs == {"y": list_ref(elements("aa", "bb", "cc"))}
        assert handle.advanced().values["y"].items == elements("aa", "bb", "cc")
        recorded = workspace.snapshot(handle.run_id)
        assert list(recorded.tasks.items()) == list(handle.snapshot().tasks.items())
        assert [str(key) for key in recorded.tasks] == ["listed", "score[0]", "score[1]", "score[2]", "total"]


def test_what_copies_gave_can_be_read_later(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {"listed": lists("a", "b"), "score": doubles, "total": gives()}) as workspace:
        handle = workspace.start_run(flow(LISTED, SCORE, TOTAL), CaptureSet())
        handle.wait(30)
        assert workspace.given(handle.run_id, "score")["y"].items == elements("aa", "bb")
        assert workspace.given(handle.run_id, "score[1]") == {"y": value("bb")}
        assert [str(one.key) for one in workspace.attempts(handle.run_id, "score[1]")] == ["score[1]"]
        assert len(workspace.attempts(handle.run_id, "score")) == 2
        (total,) = workspace.attempts(handle.run_id, "total")
        assert total.inputs["y"].hash == list_ref(elements("aa", "bb")).hash
        assert total.inputs["y"].items == ()
        assert values_of(workspace.store, handle.run_id).of(TaskId("listed")).elements == {"xs": elements("a", "b")}


def test_sources_are_combined_the_last_varying_fastest(tmp_path: Path) -> None:
    seen: list[Job] = []
    both = task("score", Read(name="xs", writers=(TaskId("listed"),), element="x"), Read(name="ls", plain=True, element="l"))
    with workspace_of(tmp_path, {"listed": lists("a", "b"), "score": gives()}, seen) as workspace:
        handle = workspace.start_run(flow(LISTED, both), plain("ls", "1", "2"))
        handle.wait(30)
        pairs = {job.context.key.map_index: (job.inputs["x"].shown, job.inputs["l"].shown) for job in seen[1:]}
        assert [pairs[index] for index in range(4)] == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")]


def test_a_failed_copy_is_absent_from_the_list(tmp_path: Path) -> None:
    seen: list[Job] = []
    total = Task(
        id=TaskId("total"), source="...", reads=TOTAL.reads, options=TaskOptions(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
    )

    def score(job: Job) -> Report:
        return fails(job) if job.inputs["x"].shown == "b" else doubles(job)

    with workspace_of(tmp_path, {"listed": lists("a", "b", "c"), "score": score, "total": gives()}, seen) as workspace:
        handle = workspace.start_run(flow(LISTED, SCORE, total), CaptureSet())
        handle.wait(30)
        assert seen[-1].inputs["y"].items == elements("aa", "cc")
        assert [failure.task for failure in handle.advanced().failures] == ["score"]


def test_an_empty_list_skips_the_task(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {"listed": lists()}) as workspace:
        handle = workspace.start_run(flow(LISTED, SCORE, TOTAL), CaptureSet())
        handle.wait(30)
        assert states(handle) == {"listed": "success", "score": "skipped", "total": "skipped"}
        assert handle.snapshot().run.state is RunState.SUCCESS


def test_copies_of_copies_map_over_what_each_gave(tmp_path: Path) -> None:
    again = task("again", Read(name="y", writers=(TaskId("score"),), element="z"))
    seen: list[Job] = []
    with workspace_of(tmp_path, {"listed": lists("a", "b"), "score": doubles, "again": gives()}, seen) as workspace:
        handle = workspace.start_run(flow(LISTED, SCORE, again), CaptureSet())
        handle.wait(30)
        assert {job.inputs["z"].shown for job in seen if job.context.key.task_id == "again"} == {"aa", "bb"}
        assert all(not job.splits for job in seen if job.context.key.task_id == "score")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gives(), "Failed: score maps over `xs`, but it would come from listed, which did not give it."),
        (gives(xs="3"), "Failed: score maps over `xs`, but listed gave it before score mapped over it: run listed again."),
    ],
)
def test_what_has_no_elements_fails_the_mapped_task_with_the_reason(tmp_path: Path, body: object, reason: str) -> None:
    with workspace_of(tmp_path, {"listed": body}) as workspace:
        handle = workspace.start_run(flow(LISTED, SCORE), CaptureSet())
        handle.wait(30)
        assert handle.snapshot().tasks[TaskKey(TaskId("score"))].reason == reason


def test_too_many_combinations_fail_the_mapped_task(tmp_path: Path) -> None:
    both = Task(
        id=TaskId("score"), source="...", reads=(Read(name="ls", plain=True, element="a"), Read(name="ls", plain=True, element="b"))
    )
    with workspace_of(tmp_path, {}) as workspace:
        handle = workspace.start_run(Flow(name=FlowName("f"), tasks=(both,)), plain("ls", *map(str, range(40))))
        handle.wait(30)
        told = handle.snapshot().tasks[TaskKey(TaskId("score"))].reason
        assert told == "Failed: score would have 40 x 40 copies, and 1,024 are the most: map over groups of them."


def test_a_mapped_task_alone_takes_its_elements_from_the_last_run(tmp_path: Path) -> None:
    seen: list[Job] = []
    both = Flow(
        name=FlowName("f"), tasks=(LISTED, SCORE), edges=(Edge(upstream=TaskId("listed"), downstream=TaskId("score"), names=("xs",)),)
    )
    with workspace_of(tmp_path, {"listed": lists("a", "b"), "score": doubles}, seen) as workspace:
        workspace.start_run(both, CaptureSet()).wait(30)
        seen.clear()
        handle = workspace.start_run(both, CaptureSet(), tasks=[TaskId("score")])
        handle.wait(30)
        assert [(str(job.context.key), job.inputs["x"].shown) for job in seen] == [("score[0]", "a"), ("score[1]", "b")]


def test_going_on_with_a_run_makes_the_failed_copy_again_and_loads_the_others(tmp_path: Path) -> None:
    seen: list[Job] = []
    tries: list[str] = []

    def score(job: Job) -> Report:
        tries.append(job.inputs["x"].shown)
        return fails(job) if tries == ["a", "b"] else doubles(job)

    with workspace_of(tmp_path, {"listed": lists("a", "b", "c"), "score": score, "total": gives()}, seen) as workspace:
        handle = workspace.start_run(flow(LISTED, SCORE, TOTAL), CaptureSet())
        handle.wait(30)
        assert states(handle)["total"] == "upstream_failed"
        seen.clear()
        again = workspace.resume_run(handle.run_id)
        again.wait(30)
        assert again.snapshot().run.state is RunState.SUCCESS
        assert [str(job.context.key) for job in seen] == ["score[1]", "total"]
        assert seen[-1].inputs["y"].items == elements("aa", "bb", "cc")
