# SPDX-License-Identifier: BSD-3-Clause
"""The run of a notebook that is cancelled while it is being started, and its teardowns: over the memory store and bodies written here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow.app import Workspace
from nbflow.core.hosting import Advance, Advanced
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Edge, Flow
from nbflow.core.options import TaskKind, TriggerRule
from nbflow.core.states import RunState
from nbflow.headless.host import HostedRun, WorkspaceHost
from nbflow.operators.notebook_host import Ending, EndKind, NotebookInfo, RunInfo
from tests.unit.engine.test_driver import flow, gives, task, workspace_of

ONE = flow(task("a"))
SCOPE = Flow(
    name=FlowName("f"),
    tasks=(
        task("up", writes=("x",), as_=TaskKind.SETUP),
        task("a"),
        task("down", as_=TaskKind.TEARDOWN, trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS),
    ),
    edges=tuple(Edge(upstream=TaskId(a), downstream=TaskId(b)) for a, b in (("up", "a"), ("a", "down"), ("up", "down"))),
)
INTERRUPTED = Ending(kind=EndKind.INTERRUPTED, reason="Interrupted.")


@pytest.fixture
def runs() -> threading.Event:
    """Set when `a` runs, which goes on until it is cancelled."""
    return threading.Event()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: threading.Event) -> Iterator[Workspace]:
    def for_ever(_: Any) -> Any:
        runs.set()
        while True:  # and takes no lock: it may be interrupted anywhere
            time.sleep(0.01)

    with workspace_of(tmp_path, {"up": gives(x="1"), "a": for_ever, "down": gives()}) as workspace:
        monkeypatch.setattr(workspace, "problems", lambda _: ())
        monkeypatch.setattr(workspace, "load_flow", lambda _: ONE)
        yield workspace


@pytest.fixture
def hosted(workspace: Workspace) -> HostedRun:
    info = NotebookInfo(path="f.ipynb", output="", working_dir=".", kernel_name="python3")
    return WorkspaceHost(workspace, trigger="manual").begin(info, lambda _: None)


def advance(hosted: HostedRun, flow: Flow, *tasks: str) -> Advanced:
    """As far as these tasks; without any, to the end."""
    names = tuple(map(TaskId, tasks)) or tuple(task.id for task in flow.tasks)
    return hosted.advance(Advance(flow=flow, captures=CaptureSet(), tasks=names, final=not tasks), lambda _: None)


def states(found: RunInfo | None) -> dict[str, str]:
    assert found is not None
    return {"run": found.state, **{name: one.state for name, one in found.tasks.items()}}


class Wanted:
    """A lock of which it is known that somebody waits for it."""

    def __init__(self, wanted: threading.Event) -> None:
        self._lock, self._wanted = threading.Lock(), wanted

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._wanted.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("how", ["cancel", "finish"])
def test_a_run_that_is_just_being_started_is_cancelled_and_no_second_one_is_made(
    workspace: Workspace, hosted: HostedRun, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    came = threading.Event()

    def end() -> None:
        hosted.cancel() if how == "cancel" else hosted.finish(INTERRUPTED)
        came.set()

    ending, start_run = threading.Thread(target=end), workspace.start_run

    def start(*given: Any, **more: Any) -> Any:
        if ending.ident is None:
            ending.start()
            assert came.wait(60)
        return start_run(*given, **more)

    monkeypatch.setattr(hosted, "_lock", Wanted(came))
    monkeypatch.setattr(workspace, "start_run", start)
    assert advance(hosted, ONE).state is RunState.CANCELLED
    ending.join()
    hosted.finish(INTERRUPTED)
    assert [run.state for run in workspace.find_runs().runs] == [RunState.CANCELLED]


def test_a_cancel_that_overtook_what_was_asked_for_is_not_lost(hosted: HostedRun) -> None:
    hosted.cancel()
    assert advance(hosted, ONE).state is RunState.CANCELLED


def test_a_cancel_before_anything_was_asked_for_is_recorded(hosted: HostedRun) -> None:
    hosted.cancel()
    assert states(hosted.finish(INTERRUPTED)) == {"run": "cancelled", "a": "cancelled"}


def test_a_run_is_cancelled_once_and_keeps_its_teardowns(hosted: HostedRun, runs: threading.Event) -> None:
    asking = threading.Thread(target=advance, args=(hosted, SCOPE))
    asking.start()
    assert runs.wait(60)
    hosted.cancel()
    hosted.cancel()
    found = hosted.finish(INTERRUPTED)
    asking.join()
    assert states(found) == {"run": "cancelled", "up": "success", "a": "cancelled", "down": "success"}


def test_a_teardown_whose_cell_was_never_executed_is_not_waited_for(hosted: HostedRun) -> None:
    advance(hosted, SCOPE, "up")
    hosted.cancel()
    assert states(hosted.finish(INTERRUPTED)) == {"run": "cancelled", "up": "success", "a": "cancelled", "down": "cancelled"}
