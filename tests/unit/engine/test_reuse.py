# SPDX-License-Identifier: BSD-3-Clause
"""Not doing work twice: what a run takes from the cache, over the memory store and bodies written here."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from nbflow.app import Workspace
from nbflow.core.events import ClearRequested
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import Capture, CaptureKind, CaptureSet, Job, OutputsRef, ProcessState, Report, ValueRef
from nbflow.core.model import Edge, Flow, Read, Task
from nbflow.core.options import TaskKind, TaskOptions
from tests.unit.engine.test_driver import ended, fails, flow, gives, next_of, states, task, value, workspace_of

CACHED = {"cache": True}


def chain(**options: Any) -> Flow:
    """`b` reads what `a` gives."""
    options = options or CACHED
    return flow(task("a", writes=("x",), **options), task("b", Read(name="x", writers=(TaskId("a"),)), writes=("y",), **options))


def run(workspace: Workspace, flow: Flow, captures: CaptureSet | None = None, **more: Any) -> Any:
    handle = workspace.start_run(flow, captures or CaptureSet(), **more)
    assert handle.wait(30)
    return handle


def ran(seen: list[Job]) -> list[str]:
    """Which bodies ran since the last call."""
    names = [str(job.context.key) for job in seen]
    seen.clear()
    return names


def record(handle: Any, id: str, index: int = -1) -> Any:
    return handle.snapshot().tasks[TaskKey(TaskId(id), index)]


BODIES = {"a": gives(x="1"), "b": gives(y="2")}


def test_a_second_run_takes_everything_from_the_first_and_says_so(tmp_path: Path) -> None:
    seen: list[Job] = []
    with workspace_of(tmp_path, BODIES, seen) as workspace:
        first = run(workspace, chain())
        assert ran(seen) == ["a", "b"]
        second = run(workspace, chain())
        assert ran(seen) == []
        assert states(second) == {"a": "success", "b": "success"}
        assert record(second, "b").note == {"from_cache": first.run_id}
        assert (
            record(second, "b").reason == f"From cache: code, inputs and parameters are those of run {first.run_id}, and so is the result."
        )
        assert (record(second, "b").attempt, record(second, "b").started_at) == (1, None)
        assert second.advanced().values == first.advanced().values
        assert [change.before for change in workspace.store.changes(second.run_id) if change.after == "success" and change.key] == [
            "scheduled",
            "scheduled",
        ]


def test_its_history_holds_what_it_took_and_a_third_run_still_names_the_first(tmp_path: Path) -> None:
    with workspace_of(tmp_path, BODIES) as workspace:
        first = run(workspace, chain())
        second, third = run(workspace, chain()), run(workspace, chain())
        assert record(third, "a").note == {"from_cache": first.run_id}
        attempts = workspace.attempts(second.run_id)
        assert [(str(one.key), one.outcome, one.values["x" if one.key.task_id == "a" else "y"]) for one in attempts] == [
            ("a", "success", value("1")),
            ("b", "success", value("2")),
        ]
        assert attempts[1].inputs == {"x": value("1")}
        assert workspace.given(second.run_id, "b") == {"y": value("2")}


def test_other_code_runs_and_what_reads_the_same_from_it_does_not(tmp_path: Path) -> None:
    seen: list[Job] = []
    with workspace_of(tmp_path, BODIES, seen) as workspace:
        run(workspace, chain())
        ran(seen)
        changed = chain()
        changed = Flow(
            name=changed.name,
            edges=changed.edges,
            tasks=tuple(Task(**{**vars(one), "source": "other"}) if one.id == "a" else one for one in changed.tasks),
        )
        handle = run(workspace, changed)
        assert ran(seen) == ["a"]
        assert "from_cache" in record(handle, "b").note


def test_other_inputs_run(tmp_path: Path) -> None:
    seen: list[Job] = []
    bodies = {"a": next_of(iter([gives(x="1"), gives(x="2")])), "b": gives(y="2")}
    with workspace_of(tmp_path, bodies, seen) as workspace:
        only_b = flow(*(Task(**{**vars(one), "options": TaskOptions(cache=one.id == "b")}) for one in chain().tasks))
        run(workspace, only_b)
        run(workspace, only_b)
        assert ran(seen) == ["a", "b", "a", "b"]


def test_a_fresh_run_uses_nothing_and_is_used_by_the_next(tmp_path: Path) -> None:
    seen: list[Job] = []
    with workspace_of(tmp_path, BODIES, seen) as workspace:
        run(workspace, chain())
        fresh = run(workspace, chain(), fresh=True)
        assert ran(seen) == ["a", "b", "a", "b"]
        assert workspace.run(fresh.run_id).fresh
        assert record(run(workspace, chain()), "a").note == {"from_cache": fresh.run_id}


def test_a_result_that_is_too_old_is_made_again(tmp_path: Path) -> None:
    seen: list[Job] = []
    with workspace_of(tmp_path, BODIES, seen) as workspace:
        run(workspace, chain(cache_for=timedelta(days=1)))
        run(workspace, chain(cache_for=timedelta(days=1)))
        assert ran(seen) == ["a", "b"]
        run(workspace, chain(cache_for=timedelta(0)))
        assert ran(seen) == ["a", "b"]


def test_without_the_option_nothing_is_taken_and_nothing_is_kept(tmp_path: Path) -> None:
    seen: list[Job] = []
    with workspace_of(tmp_path, BODIES, seen) as workspace:
        run(workspace, chain(retries=1))
        run(workspace, chain())
        run(workspace, chain(retries=1))
        assert ran(seen) == ["a", "b"] * 3


def test_a_failed_attempt_is_no_result(tmp_path: Path) -> None:
    seen: list[Job] = []
    with workspace_of(tmp_path, {"a": fails}, seen) as workspace:
        single = flow(task("a", writes=("x",), cache=True))
        run(workspace, single)
        run(workspace, single)
        assert ran(seen) == ["a", "a"]


def test_a_result_whose_artifact_is_gone_is_made_again(tmp_path: Path) -> None:
    seen: list[Job] = []
    kept: list[str] = []
    with workspace_of(
        tmp_path, {"a": lambda job: ended(job, values={"x": ValueRef(hash=kept[0], format="bytes", size=9)})}, seen
    ) as workspace:
        kept.append(workspace.artifacts.put(b"a large value"))
        single = flow(task("a", writes=("x",), cache=True))
        run(workspace, single)
        run(workspace, single)
        assert ran(seen) == ["a"]
        workspace.artifacts.delete(kept[0])
        run(workspace, single)
        assert ran(seen) == ["a"]


def test_a_result_goes_with_the_run_that_made_it_and_its_values_stay_for_the_others(tmp_path: Path) -> None:
    kept: list[str] = []
    with workspace_of(tmp_path, {"a": lambda job: ended(job, values={"x": ValueRef(hash=kept[0], format="bytes", size=9)})}) as workspace:
        kept.append(workspace.artifacts.put(b"a large value"))
        single = flow(task("a", writes=("x",), cache=True))
        first, second = run(workspace, single), run(workspace, single)
        assert workspace.store.delete_run(first.run_id) == ()
        assert workspace.given(second.run_id, "a")["x"].hash == kept[0]
        assert record(run(workspace, single), "a").note == {}


def test_a_result_without_a_name_that_is_read_now_is_made_again(tmp_path: Path) -> None:
    seen: list[Job] = []
    bodies = iter([gives(x="1"), gives(x="1", z="3")])
    with workspace_of(tmp_path, {"a": next_of(bodies)}, seen) as workspace:
        run(workspace, flow(task("a", writes=("x",), cache=True)))
        run(workspace, flow(task("a", writes=("x", "z"), cache=True)))
        assert ran(seen) == ["a", "a"]


def test_what_a_person_clears_runs_again(tmp_path: Path) -> None:
    seen: list[Job] = []
    with workspace_of(tmp_path, {**BODIES, "c": gives()}, seen) as workspace:
        run(workspace, chain())
        ran(seen)
        held = Flow(**{**vars(chain()), "tasks": (*chain().tasks, task("c"))})
        handle = workspace.start_run(held, CaptureSet(), held=["c"])
        assert handle.wait_for(["a", "b"], 30)
        handle.post(ClearRequested(keys=(TaskKey(TaskId("b")),)))
        handle.release(["c"], CaptureSet())
        assert handle.wait(30)
        assert sorted(ran(seen)) == ["b", "c"]
        assert record(handle, "b").attempt == 2


def test_a_branch_decides_the_same_from_the_cache(tmp_path: Path) -> None:
    seen: list[Job] = []
    tasks = (task("pick", cache=True, as_=TaskKind.BRANCH), task("left"), task("right"))
    edges = tuple(Edge(upstream=TaskId("pick"), downstream=TaskId(below)) for below in ("left", "right"))
    branching = Flow(name=chain().name, tasks=tasks, edges=edges)
    bodies = {"pick": lambda job: ended(job, decision="right"), "left": gives(), "right": gives()}
    with workspace_of(tmp_path, bodies, seen) as workspace:
        run(workspace, branching)
        ran(seen)
        handle = run(workspace, branching)
        assert ran(seen) == ["right"]
        assert states(handle) == {"pick": "success", "left": "skipped", "right": "success"}
        assert record(handle, "pick").note["followed"] == ["right"]


def test_each_copy_of_a_mapped_task_has_its_own_result(tmp_path: Path) -> None:
    seen: list[Job] = []
    mapped = flow(task("m", Read(name="xs", plain=True, element="x"), writes=("y",), cache=True))

    def captures(*elements: str) -> CaptureSet:
        xs = Capture(name="xs", kind=CaptureKind.VALUE, elements=tuple(value(one) for one in elements))
        return CaptureSet(names={"xs": xs})

    with workspace_of(tmp_path, {"m": gives(y="1")}, seen) as workspace:
        run(workspace, mapped, captures("a", "b"))
        assert ran(seen) == ["m[0]", "m[1]"]
        run(workspace, mapped, captures("b", "c", "a"))
        assert ran(seen) == ["m[1]"]


def test_the_copies_below_a_task_from_the_cache_are_counted(tmp_path: Path) -> None:
    seen: list[Job] = []
    two = (value("1"), value("2"))

    def list_of_two(job: Job) -> Report:
        return ended(job, values={"xs": value("12")}, elements={"xs": two})

    mapped = flow(
        task("a", writes=("xs",), cache=True),
        task("m", Read(name="xs", writers=(TaskId("a"),), element="x"), writes=("y",), cache=True),
        task("b", Read(name="y", writers=(TaskId("m"),)), cache=True),
    )
    with workspace_of(tmp_path, {"a": list_of_two, "m": gives(y="1"), "b": gives()}, seen) as workspace:
        run(workspace, mapped)
        assert sorted(ran(seen)) == ["a", "b", "m[0]", "m[1]"]
        assert set(states(run(workspace, mapped)).values()) == {"success"}
        assert ran(seen) == []


def test_what_it_showed_is_shown_again(tmp_path: Path) -> None:
    outputs = OutputsRef(inline=({"output_type": "stream", "name": "stdout", "text": "hello\n"},), size=1)
    said: list[Any] = []

    class Watching:
        def changed(self, changes: Any) -> None:
            """Only what is said matters."""

        def said(self, key: Any, attempt: int, event: Any) -> None:
            said.append(event)

    with workspace_of(tmp_path, {"a": lambda job: ended(job, outputs=outputs)}) as workspace:
        single = flow(task("a", cache=True))
        run(workspace, single)
        handle = run(workspace, single, observers=[Watching()])
        assert [event.outputs for event in said] == [outputs]
        assert workspace.logs(handle.run_id, "a") == [dict(outputs.inline[0])]


def test_a_module_beside_the_notebook_counts_with_what_it_imports(tmp_path: Path) -> None:
    seen: list[Job] = []
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "mine.py").write_text("import deeper\n")
    (beside / "deeper.py").write_text("LIMIT = 1\n")
    importing = Flow(name=chain().name, tasks=(Task(**{**vars(task("a", cache=True)), "source": "import mine"}),))
    captures = CaptureSet(process=ProcessState(cwd=str(beside), sys_path=(str(beside),)))
    with workspace_of(tmp_path, {"a": gives()}, seen) as workspace:
        run(workspace, importing, captures)
        (beside / "deeper.py").write_text("LIMIT = 1  # as before\n")
        run(workspace, importing, captures)
        assert ran(seen) == ["a"]
        (beside / "deeper.py").write_text("LIMIT = 2\n")
        run(workspace, importing, captures)
        assert ran(seen) == ["a"]
