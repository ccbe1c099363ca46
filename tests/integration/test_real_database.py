# SPDX-License-Identifier: BSD-3-Clause
"""Runs over a real PostgreSQL: driven side by side, and through connections that break."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from nbflow.app import Workspace
from nbflow.core.errors import NbflowError, SetupError
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Edge, Flow, Task
from nbflow.core.records import Change
from nbflow.core.snapshot import RunSnapshot, fold
from nbflow.core.states import RunState, TaskState
from nbflow.executors.local import LocalExecutor
from nbflow.settings import Settings

pytest_plugins = ["tests.unit.store.databases"]


@pytest.fixture
def settings(postgresql_url: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", database_url=postgresql_url, dask="inline")


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    opened = Workspace.open(settings)
    yield opened
    opened.close()


def chain(*sources: str, name: str = "chain") -> Flow:
    """Tasks one after the other."""
    ids = [TaskId(f"t{number}") for number in range(len(sources))]
    tasks = tuple(Task(id=id, operator="cell", source=source) for id, source in zip(ids, sources, strict=True))
    return Flow(name=FlowName(name), tasks=tasks, edges=tuple(Edge(upstream=one, downstream=other) for one, other in pairwise(ids)))


def break_connections(url: str) -> int:
    """End every other session of the server, as a restart or an impatient administrator does. Returns when they have ended."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        ).all()
    engine.dispose()
    return len(found)


class Breaker:
    """Breaks all connections each time a task has begun."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.broken = 0

    def changed(self, changes: Sequence[Change]) -> None:
        if any(change.after == TaskState.RUNNING for change in changes if change.key is not None):
            self.broken += break_connections(self._url)

    def said(self, *_: object) -> None:
        pass


def until_free(workspace: Workspace, run_id: str) -> None:
    """A driver that could not give its lease back has lost it a second later."""
    pause, limit = threading.Event(), time.monotonic() + 120
    while workspace.store.holder(run_id):
        assert time.monotonic() < limit
        workspace.reap()
        pause.wait(0.05)


def folded(workspace: Workspace, run_id: str) -> Mapping[object, TaskState]:
    """The states, from the change log alone."""
    run = workspace.store.run(run_id)
    empty = RunSnapshot.of(run, ())
    return {key: record.state for key, record in fold(empty, workspace.store.changes(run_id)).tasks.items()}


def test_two_drivers_drive_different_runs_of_one_database_at_once(settings: Settings, tmp_path: Path) -> None:
    workspaces = [Workspace.open(settings) for _ in range(2)]
    meet = f"import os, time\nopen({str(tmp_path)!r} + '/%s', 'w').close()\nwhile len(os.listdir({str(tmp_path / 'here')!r})) < 2: time.sleep(0.01)"
    (tmp_path / "here").mkdir()
    executors = [LocalExecutor(1), LocalExecutor(1)]
    handles = [
        workspace.start_run(chain(meet % f"here/{number}", "y = 1", name=f"flow{number}"), CaptureSet(), executor=executors[number])
        for number, workspace in enumerate(workspaces)
    ]
    assert all(handle.wait(60) for handle in handles)
    assert [handle.snapshot().run.state for handle in handles] == [RunState.SUCCESS, RunState.SUCCESS]
    assert {run.flow for run in workspaces[0].find_runs().runs} == {"flow0", "flow1"}
    for workspace, executor in zip(workspaces, executors, strict=True):
        workspace.close()
        executor.close()


def test_a_run_goes_on_when_its_idle_connections_are_broken(workspace: Workspace, settings: Settings) -> None:
    breaker = Breaker(settings.database_url)
    handle = workspace.start_run(chain("a = 1", "b = 2", "c = 3"), CaptureSet(), observers=[breaker])
    assert handle.wait(60)
    assert breaker.broken >= 3
    assert handle.snapshot().run.state is RunState.SUCCESS
    recorded = {record.key: record.state for record in workspace.store.task_records(handle.run_id)}
    assert folded(workspace, handle.run_id) == recorded
    assert set(recorded.values()) == {TaskState.SUCCESS}


def test_connections_broken_at_any_instant_leave_a_run_that_ended_or_goes_on(settings: Settings) -> None:
    settings = replace(settings, lease=1.0)
    workspace = Workspace.open(settings)
    stop = threading.Event()

    def keep_breaking() -> None:
        while not stop.wait(0.02):
            break_connections(settings.database_url)

    thread = threading.Thread(target=keep_breaking)
    thread.start()
    reason = ""
    try:
        handle = workspace.start_run(chain(*["x = 1"] * 20), CaptureSet())
        handle.wait(60)
    except NbflowError as error:
        reason = str(error)
    finally:
        stop.set()
        thread.join()
    workspace.close()
    assert not reason or (reason.startswith("PostgreSQL cannot be reached at postgresql") and "\n" not in reason)
    after = Workspace.open(settings)
    for run in after.find_runs().runs:
        run_id = run.run_id
        recorded = {record.key: record.state for record in after.store.task_records(run_id)}
        assert folded(after, run_id) == {key: state for key, state in recorded.items() if key in folded(after, run_id)}
        if not run.state.is_finished or run.state is RunState.FAILED:
            until_free(after, run_id)
            handle = after.resume_run(run_id)
            assert handle.wait(60)
        assert after.store.run(run_id).state is RunState.SUCCESS
    after.close()


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    url = "postgresql://someone:hidden@127.0.0.1:1/history"
    with pytest.raises(SetupError) as caught:
        Workspace.open(Settings(home=tmp_path, database_url=url, dask="inline"))
    assert str(caught.value).startswith("PostgreSQL cannot be reached at postgresql+psycopg://someone:***@127.0.0.1:1/history: start it")
    assert "hidden" not in str(caught.value)


def test_a_missing_driver_is_one_sentence(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SetupError, match=r"^PostgreSQL needs the package psycopg: pip install .+\.$"):
        Workspace.open(settings)
