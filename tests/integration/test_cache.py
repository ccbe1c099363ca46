# SPDX-License-Identifier: BSD-3-Clause
"""Not doing work twice, with everything real behind it: notebooks run in a kernel and headlessly, flows of files, the command line's options."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jupyter_client.manager import start_new_kernel

from nbflow.app import Workspace
from nbflow.authoring.python_file import read_target
from nbflow.cli.main import cli
from nbflow.headless import run_notebook
from nbflow.python.tracing import run_file
from nbflow.settings import Settings
from tests.integration.test_live_kernel import PATIENCE, FrontEnd
from tests.integration.test_resume import journal, notebook, wrote


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    opened = Workspace(Settings(home=tmp_path / "home", dask="inline"))
    yield opened
    opened.close()


def cached(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """The run each task's result comes from, where it did not run."""
    return {key.task_id: record.note.get("from_cache") for key, record in workspace.snapshot(run_id).tasks.items()}


CELLS = (
    "def twice(x):\n    return 2 * x",
    f"%%task one --cache\n{wrote('one')}\nx = twice(day)",
    f"%%task two --cache --reads x\n{wrote('two')}\ny = x + 1",
)


def test_a_run_in_a_kernel_and_a_headless_one_share_results(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = notebook(tmp_path / "n.ipynb", *CELLS, "%nbflow run")
    first = run_notebook(workspace, path)
    assert journal(path) == ["one", "two"]
    commented = (CELLS[0].replace("return", "# twice\n    return"), CELLS[1] + "  # of the day", CELLS[2])
    shown = CliRunner().invoke(cli, ["run", str(notebook(path, *commented, "%nbflow run")), "--json"])
    told = [(task["state"], task["from_cache"], task["cached_from"], task["start"]) for task in json.loads(shown.stdout)["tasks"]]
    assert told == [("success", True, first.run_id, None)] * 2
    assert journal(path) == ["one", "two"]
    shown = CliRunner().invoke(cli, ["run", str(path), "--json", "--fresh"])
    assert [(task["from_cache"], task["cached_from"]) for task in json.loads(shown.stdout)["tasks"]] == [(False, None)] * 2
    assert journal(path) == ["one", "two"] * 2
    # The same file in a kernel.
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    manager, client = start_new_kernel(PATIENCE, kernel_name="python3", env=dict(os.environ), cwd=str(tmp_path))
    try:
        front = FrontEnd(client)
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            front.run(cell["id"], "".join(cell["source"]))
        seen = front.run("seen", "print(y)")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    live = workspace.last_run()
    assert live is not None
    assert live.trigger == "live"
    assert all(cached(workspace, live.run_id).values())
    assert seen == ["3\n"]
    assert journal(path) == ["one", "two"] * 2


FILE = """
from nbflow import flow, task

RATE = 2

def helper(x):
    return x * RATE

def other():
    return 1

@task(cache=True)
def make(n):
    open({journal!r}, "a").write("make\\n")
    return helper(n)

@task(cache_for="1d")
def use(x, by=1):
    open({journal!r}, "a").write("use\\n")
    return x + by

@flow
def sales(n: int = 1):
    use(make(n))
"""


def test_of_a_file_a_task_counts_with_what_its_function_refers_to(workspace: Workspace, tmp_path: Path) -> None:
    file, log = tmp_path / "sales.py", tmp_path / "journal"
    text = FILE.format(journal=str(log))
    target = read_target(file)
    assert target is not None

    def run(text: str, **params: Any) -> dict[str, Any]:
        file.write_text(text, encoding="utf-8")
        return cached(workspace, run_file(workspace, target, params=params, texts={}).run_id)

    assert run(text) == {"make": None, "use": None}
    assert all(run(text.replace("return x + by", "return (x + by)  # sum").replace("other()", "another()")).values())
    assert run(text, n=4) == {"make": None, "use": None}
    changed = run(text.replace("RATE = 2", "RATE = 3"))
    assert changed == {"make": None, "use": None}
    assert log.read_text(encoding="utf-8").split() == ["make", "use"] * 3
