# SPDX-License-Identifier: BSD-3-Clause
"""Who hears first of what was recorded, what is asked while a driver leaves, and a process that slept longer than its leases last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from nbflow.app import Rooms, Workspace
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import CaptureSet, Job, Report
from nbflow.core.records import Change
from nbflow.core.selection import Selection
from nbflow.core.snapshot import RunSnapshot
from nbflow.core.states import RunState, TaskState
from nbflow.engine.watchers import Watchers
from nbflow.executors.inline import InlineExecutor
from nbflow.testing import FakeClock
from tests.interrupts import interrupted
from tests.unit.engine.test_driver import ended, fails, flow, next_of, task, workspace_of

A = TaskKey(TaskId("a"))


def waits_for(gate: threading.Event) -> Callable[[Job], Report]:
    def body(job: Job) -> Report:
        assert gate.wait(60)
        return ended(job)

    return body


def test_observers_hear_of_an_end_before_those_who_wait_for_it_go_on(tmp_path: Path) -> None:
    gate, looked, order = threading.Event(), threading.Event(), list[str]()

    class Observer:
        def changed(self, changes: Sequence[Change]) -> None:
            if any(change.key == A and change.after == TaskState.SUCCESS for change in changes):
                order.append("observer")

        def said(self, *_: object) -> None:
            """Only changes matter here."""

    with workspace_of(tmp_path, {"a": waits_for(gate)}) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet(), observers=[Observer()])

        def come() -> bool:
            looked.set()
            if handle.snapshot().tasks[A].state.is_finished:
                order.append("waiting")
            return bool(order)

        waiting = threading.Thread(target=handle._watchers.wait, args=(come, 60))
        waiting.start()
        assert looked.wait(60)
        gate.set()
        waiting.join()
        assert order[:2] == ["observer", "waiting"]
        assert handle.wait(60)


def test_what_is_marked_while_the_driver_of_an_ended_run_leaves_it_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_its_end, may_leave = threading.Event(), threading.Event()

    class Observer:
        def changed(self, changes: Sequence[Change]) -> None:
            if changes[-1].run is not None and changes[-1].run.state.is_finished:
                at_its_end.set()
                assert may_leave.wait(60)

        def said(self, *_: object) -> None:
            """As above."""

    with workspace_of(tmp_path, {"a": fails}) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet(), observers=[Observer()])
        assert at_its_end.wait(60)
        wait = handle.wait

        def leaves(timeout: float | None = None) -> bool:
            may_leave.set()
            return wait(timeout)

        monkeypatch.setattr(handle, "wait", leaves)
        workspace.mark(handle.run_id, "success", Selection(keys=(A,)))
        assert handle.wait(60)
        assert [record.state for record in workspace.store.task_records(handle.run_id)] == [TaskState.SUCCESS]


def elsewhere(workspace: Workspace) -> Workspace:
    """As another process sees it, which knows none of the drivers here."""
    rooms = Rooms(store=workspace.store, artifacts=workspace.artifacts, executor=InlineExecutor(fails_to_tell), clock=workspace.clock)
    return Workspace(workspace.settings, rooms)


def fails_to_tell(job: Job, _: object) -> Report:
    raise AssertionError("nothing runs there")


def test_what_another_process_clears_as_the_run_ends_runs_again(tmp_path: Path) -> None:
    cleared = list[str]()

    class Observer:
        def changed(self, changes: Sequence[Change]) -> None:
            run = changes[-1].run
            if run is not None and run.state.is_finished and not cleared:
                cleared.append(run.run_id)
                elsewhere(workspace).clear(run.run_id, Selection(keys=(A,)))

        def said(self, *_: object) -> None:
            """Only changes matter here."""

    with workspace_of(tmp_path, {"a": next_of(iter([fails, ended]))}) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet(), observers=[Observer()])
        assert handle.wait(60)
        assert cleared == [handle.run_id]
        assert handle.snapshot().run.state is RunState.SUCCESS
        assert workspace.store.requests(handle.run_id) == ()


@pytest.mark.parametrize(("how", "task_is", "run_is"), [("mark", "success", "success"), ("clear", "pending", "queued")])
def test_what_another_process_asks_of_a_driver_that_is_leaving_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, task_is: str, run_is: str
) -> None:
    gate = threading.Event()

    def body(job: Job) -> Report:
        assert gate.wait(60)
        return fails(job)

    with workspace_of(tmp_path, {"a": body}) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet())
        other, stop = elsewhere(workspace), handle._keeper.stop

        def leaves() -> None:
            chosen = Selection(keys=(A,))
            other.mark(handle.run_id, "success", chosen) if how == "mark" else other.clear(handle.run_id, chosen)
            stop()

        monkeypatch.setattr(handle._keeper, "stop", leaves)
        gate.set()
        assert handle.wait(60)
        store = workspace.store
        assert ([record.state for record in store.task_records(handle.run_id)], store.run(handle.run_id).state) == ([task_is], run_is)
        assert (store.requests(handle.run_id), store.holder(handle.run_id)) == ((), "")
        assert handle.snapshot().run == store.run(handle.run_id)


def test_a_run_that_another_process_goes_on_with_can_be_cancelled_from_where_it_began(tmp_path: Path) -> None:
    began, gate = threading.Event(), threading.Event()

    def body(job: Job, _: object) -> Report:
        began.set()
        return waits_for(gate)(job)

    with workspace_of(tmp_path, {"a": fails}) as workspace:
        first = workspace.start_run(flow(task("a")), CaptureSet())
        assert first.wait(60)
        rooms = Rooms(store=workspace.store, artifacts=workspace.artifacts, executor=InlineExecutor(body), clock=workspace.clock)
        other = Workspace(workspace.settings, rooms)
        again = other.resume_run(first.run_id)
        assert began.wait(60)
        workspace.cancel(first.run_id)
        assert again.wait(60)
        assert again.snapshot().run.state is RunState.CANCELLED
        gate.set()


def test_a_process_that_slept_longer_than_its_lease_lasts_does_not_end_its_own_run(tmp_path: Path) -> None:
    gate, clock = threading.Event(), FakeClock(datetime.now(UTC))
    with workspace_of(tmp_path, {"a": waits_for(gate)}, store_clock=clock) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet())
        assert handle._watchers.wait(lambda: handle.snapshot().tasks[A].state is TaskState.RUNNING, 60)  # nothing is recorded from here on
        clock.advance(timedelta(hours=1))
        workspace.clock = clock
        assert workspace.store.lapsed_runs() == (handle.run_id,)
        assert workspace.reap() == ()
        gate.set()
        assert handle.wait(60)
        assert handle.snapshot().run.state is RunState.SUCCESS


def test_a_driver_that_looks_just_before_whoever_waits_is_interrupted_goes_on() -> None:
    step, is_interrupted = 0, True
    while is_interrupted:
        step += 1
        watchers, come = Watchers(cast("RunSnapshot", None), ()), threading.Event()
        driver = threading.Thread(target=watchers.look_again, daemon=True)

        def look(watchers: Watchers = watchers, come: threading.Event = come, driver: threading.Thread = driver) -> None:
            come.set()
            driver.start()
            while driver.is_alive() and not watchers._lock.locked():  # on its way
                threading.Event().wait(0)

        def wait(watchers: Watchers = watchers, come: threading.Event = come) -> bool:
            return watchers.wait(come.is_set, 0.001)

        is_interrupted = interrupted(wait, step, just_before=look)
        if is_interrupted:
            driver.join()
        assert not watchers._lock.locked()
    assert step > 3
