# SPDX-License-Identifier: BSD-3-Clause
"""Processes that cannot become the host of a run: the run ends, with what is in the way of them; a database that is away is not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbflow.app import Workspace
from nbflow.app.deploying import deploy, trigger
from nbflow.core.errors import StoreError
from nbflow.core.ids import RunId
from nbflow.core.records import RunRecord
from nbflow.executors.notebooks import why_not
from nbflow.headless import hosts
from nbflow.headless.hosts import HostProcess, host_here, settings_as_json
from nbflow.headless.scheduling import SchedulerProcess
from nbflow.scheduler.loop import MOST_HOSTS
from nbflow.settings import Settings


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    workspace = Workspace(Settings(home=tmp_path / "home", dask="inline"))
    yield workspace
    workspace.close()


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """The Python of hosts becomes a script."""

    def becomes(script: str) -> Path:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))
        return path

    return becomes


def asked(workspace: Workspace, folder: Path) -> RunRecord:
    """A run that waits for a scheduler."""
    path = folder / "hosted.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%task a\nx = 1")]), path)
    deploy(workspace, path)
    return trigger(workspace, "hosted")


def why(settings: Settings) -> str:
    """What a host that ends says of the run it was asked for."""
    told: Future[str] = Future()
    process = HostProcess(settings, lambda _, why: told.set_result(why))
    process.host(RunId("r"), "scheduler")
    said = told.result(60)
    process.close()
    assert process.room() == hosts.HOSTED
    return said


def test_a_python_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    expected = f"The process that was to host it cannot be started ({tmp_path / 'gone'}: No such file or directory)."
    assert why(Settings(home=tmp_path)) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 3", "exit 3; see the log of the scheduler"),
        ('echo 7; echo \'{"failed": "ModuleNotFoundError: no papermill"}\'; exit 1', "ModuleNotFoundError: no papermill"),
    ],
)
def test_a_host_that_ends_at_once_is_told(tmp_path: Path, python: Callable[[str], Path], script: str, expected: str) -> None:
    python(script)
    assert why(Settings(home=tmp_path)) == f"The process that was to host it ended ({expected})."


def test_a_real_host_says_itself_why_it_can_host_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "settings_as_json", lambda _: {"home": str(tmp_path), "nonsense": 1})
    assert "ended (TypeError: " in why(Settings(home=tmp_path))


def test_a_run_without_any_host_ends_failed_with_the_reason_and_its_scheduler_lives(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = asked(workspace, tmp_path)
    process = SchedulerProcess(workspace)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    monkeypatch.setattr("nbflow.scheduler.loop._LONGEST_WAIT", 0.0)
    process.scheduler.take(workspace.clock.now())
    assert workspace.store.run(run.run_id).hosts == 1
    for _ in range(MOST_HOSTS):
        process.scheduler.take_orphans()
    ended = workspace.store.run(run.run_id)
    assert ended.state.value == "failed"
    assert ended.reason.startswith(f"Nobody could host this run in {MOST_HOSTS} tries. The process that was to host it cannot be started (")


def test_what_a_process_cannot_host_is_told_but_not_that_the_database_was_away(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = asked(workspace, tmp_path)
    settings: dict[str, Any] = settings_as_json(workspace.settings)
    assert host_here(settings, "nobody", "scheduler").startswith('There is no run "nobody"')
    for error, said in ((StoreError("The database is away."), ""), (ValueError("odd"), "ValueError: odd")):

        def fails(*_: object, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("nbflow.headless.deployed.host_run", fails)
            assert host_here(settings, run.run_id, "scheduler") == said


class Ended:
    """A future of Dask, as its callbacks see it."""

    def __init__(self, status: str, value: Any = None) -> None:
        self.status, self._value = status, value

    def result(self) -> Any:
        return self._value

    def exception(self) -> Any:
        return self._value


@pytest.mark.parametrize(
    ("future", "said"),
    [
        (Ended("finished", ""), ""),
        (Ended("finished", "No."), "No."),
        (
            Ended("error", ImportError("No module named 'nbflow'")),
            "No worker of the cluster can do it: ImportError: No module named 'nbflow'.",
        ),
        (Ended("error", MemoryError()), "No worker of the cluster can do it: MemoryError."),
        (Ended("cancelled"), ""),
    ],
)
def test_what_became_of_a_host_on_a_worker(future: Ended, said: str) -> None:
    assert why_not(future) == said
