# SPDX-License-Identifier: BSD-3-Clause
"""What happened, as callbacks and messages read it from the change log (semantics.md 11)."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from nbflow.core.happenings import Happening, happenings
from nbflow.core.job import CaptureSet, Job, Outcome, Report
from nbflow.core.model import Edge, Flow, FlowOptions
from nbflow.core.options import OnFailure
from tests.unit.engine.test_driver import Body, ended, fails, flow, gives, next_of, task, workspace_of

AT_ONCE = timedelta(0)


def skips(job: Job) -> Report:
    return ended(job, Outcome.SKIPPED, reason="nothing to do")


def heard(folder: Path, asked: Flow, **bodies: Body) -> list[Happening]:
    with workspace_of(folder, bodies) as workspace:
        handle = workspace.start_run(asked, CaptureSet())
        assert handle.wait(30)
        changes, run = workspace.store.changes(handle.run_id), workspace.store.run(handle.run_id)
        found = list(happenings(run, changes))
        assert found == [one for change in changes for one in happenings(run, [change])]  # change by change, and again
        assert len({one.key for one in found}) == len(found)
        return found


def kinds(found: list[Happening]) -> dict[str, int]:
    return dict(Counter(f"{one.task.task_id if one.task else 'run'} {one.kind.value}" for one in found))


@pytest.mark.parametrize(
    ("retries", "bodies", "expected"),
    [
        (3, [fails, fails, gives()], {"a execute": 3, "a retry": 2, "a success": 1, "run success": 1}),
        (2, [fails, fails, fails], {"a execute": 3, "a retry": 2, "a failure": 1, "run failure": 1}),
        (2, [skips], {"a execute": 1, "a skipped": 1, "run success": 1}),
    ],
)
def test_what_was_observed(tmp_path: Path, retries: int, bodies: list[Body], expected: dict[str, int]):
    found = heard(tmp_path, flow(task("a", retries=retries, retry_delay=AT_ONCE)), a=next_of(iter(bodies)))
    assert kinds(found) == expected


def test_what_failed_is_told_whatever_it_means_for_the_task(tmp_path: Path):
    found = heard(tmp_path, flow(task("a", on_failure=OnFailure.SKIP)), a=fails)
    assert kinds(found) == {"a execute": 1, "a failure": 1, "run success": 1}


def test_a_task_that_did_not_run_says_nothing(tmp_path: Path):
    asked = Flow(name="f", tasks=(task("a"), task("b")), edges=(Edge(upstream="a", downstream="b"),))
    found = heard(tmp_path, asked, a=fails)
    assert kinds(found) == {"a execute": 1, "a failure": 1, "run failure": 1}
    assert (found[-1].cause, found[-1].reason.partition(" after ")[0]) == ("task_failure", "f failed at a")


def test_what_ends_with_its_run_is_told_of_the_run(tmp_path: Path):
    begun = threading.Event()

    def hangs(job: Job) -> Report:
        begun.wait(30)
        return ended(job)

    asked = Flow(name="f", tasks=(task("a"), task("b")), options=FlowOptions(run_timeout=timedelta(milliseconds=1)))
    found = heard(tmp_path, asked, a=hangs, b=gives())
    begun.set()
    assert [(one.kind.value, one.cause) for one in found if one.task is None] == [("failure", "timed_out")]
    assert not any(one.kind.value in {"failure", "success"} for one in found if one.task is not None)


def test_a_happening_is_plain_data(tmp_path: Path):
    first = heard(tmp_path, flow(task("a")), a=fails)[1].document()
    assert {key: first[key] for key in ("kind", "task", "map_index", "attempt", "reason")} == {
        "kind": "failure",
        "task": "a",
        "map_index": -1,
        "attempt": 1,
        "reason": "Failed: ValueError: no in a, line 2.",
    }
    assert first["key"].startswith(first["run_id"] + "/")
