# SPDX-License-Identifier: BSD-3-Clause
"""A driver that was stopped while another took over, as in a laptop that slept: what it still writes is refused. With real processes, over both databases."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Connection, text

from nbflow.app import Workspace
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Edge, Flow, Task
from nbflow.core.states import RunState
from nbflow.settings import Settings
from nbflow.store.opening import open_store

pytest_plugins = ["tests.unit.store.databases"]

LEASE = 1.0
PATIENCE = 120.0
DRIVER = """
import sys
from nbflow.app import Workspace
from nbflow.core.errors import Superseded
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Edge, Flow, Task
body = '''
import pathlib, time
from nbflow import ctx
folder = pathlib.Path({folder!r})
(folder / f"began-{{ctx.attempt}}").touch()
while not (folder / "go").exists():
    time.sleep(0.01)
x = ctx.attempt
'''.format(folder=sys.argv[1])
tasks = (Task(id=TaskId("a"), source=body, writes=("x",), demands=("x",)), Task(id=TaskId("b"), source="y = 1", writes=("y",)))
flow = Flow(name=FlowName("f"), tasks=tasks, edges=(Edge(upstream=TaskId("a"), downstream=TaskId("b")),))
try:
    Workspace.open().start_run(flow, CaptureSet()).wait()
except Superseded as refused:
    open(sys.argv[1] + "/said", "w").write(str(refused))  # an attempt that still runs inline has the process's stderr
    sys.exit(1)
"""


def until(is_there: Callable[[], object]) -> None:
    limit = time.monotonic() + PATIENCE
    while not is_there():
        assert time.monotonic() < limit
        time.sleep(0.01)


def put_to_sleep(process: subprocess.Popen[bytes], database_url: str) -> None:
    """Between two of its transactions: SQLite's lock of one that it was amid would be kept from everybody while it sleeps."""
    while True:
        process.send_signal(signal.SIGSTOP)
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        if not database_url.startswith("sqlite") or is_free(database_url.removeprefix("sqlite:///")):
            return
        process.send_signal(signal.SIGCONT)
        until(lambda: is_free(database_url.removeprefix("sqlite:///")))


def is_free(file: str) -> bool:
    with closing(sqlite3.connect(file, timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.rollback()
        return True


def test_a_driver_that_slept_while_another_took_over_writes_nothing_more(database_url: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", database_url=database_url, dask="inline", lease=LEASE)
    environment = {
        **os.environ,
        "NBFLOW_HOME": str(settings.home),
        "NBFLOW_DATABASE_URL": database_url,
        "NBFLOW_DASK": "inline",
        "NBFLOW_LEASE": str(LEASE),
    }
    with closing(Workspace(settings)) as workspace:
        sleeper = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], env=environment)
        until((tmp_path / "began-1").exists)
        put_to_sleep(sleeper, database_url)
        (run,) = workspace.find_runs().runs
        until(lambda: not workspace.store.holder(run.run_id))
        other = workspace.resume_run(run.run_id)
        until((tmp_path / "began-2").exists)
        (tmp_path / "go").touch()
        assert other.wait(PATIENCE)
        ended = workspace.snapshot(run.run_id)
        assert ended.run.state is RunState.SUCCESS
        changes = workspace.store.changes(run.run_id)

        sleeper.send_signal(signal.SIGCONT)
        assert sleeper.wait(PATIENCE) == 1
        said = (tmp_path / "said").read_text(encoding="utf-8")
        assert said.endswith("(lease 1 is over): nothing was written, and this driver stops.")
        assert workspace.store.changes(run.run_id) == changes
        assert workspace.snapshot(run.run_id) == ended
        assert workspace.given(run.run_id, "a")["x"].shown == "2"
        outcomes = [(str(one.key), one.attempt, one.outcome) for one in workspace.attempts(run.run_id)]
        assert outcomes == [("a", 1, "lost"), ("a", 2, "success"), ("b", 1, "success")]


def test_a_driver_whose_transaction_was_ended_while_it_slept_goes_on(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Amid the commit of its first success. Nobody has taken over."""
    with closing(Workspace(Settings(home=tmp_path / "home", database_url=postgresql_url, dask="inline"))) as workspace:
        other, put, slept = open_store(postgresql_url), workspace.store._runs.put_tasks, []

        def put_tasks(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
            if not slept and any(row["state"] == "success" for row in rows):
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '100ms'"))
                slept.append(other.claim(rows[0]["run_id"], "other", 60))  # waits for the lease, which the sleeper has locked
            put(connection, rows)

        monkeypatch.setattr(workspace.store._runs, "put_tasks", put_tasks)
        flow = Flow(
            name=FlowName("f"),
            tasks=(
                Task(id=TaskId("a"), source="x = 1", writes=("x",), demands=("x",)),
                Task(id=TaskId("b"), source="y = 1", writes=("y",)),
            ),
            edges=(Edge(upstream=TaskId("a"), downstream=TaskId("b")),),
        )
        run = workspace.start_run(flow, CaptureSet())
        assert run.wait(PATIENCE)
        assert slept == [None]
        assert workspace.snapshot(run.run_id).run.state is RunState.SUCCESS
        ends = [str(change.key) for change in workspace.store.changes(run.run_id) if change.key and change.after == "success"]
        assert ends == ["a", "b"]
        outcomes = [(str(one.key), one.attempt, one.outcome) for one in workspace.attempts(run.run_id)]
        assert outcomes == [("a", 1, "success"), ("b", 1, "success")]
        other.close()
