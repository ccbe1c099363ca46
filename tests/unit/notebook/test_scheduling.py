# SPDX-License-Identifier: BSD-3-Clause
"""`%nbflow deploy`, `schedule` and `unschedule`, in a real shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbflow.app import Workspace
from nbflow.app.deploying import trigger
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.selection import Selection
from nbflow.settings import Settings

CELLS = (("load", "%load_ext nbflow"), ("one", "%%task one\nx = 1"), ("last", "%nbflow deploy"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    return tmp_path / "home"


def deployed(home: Path):
    workspace = Workspace(Settings(home=home))
    try:
        return {each.name: each for each in workspace.store.deployments.find()}
    finally:
        workspace.close()


def test_a_notebook_deploys_itself_and_takes_its_schedule_back(shell, notebook, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.save(*CELLS)
    shell.execute(CELLS[0][1], "load")
    assert shell.execute('%nbflow schedule "0 2 * * *" --timezone Europe/Zurich', "last").success
    assert "Deployed sales, version 1. Every day at 02:00, Europe/Zurich. Next: " in capsys.readouterr().out
    assert deployed(home)["sales"].next_run is not None
    assert shell.execute("%nbflow unschedule", "last").success
    assert "sales runs no more by itself. It stays deployed: nbflow flows trigger sales." in capsys.readouterr().out
    assert deployed(home)["sales"].next_run is None
    assert shell.execute("%nbflow deploy --name other --schedule @hourly", "last").success
    assert set(deployed(home)) == {"sales", "other"}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("unschedule", "This notebook is not deployed: type %nbflow deploy."),
        ('schedule "0 0 31 2 *"', '"0 0 31 2 *" never comes'),
        ("deploy -p region eu", 'Flow sales has no parameter "region".'),
    ],
)
def test_mistakes_are_one_sentence(shell, notebook, home: Path, line: str, sentence: str) -> None:
    notebook.save(*CELLS)
    shell.execute(CELLS[0][1], "load")
    assert sentence in str(shell.execute(f"%nbflow {line}", "last").error_in_exec)
    assert deployed(home) == {}


def test_a_run_of_a_deployment_goes_on_in_the_newest_version(shell, notebook, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.save(*CELLS)
    shell.execute(CELLS[0][1], "load")
    assert shell.execute("%nbflow deploy", "last").success
    workspace = Workspace(Settings(home=home, dask="inline"))
    run_id = trigger(workspace, "sales").run_id
    workspace.mark(run_id, "failed", Selection(keys=(TaskKey(TaskId("one")),)))
    workspace.mark_run(run_id, "failed")
    notebook.save(CELLS[0], ("one", "%%task one\nx = 2"), ("two", "%%task two\ny = x"), CELLS[2])
    assert shell.execute("%nbflow deploy", "last").success
    capsys.readouterr()
    assert shell.execute(f"%nbflow retry --run {run_id} --code latest", "last").success
    told = capsys.readouterr().out
    assert told.startswith(
        f"Run {run_id} runs one, two in version 2 of sales, as soon as a scheduler takes it.\nNothing will start by itself"
    )
    run = workspace.store.run(run_id)
    assert (run.state.value, run.version) == ("queued", workspace.store.deployments.get("sales").version)
    assert {record.key.task_id: record.state.value for record in workspace.store.task_records(run_id)} == {
        "one": "pending",
        "two": "pending",
    }
    workspace.close()
