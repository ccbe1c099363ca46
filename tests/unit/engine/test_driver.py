# SPDX-License-Identifier: BSD-3-Clause
"""The driver of one run, over the memory store and the inline executor with bodies written here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nbflow.app import Rooms, SystemClock, Workspace
from nbflow.core.errors import SetupError, StoreError, Superseded
from nbflow.core.ids import FlowName, TaskId, TaskKey
from nbflow.core.job import AttemptBegan, CaptureSet, ErrorInfo, ExecutorEvent, Job, Outcome, OutputMade, OutputsRef, Report, ValueRef
from nbflow.core.model import Edge, Flow, Read, Task
from nbflow.core.options import TaskOptions, TriggerRule
from nbflow.core.protocols import Clock
from nbflow.core.records import Change
from nbflow.core.states import RunState, TaskState
from nbflow.executors.inline import InlineExecutor
from nbflow.settings import Settings
from nbflow.store.artifacts import open_artifacts
from nbflow.store.memory import MemoryStore
from nbflow.testing import FakeClock

Body = Callable[[Job], Report]


def value(text: str) -> ValueRef:
    return ValueRef(hash=text, format="text", size=len(text), inline=text.encode(), shown=text)


def ended(job: Job, outcome: Outcome = Outcome.SUCCESS, **fields: Any) -> Report:
    now = datetime.now(UTC)
    return Report(token=job.token, outcome=outcome, started_at=fields.pop("started_at", now), ended_at=now, **fields)


def gives(**values: str) -> Body:
    return lambda job: ended(job, values={name: value(text) for name, text in values.items()})


def next_of(bodies: Iterator[Body]) -> Body:
    return lambda job: next(bodies)(job)  # noqa: PLW0108 - a new body for each attempt


def fails(job: Job) -> Report:
    return ended(job, Outcome.FAILED, error=ErrorInfo(ename="ValueError", evalue="no", line=2))


def task(id: str, *reads: Read, writes: tuple[str, ...] = (), **options: Any) -> Task:
    return Task(id=TaskId(id), source="...", reads=reads, writes=writes, demands=writes, options=TaskOptions(**options))


def flow(*tasks: Task) -> Flow:
    edges = sorted(
        {Edge(upstream=writer, downstream=one.id, names=(read.name,)) for one in tasks for read in one.reads for writer in read.writers}
    )
    return Flow(name=FlowName("f"), tasks=tasks, edges=tuple(edges))


@contextmanager
def workspace_of(
    folder: Path, bodies: Mapping[str, Body], seen: list[Job] | None = None, store_clock: Clock | None = None
) -> Iterator[Workspace]:
    def run_job(job: Job, tell: Callable[[ExecutorEvent], None]) -> Report:
        if seen is not None:
            seen.append(job)
        tell(AttemptBegan(token=job.token, at=datetime.now(UTC), worker="here"))
        return bodies[job.context.key.task_id](job)

    clock = SystemClock()
    store = MemoryStore(store_clock or clock)
    rooms = Rooms(store=store, artifacts=open_artifacts(str(folder)), executor=InlineExecutor(run_job), clock=clock)
    workspace = Workspace(Settings(home=folder), rooms)
    try:
        yield workspace
    finally:
        workspace.close()


def states(handle: Any) -> dict[str, str]:
    return {str(key): record.state.value for key, record in handle.snapshot().tasks.items()}


def test_a_chain_runs_in_order_and_hands_values_on(tmp_path: Path) -> None:
    seen: list[Job] = []
    chain = flow(task("a", writes=("x",)), task("b", Read(name="x", writers=(TaskId("a"),)), writes=("y",)))
    with workspace_of(tmp_path, {"a": gives(x="1"), "b": gives(y="2")}, seen) as workspace:
        handle = workspace.start_run(chain, CaptureSet())
        assert handle.wait(30)
        assert handle.snapshot().run.state is RunState.SUCCESS
        assert [job.context.key.task_id for job in seen] == ["a", "b"]
        assert seen[1].inputs == {"x": value("1")}
        assert handle.advanced().values == {"x": value("1"), "y": value("2")}


def test_what_was_recorded_is_what_the_handle_says(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {"a": gives(x="1")}) as workspace:
        handle = workspace.start_run(flow(task("a", writes=("x",))), CaptureSet())
        handle.wait(30)
        recorded = workspace.snapshot(handle.run_id)
        assert recorded.run == handle.snapshot().run
        assert recorded.tasks == handle.snapshot().tasks
        assert workspace.given(handle.run_id, "a") == {"x": value("1")}
        cursors = [change.cursor for change in workspace.store.changes(handle.run_id)]
        assert cursors == list(range(1, len(cursors) + 1))


def test_a_failure_is_told_with_its_error_and_stops_what_follows(tmp_path: Path) -> None:
    chain = flow(task("a", writes=("x",)), task("b", Read(name="x", writers=(TaskId("a"),))))
    with workspace_of(tmp_path, {"a": fails}) as workspace:
        handle = workspace.start_run(chain, CaptureSet())
        handle.wait(30)
        advanced = handle.advanced()
        assert states(handle) == {"a": "failed", "b": "upstream_failed"}
        assert advanced.state is RunState.FAILED
        assert [(failure.task, failure.error.evalue) for failure in advanced.failures] == [("a", "no")]


def test_a_retry_comes_after_its_delay_and_can_succeed(tmp_path: Path) -> None:
    bodies = iter([fails, gives(x="1")])
    with workspace_of(tmp_path, {"a": next_of(bodies)}) as workspace:
        handle = workspace.start_run(flow(task("a", writes=("x",), retries=1, retry_delay=timedelta(milliseconds=10))), CaptureSet())
        handle.wait(30)
        assert states(handle) == {"a": "success"}
        assert [(one.attempt, one.outcome) for one in workspace.attempts(handle.run_id, "a")] == [(1, "failed"), (2, "success")]


def test_a_lost_attempt_is_made_again_free_of_charge(tmp_path: Path) -> None:
    bodies = iter([lambda job: ended(job, Outcome.LOST, reason="its worker went away"), gives(x="1")])
    with workspace_of(tmp_path, {"a": next_of(bodies)}) as workspace:
        handle = workspace.start_run(flow(task("a", writes=("x",))), CaptureSet())
        handle.wait(30)
        record = handle.snapshot().tasks[TaskKey(TaskId("a"))]
        assert (record.state, record.attempt, record.losses, record.failures) == (TaskState.SUCCESS, 2, 1, 0)


def test_cancel_ends_the_run_and_keeps_what_was_heard(tmp_path: Path) -> None:
    running = threading.Event()

    def endless(job: Job) -> Report:
        running.set()
        while True:
            threading.Event().wait(0.01)

    with workspace_of(tmp_path, {"a": endless}) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet())
        assert running.wait(30)
        workspace.cancel(handle.run_id, by="ada")
        assert handle.wait(30)
        assert handle.snapshot().run.state is RunState.CANCELLED
        assert states(handle) == {"a": "cancelled"}
        assert [one.outcome for one in workspace.attempts(handle.run_id)] == ["cancelled"]


def test_a_run_is_cancelled_also_while_the_interpreter_ends(tmp_path: Path) -> None:
    """As Python does then: no thread is given anything to do any more, and those that wait for the run are waited for."""
    with workspace_of(tmp_path, {"a": lambda job: ended(job) if began.set() or cancelled.wait(30) else fails(job)}) as workspace:
        began, cancelled = threading.Event(), threading.Event()
        handle = workspace.start_run(flow(task("a")), CaptureSet())
        assert began.wait(30)
        handle._attempts._cancellers.shutdown()
        handle.cancel(by="ada")
        assert handle.wait(30)
        cancelled.set()
        assert states(handle) == {"a": "cancelled"}


def test_who_waits_for_a_run_is_told_whatever_is_in_the_way_of_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with workspace_of(tmp_path, {"a": ended}) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet(), held=[TaskId("a")])
        monkeypatch.setattr(handle._triggers, "stop", lambda: {}["nobody foresaw this"])
        handle.release([TaskId("a")], CaptureSet())
        assert handle.wait(30)
        assert states(handle) == {"a": "success"}


def test_a_database_that_is_away_while_nothing_is_to_be_recorded_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver asks for wishes again and again: a query that fails is asked again, and the attempt goes on meanwhile."""
    asked, running = threading.Semaphore(0), threading.Event()

    def body(job: Job) -> Report:
        running.set()
        assert all(asked.acquire(timeout=30) for _ in range(2))  # while it runs
        monkeypatch.undo()
        return gives(x="1")(job)

    with workspace_of(tmp_path, {"a": body}) as workspace:
        requests = workspace.store.requests

        def away(run_id: str) -> Any:
            if not running.is_set():
                return requests(run_id)
            asked.release()
            raise StoreError("PostgreSQL cannot be reached at here.")

        monkeypatch.setattr(workspace.store, "requests", away)
        handle = workspace.start_run(flow(task("a", writes=("x",))), CaptureSet())
        assert handle.wait(30)
        assert states(handle) == {"a": "success"}


def test_what_ends_in_the_moment_of_its_cancel_is_recorded_as_cancelled(tmp_path: Path) -> None:
    """Its report stands behind the cancel, among the same news: a success that was recorded would never be run again."""
    go, may_end, heard = threading.Event(), threading.Event(), threading.Event()

    class WhenTheFirstHasEnded:
        def changed(self, changes: Sequence[Change]) -> None:
            if any(change.key == TaskKey(TaskId("a")) and change.after == "success" for change in changes):
                handle.cancel(by="ada")
                may_end.set()
                assert heard.wait(30)  # the driver's own thread: it takes both at once

        def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
            pass

    def when(event: threading.Event) -> Callable[[Job], Report]:
        return lambda job: gives()(job) if event.wait(30) else fails(job)

    with workspace_of(tmp_path, {"a": when(go), "b": when(may_end)}) as workspace:
        handle = workspace.start_run(flow(task("a"), task("b")), CaptureSet())
        handle.observe(WhenTheFirstHasEnded())
        put = handle._inbox.put

        def note(item: object) -> None:
            put(item)
            if isinstance(item, Report) and may_end.is_set():
                heard.set()

        handle._inbox.put = note
        go.set()
        handle.wait(30)
        assert states(handle) == {"a": "success", "b": "cancelled"}
        assert [one.outcome for one in workspace.attempts(handle.run_id, "b")] == ["cancelled"]


def test_a_request_left_by_another_process_is_followed(tmp_path: Path) -> None:
    running = threading.Event()

    def endless(job: Job) -> Report:
        running.set()
        while True:
            threading.Event().wait(0.01)

    with workspace_of(tmp_path, {"a": endless}) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet())
        assert running.wait(30)
        other = Workspace(
            workspace.settings,
            Rooms(store=workspace.store, artifacts=workspace.artifacts, executor=workspace.executor, clock=workspace.clock),
        )
        other.cancel(handle.run_id)
        assert handle.wait(30)
        assert handle.snapshot().run.state is RunState.CANCELLED
        assert workspace.store.requests(handle.run_id) == ()


def test_a_superseded_driver_writes_nothing_more(tmp_path: Path) -> None:
    running, go_on = threading.Event(), threading.Event()

    def waits(job: Job) -> Report:
        running.set()
        go_on.wait(30)
        return gives(x="1")(job)

    clock = FakeClock()
    with workspace_of(tmp_path, {"a": waits}, store_clock=clock) as workspace:
        handle = workspace.start_run(flow(task("a", writes=("x",))), CaptureSet())
        assert running.wait(30)
        store = workspace.store
        before = store.changes(handle.run_id)
        clock.advance(3600)  # the driver slept for an hour
        while store.claim(handle.run_id, "somebody else", 30) is None:
            clock.advance(3600)  # it has recorded the start of its attempt only now, which renewed its lease
        go_on.set()
        with pytest.raises(Superseded):
            handle.wait(30)
        assert [one for one in store.changes(handle.run_id) if one.after == "success"] == []
        assert len(store.changes(handle.run_id)) <= len(before) + 1  # the start report may have come before


def test_held_tasks_wait_until_they_are_released(tmp_path: Path) -> None:
    pair = flow(task("a", writes=("x",)), task("b", writes=("y",)))
    with workspace_of(tmp_path, {"a": gives(x="1"), "b": gives(y="2")}) as workspace:
        handle = workspace.start_run(pair, CaptureSet(), held=[TaskId("b")])
        assert handle.wait_for([TaskId("a")], 30)
        assert states(handle)["b"] == "pending"
        assert handle.advanced().state is RunState.RUNNING
        handle.release([TaskId("b")], CaptureSet())
        assert handle.wait(30)
        assert handle.snapshot().run.state is RunState.SUCCESS


def test_an_observer_that_fails_does_not_break_the_run(tmp_path: Path) -> None:
    class Broken:
        def changed(self, changes: object) -> None:
            raise RuntimeError

        def said(self, key: object, attempt: int, event: object) -> None:
            raise RuntimeError

    with workspace_of(tmp_path, {"a": gives(x="1")}) as workspace:
        handle = workspace.start_run(flow(task("a", writes=("x",))), CaptureSet(), observers=[Broken()])
        assert handle.wait(30)
        assert handle.snapshot().run.state is RunState.SUCCESS


class Remembers:
    """An observer that keeps what it is told."""

    def __init__(self, when_queued: Callable[[], object] = lambda: None) -> None:
        self.told: list[tuple[str, int]] = []
        self._when_queued = when_queued

    def changed(self, changes: Sequence[Change]) -> None:
        self.told += [(change.after, change.cursor) for change in changes]
        if any(change.after == "queued" for change in changes):
            self._when_queued()

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        pass


def test_an_attempt_does_not_wait_for_the_observers_of_its_hand_over(tmp_path: Path) -> None:
    running = threading.Event()

    def runs(job: Job) -> Report:
        running.set()
        return gives()(job)

    began: list[bool] = []
    observer = Remembers(lambda: began.append(running.wait(30)))
    with workspace_of(tmp_path, {"a": runs}) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet(), observers=[observer])
        assert handle.wait(30)
        assert began == [True]
        assert observer.told == [(change.after, change.cursor) for change in workspace.store.changes(handle.run_id)]


def test_what_was_recorded_is_told_also_where_the_hand_over_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(_jobs: object) -> None:
        raise SetupError("the cluster is gone")

    observer = Remembers()
    with workspace_of(tmp_path, {}) as workspace:
        monkeypatch.setattr(workspace.executor, "submit", submit)
        handle = workspace.start_run(flow(task("a")), CaptureSet(), observers=[observer])
        with pytest.raises(SetupError, match="the cluster is gone"):
            handle.wait(30)
        assert [after for after, _ in observer.told] == ["running", "scheduled", "queued"]


def test_who_waits_is_woken_when_it_has_come_so_far_and_not_before(tmp_path: Path) -> None:
    looked: list[str] = []
    may_end = threading.Event()

    def last(job: Job) -> Report:
        may_end.wait(30)
        return gives()(job)

    with workspace_of(tmp_path, {"a": gives(), "b": last}) as workspace:
        handle = workspace.start_run(flow(task("a"), task("b")), CaptureSet())

        def come() -> bool:
            looked.append(threading.current_thread().name)
            return handle.is_over

        waiting = threading.Thread(target=lambda: handle._watchers.wait(come, 30), name="waits")
        waiting.start()
        assert handle.wait_for([TaskId("a")], 30)
        assert not handle.wait(0)
        may_end.set()
        waiting.join(30)
        assert not waiting.is_alive()
        assert looked.count("waits") == 1  # before it waits; after that the driver looks for it


def test_a_subset_takes_its_inputs_from_the_last_run(tmp_path: Path) -> None:
    seen: list[Job] = []
    chain = flow(task("a", writes=("x",)), task("b", Read(name="x", writers=(TaskId("a"),))))
    with workspace_of(tmp_path, {"a": gives(x="1"), "b": gives()}, seen) as workspace:
        workspace.start_run(chain, CaptureSet()).wait(30)
        handle = workspace.start_run(chain, CaptureSet(), tasks=[TaskId("b")])
        handle.wait(30)
        assert states(handle) == {"b": "success"}
        assert seen[-1].inputs == {"x": value("1")}


def test_a_name_nobody_gave_comes_with_the_sentence_to_raise(tmp_path: Path) -> None:
    seen: list[Job] = []
    chain = flow(task("a", writes=("x",)), task("b", Read(name="x", writers=(TaskId("a"),)), trigger_rule=TriggerRule.ALL_DONE))
    with workspace_of(tmp_path, {"a": lambda job: ended(job, Outcome.SKIPPED), "b": gives()}, seen) as workspace:
        workspace.start_run(chain, CaptureSet()).wait(30)
        assert seen[-1].unbound == {"x": "`x` would come from a (skipped)"}


def test_a_run_whose_process_died_is_ended_with_the_reason(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {}) as workspace:
        from nbflow.core.records import RunRecord, TaskRecord

        version = workspace.store.save_flow(flow(task("a")))
        old = datetime.now(UTC) - timedelta(hours=1)
        run = RunRecord(
            run_id="r", flow=FlowName("f"), version=version, state=RunState.RUNNING, created_at=old, started_at=old, trigger="live"
        )
        workspace.store.create_run(run, [TaskRecord(key=TaskKey(TaskId("a")))])
        assert workspace.reap() == ("r",)
        ended_run = workspace.run("r")
        assert (ended_run.state, "kernel" in ended_run.reason) == (RunState.FAILED, True)


def test_outputs_of_an_attempt_can_be_read_later(tmp_path: Path) -> None:
    printed = {"output_type": "stream", "name": "stdout", "text": "hello\n"}

    def prints(job: Job) -> Report:
        return ended(job, outputs=OutputsRef(inline=(printed,), size=10))

    with workspace_of(tmp_path, {"a": prints}) as workspace:
        handle = workspace.start_run(flow(task("a")), CaptureSet())
        handle.wait(30)
        assert workspace.logs(handle.run_id, "a") == [printed]


def test_live_outputs_reach_the_observers_of_their_task(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []

    class Listener:
        def changed(self, changes: object) -> None:
            """Only outputs matter here."""

        def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
            heard.append((str(key), type(event).__name__))

    def run_job(job: Job, tell: Callable[[ExecutorEvent], None]) -> Report:
        tell(AttemptBegan(token=job.token, at=datetime.now(UTC), worker="here"))
        tell(OutputMade(token=job.token, output={"output_type": "stream", "name": "stdout", "text": "x"}))
        return ended(job)

    clock = SystemClock()
    rooms = Rooms(store=MemoryStore(clock), artifacts=open_artifacts(str(tmp_path)), executor=InlineExecutor(run_job), clock=clock)
    workspace = Workspace(Settings(home=tmp_path), rooms)
    handle = workspace.start_run(flow(task("a")), CaptureSet(), observers=[Listener()])
    handle.wait(30)
    workspace.close()
    assert ("a", "OutputMade") in heard
    assert heard[-1] == ("a", "Report")
