# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks of tasks and flows (semantics.md 11), in memory, with tasks run inline in this process."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from nbflow import SkipTask, flow, task
from nbflow.core.callbacks import CallbackRecord
from nbflow.core.errors import NbflowError, UserError

pytest_plugins = ["tests.unit.store.databases"]

HEARD: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def _nothing_heard():
    HEARD.clear()


def tell(event):
    HEARD.append(event)


def tell_nothing():
    HEARD.append({})


def breaks(event):
    raise RuntimeError(event["task"])


def kinds() -> list[str]:
    return sorted(f"{event['task'] or 'run'} {event['kind']}" for event in HEARD)


ALL = dict.fromkeys(("on_execute", "on_retry", "on_failure", "on_success", "on_skipped"), tell)
COUNT = {"calls": 0}


@task(retries=3, retry_delay=0, **ALL)
def third_time():
    COUNT["calls"] += 1
    if COUNT["calls"] < 3:
        raise ValueError(COUNT["calls"])


@task(**ALL)
def fails():
    raise ValueError("no")


@task(**ALL)
def skips():
    raise SkipTask("nothing to do")


@task(on_success=breaks, on_execute=[tell_nothing, tell])
def works(): ...


def test_success_on_the_third_attempt(nbflow_workspace):
    COUNT["calls"] = 0

    @flow(on_success=tell, on_failure=tell)
    def well():
        third_time()

    assert well.run().state == "success"
    assert kinds() == sorted(["third_time execute"] * 3 + ["third_time retry"] * 2 + ["third_time success", "run success"])
    end = next(event for event in HEARD if event["task"] is None)
    assert (end["flow"], end["cause"]) == ("well", "success")
    assert len({event["key"] for event in HEARD}) == len(HEARD)


def test_a_failure_is_told_of_the_task_and_of_the_run(nbflow_workspace):
    @flow(on_success=tell, on_failure=tell)
    def badly():
        fails()
        skips()

    assert badly.run().state == "failed"
    assert kinds() == sorted(["fails execute", "fails failure", "skips execute", "skips skipped", "run failure"])
    failure = next(event for event in HEARD if event["kind"] == "failure" and event["task"])
    assert failure["reason"].startswith("Failed: ValueError: no in fails")
    assert next(event["cause"] for event in HEARD if event["task"] is None) == "task_failure"


def test_a_failing_callback_changes_no_state_and_is_shown(nbflow_workspace, caplog: pytest.LogCaptureFixture):
    @flow
    def sturdy():
        works()

    run = sturdy.run()
    assert run.state == "success"
    assert HEARD[0] == {} or HEARD[1] == {}
    told = {(one.name, one.state): one for one in nbflow_workspace.store.callbacks(run.run_id)}
    assert set(told) == {("tell_nothing", "success"), ("tell", "success"), ("breaks", "failed")}
    assert (told["breaks", "failed"].about, told["breaks", "failed"].reason) == ("on_success of works", "RuntimeError: works")
    assert "breaks, on_success of works, failed: RuntimeError: works" in caplog.text


def test_a_resumed_run_calls_what_was_not_noted_again_with_the_same_key(nbflow_workspace, monkeypatch: pytest.MonkeyPatch):
    @flow
    def again():
        fails()

    monkeypatch.setattr(type(nbflow_workspace.store), "note_callback", _lost)
    run = again.run()
    before = {event["kind"]: event["key"] for event in HEARD}
    monkeypatch.undo()
    HEARD.clear()
    assert nbflow_workspace.resume_run(run.run_id).wait(30)
    keys = [event["key"] for event in HEARD]
    assert set(before.values()) <= set(keys)
    assert len(keys) == len(set(keys)) == 4


def _lost(self, run_id: str, record: CallbackRecord) -> None:
    raise NbflowError("the database is away")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"on_retry": "tell"}, "@task a: on_retry cannot be 'tell': it takes a function, or a list of functions, such as on_retry=tell."),
        ({"on_failure": 5}, "@task a: on_failure cannot be 5: it takes a function"),
        ({"on_success": [tell, 5]}, "@task a: on_success cannot be 5"),
        ({"on_success": lambda one, two: None}, "on_success calls <lambda> with one argument, what happened, but <lambda> needs one, two."),
        ({"on_failure": "skipp"}, 'on_failure cannot be "skipp": it takes one of fail, skip, last-good. Did you mean "skip"?'),
    ],
)
def test_a_callback_that_is_none_is_refused(options: dict[str, Any], sentence: str):
    with pytest.raises(UserError) as caught:
        task(task_id="a", **options)(tell_nothing)
    assert sentence in str(caught.value)


def test_on_failure_still_takes_its_words():
    assert task(on_failure="skip")(tell_nothing)._options["on_failure"] == "skip"


def test_calls_are_kept_with_their_run(store):
    from nbflow.core.records import RunRecord

    at = datetime(2026, 1, 1, tzinfo=UTC)
    store.create_run(RunRecord(run_id="r", flow="f", created_at=at), [])
    first = CallbackRecord(happening="r/1", place=0, name="tell", about="on_failure of a", state="failed", reason="no", at=at)
    store.note_callback("r", first)
    store.note_callback("r", first)
    assert store.callbacks("r") == (first,)
    assert store.callbacks("other") == ()
