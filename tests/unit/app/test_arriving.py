# SPDX-License-Identifier: BSD-3-Clause
"""Deployed flows that wait for something, from the deployment to the run; parameters are looked at before a run exists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nbflow.app import Workspace
from nbflow.app.arriving import update_asset, waits
from nbflow.app.deploying import Wish, deploy, deploy_file, pause, reschedule, trigger, unpause
from nbflow.authoring.schedules import read_schedule
from nbflow.core.errors import UserError
from nbflow.core.watching import Thing
from nbflow.scheduler.loop import Scheduler
from nbflow.testing import FakeClock, memory_workspace
from tests.unit.app.test_deploying import notebook
from tests.unit.scheduler.world import Launched, Looked

SECONDS = timedelta(seconds=10)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 1, 1, 12, tzinfo=UTC))


@pytest.fixture
def workspace(tmp_path: Path, clock: FakeClock):
    with memory_workspace(tmp_path / "home", clock) as opened:
        yield opened


@pytest.fixture
def looked() -> Looked:
    return Looked()


@pytest.fixture
def turn(workspace: Workspace, clock: FakeClock, looked: Looked):
    """Two turns of a scheduler, ten seconds later: what was looked at is told in the second."""
    scheduler = Scheduler(store=workspace.store, launcher=Launched(), read=read_schedule, owner="s", looks=looked)

    def once(times: int = 1) -> None:
        for _ in range(times):
            clock.advance(SECONDS)
            scheduler.tick(clock.now())
            scheduler.tick(clock.now())

    return once


def waiting(folder: Path, keys: str, *cells: str, **more) -> Path:
    return notebook(folder / "me.ipynb", f"%%flow me\n{keys}", *(cells or ("%%task one\nx = 1",)), **more)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"day": "monday", "n": 3, "region": "eu", "x": 1}, 'Flow me has no parameter "x".'),
        ({"n": "three"}, 'Parameter n of flow me takes a whole number, and "three" is none.'),
        ({"n": 0}, "Parameter n of flow me"),
        ({"n": 10}, "Parameter n of flow me"),
        ({"region": "mars"}, "Parameter region of flow me"),
        ({"rows": 3}, 'Parameter rows of flow me takes a list, and "3" is none.'),
    ],
)
def test_what_a_parameter_does_not_take_makes_no_run(workspace: Workspace, tmp_path: Path, params: dict, sentence: str) -> None:
    keys = "[params.n]\nminimum = 1\nmaximum = 9\n[params.region]\nchoices = ['eu', 'us']"
    deploy(workspace, waiting(tmp_path, keys, parameters="day = 'x'\nn: int = 3\nregion = 'eu'\nrows: list = []"))
    with pytest.raises(UserError) as raised:
        trigger(workspace, "me", params=params, key="k")
    assert str(raised.value).startswith(sentence)
    assert workspace.find_runs().runs == ()
    assert trigger(workspace, "me", params={"n": 9, "region": "us"}, key="k").params == {"n": 9, "region": "us"}
    assert len(workspace.find_runs().runs) == 1, "the key was still free"


def test_the_parameters_of_a_deployment_are_those_of_every_run_it_starts(workspace: Workspace, tmp_path: Path, turn) -> None:
    path = waiting(tmp_path, 'on = "asset:x"', parameters="region = 'us'\nevents = []")
    deploy(workspace, path, params={"region": "eu"})
    update_asset(workspace, "x", by="me")
    turn()
    (run,) = workspace.find_runs().runs
    assert run.params["region"] == "eu"
    assert [event["asset"] for event in run.params["events"]] == ["x"]
    with pytest.raises(UserError, match='has no parameter "y"'):
        deploy(workspace, path, params={"y": 1})


def test_files_of_a_flow_that_was_paused_and_goes_on(workspace: Workspace, tmp_path: Path, clock: FakeClock, looked: Looked, turn) -> None:
    deploy(workspace, waiting(tmp_path, 'on = ["file:in/*.csv"]'))
    turn(2)
    pause(workspace, "me")
    looked.put("meanwhile.csv", clock.now())
    turn(2)
    clock.advance(SECONDS)
    unpause(workspace, "me")
    clock.advance(SECONDS)
    looked.put("later.csv", clock.now())
    turn(3)
    assert [run.events[0]["path"] for run in workspace.find_runs().runs] == ["later.csv"]
    assert [wait.words for wait in waits(workspace, workspace.store.deployments.get("me"))] == ["in/*.csv: 2 files"]


def test_a_new_version_goes_on_watching_and_other_keys_begin_anew(
    workspace: Workspace, tmp_path: Path, clock: FakeClock, looked, turn
) -> None:
    path = waiting(tmp_path, 'on = ["file:in/*.csv"]')
    deploy(workspace, path)
    turn(2)
    looked.put("a.csv", clock.now())
    deploy(workspace, waiting(tmp_path, 'on = ["file:in/*.csv"]', "%%task other\nx = 2"))
    turn(2)
    assert [run.events[0]["path"] for run in workspace.find_runs().runs] == ["a.csv"]
    reschedule(workspace, "me", {"on": ["file:other/*"], "assets": "a & b"})
    turn(3)
    assert len(workspace.find_runs().runs) == 1
    assert [watch.url for watch in workspace.store.occasions.watches("me")] == ["other/*"]
    reschedule(workspace, "me", {"on": []})
    assert workspace.store.occasions.watches("me") == ()
    assert [wait.words for wait in waits(workspace, workspace.store.deployments.get("me"))] == ["asset a: not yet", "asset b: not yet"]


def test_a_flow_of_a_python_file_waits_too(workspace: Workspace, tmp_path: Path, looked: Looked, turn, clock: FakeClock) -> None:
    path = tmp_path / "flows.py"
    path.write_text(
        "from nbflow import flow, task\n\n@task(outlets=['made'], inlets='raw')\ndef one(events): ...\n\n"
        "@flow(on=['asset:x', 'file:in/*'], assets='a & b')\ndef late(events):\n    one(events)\n"
    )
    (done,) = deploy_file(workspace, path, Wish())
    assert (done.deployment.outlets, done.deployment.inlets) == (("made",), ("raw",))
    looked.files["in/new"] = Thing("1", clock.now() + SECONDS)
    update_asset(workspace, "x", by="me")
    turn(2)
    assert sorted(run.run_type for run in workspace.find_runs().runs) == ["asset", "file"]
    assert all(run.params["events"] for run in workspace.find_runs().runs)
    path.write_text(path.read_text().replace("def late(events)", "def late(events, day)"))
    with pytest.raises(UserError, match="Flow late needs a value for day: give it with -p day VALUE"):
        deploy_file(workspace, path, Wish())
