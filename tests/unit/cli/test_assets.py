# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow assets`, and what `nbflow flows` and `deploy` say of flows that wait for something, as typed."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner, Result

from nbflow.app import SystemClock
from nbflow.authoring.schedules import read_schedule
from nbflow.cli.main import cli
from nbflow.scheduler.loop import Scheduler
from nbflow.store.memory import MemoryStore
from tests.unit.scheduler.world import Launched, Looked


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    store = MemoryStore()
    monkeypatch.setattr("nbflow.store.opening.open_store", lambda _: store)
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    return store


def typed(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def said(result: Result) -> str:
    return str(result.exception) if result.exception else result.output


def notebook(folder: Path, name: str, *cells: str) -> Path:
    v4 = nbformat.v4
    path = folder / f"{name}.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells]), path)
    return path


def test_from_an_update_to_the_run_it_started(store: MemoryStore, tmp_path: Path) -> None:
    assert typed("assets", "list").stdout == "There are no assets yet: write --outlets NAME on the %%task line of what makes one.\n"
    typed("deploy", notebook(tmp_path, "etl", "%%task clean --outlets logs --inlets raw\nx = 1"))
    done = typed("deploy", notebook(tmp_path, "report", '%%flow report\nassets = "logs & prices"', "%%task a --inlets logs\nx = 1"))
    assert "Deployed report, version 1. When assets logs & prices are updated." in done.stdout
    assert "no scheduler is running" in done.stderr

    told = typed("assets", "update", "logs", "-p", "rows", "3")
    assert told.stdout == "Asset logs is updated. Waiting for it: report.\n"
    assert "no scheduler is running" in told.stderr
    assert typed("assets", "update", "unheard").stdout == "Asset unheard is updated. No deployed flow waits for it.\n"
    shown = typed("flows", "show", "report").stdout
    assert "asset logs: updated" in shown
    assert "asset prices: not yet" in shown
    assert "Updated already: logs." in typed("flows", "list").stdout
    waits = json.loads(typed("flows", "show", "report", "--json").stdout)["waits_for"]
    assert [(wait["subject"], wait["came"] is not None) for wait in waits] == [("logs", True), ("prices", False)]

    rows = {row["name"]: row for row in json.loads(typed("assets", "list", "--json").stdout)["assets"]}
    logs = rows["logs"]
    assert (logs["updated_by"], logs["read_by"], logs["starts"], logs["count"]) == (["etl"], ["report"], ["report"], 1)
    assert rows["raw"]["read_by"] == ["etl"]
    assert logs["newest"]["extra"] == {"rows": 3}
    assert "starts     report" in typed("assets", "show", "logs").stdout
    listed = typed("assets", "list").stdout
    assert "prices" in listed
    assert "never" in listed

    typed("assets", "update", "prices")
    Scheduler(store=store, launcher=Launched(), read=read_schedule, owner="s").tick(SystemClock().now())
    (run,) = store.deployments.active("report")
    card = typed("runs", "show", run.run_id).stdout
    assert "started because asset logs was updated by" in card
    assert [event["asset"] for event in json.loads(typed("runs", "show", run.run_id, "--json").stdout)["events"]] == ["logs", "prices"]


def test_what_a_flow_says_of_files_and_flows(store: MemoryStore, tmp_path: Path) -> None:
    looked = Looked()
    looked.wrong["gone/*"] = "gone/* cannot be looked at: no route."
    header = '%%flow all\nschedule = "@daily"\non = ["file:in/*.csv", "file:gone/*", "flow:etl:failed"]'
    done = typed("deploy", notebook(tmp_path, "all", header, "%%task a\nx = 1"))
    assert (
        "Every day at 00:00, UTC, and when flow etl has failed, or in/*.csv appears or changes, or gone/* appears or changes. Next:"
        in done.stdout
    )
    scheduler = Scheduler(store=store, launcher=Launched(), read=read_schedule, owner="s", looks=looked)
    looked.put("in/a.csv", store.deployments.get("all").since - timedelta(days=1))
    scheduler.tick(SystemClock().now())
    scheduler.tick(SystemClock().now())
    shown = typed("flows", "show", "all").stdout
    assert "in/*.csv: 1 file\n" in shown
    assert "gone/*: gone/* cannot be looked at: no route." in shown
    assert "flow etl: badly" in shown
    assert "no route" in typed("flows", "list").stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("assets", "show", "x"), 'There is no asset "x". No task has --outlets yet.'),
        (
            ("assets", "update", "a b"),
            '"a b" cannot be the name of an asset: use 1 to 250 letters, digits or any of "_ . : / ~ @ + = % -".',
        ),
    ],
)
def test_mistakes_of_assets(words: tuple[str, ...], sentence: str) -> None:
    assert said(typed(*words)) == sentence


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ('on = ["asset:a b"]', 'on cannot be "asset:a b": "a b" cannot be the name of an asset'),
        ('on = "files:x"', 'on cannot be "files:x": write file:PATH, asset:NAME, flow:NAME or flow:NAME:failed. Did you mean "file"?'),
        ('on = ["sales"]', 'on cannot be "sales": write file:PATH'),
        ('on = ["flow:sales:faild"]', 'on cannot be "flow:sales:faild": a run ends as success or failed. Did you mean "failed"?'),
        ('on = ["flow:sal es"]', 'on cannot be "flow:sal es": "sal es" cannot be a flow name'),
        ('assets = "a & (b | c"', 'assets, "a & (b | c", has a "(" at column 5 that is never closed.'),
        ('on = ["flow:me"]', "Flow me cannot be started by its own end"),
    ],
)
def test_a_flow_that_cannot_be_started_so_is_refused(store: MemoryStore, tmp_path: Path, keys: str, sentence: str) -> None:
    path = notebook(tmp_path, "me", f"%%flow me\n{keys}", "%%task a\nx = 1")
    assert sentence in said(typed("deploy", path))
    assert store.deployments.find() == ()


def test_outlets_that_cannot_be_are_refused_where_they_stand(tmp_path: Path) -> None:
    path = notebook(tmp_path, "me", '%%task a --outlets "x|y"\nx = 1')
    assert '--outlets: "x|y" cannot be the name of an asset' in typed("check", path).stdout


def test_what_nobody_makes_is_a_warning(tmp_path: Path) -> None:
    header = '%%flow me\non = ["asset:logz", "asset:mine", "flow:etl", "flow:etk:failed"]'
    path = notebook(tmp_path, "me", header, "%%task a --outlets mine\nx = 1")
    typed("deploy", notebook(tmp_path, "etl", "%%task clean --outlets logs\nx = 1"))
    checked = typed("check", path)
    warnings = (
        'No deployed flow updates the asset logz that this flow waits for. Did you mean "logs"?',
        'This flow waits for the flow etk, which is not deployed. Did you mean "etl"?',
    )
    assert checked.exit_code == 0
    told = [line.partition(" warning: cell 1, line 2: ")[2] for line in checked.stdout.splitlines()]
    assert told[1:] == list(warnings)
    done = typed("deploy", path)
    assert done.exit_code == 0
    assert done.stderr.splitlines()[:2] == list(warnings)
