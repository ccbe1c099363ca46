# SPDX-License-Identifier: BSD-3-Clause
"""The pieces of going on: which tasks run again, how last attempts are settled, who is dead, which captures a task takes, how a lease is kept."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.errors import SetupError, Superseded
from nbflow.core.graph import Graph
from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey, Token
from nbflow.core.job import Capture, CaptureKind, CaptureSet, Outcome, Report, ValueRef
from nbflow.core.records import Lease, Request, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.engine import owner
from nbflow.engine.captures import HandedOver
from nbflow.engine.lease import LeaseKeeper
from nbflow.engine.resume import DRIVER_GONE, NEVER_BEGAN, settle, to_run_again
from nbflow.store.artifacts import open_artifacts
from tests.unit.engine.test_driver import flow, gives, task, workspace_of

S = TaskState


def again(edges: Sequence[str], **states: Any) -> str:
    """The tasks that run again, of a graph of one-letter tasks: `ab` is an edge from a to b."""
    records = {}
    for id, given in states.items():
        state, cause = given if isinstance(given, tuple) else (given, "")
        key = TaskKey(TaskId(id))
        records[key] = TaskRecord(key=key, state=state, note={"cause": cause} if cause else {})
    graph = Graph([TaskId(id) for id in states], [(TaskId(edge[0]), TaskId(edge[1])) for edge in edges])
    return "".join(key.task_id for key in to_run_again(graph, records))


class TestWhatRunsAgain:
    def test_what_failed_and_what_could_not_run_because_of_it(self) -> None:
        assert again(["ab", "bc"], a=S.SUCCESS, b=S.FAILED, c=S.UPSTREAM_FAILED) == "bc"

    def test_what_succeeded_below_a_failure_stays(self) -> None:
        assert again(["ab", "bc"], a=S.FAILED, b=S.SUCCESS, c=S.SUCCESS) == "a"

    def test_what_a_failure_skipped_is_judged_again(self) -> None:
        assert again(["ab", "bc"], a=S.FAILED, b=S.SKIPPED, c=S.SKIPPED) == "abc"

    def test_what_a_branch_skipped_stays(self) -> None:
        assert again(["ab", "ac"], a=S.SUCCESS, b=S.SKIPPED, c=S.FAILED) == "c"

    def test_what_was_skipped_with_its_run_runs(self) -> None:
        assert again(["ab"], a=(S.SKIPPED, "run"), b=(S.SKIPPED, "run")) == "ab"

    @pytest.mark.parametrize("cause", ["itself", "mark"])
    def test_what_skipped_itself_or_was_marked_stays(self, cause: str) -> None:
        assert again(["ab", "bc"], a=S.FAILED, b=(S.SKIPPED, cause), c=S.SUCCESS) == "a"

    def test_nothing_of_a_run_that_is_well(self) -> None:
        assert again(["ab"], a=S.SUCCESS, b=S.SKIPPED) == ""


class Ender:
    """An executor of which only the end of foreign attempts is asked."""

    def __init__(self, at_end: Any = None) -> None:
        self.ended: list[str] = []
        self._at_end = at_end

    def end(self, tokens: Sequence[Token]) -> None:
        self.ended += tokens
        if self._at_end:
            self._at_end()


def handed_over(token: str = "t1", state: TaskState = S.RUNNING) -> TaskRecord:
    return TaskRecord(key=TaskKey(TaskId("a")), state=state, token=Token(token), attempt=1)


def a_report(token: str = "t1") -> Report:
    return Report(token=Token(token), outcome=Outcome.SUCCESS, started_at=datetime.now(UTC), ended_at=datetime.now(UTC))


class TestSettling:
    def test_an_attempt_that_left_its_manifest_is_adopted(self, tmp_path: Path) -> None:
        artifacts, ender = open_artifacts(str(tmp_path)), Ender()
        artifacts.mark("t1.started")
        artifacts.keep_manifest("t1", pickle.dumps(a_report()))
        assert settle([handed_over()], ender, artifacts)[Token("t1")].outcome is Outcome.SUCCESS
        assert ender.ended == []

    def test_an_attempt_that_has_not_begun_never_will(self, tmp_path: Path) -> None:
        artifacts, ender = open_artifacts(str(tmp_path)), Ender()
        report = settle([handed_over(state=S.QUEUED)], ender, artifacts)[Token("t1")]
        assert (report.outcome, report.started_at, report.reason) == (Outcome.LOST, None, NEVER_BEGAN)
        assert not artifacts.mark("t1.started")
        assert ender.ended == []

    def test_an_attempt_that_had_begun_is_ended_and_lost(self, tmp_path: Path) -> None:
        artifacts, ender = open_artifacts(str(tmp_path)), Ender()
        artifacts.mark("t1.started")
        report = settle([handed_over()], ender, artifacts)[Token("t1")]
        assert (report.outcome, report.reason, report.started_at is not None) == (Outcome.LOST, DRIVER_GONE, True)
        assert ender.ended == ["t1"]

    def test_one_that_ends_while_it_is_being_ended_is_adopted(self, tmp_path: Path) -> None:
        artifacts = open_artifacts(str(tmp_path))
        artifacts.mark("t1.started")
        ender = Ender(lambda: artifacts.keep_manifest("t1", pickle.dumps(a_report())))
        assert settle([handed_over()], ender, artifacts)[Token("t1")].outcome is Outcome.SUCCESS


class TestOwners:
    def test_this_process_is_alive(self) -> None:
        assert not owner.is_dead(owner.me())

    def test_a_process_that_has_ended_is_dead(self) -> None:
        code = "from nbflow.engine import owner; print(owner.me())"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        assert owner.is_dead(other)

    def test_a_later_process_of_the_same_number_is_another_one(self) -> None:
        place, _, rest = owner.me().partition("/")
        assert owner.is_dead(f"{place}/1@{rest.partition('@')[2]}")

    @pytest.mark.parametrize("who", ["elsewhere:1/1@x", "somebody", ""])
    def test_nobody_we_cannot_look_at_is_dead(self, who: str) -> None:
        assert not owner.is_dead(who)


def captured(**names: str) -> CaptureSet:
    made = {
        name: Capture(name=name, kind=CaptureKind.VALUE, value=ValueRef(hash=text, format="text", size=1)) for name, text in names.items()
    }
    return CaptureSet(names=made)


class TestCaptures:
    def test_a_task_keeps_those_that_came_with_its_release(self) -> None:
        handed = HandedOver(captured(x="1"), [TaskId("a")])
        assert handed.add([TaskId("a"), TaskId("b")], captured(x="2"))
        assert (handed.of(TaskId("a")), handed.of(TaskId("b"))) == (captured(x="1"), captured(x="2"))
        assert not handed.add([TaskId("a")], captured(x="3"))

    def test_they_are_read_back_as_they_were_written(self) -> None:
        handed = HandedOver(captured(x="1"), [TaskId("a")])
        handed.add([TaskId("b")], captured(x="2"))
        again = HandedOver.decode(handed.encode())
        assert [again.of(TaskId(id)) for id in "ab"] == [captured(x="1"), captured(x="2")]
        assert set(again.hashes()) == {"1", "2"}
        assert TaskId("c") not in again

    def test_nothing_recorded_is_nothing_handed_over(self) -> None:
        assert HandedOver.decode(None).newest() == CaptureSet()


class Renewing:
    """A store whose lease is renewed as often as `answers` say."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = list(answers)
        self.asked = threading.Semaphore(0)

    def renew(self, lease: Lease) -> None:
        answer = self._answers.pop(0) if self._answers else None
        self.asked.release()
        if answer is not None:
            raise answer


def test_a_lease_is_kept_also_when_the_store_is_busy_for_a_while() -> None:
    store = Renewing(None, SetupError("locked"), None)
    keeper = LeaseKeeper(store, Lease(run_id=RunId("r"), owner="me", epoch=1, seconds=0.03), lambda error: None)
    keeper.start()
    assert all(store.asked.acquire(timeout=30) for _ in range(4))
    keeper.stop()


def test_a_lease_that_was_taken_over_is_told_and_not_asked_for_again() -> None:
    told: list[Superseded] = []
    heard = threading.Event()
    store = Renewing(Superseded("gone"))
    keeper = LeaseKeeper(
        store, Lease(run_id=RunId("r"), owner="me", epoch=1, seconds=0.03), lambda error: (told.append(error), heard.set())
    )
    keeper.start()
    assert heard.wait(30)
    keeper.stop()
    assert [str(error) for error in told] == ["gone"]


def test_a_wish_to_cancel_from_before_does_not_end_the_run_that_goes_on(tmp_path: Path) -> None:
    chain = flow(task("a", writes=("x",)))
    with workspace_of(tmp_path, {"a": gives(x="1")}) as workspace:
        old = datetime.now(UTC) - timedelta(hours=1)
        run = RunRecord(
            run_id=RunId("r"),
            flow=FlowName("f"),
            version=workspace.store.save_flow(chain),
            state=RunState.RUNNING,
            created_at=old,
            started_at=old,
        )
        workspace.store.create_run(run, [TaskRecord(key=TaskKey(TaskId("a")))])
        workspace.store.save_captures("r", HandedOver(CaptureSet(), [TaskId("a")]).encode())
        workspace.store.leave_request("r", Request(kind="cancel", at=old))
        handle = workspace.resume_run("r")
        assert handle.wait(30)
        assert handle.snapshot().run.state is RunState.SUCCESS
        assert workspace.store.requests("r") == ()
