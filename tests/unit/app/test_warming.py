# SPDX-License-Identifier: BSD-3-Clause
"""What is opened in the background, before anybody needs it, is not opened after everybody has gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from nbflow.app import Workspace
from nbflow.app.rooms import Rooms
from nbflow.core.job import ExecutorEvent
from nbflow.executors.inline import InlineExecutor
from nbflow.notebook.runs import LiveHost
from nbflow.settings import Settings
from nbflow.store.artifacts import open_artifacts
from nbflow.store.memory import MemoryStore
from nbflow.testing import FakeClock
from tests.unit.executors.runner import run_job


def warmed(warm: Callable[[], None]) -> None:
    """Returns when the thread that this begins has ended."""
    before = set(threading.enumerate())
    warm()
    for thread in set(threading.enumerate()) - before:
        if thread.name == "nbflow-warm":
            thread.join()


class Executor(InlineExecutor):
    def __init__(self) -> None:
        super().__init__(lambda job, tell: run_job(job, None, tell))
        self.told: list[str] = []

    def start(self, tell: Callable[[ExecutorEvent], None]) -> None:
        self.told.append("start")
        super().start(tell)

    def close(self) -> None:
        self.told.append("close")
        super().close()


def rooms(executor: Executor, folder: Path) -> Rooms:
    clock = FakeClock()
    return Rooms(store=MemoryStore(clock), artifacts=open_artifacts(str(folder)), executor=executor, clock=clock)


def test_a_workspace_that_is_closed_before_its_cluster_is_connected_connects_with_none(tmp_path: Path):
    executor = Executor()
    workspace = Workspace(Settings(home=tmp_path), rooms(executor, tmp_path))
    workspace.close()
    warmed(workspace.warm)
    assert executor.told == []


def test_one_that_is_open_is_connected(tmp_path: Path):
    executor = Executor()
    workspace = Workspace(Settings(home=tmp_path), rooms(executor, tmp_path))
    warmed(workspace.warm)
    workspace.close()
    assert executor.told == ["start", "close"]


def test_a_kernel_whose_notebook_is_unloaded_opens_no_home_again():
    opened: list[str] = []

    class Opened:
        def warm(self) -> None:
            opened.append("warm")

        def close(self) -> None:
            opened.append("close")

    host = LiveHost(Opened)
    warmed(host.warm)
    host.close()
    warmed(host.warm)
    assert opened == ["warm", "close"]
