# SPDX-License-Identifier: BSD-3-Clause
"""Options of tasks that an installation says, in [defaults] of nbflow.toml: they stand below everything a flow says itself."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from nbflow import flow, group, task
from nbflow.authoring.flow_builder import build_flow, find_problems
from nbflow.cli.main import cli
from tests.unit.authoring.notebooks import cells

INSTALLATION = {"retries": 2, "retry_delay": "10s", "timeout": "1h", "cache": True}


def test_the_installation_then_defaults_then_groups_then_the_task() -> None:
    header = "%%flow f\n[defaults]\nretry_delay = '20s'\n[groups.etl]\ntimeout = '2h'"
    found = build_flow(
        cells(header, "%%task one\nx = 1", "%%task etl.two --retries 0 --no-cache\ny = 1"), name="nb", installation=INSTALLATION
    )
    one, two = (each.options for each in found.tasks)
    assert (one.retries, one.retry_delay, one.timeout, one.cache) == (2, timedelta(seconds=20), timedelta(hours=1), True)
    assert (two.retries, two.retry_delay, two.timeout, two.cache) == (0, timedelta(seconds=20), timedelta(hours=2), False)
    assert found.options.installation == INSTALLATION


def test_without_a_header_too_and_without_any_nothing_is_said() -> None:
    assert build_flow(cells("%%task one\nx = 1"), name="nb", installation=INSTALLATION).tasks[0].options.retries == 2
    assert build_flow(cells("%%task one\nx = 1"), name="nb").options.installation == {}
    # What does not fit a task is told as of any default.
    said = find_problems(cells("%%flow f\nfail_fast = true", "%%task one\nx = 1"), installation={"trigger_rule": "all_done"})
    assert any("fail_fast" in problem.message for problem in said)


def test_in_python() -> None:
    @task(retries=5)
    def one() -> None: ...

    @task
    def two() -> None: ...

    @flow(defaults={"timeout": "5m"})
    def written() -> None:
        one()
        with group("g", retry_delay="1m"):
            two()

    first, second = (each.options for each in written.traced(installation=INSTALLATION).flow.tasks)
    assert (first.retries, first.timeout, first.retry_delay) == (5, timedelta(minutes=5), timedelta(seconds=10))
    assert (second.retries, second.timeout, second.retry_delay) == (2, timedelta(minutes=5), timedelta(minutes=1))


def test_the_graph_shows_the_option_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nbflow.toml").write_text(f'home = "{tmp_path / "home"}"\n[defaults]\nretries = 2\ntimezone = "Europe/Zurich"\n')
    v4 = nbformat.v4
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("%%task one\nx = 1")]), tmp_path / "nb.ipynb")
    shown = CliRunner().invoke(cli, ["graph", "nb.ipynb", "--json"])
    assert json.loads(shown.output)["tasks"][0]["options"]["retries"] == 2
