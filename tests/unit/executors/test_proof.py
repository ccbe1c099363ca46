# SPDX-License-Identifier: BSD-3-Clause
"""What a foreign cluster's answers mean: one sentence for the first thing that will not do."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow.core.errors import SetupError
from nbflow.executors.cluster import own_versions
from nbflow.executors.dask_client import check_parties
from nbflow.executors.proof import Challenge, check_answers, trouble_here
from nbflow.store.artifacts import FolderArtifacts, open_artifacts

WORKER = "tcp://10.0.0.7:4000"
NOW = 1_000_000.0


class Bench:
    """A challenge in a real folder."""

    def __init__(self, folder: Path) -> None:
        self.artifacts = FolderArtifacts(folder)
        self.challenge = Challenge(url=str(folder), opener=open_artifacts)

    def ask(self) -> None:
        self.artifacts.write_mark(self.challenge.name, self.challenge.secret)

    def check(self, **said: Any) -> None:
        answer = {"trouble": "", "nbflow": nbflow.__version__, "time": NOW, **said}
        check_answers(self.challenge, self.artifacts, {WORKER: answer}, NOW - 0.1, NOW + 0.1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "artifacts")


def sentence(bench: Bench, **said: Any) -> str:
    with pytest.raises(SetupError) as caught:
        bench.check(**said)
    return str(caught.value)


def test_a_worker_that_reads_and_writes_has_proved_itself_and_leaves_no_mark(bench: Bench, tmp_path: Path) -> None:
    bench.ask()
    assert trouble_here(bench.challenge, WORKER) == ""
    bench.check()
    assert [path.name for path in (tmp_path / "artifacts" / "marks").iterdir()] == [bench.challenge.name]


def test_a_worker_that_sees_another_folder_is_named_with_the_path(bench: Bench, tmp_path: Path) -> None:
    said = trouble_here(bench.challenge, WORKER)
    assert said == f"The Dask worker {WORKER} cannot see {tmp_path}/artifacts: set artifacts_url to a folder or URL every worker reaches."
    assert sentence(bench, trouble=said) == said


def test_what_a_worker_wrote_somewhere_else_is_missed(bench: Bench, tmp_path: Path) -> None:
    assert sentence(bench) == (
        f"What the Dask worker {WORKER} writes to {tmp_path}/artifacts cannot be read here (it is not there): "
        "set artifacts_url to a folder or URL every worker reaches."
    )


def test_a_file_system_the_worker_has_no_driver_for_is_said(tmp_path: Path) -> None:
    challenge = Challenge(url="nosuch://bucket", opener=open_artifacts)
    said = trouble_here(challenge, WORKER)
    assert said.startswith(f"The Dask worker {WORKER} cannot see nosuch://bucket (")
    assert said.endswith("): set artifacts_url to a folder or URL every worker reaches.")


@pytest.mark.parametrize(("seconds", "words"), [(60.0, "60 s ahead of"), (-60.0, "60 s behind")])
def test_clocks_that_differ_are_said(bench: Bench, seconds: float, words: str) -> None:
    assert sentence(bench, time=NOW + seconds) == (
        f"The clock of the Dask worker {WORKER} is {words} this machine's: set both by the same time server."
    )


def test_another_nbflow_is_named_with_both_versions(bench: Bench) -> None:
    assert sentence(bench, nbflow="0.0.9") == (
        f"nbflow is {nbflow.__version__} here and 0.0.9 in the Dask worker {WORKER}: use one environment for all of them."
    )


def test_a_worker_that_cannot_load_nbflow_is_named(bench: Bench) -> None:
    with pytest.raises(SetupError) as caught:
        check_answers(bench.challenge, bench.artifacts, {WORKER: ModuleNotFoundError("No module named 'nbflow'")}, NOW, NOW)
    assert str(caught.value) == (
        f"The Dask worker {WORKER} cannot load nbflow {nbflow.__version__} (No module named 'nbflow'): install the same jupyter-nbflow there."
    )


def packages(**others: str | None) -> dict[str, Any]:
    own = own_versions()
    same = {**own, "python": f"{own['python']}.1.final.0", "jupyter-nbflow": own["nbflow"], "cloudpickle": version("cloudpickle")}
    return {"packages": {**same, **others}}


@pytest.mark.parametrize(
    ("name", "package", "theirs", "shown"),
    [
        ("cloudpickle", "cloudpickle", "1.0", "1.0"),
        ("distributed", "distributed", "2020.1", "2020.1"),
        ("python", "python", "3.8.1.final.0", "3.8"),
        ("nbflow", "jupyter-nbflow", None, "none"),
    ],
)
def test_the_first_package_that_differs_is_named_with_both_versions(name: str, package: str, theirs: str | None, shown: str) -> None:
    check_parties(packages(), {WORKER: packages()}, "tcp://s:1")
    with pytest.raises(SetupError) as caught:
        check_parties(packages(), {WORKER: packages(**{package: theirs})}, "tcp://s:1")
    mine = {**own_versions(), "cloudpickle": version("cloudpickle")}[name]
    assert str(caught.value) == f"{name} is {mine} here and {shown} in the Dask worker {WORKER}: use one environment for all of them."
