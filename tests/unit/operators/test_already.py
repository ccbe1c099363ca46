# SPDX-License-Identifier: BSD-3-Clause
"""`--unless-exists`: what is there already is not made again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from nbflow.core.ids import TaskKey
from nbflow.core.job import Job, JobContext, Outcome, Report, ValueRef
from nbflow.operators.entry import run_job
from nbflow.store.artifacts import open_artifacts

DATE = datetime(2026, 1, 2, tzinfo=UTC)


def run(folder: Path, url: str, operator: str = "cell", source: str = "x = 1\nprint('ran')", **more) -> Report:
    context = JobContext(flow="f", run_id="r", key=TaskKey("t"), attempt=1, logical_date=DATE, params={"city": "Bern"})
    job = Job(token="t1", context=context, operator=operator, source=source, demands=("x",), unless_exists=url, **more)
    return run_job(job, open_artifacts(str(folder / "artifacts")), lambda _event: None)


def test_it_does_not_run_when_the_file_is_there(tmp_path: Path):
    (tmp_path / "2026-01-02 Bern.csv").touch()
    report = run(tmp_path, f"{tmp_path}/{{{{ ds }}}} {{{{ city }}}}.csv")
    assert (report.outcome, report.already) == (Outcome.SUCCESS, f"{tmp_path}/2026-01-02 Bern.csv")
    assert report.values == {}
    assert report.left_out == {"x": f"did not run, because {tmp_path}/2026-01-02 Bern.csv exists already"}
    assert report.outputs.inline == ()


def test_it_runs_when_it_is_not(tmp_path: Path):
    report = run(tmp_path, f"{tmp_path}/{{{{ ds }}}}.csv")
    assert (report.outcome, report.already, report.values["x"].inline) == (Outcome.SUCCESS, "", b"1")


def test_any_fsspec_url_will_do_and_names_of_inputs_stand_in_it(tmp_path: Path):
    with fsspec.open("memory://there/7.parquet", "wb") as file:
        file.write(b"x")
    seven = ValueRef(hash="7", format="json", size=1, inline=b"7")
    assert run(tmp_path, "memory://there/{{ n }}.parquet", inputs={"n": seven}).already == "memory://there/7.parquet"


@pytest.mark.parametrize("operator", ["bash", "python"])
def test_it_holds_for_every_operator(tmp_path: Path, operator: str):
    report = run(tmp_path, str(tmp_path), operator, source="exit 1")
    assert report.already == str(tmp_path)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nowhere://x", "--unless-exists nowhere://x cannot be looked at: Protocol not known: nowhere"),
        ("{{ unknown }}", "--unless-exists {{ unknown }} cannot be rendered: 'unknown' is undefined"),
        ("{{ '' }}", "--unless-exists {{ '' }} names nothing here: write a path or a URL."),
    ],
)
def test_what_cannot_be_looked_at_fails_the_attempt_in_a_sentence(tmp_path: Path, url: str, sentence: str):
    report = run(tmp_path, url)
    assert (report.outcome, report.reason) == (Outcome.FAILED, sentence)
