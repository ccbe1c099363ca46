# SPDX-License-Identifier: BSD-3-Clause
"""What a failed attempt leaves of its frames: bounded, and never more than it may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbflow.core.ids import TaskKey
from nbflow.core.job import Job, JobContext, Outcome
from nbflow.operators.entry import run_job
from nbflow.operators.postmortem import KeptFrame, load_frames
from nbflow.operators.values import decode
from nbflow.store.artifacts import open_artifacts


def frames(folder: Path, source: str, **more: Any) -> tuple[KeptFrame, ...]:
    artifacts = open_artifacts(str(folder))
    context = JobContext(flow="f", run_id="r", key=TaskKey("t"), attempt=1)
    report = run_job(
        Job(token="t1", context=context, operator=more.pop("operator", "cell"), source=source, **more), artifacts, lambda _: None
    )
    assert report.outcome is Outcome.FAILED
    assert report.error is not None
    return load_frames(report.error.frames, artifacts)


def test_values_come_back_as_they_were(tmp_path: Path):
    (cell,) = frames(tmp_path, "import pandas as pd\nframe = pd.DataFrame({'a': [1, 2]})\nn = 2\n1 / 0")
    assert (cell.line, cell.is_module, set(cell.values)) == (4, True, {"frame", "n"})
    assert decode(cell.values["n"], open_artifacts(str(tmp_path))) == 2
    assert list(decode(cell.values["frame"], open_artifacts(str(tmp_path)))["a"]) == [1, 2]


def test_a_large_value_is_kept_by_its_description(tmp_path: Path):
    (cell,) = frames(tmp_path, "import numpy as np\nlarge = np.zeros(1_000_000)\nsmall = np.zeros(3)\n1 / 0")
    assert set(cell.values) == {"small"}
    assert cell.told["large"] == "array, 1000000, float64 (takes more than 8 MB)"


def test_of_a_deep_recursion_both_ends_are_kept(tmp_path: Path):
    found = frames(tmp_path, "def down(n):\n    if n == 0: raise ValueError('bottom')\n    return down(n - 1)\ndown(200)")
    assert len(found) == 60
    artifacts = open_artifacts(str(tmp_path))
    assert [decode(one.values["n"], artifacts) for one in (found[1], found[-1])] == [200, 0]


def test_libraries_are_part_of_it_and_nbflow_is_not(tmp_path: Path):
    found = frames(tmp_path, "import json\njson.loads('{')")
    assert [one.function for one in found][:2] == ["<module>", "loads"]
    assert not any("/nbflow/" in one.filename or "/IPython/" in one.filename for one in found)


@pytest.mark.parametrize("name", ["password", "API_KEY", "db_passwd", "access_token", "credentials"])
def test_a_text_whose_name_says_that_it_is_a_secret_is_not_kept(tmp_path: Path, name: str):
    (cell,) = frames(tmp_path, f"{name} = 'x' * 20\ntokens = [1]\n1 / 0")
    assert set(cell.values) == {"tokens"}
    assert "hidden" in cell.told[name]


def test_an_object_that_misbehaves_does_not_hide_the_error(tmp_path: Path):
    source = "class Odd:\n    def __reduce__(self): raise SystemExit\n    def __repr__(self): raise OSError\nodd = Odd()\nn = 1\n1 / 0"
    (cell,) = frames(tmp_path, source)
    assert set(cell.values) == {"n"}
    assert "Odd" in cell.told["odd"]


def test_a_cell_that_does_not_even_begin_leaves_none(tmp_path: Path):
    assert frames(tmp_path, "x = (") == ()
