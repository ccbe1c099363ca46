# SPDX-License-Identifier: BSD-3-Clause
"""A panel that follows a run: one of this process, one of another, one of last week; and what stands in it when something is in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.errors import SetupError
from nbflow.core.ids import FlowName, RunId
from nbflow.core.job import CaptureSet, ErrorInfo, Outcome, OutputMade, OutputsRef, ProgressMade
from nbflow.core.model import Flow, Read
from nbflow.core.records import RunRecord
from nbflow.widgets import FlowPanel
from nbflow.widgets.following import _label
from tests.unit.engine.test_driver import ended, flow, gives, next_of, task, value, workspace_of
from tests.unit.widgets.seen import Seen

pytestmark = pytest.mark.usefixtures("built")
CHAIN = flow(task("a", writes=("x",)), task("b", Read(name="x", writers=("a",)), writes=("y",)))


def stream(text: str) -> dict[str, str]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def fails_with_words(job: Any) -> Any:
    error = ErrorInfo(ename="KeyError", evalue="'temp_c'", line=4, traceback=("KeyError", "line 4", "KeyError: 'temp_c'"))
    return ended(job, Outcome.FAILED, error=error, outputs=OutputsRef(inline=(stream("before\n"),), size=7))


@pytest.fixture
def panels() -> Iterator[list[FlowPanel]]:
    made: list[FlowPanel] = []
    yield made
    for one in made:
        one.close()


def test_a_run_is_followed_by_the_store_alone_and_its_failure_is_told(tmp_path: Path, panels: list[FlowPanel]) -> None:
    go_on = threading.Event()

    def waits(job: Any) -> Any:
        assert go_on.wait(60)
        return ended(job, values={"x": value("1")})

    with workspace_of(tmp_path, {"a": waits, "b": fails_with_words}) as workspace:
        handle = workspace.start_run(CHAIN, CaptureSet())
        panels.append(FlowPanel(flow="f", workspace=workspace))
        seen = Seen(panels[0])
        seen.until_state(a="running", b="pending")
        seen.until(lambda panel: panel.graph["tasks"][1]["reason"] == "Waiting for a.")
        go_on.set()
        handle.wait(60)
        seen.until_state(a="success", b="failed")
        seen.until(lambda panel: panel.selected == "b" and panel.log)
        assert [entry["text"] for entry in panels[0].log] == ["before", "KeyError", "line 4", "KeyError: 'temp_c'"]
        assert panels[0].log_title.startswith("log, attempt 1")
        seen.until(lambda panel: panel.run["state"] == "failed")
        seen.until(lambda panel: panel.runs[0]["label"].endswith("failed"))
        assert panels[0].can == ["cancel", "retry"]


def test_a_panel_by_itself_retries_a_run_and_follows_a_newer_one(tmp_path: Path, panels: list[FlowPanel]) -> None:
    bodies = {"a": gives(x="1"), "b": next_of(iter([fails_with_words, gives(y="2"), gives(y="3")]))}
    with workspace_of(tmp_path, bodies) as workspace:
        first = workspace.start_run(CHAIN, CaptureSet())
        first.wait(60)
        panels.append(FlowPanel(run=first.run_id, workspace=workspace))
        seen = Seen(panels[0])
        seen.until_state(a="success", b="failed")
        panels[0]._handle_custom_msg({"kind": "retry", "tasks": ["b"]}, [])
        seen.until_state(a="success", b="success")
        assert workspace.attempts(first.run_id, "b")[-1].attempt == 2


class Doing:
    """A run of this process as its driver shows it."""

    def __init__(self, handle: Any) -> None:
        self.is_over = False
        self._handle = handle

    def snapshot(self) -> Any:
        return self._handle.snapshot()


def test_what_an_attempt_says_is_told_as_it_says_it(tmp_path: Path, panels: list[FlowPanel]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def waits(job: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return ended(job, values={"x": value("1")})

    with workspace_of(tmp_path, {"a": waits, "b": gives(y="2")}) as workspace:
        panels.append(FlowPanel(run="none yet", workspace=workspace))
        panel, follower = panels[0], panels[0].follower
        assert follower is not None
        seen = Seen(panel)
        handle = workspace.start_run(CHAIN, CaptureSet(), observers=(follower,))
        follower.drive(CHAIN, Doing(handle))
        assert begun.wait(60)
        seen.until_state(a="running")
        panel._handle_custom_msg({"kind": "select", "task": "a"}, [])
        token, key = next((record.token, key) for key, record in handle.snapshot().tasks.items() if record.token)
        follower.said(key, 1, OutputMade(token=token, output=stream("round 1\nrou")))
        seen.until(lambda panel: [entry["text"] for entry in panel.log] == ["round 1", "rou"])
        follower.said(key, 1, OutputMade(token=token, output=stream("nd 2\n")))
        follower.said(key, 1, ProgressMade(token=token, fraction=0.62, text="round 31 of 50"))
        seen.until(lambda panel: [entry["text"] for entry in panel.log] == ["round 1", "round 2"])
        seen.until(lambda panel: panel.graph["tasks"][0].get("progress") == 0.62)
        assert all("time" in entry for entry in panel.log)
        assert all(set(delta) <= {"a", "b"} for delta in seen.deltas)
        go_on.set()
        handle.wait(60)
        seen.until_state(a="success", b="success")
        assert panel.graph["tasks"][0]["progress"] is None


def test_what_happens_while_a_panel_begins_to_follow_is_shown(tmp_path: Path, panels: list[FlowPanel]) -> None:
    a_goes_on, b_goes_on = threading.Event(), threading.Event()

    def waits(job: Any) -> Any:
        assert a_goes_on.wait(60)
        return ended(job, values={"x": value("1")})

    def waits_too(job: Any) -> Any:
        assert b_goes_on.wait(60)
        return ended(job, values={"y": value("2")})

    class Overtaken(Doing):
        def snapshot(self) -> Any:
            before = super().snapshot()
            if not a_goes_on.is_set():
                a_goes_on.set()
                assert self._handle.wait_for(["a"], 60)
            return before

    with workspace_of(tmp_path, {"a": waits, "b": waits_too}) as workspace:
        panels.append(FlowPanel(run="none yet", workspace=workspace))
        follower = panels[0].follower
        assert follower is not None
        handle = workspace.start_run(CHAIN, CaptureSet(), observers=(follower,))
        try:
            follower.drive(CHAIN, Overtaken(handle))
            Seen(panels[0]).until_state(a="success", b="running")
        finally:
            b_goes_on.set()
            handle.wait(60)


def test_a_run_that_had_failed_before_it_was_followed_shows_why(tmp_path: Path, panels: list[FlowPanel]) -> None:
    with workspace_of(tmp_path, {"a": fails_with_words}) as workspace:
        panels.append(FlowPanel(run="none yet", workspace=workspace))
        follower, settled = panels[0].follower, threading.Event()
        assert follower is not None
        handle = workspace.start_run(CHAIN, CaptureSet(), observers=(follower,))
        handle.wait(60)
        follower.when_settled = settled.set
        follower.drive(CHAIN, Doing(handle))
        Seen(panels[0]).until(lambda panel: panel.selected == "a" and panel.log)
        assert settled.wait(60)


def test_there_is_no_such_run_and_there_is_none_at_all(tmp_path: Path, panels: list[FlowPanel]) -> None:
    with workspace_of(tmp_path, {}) as workspace:
        panels.append(FlowPanel(run="manual__gone", workspace=workspace))
        Seen(panels[0]).until(lambda panel: "manual__gone" in panel.notice)
        panels.append(FlowPanel(flow="sales", workspace=workspace))
        Seen(panels[1]).until(lambda panel: panel.notice == "Flow sales has not run yet.")


def test_a_database_that_goes_away_is_one_sentence_and_the_panel_stays(
    tmp_path: Path, panels: list[FlowPanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    with workspace_of(tmp_path, {"a": gives(x="1"), "b": gives(y="2")}) as workspace:
        workspace.start_run(CHAIN, CaptureSet()).wait(60)
        panels.append(FlowPanel(flow="f", workspace=workspace))
        seen = Seen(panels[0])
        seen.until_state(a="success", b="success")

        def away(*_: Any, **__: Any) -> Any:
            raise SetupError("The database cannot be reached.")

        monkeypatch.setattr(workspace, "last_run", away)
        panels[0]._handle_custom_msg({"kind": "select", "task": "a"}, [])
        seen.until(lambda panel: panel.notice == "The database cannot be reached.")
        monkeypatch.undo()


def test_runs_are_named_as_people_speak_of_them() -> None:
    at = datetime(2026, 3, 13, 12, 0).astimezone()  # noon wherever this runs
    run = RunRecord(run_id=RunId("r"), flow=FlowName("f"), created_at=at)
    local = at.astimezone()
    assert _label(run, local.date(), newest=True) == f"This run, {local:%H:%M}"
    assert _label(run, local.date(), newest=False) == f"Today {local:%H:%M}, queued"
    assert _label(run, date(2026, 3, 20), newest=False) == f"Fri 13 Mar {local:%H:%M}, queued"


def test_a_flow_is_shown_before_it_has_run(tmp_path: Path, panels: list[FlowPanel]) -> None:
    with workspace_of(tmp_path, {}) as workspace:
        panels.append(FlowPanel(run="x", workspace=workspace))
        assert panels[0].follower is not None
        empty = Flow(name=FlowName("nothing"), tasks=())
        panels[0].follower.show_flow(empty)
        assert (panels[0].graph["flow"], panels[0].graph["tasks"], panels[0].run["state"]) == ("nothing", [], None)
