# SPDX-License-Identifier: BSD-3-Clause
"""semantics.md 12, clear and mark, row by row: over the memory store and bodies written here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nbflow.app import Workspace
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId, TaskKey, task_key
from nbflow.core.job import CaptureSet, Job
from nbflow.core.model import Flow, Read, Task
from nbflow.core.renewing import renewed
from nbflow.core.selection import Selection
from nbflow.core.states import RunState
from tests.unit.engine.test_driver import ended, fails, flow, gives, next_of, states, task, value, workspace_of

A, B, C = (TaskId(id) for id in "abc")
CHAIN = flow(
    task("a", writes=("x",)),
    task("b", Read(name="x", writers=(A,)), writes=("y",)),
    task("c", Read(name="y", writers=(B,)), writes=("z",)),
)
WELL = {"a": gives(x="1"), "b": gives(y="2"), "c": gives(z="3")}


def run(workspace: Workspace, flow: Flow = CHAIN, **more: Any) -> Any:
    handle = workspace.start_run(flow, CaptureSet(), **more)
    assert handle.wait(30)
    return handle


def selected(*tasks: str, **how: Any) -> Selection:
    return Selection(keys=tuple(task_key(task) for task in tasks), **how)


def recorded(workspace: Workspace, run_id: str) -> dict[str, str]:
    return {str(record.key): record.state.value for record in workspace.store.task_records(run_id)}


def keys(chosen: Any) -> list[list[str]]:
    return [[str(key) for key in meant.keys] for meant in chosen]


@pytest.fixture
def failed(tmp_path: Path) -> Iterator[tuple[Workspace, Any, list[Job]]]:
    """A run that failed at b, whose next attempt goes well."""
    seen: list[Job] = []
    with workspace_of(tmp_path, {**WELL, "b": next_of(iter([fails, gives(y="2")]))}, seen) as workspace:
        yield workspace, run(workspace), seen


class TestClear:
    def test_without_more_what_failed_goes_back_and_the_run_waits(self, failed: Any):
        workspace, handle, _ = failed
        before = workspace.run(handle.run_id)
        assert keys(workspace.clear(handle.run_id, selected(only_failed=True), by="Ann")) == [["b", "c"]]
        after = workspace.run(handle.run_id)
        assert recorded(workspace, handle.run_id) == {"a": "success", "b": "pending", "c": "pending"}
        assert (after.state, after.clear_number, after.started_at, after.ended_at) == (RunState.QUEUED, 1, None, None)
        assert after.version == before.version
        assert (
            workspace.snapshot(handle.run_id).sentence(workspace.clock.now()) == "Cleared by Ann. It waits for somebody to go on with it."
        )

    def test_the_attempt_is_kept_and_the_next_one_has_a_number_of_its_own_and_all_its_retries(self, tmp_path: Path):
        bodies = {"a": next_of(iter([fails, fails, fails, gives(x="1")]))}
        once = flow(task("a", writes=("x",), retries=1, retry_delay=timedelta(0)))
        with workspace_of(tmp_path, bodies) as workspace:
            handle = run(workspace, once)
            workspace.clear(handle.run_id, selected("a"))
            again = workspace.resume_run(handle.run_id)
            assert again.wait(30)
            outcomes = [(one.attempt, one.outcome) for one in workspace.attempts(handle.run_id)]
            assert outcomes == [(1, "failed"), (2, "failed"), (3, "failed"), (4, "success")]

    def test_whoever_goes_on_with_it_runs_what_was_cleared_and_nothing_else(self, tmp_path: Path):
        seen: list[Job] = []
        with workspace_of(tmp_path, {**WELL, "b": fails}, seen) as workspace:
            handle = run(workspace)
            seen.clear()
            workspace.clear(handle.run_id, selected("a"))
            again = workspace.resume_run(handle.run_id)
            assert again.wait(30)
            assert [job.context.key.task_id for job in seen] == ["a"]
            assert states(again) == {"a": "success", "b": "failed", "c": "upstream_failed"}
            assert again.snapshot().run.state is RunState.FAILED

    def test_nobody_reaps_a_run_that_waits_and_it_can_be_cancelled(self, failed: Any):
        workspace, handle, _ = failed
        workspace.clear(handle.run_id, selected("b"))
        assert workspace.reap() == ()
        assert workspace.run(handle.run_id).state is RunState.QUEUED
        workspace.cancel(handle.run_id)
        assert workspace.run(handle.run_id).state is RunState.CANCELLED

    @pytest.mark.parametrize(
        ("tasks", "how", "found"),
        [
            ("b", {}, ["b"]),
            ("a", {}, ["a"]),
            ("b", {"downstream": True}, ["b", "c"]),
            ("b", {"upstream": True}, ["a", "b"]),
            ("a", {"downstream": True, "only_failed": True}, ["b", "c"]),
            ("", {}, ["a", "b", "c"]),
        ],
    )
    def test_a_dry_run_says_who_is_meant_and_changes_nothing(self, failed: Any, tasks: str, how: dict[str, bool], found: list[str]):
        workspace, handle, _ = failed
        before = workspace.snapshot(handle.run_id)
        assert keys(workspace.meant(handle.run_id, selected(*tasks.split(), **how))) == [found]
        assert workspace.snapshot(handle.run_id) == before

    def test_past_and_future_are_the_other_runs_of_the_flow(self, tmp_path: Path):
        with workspace_of(tmp_path, WELL) as workspace:
            first, second, third = (run(workspace).run_id for _ in range(3))
            run(workspace, Flow(**{**vars(CHAIN), "name": "another"}))
            assert [meant.run.run_id for meant in workspace.meant(second, selected("b"))] == [second]
            assert [meant.run.run_id for meant in workspace.meant(second, selected("b", past=True))] == [first, second]
            assert [meant.run.run_id for meant in workspace.meant(second, selected("b", future=True))] == [second, third]
            everywhere = workspace.clear(second, selected("b", past=True, future=True))
            assert [meant.run.run_id for meant in everywhere] == [first, second, third]
            assert all(recorded(workspace, id) == {"a": "success", "b": "pending", "c": "success"} for id in (first, second, third))

    def test_a_running_task_is_cancelled_first_and_its_run_goes_on(self, tmp_path: Path):
        running, seen = threading.Event(), []

        def slow_at_first(job: Job) -> Any:
            seen.append(job.context.attempt)
            if len(seen) == 1:
                running.set()
                while True:
                    threading.Event().wait(0.01)
            return ended(job, values={"x": value("1")})

        with workspace_of(tmp_path, {**WELL, "a": slow_at_first}) as workspace:
            handle = workspace.start_run(CHAIN, CaptureSet())
            assert running.wait(30)
            with pytest.raises(UserError, match=r"^a is running: cancel first, or leave out --prevent-running.$"):
                workspace.clear(handle.run_id, selected("a"), prevent_running=True)
            assert seen == [1]
            assert keys(workspace.clear(handle.run_id, selected(only_running=True))) == [["a"]]
            assert handle.wait(30)
            assert seen == [1, 2]
            assert [(one.attempt, one.outcome) for one in workspace.attempts(handle.run_id, "a")] == [(1, "cancelled"), (2, "success")]
            assert workspace.run(handle.run_id).clear_number == 0

    def test_another_process_that_drives_the_run_is_asked(self, failed: Any):
        workspace, handle, _ = failed
        lease = workspace.store.claim(handle.run_id, "elsewhere:1", 60)
        workspace.clear(handle.run_id, selected("b"), by="Ann")
        workspace.mark(handle.run_id, "skipped", selected("c"), by="Ann")
        wanted = [(one.kind, one.keys, one.by, one.arguments) for one in workspace.store.requests(handle.run_id)]
        assert wanted == [("clear", (TaskKey(B),), "Ann", {}), ("mark", (TaskKey(C),), "Ann", {"state": "skipped"})]
        assert recorded(workspace, handle.run_id)["b"] == "failed"
        workspace.store.release(lease)

    @pytest.mark.parametrize(
        ("tasks", "how", "sentence"),
        [
            ("bb", {}, 'has no task "bb"'),
            ("a", {"only_failed": True}, "^None of a of run .* has failed: say --all to mean those that have not, too.$"),
            ("", {"only_running": True}, "^No task of run .* is running.$"),
        ],
    )
    def test_what_means_nobody_is_a_sentence(self, failed: Any, tasks: str, how: dict[str, bool], sentence: str):
        workspace, handle, _ = failed
        with pytest.raises(UserError, match=sentence):
            workspace.clear(handle.run_id, selected(*tasks.split(), **how))


class TestMark:
    def test_a_failed_task_that_is_marked_well_makes_the_run_well_and_runs_nothing(self, failed: Any):
        workspace, handle, seen = failed
        seen.clear()
        workspace.mark(handle.run_id, "success", selected("b", downstream=True), by="Ann")
        assert recorded(workspace, handle.run_id) == {"a": "success", "b": "success", "c": "success"}
        assert workspace.run(handle.run_id).state is RunState.SUCCESS
        assert workspace.snapshot(handle.run_id).tasks[TaskKey(B)].reason == "Marked success by Ann."
        assert not seen

    @pytest.mark.parametrize(("state", "becomes"), [("failed", "failed"), ("skipped", "success"), ("success", "success")])
    def test_the_run_is_judged_by_its_leaves_again(self, tmp_path: Path, state: str, becomes: str):
        with workspace_of(tmp_path, WELL) as workspace:
            handle = run(workspace)
            workspace.mark(handle.run_id, state, selected("c"))
            assert workspace.run(handle.run_id).state.value == becomes

    def test_a_run_that_a_person_marked_failed_stays_so_until_it_is_cleared(self, tmp_path: Path):
        with workspace_of(tmp_path, WELL) as workspace:
            handle = run(workspace)
            assert workspace.mark_run(handle.run_id, "failed", by="Ann").state is RunState.FAILED
            workspace.mark(handle.run_id, "success", selected("c"))
            assert workspace.run(handle.run_id).state is RunState.FAILED
            workspace.clear(handle.run_id, selected("c"))
            again = workspace.resume_run(handle.run_id)
            assert again.wait(30)
            assert again.snapshot().run.state is RunState.SUCCESS

    def test_in_other_runs_too(self, tmp_path: Path):
        with workspace_of(tmp_path, WELL) as workspace:
            first, second = run(workspace).run_id, run(workspace).run_id
            workspace.mark(second, "failed", selected("c", past=True))
            assert {workspace.run(id).state for id in (first, second)} == {RunState.FAILED}

    @pytest.mark.parametrize("state", ["running", "sucess"])
    def test_other_states_are_refused(self, failed: Any, state: str):
        workspace, handle, _ = failed
        with pytest.raises(UserError, match=f'^Tasks cannot be marked "{state}": write success, failed or skipped.$'):
            workspace.mark(handle.run_id, state, selected("b"))
        with pytest.raises(UserError, match=r"^A run cannot be marked"):
            workspace.mark_run(handle.run_id, state)


class TestCode:
    """The run's own version, or the code as it is now."""

    def changed(self, **sources: str) -> Flow:
        tasks = [Task(**{**vars(one), "source": sources[one.id]}) if one.id in sources else one for one in CHAIN.tasks]
        return Flow(**{**vars(CHAIN), "tasks": (*tasks, task("d"))})

    def test_by_itself_what_runs_again_is_what_the_run_has(self, failed: Any):
        workspace, handle, seen = failed
        version = workspace.run(handle.run_id).version
        workspace.store.save_flow(self.changed(b="fixed"))
        again = workspace.retry_run(handle.run_id)
        assert again.wait(30)
        assert [job.source for job in seen[-2:]] == ["...", "..."]
        assert workspace.run(handle.run_id).version == version

    def test_with_the_code_as_it_is_now_the_run_belongs_to_that_version(self, tmp_path: Path):
        seen: list[Job] = []
        with workspace_of(tmp_path, {**WELL, "b": next_of(iter([fails, gives(y="2")])), "d": gives()}, seen) as workspace:
            handle = run(workspace)
            seen.clear()
            now = self.changed(a="other", b="fixed")
            again = workspace.retry_run(handle.run_id, flow=now, captures=CaptureSet())
            assert again is not None
            assert again.wait(30)
            assert {job.context.key.task_id: job.source for job in seen} == {"b": "fixed", "c": "...", "d": "..."}
            assert recorded(workspace, handle.run_id) == dict.fromkeys("abcd", "success")
            assert workspace.flow_of(workspace.run(handle.run_id)) == now
            cursors = [change.cursor for change in workspace.store.changes(handle.run_id)]
            assert cursors == list(range(1, len(cursors) + 1))

    def test_what_the_flow_does_not_have_any_more_is_removed(self, tmp_path: Path):
        with workspace_of(tmp_path, {**WELL, "b": next_of(iter([fails, gives(y="2")]))}) as workspace:
            handle = run(workspace)
            shorter = Flow(**{**vars(CHAIN), "tasks": CHAIN.tasks[:2], "edges": CHAIN.edges[:1]})
            again = workspace.retry_run(handle.run_id, flow=shorter, captures=CaptureSet())
            assert again is not None
            assert again.wait(30)
            assert recorded(workspace, handle.run_id) == {"a": "success", "b": "success", "c": "removed"}
            assert workspace.run(handle.run_id).state is RunState.SUCCESS

    def test_a_task_that_is_mapped_now_begins_anew(self, failed: Any):
        workspace, handle, _ = failed
        mapped = Task(**{**vars(CHAIN.tasks[1]), "reads": (Read(name="x", writers=(A,), element="one"),)})
        now = Flow(**{**vars(CHAIN), "tasks": (CHAIN.tasks[0], mapped, CHAIN.tasks[2])})
        records = [*workspace.store.task_records(handle.run_id)]
        copy = records[1].__class__(key=TaskKey(B, 0), state=records[1].state)
        found = renewed(workspace.run(handle.run_id), [records[0], copy, records[2]], CHAIN, "v2", workspace.clock.now())
        assert [(str(one.key), one.before, one.after) for one in found.changes if one.key] == [
            ("b[0]", "failed", "removed"),
            ("b", "removed", "pending"),
        ]
        assert renewed(workspace.run(handle.run_id), [records[0], copy, records[2]], now, "v2", workspace.clock.now()).records[1] is copy

    def test_another_flow_is_refused(self, failed: Any):
        workspace, handle, _ = failed
        with pytest.raises(UserError, match=r"^Run .* is one of f, and this flow is called g: start a new run.$"):
            workspace.retry_run(handle.run_id, flow=Flow(**{**vars(CHAIN), "name": "g"}), captures=CaptureSet())
