# SPDX-License-Identifier: BSD-3-Clause
"""Sensors, deferral and approvals through a real driver: what waits holds no worker, and is one attempt with one row of history."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nbflow import UserError, flow, task
from nbflow.app import Workspace
from nbflow.core.states import TaskState
from nbflow.pytest_plugin import nbflow_workspace  # noqa: F401 - the fixture, also where nbflow was installed before it had one
from nbflow.sensors import file_sensor, http_sensor, run_sensor, sql_sensor, time_sensor


@pytest.fixture
def workspace(nbflow_workspace: Workspace) -> Workspace:  # noqa: F811 - the fixture above
    return nbflow_workspace


@task
def shows(value: Any) -> Any:
    return value


def until(workspace: Workspace, run_id: str, name: str, *states: TaskState) -> None:
    """Wait until the task has come to one of these states."""
    for changes in workspace.follow(run_id, pause=0.01):
        if any(change.key is not None and change.key.task_id == name and change.after in states for change in changes):
            return


# --- sensors ------------------------------------------------------------------------------------------------------------


@task(as_="sensor", poke="0.01s", timeout="10m")
def there(path: str) -> bool:
    print("looking")  # noqa: T201 - what a log is made of
    seen = Path(path)
    seen.write_text(f"{seen.read_text() if seen.exists() else ''}x", encoding="utf-8")
    return len(seen.read_text(encoding="utf-8")) >= 3


def test_a_sensor_looks_until_it_is_there_in_one_attempt_and_one_row(workspace: Workspace, tmp_path: Path) -> None:
    @flow
    def waits():
        there(str(tmp_path / "looks")) >> shows("done")

    run = waits.run()
    assert run.state == "success"
    assert (tmp_path / "looks").read_text(encoding="utf-8") == "xxx"
    (row,) = workspace.attempts(run.run_id, "there")
    assert (row.attempt, row.outcome) == (1, "success")
    states = [
        change.after for changes in workspace.follow(run.run_id) for change in changes if change.key and change.key.task_id == "there"
    ]
    assert states.count("up_for_reschedule") == 2


def test_files_are_waited_for_by_path_pattern_and_url(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()

    @flow
    def waits():
        shows.override(task_id="one")(file_sensor(str(tmp_path / "a.csv")))
        shows.override(task_id="many")(file_sensor(f"file://{tmp_path}/*.csv"))
        file_sensor(str(tmp_path / "{{ ds }}.csv"), task_id="late", poke="0.01s", timeout="0.05s", soft_fail=True)

    run = waits.run()
    assert run.task("one").result() == [str(tmp_path / "a.csv")]
    assert run.task("many").result() == [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    assert run.task("late").state == "skipped"
    assert run.task("late").reason.startswith("Skipped: it was not there after ")


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        self.send_response(200 if self.server.asked > 1 else 404)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(b"ready")

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.asked = 0  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_addresses_and_databases_are_waited_for(workspace: Workspace, tmp_path: Path) -> None:
    database = tmp_path / "sales.db"
    with sqlite3.connect(database) as connection:
        connection.execute("create table orders (n integer)")
        connection.execute("insert into orders values (3)")
    connection.close()

    with serving() as address:

        @flow
        def waits():
            shows.override(task_id="text")(http_sensor(address, poke="0.01s"))
            shows.override(task_id="rows")(sql_sensor(f"sqlite:///{database}", "select sum(n) from orders"))
            sql_sensor(f"sqlite:///{database}", "select 1 where 1 = 0", task_id="none", poke="0.01s", timeout="0.03s", soft_fail=True)

        run = waits.run()
    assert run.task("text").result() == "ready"
    assert run.task("rows").result() == 3
    assert run.task("none").state == "skipped"


# --- deferral -----------------------------------------------------------------------------------------------------------


def test_a_time_of_day_and_another_run_are_waited_for_without_a_worker(workspace: Workspace) -> None:
    @flow
    def upstream():
        shows(1)

    @flow
    def waits():
        time_sensor("00:00", task_id="passed") >> shows("x")
        shows.override(task_id="found")(run_sensor("upstream", "shows"))

    handle = waits.submit()
    until(workspace, handle.run_id, "wait_for_run", TaskState.DEFERRED)
    assert workspace.reason_of(handle.run_id, "wait_for_run") == "Waits for task shows of the latest run of upstream."
    other = upstream.run()
    handle.wait()
    assert handle.task("found").result() == other.run_id
    (row,) = workspace.attempts(handle.run_id, "wait_for_run")
    assert (row.attempt, row.outcome) == (1, "success")


def test_a_run_that_ended_badly_fails_who_waits_for_it(workspace: Workspace) -> None:
    @task
    def breaks() -> None:
        raise ValueError("broken")

    @flow
    def upstream():
        breaks()

    @flow
    def waits():
        run_sensor("upstream")

    other = upstream.submit()
    other.wait()
    run = waits.submit()
    run.wait()
    assert run.task("wait_for_run").reason == f"Failed: run {other.run_id} of upstream ended failed."


# --- approvals ----------------------------------------------------------------------------------------------------------


@task(as_="approval")
def ask(rows: int) -> str:
    print("about to publish")  # noqa: T201 - as above
    return f"Publish {rows} rows?"


@flow
def publishing():
    shows(ask(3))


def test_an_answer_is_given_once_and_who_gave_it_is_recorded(workspace: Workspace) -> None:
    handle = publishing.submit()
    until(workspace, handle.run_id, "ask", TaskState.AWAITING_INPUT)
    assert workspace.reason_of(handle.run_id, "ask") == "Waits for an answer: Publish 3 rows? (yes or no)"
    assert "about to publish" in str(workspace.logs(handle.run_id, "ask"))
    with pytest.raises(UserError, match=r'"perhaps" is no answer to ask: it takes yes or no\.'):
        workspace.answer(handle.run_id, "ask", "perhaps")
    with pytest.raises(UserError, match=r"shows of run .* asks nothing now: it is pending\."):
        workspace.answer(handle.run_id, "shows", "yes")
    assert workspace.answer(handle.run_id, "ask", "Y", by="ann") == "yes"
    with pytest.raises(UserError, match=r"ask of run .* was answered yes by ann already: an approval is answered once\."):
        workspace.answer(handle.run_id, "ask", "no", by="bob")
    handle.wait()
    assert handle.state == "success"
    assert handle.task("ask").reason == "Answered yes by ann."
    assert handle.task("shows").result() == "yes"
    with pytest.raises(UserError, match="was answered yes by ann already"):
        workspace.answer(handle.run_id, "ask", "no", by="bob")
    (row,) = workspace.attempts(handle.run_id, "ask")
    assert (row.attempt, row.outcome) == (1, "success")
    assert "about to publish" in handle.logs("ask")


def test_without_an_answer_the_default_applies(workspace: Workspace) -> None:
    @flow
    def publishing_by_default():
        ask.override(timeout="0.05s", default="no")(3) >> shows("published")

    run = publishing_by_default.run()
    assert run.task("ask").reason == "Answered no by default."
    assert run.task("shows").reason == "Skipped: ask was answered no by default."


def test_a_cancelled_approval_closes_its_row(workspace: Workspace) -> None:
    handle = publishing.submit()
    until(workspace, handle.run_id, "ask", TaskState.AWAITING_INPUT)
    assert workspace.attempts(handle.run_id, "ask")[0].outcome == "running"
    workspace.cancel(handle.run_id)
    assert handle.wait(120)
    assert workspace.attempts(handle.run_id, "ask")[0].outcome == "cancelled"


# --- short circuits, setups ---------------------------------------------------------------------------------------------


@task(as_="short_circuit")
def goes_on(value: bool) -> bool:  # noqa: FBT001 - what it is asked
    return value


def test_setups_and_teardowns_of_a_flow_in_python(workspace: Workspace) -> None:
    @flow
    def scoped():
        made = shows.override(task_id="make")("cluster")
        with_it = shows.override(task_id="work")(made)
        gone = shows.override(task_id="drop")("gone")
        with_it >> gone.as_teardown(setups=made)
        goes_on(value=False) >> shows.override(task_id="never")(1)

    run = scoped.run()
    states = {name: run.task(name).state for name in ("make", "work", "drop", "goes_on", "never")}
    assert states == {"make": "success", "work": "success", "drop": "success", "goes_on": "success", "never": "skipped"}
