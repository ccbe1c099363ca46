# SPDX-License-Identifier: BSD-3-Clause
"""Clearing, marking and going on with the code as it is now: in a kernel, headlessly, and from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nbflow.app import Workspace
from nbflow.cli.main import cli
from nbflow.core.errors import UserError
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Edge, Flow, Task
from nbflow.headless import resume_notebook, run_notebook
from nbflow.notebook import extension
from nbflow.settings import Settings
from tests.integration.test_resume import journal, notebook, wrote
from tests.unit.notebook.conftest import Shell, shell  # noqa: F401 - the fixture
from tests.unit.notebook.recording import RecordingChannel


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    opened = Workspace(Settings(home=tmp_path / "home", dask="inline"))
    yield opened
    opened.close()


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


FLOW = Flow(
    name=FlowName("f"),
    tasks=(Task(id=TaskId("a"), source="x = 1"), Task(id=TaskId("b"), source="1 / 0"), Task(id=TaskId("c"), source="y = 1")),
    edges=(Edge(upstream=TaskId("a"), downstream=TaskId("b")), Edge(upstream=TaskId("b"), downstream=TaskId("c"))),
)


def test_the_command_line_lists_clears_and_marks(workspace: Workspace) -> None:
    handle = workspace.start_run(FLOW, CaptureSet())
    handle.wait()
    run = handle.run_id
    assert invoke("runs", "clear", run, "--dry-run").stdout == f"Would clear b (failed) and c (upstream failed) of run {run}.\n"
    listed = json.loads(invoke("runs", "clear", run, "b", "--all", "--upstream", "--dry-run", "--json").stdout)
    assert listed == {
        "dry_run": True,
        "becomes": "pending",
        "runs": [
            {"run_id": run, "tasks": [{"id": "a", "map_index": -1, "state": "success"}, {"id": "b", "map_index": -1, "state": "failed"}]}
        ],
    }
    assert invoke("runs", "retry", run, "--task", "c", "--upstream", "--dry-run").stdout == f"Would run a, b, c of run {run} again.\n"
    assert workspace.run(run).state == "failed"
    cleared = invoke("runs", "clear", "latest").stdout.splitlines()
    assert cleared == [
        f"Cleared b (failed) and c (upstream failed) of run {run}.",
        f"It waits for somebody to go on with it: nbflow run --resume {run}.",
    ]
    assert workspace.run(run).state == "queued"
    marked = invoke("runs", "mark", run, "b", "--downstream", "--state", "success")
    assert marked.stdout == f"Marked success: b (pending) and c (pending) of run {run}.\n"
    assert invoke("runs", "mark", run, "--state", "failed").stdout == f"Marked run {run} failed.\n"
    assert workspace.run(run).state == "failed"
    wrong = invoke("runs", "mark", run, "--state", "failed", "--past")
    assert isinstance(wrong.exception, UserError)
    assert str(wrong.exception) == "--past is about tasks: name them, or leave it out to mark the run itself."


@pytest.fixture
def execute(shell: Shell, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:  # noqa: F811
    monkeypatch.chdir(tmp_path)
    channel = RecordingChannel()
    loaded = extension.load(shell, channel)

    def execute(source: str, cell: str) -> Any:
        channel.current = cell
        return shell.execute(source, cell)

    yield execute
    extension.unload(shell)
    del loaded


def test_in_a_kernel_the_fixed_cell_runs_and_what_had_succeeded_does_not(
    execute: Callable[..., Any],
    shell: Shell,  # noqa: F811 - the fixture
    workspace: Workspace,
    tmp_path: Path,
) -> None:
    execute(f"%%task one\n{wrote('one')}\nx = 1", "1").raise_error()
    execute("%%task two\ny = x / 0", "2").raise_error()
    execute("factor = 5", "3").raise_error()
    assert execute("%nbflow run", "4").error_in_exec is not None
    execute(f"%%task two\n{wrote('two')}\ny = x * factor", "2").raise_error()
    assert execute("%nbflow retry --code run", "5").error_in_exec is not None
    execute("%nbflow retry --dry-run", "5").raise_error()
    assert journal(tmp_path / "any") == ["one"]
    execute("%nbflow retry", "5").raise_error()
    assert journal(tmp_path / "any") == ["one", "two"]
    assert shell.user_ns["y"] == 5
    (run,) = workspace.find_runs().runs
    assert run.state == "success"
    execute("%nbflow clear two --all", "6").raise_error()
    assert workspace.run(run.run_id).state == "queued"
    execute("%nbflow mark two --state skipped", "7").raise_error()
    assert {str(record.key): record.state for record in workspace.store.task_records(run.run_id)} == {"one": "success", "two": "skipped"}
    execute("%nbflow retry --run " + run.run_id + " one", "8").raise_error()
    assert journal(tmp_path / "any") == ["one", "two", "one", "two"]


def test_a_notebook_that_was_mended_goes_on_with_its_latest_code(workspace: Workspace, tmp_path: Path) -> None:
    cells = (f"%%task one\n{wrote('one')}\nx = day", "k = 2", "%%task two\ny = x / 0")
    path = notebook(tmp_path / "in.ipynb", *cells, "%nbflow run")
    first = run_notebook(workspace, path, params={"day": 4})
    assert not first.succeeded
    mended = (cells[0], "k = 3", f"%%task two\n{wrote('two')}\ny = x * k", f"%%task three\n{wrote('three')}\nz = y")
    notebook(path, *mended, "%nbflow run", "assert (y, z) == (12, 12)")
    with pytest.raises(UserError, match=r"was changed since run .* nbflow runs retry .* --latest to go on with the code as it is now"):
        resume_notebook(workspace, first.run_id)
    again = resume_notebook(workspace, first.run_id, latest=True)
    assert (again.succeeded, again.run_id) == (True, first.run_id)
    assert journal(path) == ["one", "two", "three"]


FILE = """
from nbflow import flow, task

@task
def make():
    return 2

@task
def use(x):
    return {body}

@flow
def sales():
    use(make())
"""


def test_a_run_of_a_file_goes_on_with_its_latest_code(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "sales.py"
    file.write_text(FILE.format(body="x / 0"), encoding="utf-8")
    assert invoke("run", str(file)).exit_code != 0
    run = workspace.run("latest")
    file.write_text(FILE.format(body="x * 10"), encoding="utf-8")
    shown = invoke("runs", "retry", run.run_id, "--latest")
    assert shown.exit_code == 0, shown.output
    assert workspace.given(run.run_id, "use")["use()"].shown == "20"
    assert [one.attempt for one in workspace.attempts(run.run_id)] == [1, 1, 2]


def test_one_task_of_a_notebook_is_tried_and_the_cells_below_are_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    path = notebook(tmp_path / "in.ipynb", "%%task one\nx = day", "%%task two\nprint('tried')\ny = x * 2", "%nbflow run", wrote("below"))
    shown = invoke("tasks", "test", str(path), "two", "-p", "day", "4")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("tried\n")
    assert "two success: Succeeded." in shown.stdout
    assert not (tmp_path / "journal").exists()
    assert workspace.find_runs().runs == ()
