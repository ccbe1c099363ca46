# SPDX-License-Identifier: BSD-3-Clause
"""Every notebook of `notebooks/` through the three doors of a headless run, and what a person finds afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbflow.app import Workspace
from nbflow.settings import Settings
from tests.mail import mail_server

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
DEMO = next(path for path in NOTEBOOKS if path.stem == "monitor_errors")


def command(*words: str, cwd: Path, env: dict[str, str], exit_code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code, done.stderr + done.stdout
    return done.stdout


def outputs_of(notebook: Path, start: str) -> list[Any]:
    cells = nbformat.read(notebook, 4).cells
    return next(cell.outputs for cell in cells if cell.source.startswith(start))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_succeeds_headlessly(path: Path, tmp_path: Path, shared_home: Path, home_environment: dict[str, str]) -> None:
    with mail_server() as mail, closing(Workspace(Settings(home=shared_home))) as workspace:
        workspace.secrets.set_connection("ops-mail", f"smtp://127.0.0.1:{mail.port}?to=ops@example.com&from=nbflow@example.com")
        try:
            printed = command("nbflow", "run", str(path), "-o", "out.ipynb", "--json", cwd=tmp_path, env=home_environment)
        finally:
            workspace.secrets.delete_connection("ops-mail")
        told = [str(message["Subject"]) for message in mail.messages]
    if path == DEMO:  # its alert really mails
        assert len(told) == 1
        assert re.fullmatch(r"\d+ errors on 2026-03-13", told[0])
    run = json.loads(printed)
    assert run["state"] == "success"
    assert {"run_id", "flow", "state", "logical_date", "reason", "tasks", "output"} <= set(run)
    executed = nbformat.read(tmp_path / "out.ipynb", 4)
    nbformat.validate(executed)
    assert executed.metadata["nbflow"]["run_id"] == run["run_id"]
    assert {name: task["state"] for name, task in executed.metadata["nbflow"]["tasks"].items()} == {
        one["id"]: one["state"] for one in run["tasks"]
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_notebook_has_a_problem(path: Path, tmp_path: Path, home_environment: dict[str, str]) -> None:
    assert "no problems" in command("nbflow", "check", str(path), cwd=tmp_path, env=home_environment)


def test_the_demo_prints_a_table_and_leaves_notebook_and_page(tmp_path: Path, home_environment: dict[str, str]) -> None:
    printed = command("nbflow", "demo", cwd=tmp_path, env=home_environment)
    rows = re.findall(r"^ *(\S+) +\S+ (succeeded|skipped)", printed, re.MULTILINE)
    assert len({task for task, _ in rows if task.startswith("download.")}) == 9
    assert "monitor_errors finished in" in printed
    alert = "".join(output.get("text", "") for output in outputs_of(tmp_path / "out" / "monitor_errors.ipynb", "%%task alert"))
    assert "Mailed to nobody, since there is no connection ops-mail: type nbflow connections set ops-mail" in alert
    assert "Try next:" in printed
    page = (tmp_path / "out" / "monitor_errors.html").read_text()
    assert "download.mainApp" in page
    assert [output.output_type for output in outputs_of(tmp_path / "out" / "monitor_errors.ipynb", "%%task gen_reports")] == [
        "display_data",
        "display_data",
        "execute_result",
    ]


def test_a_parameter_decides_the_branch_and_the_history_says_so(tmp_path: Path, home_environment: dict[str, str]) -> None:
    command("nbflow", "run", str(DEMO), "-p", "threshold", "100000", "-o", "out.ipynb", cwd=tmp_path, env=home_environment)
    shown = json.loads(command("nbflow", "runs", "show", "--json", cwd=tmp_path, env=home_environment))
    states = {task["id"]: task["state"] for task in shown["tasks"]}
    assert (states["alert"], states["all_quiet"]) == ("skipped", "success")
    assert next(task["reason"] for task in shown["tasks"] if task["id"] == "alert") == "Skipped: check_threshold chose all_quiet."
    logs = command("nbflow", "runs", "logs", "latest", "all_quiet", cwd=tmp_path, env=home_environment)
    assert logs.startswith("Only ")
    listed = json.loads(command("nbflow", "runs", "list", "--flow", "monitor_errors", "--json", cwd=tmp_path, env=home_environment))
    assert listed["runs"][0]["run_id"] == shown["run_id"]


@pytest.mark.parametrize("engine", [("--engine", "nbflow"), ()], ids=["engine nbflow", "plain papermill"])
def test_papermill_runs_the_demo(engine: tuple[str, ...], tmp_path: Path, home_environment: dict[str, str]) -> None:
    command("papermill", str(DEMO), "out.ipynb", *engine, "-p", "threshold", "100000", cwd=tmp_path, env=home_environment)
    executed = tmp_path / "out.ipynb"
    nbformat.validate(nbformat.read(executed, 4))
    assert outputs_of(executed, "print(message)")[0]["text"].startswith("Only ")
    card = outputs_of(executed, "%%task parse_log")[0]
    assert "[succeeded] parse_log" in card["data"]["text/plain"]
    if engine:
        assert outputs_of(executed, "%%task parse_log")[1]["text"].startswith("parsed ")


def test_the_graph_is_found_without_running_anything(tmp_path: Path, home_environment: dict[str, str]) -> None:
    graph = json.loads(command("nbflow", "graph", str(DEMO), "--json", cwd=tmp_path, env=home_environment))
    assert graph["flow"] == "monitor_errors"
    assert ["gen_reports", "check_threshold"] in graph["edges"]
    assert len(graph["tasks"]) == 16
    command("nbflow", "graph", str(DEMO), "--svg", "graph.svg", cwd=tmp_path, env=home_environment)
    assert (tmp_path / "graph.svg").read_text().startswith("<svg")
    assert command("nbflow", "graph", str(DEMO), "--mermaid", cwd=tmp_path, env=home_environment).startswith("flowchart LR")
