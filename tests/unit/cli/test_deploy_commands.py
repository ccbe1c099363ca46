# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow deploy`, `undeploy` and `nbflow flows ...`, as typed; the files of `python -m nbflow.deploy`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import nbformat
import pytest
import yaml
from click.testing import CliRunner, Result

from nbflow.cli.main import cli
from nbflow.deploy.__main__ import main as print_file
from nbflow.deploy.__main__ import text_of
from nbflow.store.memory import MemoryStore


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One store for the commands of a test: each closes what it opened."""
    store = MemoryStore()
    monkeypatch.setattr("nbflow.store.opening.open_store", lambda _: store)
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    return tmp_path


def typed(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def notebook(path: Path) -> Path:
    v4 = nbformat.v4
    cells = [v4.new_code_cell("region = 'us'", metadata={"tags": ["parameters"]}), v4.new_code_cell("print(region)")]
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


def test_from_deploying_to_deleting(home: Path) -> None:
    path = notebook(home / "sales.ipynb")
    done = typed(
        "deploy",
        path,
        "--name",
        "eu",
        "-p",
        "region",
        "eu",
        "--schedule",
        "0 3 * * *",
        "--timezone",
        "Europe/Zurich",
        "--set",
        "max_active_runs",
        "2",
    )
    assert done.stdout.startswith("Deployed eu, version 1. Every day at 03:00, Europe/Zurich. Next: ")
    assert "no scheduler is running" in done.stderr
    (flow,) = json.loads(typed("flows", "list", "--json").stdout)["flows"]
    assert (flow["flow"], flow["params"], flow["schedule"]["max_active_runs"]) == ("eu", {"region": "eu"}, 2)
    assert "Every day at 03:00, Europe/Zurich." in typed("flows", "list").stdout
    assert "region='eu'" in typed("flows", "show", "eu").stdout
    assert typed("flows", "pause", "eu").stdout == "Paused eu.\n"
    assert json.loads(typed("flows", "show", "eu", "--json").stdout)["next_run"] is None
    waiting = typed("flows", "trigger", "eu", "-p", "region", "de", "--key", "k")
    assert "eu is paused, so it waits: type nbflow flows unpause eu." in waiting.stderr
    run = json.loads(typed("flows", "trigger", "eu", "--key", "k", "--json").stdout)
    assert run["params"] == {"region": "de"}
    assert typed("flows", "unpause", "eu").stdout.startswith("eu goes on. Next: ")
    assert json.loads(typed("flows", "versions", "eu", "--json").stdout)["versions"][0]["number"] == 1
    typed("runs", "cancel", run["run_id"])
    assert typed("undeploy", "eu").stdout == "Undeployed eu; its runs are kept.\n"
    typed("deploy", path, "--name", "eu", "--schedule", "none")
    assert typed("flows", "delete", "eu", "--yes").stdout == "Deleted eu and 1 run.\n"
    assert "Nothing is deployed yet." in typed("flows", "list").stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["flows", "show", "x"], 'There is no deployed flow "x". None is deployed yet: type nbflow deploy NOTEBOOK.'),
        (["flows", "trigger", "x"], 'There is no deployed flow "x".'),
        (["flows", "versions", "x"], 'There is no deployed flow "x".'),
        (["undeploy", "x"], 'There is no deployed flow "x".'),
        (["deploy", "none.ipynb"], "There is no file"),
        (["deploy", "sales.ipynb", "--schedule", "0 0 31 2 *"], '"0 0 31 2 *" never comes'),
        (["deploy", "sales.ipynb", "--set", "catchpu", "all"], 'There is no key "catchpu" of a schedule. Did you mean "catchup"?'),
        (["deploy", "sales.ipynb", "--timezone", "Mars"], "timezone must be a time zone"),
    ],
)
def test_mistakes_are_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str) -> None:
    notebook(home / "sales.ipynb")
    monkeypatch.chdir(home)
    assert sentence in str(typed(*words).exception)


def test_a_systemd_unit_and_a_compose_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert "-m nbflow scheduler" in text_of("systemd")
    services = yaml.safe_load(text_of("compose"))["services"]
    assert list(services) == ["database", "dask", "worker", "scheduler", "lab"]
    words = shlex.split(services["scheduler"]["command"])
    port = next(words[place + 1] for place, word in enumerate(words) if word == "--metrics-port")
    assert words[0] == "nbflow"
    cli.commands["scheduler"].make_context("scheduler", words[2:])  # every option of it is one
    assert f"http://127.0.0.1:{port}/health" in services["scheduler"]["healthcheck"]["test"][-1]
    compile(services["scheduler"]["healthcheck"]["test"][-1], "healthcheck", "exec")
    assert print_file(["compose"]) == 0
    assert print_file(["docker"]) == 2
    assert capsys.readouterr().err == "nbflow: say which file: python -m nbflow.deploy systemd | compose\n"


def test_a_python_file(home: Path) -> None:
    file = home / "flows_typed.py"
    file.write_text(
        "from nbflow import flow, task\n\n\n@task\ndef one(): ...\n\n\n@flow\ndef a(day: str = 'x'):\n    one()\n\n\n@flow\ndef b():\n    one()\n"
    )
    both = json.loads(typed("deploy", file, "--json").output)
    assert [flow["flow"] for flow in both["flows"]] == ["a", "b"]
    assert f"file       {file}:a" in typed("flows", "show", "a").output.replace("\n", "")
    told = typed("flows", "trigger", "a", "-p", "day", "5")
    assert 'Parameter day of flow a takes text, and "5" is none.' in str(told.exception)
    run_id = json.loads(typed("flows", "trigger", "a", "-r", "day", "5", "--json").output)["run_id"]
    assert (
        str(typed("runs", "open", run_id).exception)
        == f"Run {run_id} is of a Python flow, which has no notebook: type nbflow runs logs {run_id}."
    )
    file.write_text(file.read_text().replace("@task\n", "@task(pool='narrow')\n"))
    checked = typed("check", file)
    assert checked.exit_code
    assert 'error: Task one is in the pool "narrow", which does not exist.' in checked.output
