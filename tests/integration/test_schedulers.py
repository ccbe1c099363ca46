# SPDX-License-Identifier: BSD-3-Clause
"""Real schedulers on real databases: several at once, one of them killed; each date has one run, and nothing that succeeded runs again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import nbformat
import pytest

from nbflow.app import Workspace
from nbflow.app.deploying import deploy, trigger
from nbflow.core.records import RunRecord
from nbflow.executors.cluster import read_facts
from nbflow.settings import Settings

pytest_plugins = ["tests.unit.store.databases"]


def notebook(path: Path, *cells: str, parameters: str = "") -> Path:
    v4 = nbformat.v4
    made = [v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters else []
    nbformat.write(v4.new_notebook(cells=[*made, *(v4.new_code_cell(cell) for cell in cells)]), path)
    return path


@contextmanager
def opened(home: Path, database_url: str = "") -> Iterator[Workspace]:
    workspace = Workspace(Settings(home=home, database_url=database_url, dask="inline", lease=15.0))
    yield workspace
    workspace.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with opened(tmp_path / "home") as workspace:
        yield workspace


@pytest.fixture
def shared(tmp_path: Path, database_url: str) -> Iterator[Workspace]:
    """On each database that several processes may share."""
    with opened(tmp_path / "home", database_url) as workspace:
        yield workspace


@contextmanager
def schedulers(workspace: Workspace, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    settings = workspace.settings
    environment = {**os.environ, "NBFLOW_HOME": str(settings.home), "NBFLOW_DATABASE_URL": settings.database_url}
    environment |= {"NBFLOW_DASK": settings.dask, "NBFLOW_LEASE": str(settings.lease), "NBFLOW_WORKERS": str(settings.workers)}
    environment |= {"NBFLOW_CLUSTER_IDLE": str(settings.cluster_idle)}
    command = [sys.executable, "-m", "nbflow", "scheduler"]
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        yield running
    finally:
        for one in running:
            one.kill()
        for one in running:  # until what they had started has ended, too
            one.communicate()


def until(is_so: Callable[[], bool], seconds: float = 120) -> None:
    """Poll a condition; the tests below say what they wait for."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)


def why(workspace: Workspace, runs: Sequence[RunRecord]) -> str:
    reasons = [f"{run.run_id}: {run.reason}" for run in runs if run.state.value != "success"]
    return "; ".join([*reasons, *(record.reason for record in workspace.store.task_records(runs[0].run_id))])


def test_two_schedulers_one_is_killed_and_each_date_has_one_run(shared: Workspace, tmp_path: Path) -> None:
    workspace = shared
    folder = tmp_path / "nb"
    folder.mkdir()
    (folder / "helper.py").write_text("NAME = 'as deployed'\n")
    (folder / "data.txt").write_text("live")
    path = notebook(
        folder / "sales.ipynb",
        "%load_ext nbflow\nimport helper, pathlib",
        "%%flow sales\nschedule = 'every 2s'\nmax_active_runs = 2\non_overlap = 'skip'",
        "%%task once\nfrom nbflow import ctx\n"
        "pathlib.Path('log.txt').open('a').write(f'once {ctx.run_id} {helper.NAME} {pathlib.Path(\"data.txt\").read_text()}\\n')\ndone = 1",
        "%%task then\nfrom nbflow import ctx\nimport time\nassert done\ntime.sleep(0.5)\npathlib.Path('log.txt').open('a').write(f'then {ctx.run_id}\\n')",
    )
    deploy(workspace, path)
    (folder / "helper.py").write_text("NAME = 'edited'\n")
    (folder / "data.txt").write_text("edited")
    deployments = workspace.store.deployments
    with schedulers(workspace, 2) as (one, two):
        until(lambda: len(deployments.schedulers()) == 2)
        until(lambda: len(deployments.ended("sales", 100)) >= 2)
        one.send_signal(signal.SIGKILL)
        ended = len(deployments.ended("sales", 100))
        until(lambda: len(deployments.ended("sales", 100)) >= ended + 3)
        deployments.change("sales", lambda stored: stored.__class__(**{**vars(stored), "next_run": None, "schedule": {}}))
        until(lambda: not deployments.active("sales"))
        two.send_signal(signal.SIGTERM)
        assert two.wait(60) == 0
    runs = deployments.ended("sales", 1000)
    assert {run.state.value for run in runs} == {"success"}, why(workspace, runs)
    dates = [run.logical_date for run in runs]
    assert len(dates) == len(set(dates))
    log = (folder / "log.txt").read_text().splitlines()
    assert sorted(line for line in log if line.startswith("once")) == sorted(f"once {run.run_id} as deployed edited" for run in runs)
    assert len([line for line in log if line.startswith("then")]) == len(runs)


def test_a_run_whose_host_dies_goes_on_in_another_without_running_again_what_succeeded(workspace: Workspace, tmp_path: Path) -> None:
    path = notebook(
        tmp_path / "long.ipynb",
        "%load_ext nbflow",
        "%%task first\nimport pathlib\npathlib.Path('first.txt').open('a').write('x')\ngiven = 41",
        "%%task second\nimport os, pathlib, time\npathlib.Path('second.txt').open('a').write('x')\n"
        "pathlib.Path('pid').write_text(str(os.getppid()))\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.05)\nanswer = given + number",
        parameters="number = 0",
    )
    deploy(workspace, path, name="long")
    with schedulers(workspace, 1):
        run = trigger(workspace, "long", params={"number": 1}, key="k")
        assert trigger(workspace, "long", params={"number": 1}, key="k").run_id == run.run_id
        until((tmp_path / "second.txt").exists)
        holder = workspace.store.holder(run.run_id)
        os.kill(int(holder.partition("/")[0].rpartition(":")[2]), signal.SIGKILL)
        (tmp_path / "go").touch()
        until(lambda: workspace.store.run(run.run_id).state.is_finished)
    assert workspace.store.run(run.run_id).state.value == "success"
    assert (tmp_path / "first.txt").read_text() == "x"
    assert json.loads(json.dumps([ref.shown for ref in [workspace.given(run.run_id, "second")["answer"]]])) == ["42"]
    executed = nbformat.read(workspace.store.run(run.run_id).output, as_version=4)
    assert executed.cells


def test_what_is_in_the_way_of_a_run_is_its_reason(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    deploy(workspace, notebook(folder / "gone.ipynb", "print(1)"))
    deploy(workspace, notebook(tmp_path / "broken.ipynb", "1 / 0"))
    deploy(workspace, notebook(tmp_path / "plain.ipynb", "print('well')"))
    (folder / "gone.ipynb").unlink()
    folder.rmdir()
    with schedulers(workspace, 1):
        runs = {name: trigger(workspace, name).run_id for name in ("gone", "broken", "plain")}
        until(lambda: all(workspace.store.run(run_id).state.is_finished for run_id in runs.values()))
    found = {name: workspace.store.run(run_id) for name, run_id in runs.items()}
    assert [run.state.value for run in found.values()] == ["failed", "failed", "success"]
    assert f"The folder of the notebook, {folder}, is not there any more" in found["gone"].reason
    assert "ZeroDivisionError" in workspace.store.task_records(runs["broken"])[0].reason


def test_notebooks_are_hosted_by_the_workers_of_the_cluster(tmp_path: Path) -> None:
    """On the home's local cluster; the second flow has a cluster of its own."""
    path = notebook(tmp_path / "hosted.ipynb", "%load_ext nbflow", "%%task one\nx = 1")
    own = notebook(
        tmp_path / "own.ipynb",
        "%load_ext nbflow",
        "%%flow own\n[cluster]\ncluster = 'dask.distributed.LocalCluster'\n"
        "arguments = {n_workers = 1, threads_per_worker = 1, processes = false, dashboard_address = ''}",
        "%%task one\nx = 1",
    )
    settings = Settings(home=tmp_path / "home", lease=15.0, workers=2, cluster_idle=5.0)
    with closing(Workspace(settings)) as workspace:
        for each in (path, own):
            deploy(workspace, each)
        runs = [trigger(workspace, name).run_id for name in ("hosted", "own")]
        with schedulers(workspace, 1):
            until(lambda: all(workspace.store.run(run_id).state.is_finished for run_id in runs))
            assert read_facts(settings.home) is not None  # while somebody uses it
        found = [workspace.store.run(run_id) for run_id in runs]
        assert [run.state.value for run in found] == ["success", "success"], why(workspace, found)
        workers = [workspace.store.task_records(run_id)[0].worker for run_id in runs]
        assert workers[0] != workers[1]
