# SPDX-License-Identifier: BSD-3-Clause
"""Flows of Python files: in a script, through the command line, loaded, and the example of the README."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import UserError, flow, task
from nbflow.pytest_plugin import nbflow_workspace  # noqa: F401 - the fixture, also where nbflow was installed before it had one

pytestmark = pytest.mark.usefixtures("nbflow_workspace")


FILE = '''\
import helper
from nbflow import flow, task

@task
def day_of(day: str) -> str:
    return helper.shout(day)

@task
def fails() -> None:
    raise ValueError("broken")

@flow
def daily(day: str = "monday"):
    """Each day."""
    day_of(day)

@flow
def broken():
    fails()

if __name__ == "__main__":
    print(daily.run(day="sunday").task("day_of").result())
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("def shout(text):\n    return text.upper()\n")
    path = tmp_path / "weekly_flows.py"
    path.write_text(FILE)
    return path


@pytest.fixture
def command(tmp_path: Path):
    env = {**os.environ, "NBFLOW_HOME": str(tmp_path / "home"), "NBFLOW_DASK": "inline", "COLUMNS": "200"}

    def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=env | settings, check=False, timeout=120)

    return run


def test_the_command_line_runs_a_flow_of_a_file(file, command) -> None:
    done = command("-m", "nbflow", "run", f"{file}:daily", "-p", "day", "2026-01-02", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["flow"], run["state"], run["params"]) == ("daily", "success", {"day": "2026-01-02"})
    failed = command("-m", "nbflow", "run", f"{file}:broken")
    assert failed.returncode == 1
    assert "ValueError: broken" in failed.stdout + failed.stderr


def test_the_command_line_shows_the_graph_and_checks_a_file(file, command) -> None:
    done = command("-m", "nbflow", "graph", f"{file}:daily", "--json")
    assert [task["id"] for task in json.loads(done.stdout)["tasks"]] == ["day_of"]
    assert "no problems" in command("-m", "nbflow", "check", str(file)).stdout
    several = command("-m", "nbflow", "graph", str(file))
    assert several.returncode == 2
    assert "defines 2 flows: say which one, of weekly_flows.py:daily, weekly_flows.py:broken" in several.stderr


def test_a_mistake_in_a_file_is_one_sentence_with_its_line(file, command) -> None:
    file.write_text(FILE.replace("@flow\ndef broken():\n    fails()", "@flow\ndef broken():\n    fails(1)"))
    done = command("-m", "nbflow", "check", str(file))
    assert done.returncode == 2
    assert "error: line 19: fails() cannot be called so: too many positional arguments" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_installation_that_is_in_the_way_is_no_mistake_of_the_file(file, command) -> None:
    done = command("-m", "nbflow", "run", f"{file}:daily", NBFLOW_ARTIFACTS_URL="nosuch://x")
    assert (done.returncode, done.stderr) == (3, 'nbflow: artifacts_url "nosuch://x" cannot be used: Protocol not known: nosuch\n')


def test_a_script_runs_its_own_flow(file, command) -> None:
    done = command(str(file))
    assert done.stdout == "SUNDAY\n", done.stderr


def test_load_gives_the_flow_of_a_file(file) -> None:
    found = nbflow.load(f"{file}:daily")
    assert found.run(params={"day": "friday"}).task("day_of").result() == "FRIDAY"
    assert list(found.graph) == ["day_of"]


def test_load_refuses_what_is_not_there(file) -> None:
    with pytest.raises(UserError, match=r'defines no flow "dayly". Did you mean "daily"'):
        nbflow.load(f"{file}:dayly")
    with pytest.raises(UserError, match=r"There is no notebook nope.ipynb"):
        nbflow.load("nope.ipynb")


def test_load_runs_a_notebook(tmp_path) -> None:
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in ("%load_ext nbflow", "%%task one\nx = 1", "%nbflow run")]
    path = tmp_path / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    run = nbflow.load(path).run()
    assert run.state == "success"
    assert run.task("one").result("x") == 1
    assert list(nbflow.load(path).graph) == ["one"]


def test_dates_are_recorded_as_text_and_passed_on_as_they_are(nbflow_workspace) -> None:  # noqa: F811
    @task
    def kind(day):
        return type(day).__name__

    @flow
    def f(day: date = date(2026, 1, 1)):
        kind(day)

    run = f.run(day="2026-02-03")
    assert run.task("kind").result() == "date"
    assert nbflow_workspace.run(run.run_id).params == {"day": "2026-02-03"}


def test_the_example_of_the_readme_runs_and_so_does_its_test(tmp_path, nbflow_workspace) -> None:  # noqa: F811
    readme = (Path(nbflow.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## In Python")[2].partition("\n## ")[0]
    example, example_test = (part.partition("```")[0] for part in section.split("```python\n")[1:])
    path = tmp_path / "readme_flows.py"
    path.write_text(example.partition("run = energy.run")[0])
    energy = nbflow.load(path)
    namespace: dict[str, Any] = {"energy": energy}
    exec(example_test, namespace)
    namespace["test_energy"](nbflow_workspace)


def test_a_start_date_that_is_another_one_each_time_is_refused(tmp_path):
    from nbflow.app.tracing import find_problems
    from nbflow.authoring.python_file import read_target

    text = "from datetime import UTC, datetime\nfrom nbflow import flow, task\n\n\n@task\ndef one(): ...\n\n\n@flow(schedule='@daily', start_date={})\ndef f():\n    one()\n"
    file = tmp_path / "flows.py"
    file.write_text(text.format("datetime.now(UTC)"))
    (problem,) = find_problems(read_target(f"{file}:f"))
    assert problem.message == (
        "flows.py, line 9: start_date is another one each time it is read, since it asks datetime.now(): write a date, such as 2026-01-01."
    )
    file.write_text(text.format("'2026-01-01T00:00:00.5'"))
    assert find_problems(read_target(f"{file}:f")) == ()
