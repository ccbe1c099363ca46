# SPDX-License-Identifier: BSD-3-Clause
"""Pools and limits as a driver lives with them, over the memory store and the inline executor."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nbflow.app.limits import pool_use, states_asked, tasks_under_way
from nbflow.core.errors import UserError
from nbflow.core.ids import RunId, TaskId, TaskKey, Token
from nbflow.core.job import CaptureSet, Job, Report
from nbflow.core.limits import Ask, Asks, Demand, Pool, Waiter
from nbflow.core.model import Flow, FlowOptions
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.resources import Offers
from nbflow.core.states import RunState, TaskState
from tests.unit.engine.test_driver import ended, fails, flow, gives, next_of, states, task, workspace_of

START = datetime(2026, 1, 1, tzinfo=UTC)
FULL = "Waiting for a slot in pool sftp: 1 of 1 in use by a."


class Gate:
    """A body that goes on when it is told to."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> Report:
        self.begun.set()
        assert self.open.wait(30)
        return ended(job)


def test_who_waits_for_a_pool_says_so_live_and_recorded(tmp_path: Path):
    gate = Gate()
    with workspace_of(tmp_path, {"a": gate, "b": gives()}) as workspace:
        workspace.store.save_pool(Pool(name="sftp", slots=1))
        told = threading.Event()

        class Observer:
            def changed(self, changes):
                if any(change.reason == FULL for change in changes):
                    told.set()

            def said(self, key, attempt, event): ...

        handle = workspace.start_run(flow(task("a", pool="sftp"), task("b", pool="sftp")), CaptureSet(), observers=[Observer()])
        assert told.wait(30)
        b = TaskKey(TaskId("b"))
        assert handle.snapshot().tasks[b].reason == FULL
        assert workspace.snapshot(handle.run_id).tasks[b].reason == FULL
        assert [(one.task.key.task_id, one.pool, one.task.reason) for one in tasks_under_way(workspace.store, states_asked(["queued"]))][
            -1
        ] == (
            "b",
            "sftp",
            FULL,
        )
        assert (pool_use(workspace.store, "sftp").used, pool_use(workspace.store, "sftp").waiting) == (1, 1)
        gate.open.set()
        assert handle.wait(30)
        assert handle.snapshot().run.state is RunState.SUCCESS
        assert all(change.before != change.after for change in workspace.store.changes(handle.run_id))
        assert workspace.store.board().waiters == ()


def test_runs_of_one_process_hand_a_pool_on(tmp_path: Path):
    gate = Gate()
    with workspace_of(tmp_path, {"a": gate, "b": gives()}) as workspace:
        workspace.store.save_pool(Pool(name="sftp", slots=1))
        first = workspace.start_run(flow(task("a", pool="sftp")), CaptureSet())
        assert gate.begun.wait(30)
        second = workspace.start_run(flow(task("b", pool="sftp")), CaptureSet())
        gate.open.set()
        assert first.wait(30)
        assert second.wait(30)
        assert states(second) == {"b": "success"}


def test_the_heavier_goes_first(tmp_path: Path):
    seen: list[Job] = []
    with workspace_of(tmp_path, dict.fromkeys("abc", gives()), seen) as workspace:
        workspace.store.save_pool(Pool(name="one", slots=1))
        handle = workspace.start_run(
            flow(task("a", pool="one"), task("b", pool="one", priority=5), task("c", pool="one", priority=-1)), CaptureSet()
        )
        handle.wait(30)
    assert [job.context.key.task_id for job in seen] == ["b", "a", "c"]
    assert [job.priority for job in seen] == [5, 1, -1]


@pytest.mark.parametrize(
    ("limits", "options"),
    [({"max_active_tasks": 1}, {}), ({"max_active_tasks_per_run": 1}, {}), ({}, {"max_active": 1}), ({}, {"max_active_per_run": 1})],
)
def test_limits_let_everything_run_in_the_end(tmp_path: Path, limits: dict[str, int], options: dict[str, int]):
    with workspace_of(tmp_path, dict.fromkeys("abcd", gives())) as workspace:
        tasks = flow(*(task(id, **options) for id in "abcd")).tasks
        limited = Flow(name="f", tasks=tasks, options=FlowOptions(**limits))
        handles = [workspace.start_run(limited, CaptureSet()) for _ in range(2)]
        assert all(handle.wait(30) for handle in handles)
        assert {state for handle in handles for state in states(handle).values()} == {"success"}
        for handle in handles:
            active = 0
            for change in workspace.store.changes(handle.run_id):
                active += (change.after == TaskState.QUEUED) - (change.before == TaskState.RUNNING)
                assert active <= 1 or options


@pytest.mark.parametrize(
    ("wants", "sentence"),
    [
        ({"pool": "sfpt"}, r'Task a is in the pool "sfpt", which does not exist\. Did you mean "sftp"\?'),
        ({"pool": "db"}, r'Task a is in the pool "db", which does not exist\. Make it with nbflow pools set db SLOTS\.'),
        ({"pool": "sftp", "slots": 2}, r"Task a takes 2 slots of pool sftp, which has 1 slot: it could never run\."),
        ({"slots": 999}, r"Task a takes 999 slots of pool default_pool, which has 128 slots: it could never run\."),
    ],
)
def test_what_could_never_run_is_refused_before_the_run_exists(tmp_path: Path, wants: dict[str, object], sentence: str):
    with workspace_of(tmp_path, {}) as workspace:
        workspace.store.save_pool(Pool(name="sftp", slots=1))
        with pytest.raises(UserError, match=sentence):
            workspace.start_run(flow(task("a", **wants)), CaptureSet())
        assert workspace.find_runs().runs == ()


def test_check_names_the_cell_of_a_pool_that_does_not_exist(tmp_path: Path):
    cells = [
        {"cell_type": "code", "id": "c1", "metadata": {}, "source": "%%task a --pool db\nx = 1", "outputs": [], "execution_count": None}
    ]
    notebook = tmp_path / "n.ipynb"
    notebook.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
    with workspace_of(tmp_path, {}) as workspace:
        errors = [str(problem) for problem in workspace.problems(notebook) if problem.severity == "error"]
        assert errors == ['cell 1, line 1: Task a is in the pool "db", which does not exist. Make it with nbflow pools set db SLOTS.']


def test_a_failed_attempt_gets_more_of_what_is_escalated(tmp_path: Path):
    seen: list[Job] = []
    options = {"retries": 2, "retry_delay": timedelta(0), "resources": {"MEM": "1GB"}, "escalate": {"MEM": "2"}}
    with workspace_of(tmp_path, {"a": next_of(iter([fails, fails, gives()]))}, seen) as workspace:
        handle = workspace.start_run(flow(task("a", **options)), CaptureSet())
        handle.wait(30)
        assert states(handle) == {"a": "success"}
    assert [job.memory_limit for job in seen] == [10**9, 2 * 10**9, 4 * 10**9]


def test_a_request_nobody_offers_is_refused_or_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    asking = flow(task("a", resources={"GPU": "1"}))
    with workspace_of(tmp_path, {"a": gives()}) as workspace:
        executor = workspace.executor
        executor.offers = lambda: Offers(where="the local cluster", workers=({"CPU": 2.0},))
        with pytest.raises(UserError, match=r"Task a asks for GPU=1, which no worker of the local cluster offers \(at most CPU=2\)"):
            workspace.start_run(asking, CaptureSet())
        executor.offers = lambda: Offers(where="tcp://s:1", workers=({},), may_grow=True)
        assert workspace.start_run(asking, CaptureSet()).wait(30)
        assert "which no worker of tcp://s:1 offers" in caplog.text


def test_who_is_handed_over_waits_for_a_free_worker(tmp_path: Path):
    gate = Gate()
    with workspace_of(tmp_path, {"a": gate, "b": gives()}) as workspace:
        handle = workspace.start_run(flow(task("a"), task("b")), CaptureSet())
        assert gate.begun.wait(30)
        running = TaskKey(TaskId("a"))
        handle.observe(NoticesStart(started := threading.Event(), running))
        if handle.snapshot().tasks[running].state is TaskState.RUNNING:
            started.set()
        assert started.wait(30)
        assert workspace.snapshot(handle.run_id).tasks[TaskKey(TaskId("b"))].reason == "Queued: the only worker thread is busy."
        gate.open.set()
        assert handle.wait(30)


class NoticesStart:
    def __init__(self, started: threading.Event, key: TaskKey) -> None:
        self.started, self.key = started, key

    def changed(self, changes):
        if any(change.key == self.key and change.after == TaskState.RUNNING for change in changes):
            self.started.set()

    def said(self, key, attempt, event): ...


def test_a_driver_that_waits_ends_the_runs_whose_driver_died(tmp_path: Path):
    """The slots that such a run holds would never be given back."""
    with workspace_of(tmp_path, {"b": gives()}) as workspace:
        workspace.store.save_pool(Pool(name="sftp", slots=1))
        object.__setattr__(workspace.settings, "lease", 0.2)
        dead = RunRecord(
            run_id=RunId("dead"),
            flow="g",
            version=workspace.store.save_flow(Flow(name="g", tasks=(task("a"),))),
            created_at=START,
            state=RunState.RUNNING,
        )
        a = TaskKey(TaskId("a"))
        workspace.store.create_run(dead, [TaskRecord(key=a, state=TaskState.SCHEDULED)])
        lease = workspace.store.claim("dead", "elsewhere:1", 0.0)
        queued = TaskRecord(key=a, state=TaskState.QUEUED, token=Token("t"), attempt=1)
        wish = Ask(
            waiter=Waiter(run_id=dead.run_id, flow=dead.flow, key=a, demand=Demand(pool="sftp"), logical_date=START),
            change=Change(at=START, key=a, before="scheduled", after="queued", task=queued),
        )
        assert workspace.store.commit_asking(lease, Asks(queue=(wish,), room=1), ()).granted
        handle = workspace.start_run(flow(task("b", pool="sftp")), CaptureSet())
        assert handle.wait(30)
        assert states(handle) == {"b": "success"}
        assert workspace.store.run("dead").state is RunState.FAILED
