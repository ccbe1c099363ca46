# SPDX-License-Identifier: BSD-3-Clause
"""`%%task --map` from a notebook through the command line to its history, with everything real behind it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}
CELLS = (
    "factor = 10\nletters = ['a', 'b']\n\nclass Point:\n    def __init__(self, n):\n        self.n = n",
    "%load_ext nbflow",
    "%%task listed\nxs = [Point(n) for n in range(3)]\nempty = {}",
    (
        "%%task score --map x=xs --retries 1 --retry-delay 0s\nfrom nbflow import ctx\nprint('scoring', x.n)\n"
        "if x.n == 1 and ctx.attempt == 1:\n    raise ValueError('not yet')\ny = x.n * factor"
    ),
    "%%task cross --map letter=letters --map x=xs\nname = letter + str(x.n)",
    "%%task nothing --map pair=empty\nz = pair",
    "%%task total\nprint(sum(y), ' '.join(name))\nt = sum(y)",
    "%nbflow run",
    "print('the kernel has', y, t, len(name))",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    return tmp_path


def write(folder: Path, *cells: str) -> Path:
    made = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": PYTHON}), folder / "maps.ipynb")
    return folder / "maps.ipynb"


def nbflow(*words: str | Path, code: int = 0) -> Any:
    """The JSON a command prints; its standard error where it must fail."""
    done = subprocess.run([sys.executable, "-m", "nbflow", *map(str, words)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def cell(notebook: Any, start: str) -> Any:
    return next(one for one in notebook.cells if one.source.startswith(start))


def texts(one: Any) -> str:
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") + "\n" for output in one.outputs)


def test_a_mapped_notebook_runs_and_its_history_can_be_read(home: Path) -> None:
    ran = nbflow("run", write(home, *CELLS), "--output", home / "out.ipynb", "--json")
    rows = [(row["id"], row["map_index"], row["state"], row["attempt"]) for row in ran["tasks"]]
    assert rows == [
        ("listed", -1, "success", 1),
        *(("score", index, "success", 2 if index == 1 else 1) for index in range(3)),
        *(("cross", index, "success", 1) for index in range(6)),
        ("nothing", -1, "skipped", 0),
        ("total", -1, "success", 1),
    ]
    notebook = nbformat.read(home / "out.ipynb", as_version=4)
    told = texts(cell(notebook, "%%task score"))
    assert re.match(r"\[succeeded\] score x 3  [\d.]+ s  3 succeeded\n", told)
    assert told.endswith("score[0]\nscoring 0\nscore[1]\nscoring 1\nscore[2]\nscoring 2\n")
    assert "30 a0 a1 a2 b0 b1 b2" in texts(cell(notebook, "%%task total"))
    assert "the kernel has [0, 10, 20] 30 6" in texts(cell(notebook, "print"))

    (given,) = [one for one in nbflow("runs", "result", "latest", "score", "--json")["values"] if one["name"] == "y"]
    assert given["shown"] == "list, 3 items"
    (given,) = [one for one in nbflow("runs", "result", "latest", "score[2]", "--json")["values"] if one["name"] == "y"]
    assert given["shown"] == "20"
    (log,) = nbflow("runs", "logs", "latest", "score[1]", "--attempt", "1", "--json")["logs"]
    assert log["outputs"][-1]["evalue"] == "not yet"
    attempts = nbflow("runs", "show", "latest", "score", "--json")["attempts"]
    ended = sorted((one["map_index"], one["attempt"], one["outcome"], one["reason"]) for one in attempts)
    assert ended == [(0, 1, "success", ""), (1, 1, "failed", "ValueError: not yet"), (1, 2, "success", ""), (2, 1, "success", "")]


def test_a_plain_value_without_elements_is_refused_before_anything_runs(home: Path) -> None:
    path = write(home, "xs = 3", "%load_ext nbflow", "%%task score --map x=xs\ny = x", "%nbflow run")
    assert "`xs` is an int, but score maps over it: give a list, a tuple or a dict." in nbflow("run", path, code=1)


def test_a_task_that_gives_no_elements_fails_and_says_who_wanted_them(home: Path) -> None:
    path = write(home, "%load_ext nbflow", "%%task listed\nxs = None", "%%task score --map x=xs\ny = x", "%nbflow run")
    nbflow("run", path, code=1)
    rows = {row["id"]: row for row in nbflow("runs", "show", "latest", "--json")["tasks"]}
    assert "`xs` is None, but score maps over it" in rows["listed"]["reason"]
    assert rows["score"]["state"] == "upstream_failed"
