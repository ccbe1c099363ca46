# SPDX-License-Identifier: BSD-3-Clause
"""A cluster that somebody else runs, or that a Dask class makes: found by address or file, proved on connecting, ended by whoever made it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

import nbflow
from nbflow.app import Workspace
from nbflow.core.errors import SetupError
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet, Outcome
from nbflow.core.model import Edge, Flow, Read, Task
from nbflow.core.states import RunState
from nbflow.executors.cluster import cluster_file, read_facts, stop_home_cluster
from nbflow.executors.dask_executor import DaskExecutor
from nbflow.settings import Settings
from nbflow.store.artifacts import open_artifacts
from tests.contracts.executors import Bench
from tests.integration.clusters import ForeignCluster
from tests.processes import still_running
from tests.unit.executors.runner import NAME

pytest_plugins = ["tests.unit.store.databases"]
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
OTHER_VERSION = "0.0.9"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignCluster]:
    """A scheduler and one good worker."""
    cluster = ForeignCluster(tmp_path_factory.mktemp("foreign"))
    try:
        cluster.add_worker()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[ForeignCluster]:
    """A scheduler without workers."""
    (tmp_path / "foreign").mkdir()
    cluster = ForeignCluster(tmp_path / "foreign")
    yield cluster
    cluster.close()


def flow(source: str = "x = 20 + 1\nprint('x is', x)") -> Flow:
    return Flow(name=FlowName("small"), tasks=(Task(id=TaskId("one"), operator="cell", source=source),))


def run_small(settings: Settings) -> RunState:
    workspace = Workspace(settings)
    try:
        handle = workspace.start_run(flow(), CaptureSet())
        assert handle.wait(60)
        return handle.snapshot().run.state
    finally:
        workspace.close()


def notebook(path: Path) -> Path:
    cells = ["%load_ext nbflow", "%%task one\nx = 20 + 1", "%%task two\ny = x * 2\nprint('y is', y)", "%nbflow run"]
    made = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": KERNEL}), path)
    return path


def shell(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`nbflow ...` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "nbflow.cli.main", *arguments],
        env={**os.environ, "JUPYTER_PLATFORM_DIRS": "1", "NBFLOW_HOME": str(home), **environment},
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def sentence(spec: str, home: Path, artifacts_url: str = "") -> str:
    """What connecting says."""
    url = artifacts_url or str(home / "artifacts")
    executor = DaskExecutor(spec, home=home, artifacts_url=url, artifacts=open_artifacts(url), opener=open_artifacts)
    with pytest.raises(SetupError) as caught:
        executor.start(print)
    executor.close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- how it is named ----------------------------------------------------------------------------------------------------


def test_a_notebook_runs_on_a_cluster_over_postgresql_without_a_changed_cell(
    foreign: ForeignCluster, postgresql_url: str, tmp_path: Path
) -> None:
    path, home, artifacts_url = notebook(tmp_path / "in.ipynb"), tmp_path / "home", (tmp_path / "shared").as_uri()
    where = {"NBFLOW_DASK": foreign.address, "NBFLOW_DATABASE_URL": postgresql_url, "NBFLOW_ARTIFACTS_URL": artifacts_url}
    done = shell(home, "run", str(path), "--json", **where)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [task["state"] for task in said["tasks"]] == ["success", "success"]
    assert not list(home.glob("cluster-*.json"))
    assert not (home / "nbflow.db").exists()
    elsewhere = Workspace.open(Settings(home=tmp_path / "other", database_url=postgresql_url, artifacts_url=artifacts_url, dask="inline"))
    assert elsewhere.run("latest").run_id == said["run_id"]
    assert elsewhere.logs(said["run_id"], "two")[0]["text"] == "y is 42\n"
    elsewhere.close()


def test_a_scheduler_file_names_the_cluster(foreign: ForeignCluster, tmp_path: Path) -> None:
    assert run_small(Settings(home=tmp_path, dask=f"scheduler_file:{foreign.file}")) is RunState.SUCCESS


def test_a_cluster_class_grows_from_nothing_and_ends_with_the_workspace(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    source = f"import pathlib, psutil\npathlib.Path({str(seen)!r}).write_text(' '.join(str(one.pid) for one in psutil.Process().parents()))"
    spec = 'cluster:dask.distributed.LocalCluster?n_workers=0&threads_per_worker=2&adapt={"minimum": 0, "maximum": 1, "interval": "100ms"}'
    workspace = Workspace(Settings(home=tmp_path, dask=spec))
    assert workspace.executor.slots() is None
    handle = workspace.start_run(flow(source), CaptureSet())
    assert handle.wait(60)
    assert handle.snapshot().run.state is RunState.SUCCESS
    above = [int(pid) for pid in seen.read_text().split()]  # of the attempt; an idle worker may have gone by itself meanwhile
    below = above[: above.index(os.getpid())]
    workspace.close()
    assert below
    assert still_running(below) == []


# --- the proof ----------------------------------------------------------------------------------------------------------


def test_artifacts_that_a_worker_does_not_see_are_named_on_connecting(foreign: ForeignCluster, tmp_path: Path) -> None:
    said = sentence(foreign.address, tmp_path, "memory://only-here")
    assert said.startswith("The Dask worker tcp://127.0.0.1:")
    assert said.endswith(" cannot see memory://only-here: set artifacts_url to a folder or URL every worker reaches.")


def test_a_folder_that_is_another_one_on_the_workers_machine_is_named(foreign: ForeignCluster, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    hide = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none '{artifacts}' && exec \"$@\"", "sh"]
    if subprocess.run([*hide, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this process may not mount, so every worker here sees the same folders")
    worker = foreign.add_worker(below=hide)
    try:
        said = sentence(foreign.address, tmp_path)
    finally:
        foreign.end_worker()
    assert said == f"The Dask worker {worker} cannot see {artifacts}: set artifacts_url to a folder or URL every worker reaches."


@pytest.mark.parametrize("lie", ["version", "package"])
def test_a_worker_with_another_nbflow_is_named_on_connecting(foreign: ForeignCluster, tmp_path: Path, lie: str) -> None:
    other = tmp_path / "other"
    (other / "nbflow").mkdir(parents=True)
    (other / "nbflow" / "__init__.py").write_text(f'__version__ = "{OTHER_VERSION}"\n')
    if lie == "version":
        facts = other / f"jupyter_nbflow-{OTHER_VERSION}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: jupyter-nbflow\nVersion: {OTHER_VERSION}\n")
    worker = foreign.add_worker(environment={"PYTHONPATH": str(other)})
    try:
        said = sentence(foreign.address, tmp_path)
    finally:
        foreign.end_worker()
    if lie == "version":
        assert said == (
            f"nbflow is {nbflow.__version__} here and {OTHER_VERSION} in the Dask worker {worker}: use one environment for all of them."
        )
    else:
        assert said.startswith(f"The Dask worker {worker} cannot load nbflow {nbflow.__version__} (")
        assert "No module named 'nbflow." in said
        assert said.endswith("): install the same jupyter-nbflow there.")


def test_a_worker_that_comes_later_proves_itself_before_its_first_attempt(empty: ForeignCluster, tmp_path: Path) -> None:
    executor = DaskExecutor(
        empty.address,
        home=tmp_path,
        artifacts_url="memory://only-here",
        artifacts=open_artifacts("memory://only-here"),
        opener=open_artifacts,
        runner=NAME,
    )
    bench = Bench(executor)
    bench.submit("late", "pass")
    worker = empty.add_worker()
    report = bench.report("late")
    assert (report.outcome, report.error.may_retry, report.started_at) == (Outcome.FAILED, False, None)
    assert report.error.evalue == (
        f"The Dask worker {worker} cannot see memory://only-here: set artifacts_url to a folder or URL every worker reaches."
    )
    executor.close()


def test_a_good_cluster_is_asked_once_and_keeps_no_mark(foreign: ForeignCluster, tmp_path: Path) -> None:
    url = str(tmp_path / "artifacts")
    artifacts = open_artifacts(url)
    executor = DaskExecutor(foreign.address, home=tmp_path, artifacts_url=url, artifacts=artifacts, opener=open_artifacts)
    bench = Bench(executor)
    name = executor.connection.challenge.name
    assert artifacts.read_mark(name) == executor.connection.challenge.secret
    artifacts.delete_mark(name)
    client = executor.connection.current
    client.loop.add_callback(client.scheduler_comm.comm.abort)  # the next connection is to the same scheduler
    executor.connection.is_broken = True
    bench.submit("again", "x = 1", operator="cell", artifacts_url=url)
    assert bench.report("again").outcome is Outcome.SUCCESS
    assert artifacts.read_mark(name) is None
    executor.close()
    assert list((tmp_path / "artifacts" / "marks").glob("proof-*")) == []


# --- the cluster of a home, shared --------------------------------------------------------------------------------------


def start_small(home: Path, **environment: str) -> subprocess.Popen[str]:
    """A process that runs a small flow in this home, and uses its cluster until `told`."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.small_run"],
        env={**os.environ, "NBFLOW_HOME": str(home), "NBFLOW_WORKERS": "2", "NBFLOW_CLUSTER_IDLE": "1s", **environment},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def told(*processes: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What they found, each while all of them were there."""
    lines = [process.stdout.readline() for process in processes if process.stdout is not None]
    for process in processes:
        process.communicate(timeout=120)
    return [json.loads(line) for line in lines]


def test_processes_share_the_cluster_of_a_home_and_an_idle_one_stops_until_the_next_run(tmp_path: Path) -> None:
    try:
        found = told(start_small(tmp_path), start_small(tmp_path))
        assert [one["state"] for one in found] == ["success", "success"]
        assert [one["slots"] for one in found] == [2, 2]
        first = found[0]["cluster"]
        assert found[1]["cluster"] == first
        assert still_running([first]) == []
        assert not cluster_file(tmp_path).exists()
        (again,) = told(start_small(tmp_path))
        assert again["state"] == "success"
        assert again["cluster"] not in {None, first}
    finally:
        stop_home_cluster(tmp_path)
    assert read_facts(tmp_path) is None


# --- where values are kept ----------------------------------------------------------------------------------------------


def test_values_travel_through_a_file_url(tmp_path: Path, shared_home: Path) -> None:
    url = (tmp_path / "a folder").as_uri()
    workspace = Workspace(Settings(home=shared_home, database_url=f"sqlite:///{tmp_path}/nbflow.db", artifacts_url=url))
    big = Task(id=TaskId("big"), operator="cell", source="x = list(range(200_000))", writes=("x",), demands=("x",))
    sum_of = Task(
        id=TaskId("sum_of"),
        operator="cell",
        source="y = sum(x)",
        reads=(Read(name="x", writers=(TaskId("big"),)),),
        writes=("y",),
        demands=("y",),
    )
    edge = Edge(upstream=TaskId("big"), downstream=TaskId("sum_of"), names=("x",))
    handle = workspace.start_run(Flow(name=FlowName("values"), tasks=(big, sum_of), edges=(edge,)), CaptureSet())
    assert handle.wait(60)
    assert workspace.given(handle.run_id, "sum_of")["y"].shown == str(sum(range(200_000)))
    ref = workspace.given(handle.run_id, "big")["x"]
    assert open_artifacts(url).has(ref.hash)
    assert (tmp_path / "a folder" / ref.hash[:2] / ref.hash).is_file()
    workspace.close()


def test_artifacts_in_memory_need_inline(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"^artifacts_url memory:// is seen by this process only: set dask = inline, or artifacts_url to"):
        _ = Workspace(Settings(home=tmp_path, artifacts_url="memory://values")).executor
    assert run_small(Settings(home=tmp_path, artifacts_url="memory://values", dask="inline")) is RunState.SUCCESS
