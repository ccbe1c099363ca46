# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow runs result` and `inputs`: all values of a task or the one of a name, as `%nbflow result` takes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nbflow import flow, task
from nbflow.cli.main import cli
from nbflow.testing import memory_workspace


@task(multiple_outputs=True)
def extract() -> dict[str, object]:
    return {"rows": [1, 2], "kwh": 12.5}


@task
def total(rows):
    return sum(rows)


@flow
def sales():
    total(extract()["rows"])


def typed(*words: object) -> str:
    done = CliRunner().invoke(cli, ["runs", *(str(word) for word in words)])
    return done.stdout if done.exception is None else str(done.exception)


def names(*words: object) -> list[str]:
    return [one["name"] for one in json.loads(typed(*words, "--json"))["values"]]


def test_one_value_is_asked_for_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_workspace(tmp_path) as workspace:
        run_id = sales.run().run_id
        monkeypatch.setattr("nbflow.store.opening.open_store", lambda _: workspace.store)
        monkeypatch.setenv("NBFLOW_HOME", str(tmp_path))
        given = names("result", run_id, "extract")
        (rows,) = [name for name in given if "rows" in name]
        assert len(given) > 1
        assert names("result", "latest", "extract", rows) == [rows]
        shown = typed("result", run_id, "extract", rows)
        assert "[1, 2]" in shown
        assert "12.5" not in shown
        taken = names("inputs", run_id, "total")
        assert names("inputs", run_id, "total", taken[0]) == [taken[0]]
        said = f'Task extract gave no "kw" in run {run_id}; it gave: {", ".join(given)}.'
        assert typed("result", run_id, "extract", "kw") == said
        said = f'Task total was given no "kw" in run {run_id}; it was given: {", ".join(taken)}.'
        assert typed("inputs", run_id, "total", "kw") == said
