# SPDX-License-Identifier: BSD-3-Clause
"""Runs of deployments, hosted in this process: where they happen, what they see, and how a person goes on with one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbflow.app import Workspace
from nbflow.app.deploying import deploy, trigger, undeploy
from nbflow.core.errors import StoreError, UserError
from nbflow.core.limits import DEFAULT_POOL, Pool
from nbflow.core.records import Lease
from nbflow.headless import deployed
from nbflow.headless.deployed import host_run
from nbflow.headless.running import resume_notebook
from nbflow.headless.stored_version import Stored
from nbflow.settings import Settings
from tests.integration.test_schedulers import notebook, until


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with closing(Workspace(Settings(home=tmp_path / "home", dask="inline"))) as opened:
        yield opened


FAILS_ONCE = (
    # A name of its own: inline attempts share this process, and so the modules that other tests have imported.
    "%load_ext nbflow\nimport base_of_deployed",
    "%%flow fails\nmax_consecutive_failed_runs = 1",
    "%%task first\nimport pathlib\npathlib.Path('first.txt').open('a').write('x')\nbase = base_of_deployed.BASE",
    "%%task second\nimport pathlib\nanswer = base + int(pathlib.Path('number.txt').read_text()) + more",
)


def test_a_run_happens_in_the_notebooks_own_folder_and_a_person_goes_on_with_it(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "nb"
    folder.mkdir()
    (folder / "base_of_deployed.py").write_text("BASE = 40\n")
    path = notebook(folder / "fails.ipynb", *FAILS_ONCE, parameters="more = 0")
    deploy(workspace, path)
    (folder / "base_of_deployed.py").write_text("BASE = 0\n")  # the version has its own copy
    path.write_text("{")  # the file is not read any more
    run_id = trigger(workspace, "fails", params={"more": 1}).run_id
    host_run(workspace, run_id, "")
    run = workspace.store.run(run_id)
    assert run.state.value == "failed"
    assert "number.txt" in workspace.store.task_records(run_id)[1].reason
    paused = workspace.store.deployments.get("fails")
    assert (paused.paused, paused.pause_reason) == (True, "Paused: its last run failed.")
    (folder / "number.txt").write_text("1")
    outcome = resume_notebook(workspace, run_id)
    assert outcome.succeeded
    assert workspace.given(run_id, "second")["answer"].shown == "42"
    assert (folder / "first.txt").read_text() == "x"
    executed = nbformat.read(outcome.output, as_version=4)
    assert "more = 1" in "".join(cell.source for cell in executed.cells)
    with pytest.raises(UserError, match="succeeded: there is nothing to go on with"):
        resume_notebook(workspace, run_id)


def test_a_cell_that_fails_before_any_task_ends_the_run(workspace: Workspace, tmp_path: Path) -> None:
    deploy(workspace, notebook(tmp_path / "early.ipynb", "%load_ext nbflow", "raise RuntimeError('no data yet')", "%%task one\nx = 1"))
    run_id = trigger(workspace, "early").run_id
    host_run(workspace, run_id, "")
    assert workspace.store.run(run_id).state.value == "failed"
    assert "no data yet" in workspace.store.run(run_id).reason


def test_a_run_that_was_cancelled_before_it_began_runs_nothing(workspace: Workspace, tmp_path: Path) -> None:
    deploy(workspace, notebook(tmp_path / "one.ipynb", "%load_ext nbflow", "%%task one\nimport pathlib\npathlib.Path('ran').touch()"))
    run_id = trigger(workspace, "one").run_id
    workspace.cancel(run_id)
    host_run(workspace, run_id, "")
    assert workspace.store.run(run_id).state.value == "cancelled"
    assert not (tmp_path / "ran").exists()


def test_a_run_of_somebody_else_is_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    deploy(workspace, notebook(tmp_path / "one.ipynb", "1"))
    run_id = trigger(workspace, "one").run_id
    assert workspace.store.deployments.promote(run_id, 1, "scheduler", 60) is not None
    with pytest.raises(UserError, match="is not ours any more: another scheduler goes on with it"):
        host_run(workspace, run_id, "another")
    assert workspace.store.run(run_id).state.value == "queued"


@pytest.mark.parametrize(("cell", "state"), [("import pathlib\npathlib.Path('ran').touch()", "success"), ("1 / 0", "failed")])
def test_a_notebook_with_nbflow_but_without_tasks_is_one_task(workspace: Workspace, tmp_path: Path, cell: str, state: str) -> None:
    deploy(workspace, notebook(tmp_path / "none.ipynb", "%load_ext nbflow", cell))
    run_id = trigger(workspace, "none").run_id
    host_run(workspace, run_id, "")
    assert workspace.store.run(run_id).state.value == state, workspace.store.run(run_id).reason
    assert (tmp_path / "ran").exists() == (state == "success")


def test_a_run_goes_on_with_the_newest_version_when_somebody_asks(workspace: Workspace, tmp_path: Path) -> None:
    count = "import pathlib\npathlib.Path('{0}.txt').open('a').write('x')\n{0} = 1"
    cells = (
        "%load_ext nbflow\nfactor = 1",
        f"%%task kept\n{count.format('kept')}",
        "%%task broken\ny = kept / 0",
        "%%task gone --after broken\n1",
    )
    path = notebook(tmp_path / "newer.ipynb", *cells)
    deploy(workspace, path)
    run_id = trigger(workspace, "newer").run_id
    host_run(workspace, run_id, "")
    assert workspace.store.run(run_id).state.value == "failed"
    notebook(path, "%load_ext nbflow\nfactor = 10", cells[1], "%%task broken\ny = kept * factor", "%%task added\nz = y + 1")
    newer = deploy(workspace, path).deployment
    with pytest.raises(UserError, match="Task gone is gone from version 2 of newer: leave it out"):
        resume_notebook(workspace, run_id, tasks=["gone"], latest=True)
    with pytest.raises(UserError, match=f'Run {run_id} has no task "brokn"'):
        resume_notebook(workspace, run_id, tasks=["brokn"], latest=True)
    assert workspace.store.run(run_id).state.value == "failed"
    assert resume_notebook(workspace, run_id, latest=True).succeeded
    run, records = workspace.store.run(run_id), workspace.store.task_records(run_id)
    assert {record.key.task_id: record.state.value for record in records} == {
        "kept": "success",
        "broken": "success",
        "gone": "removed",
        "added": "success",
    }
    assert (run.version, run.clear_number) == (newer.version, 1)
    assert workspace.given(run_id, "added")["z"].shown == "11"  # with the plain cells of the new version
    assert (tmp_path / "kept.txt").read_text() == "x"
    with pytest.raises(UserError, match=r"No task of run .* has failed, and version 2 has no new one"):
        resume_notebook(workspace, run_id, latest=True)
    assert resume_notebook(workspace, run_id, tasks=["broken"]).succeeded  # it is of that version now
    undeploy(workspace, "newer")
    with pytest.raises(UserError, match="Flow newer is not deployed any more, so there is no newest version"):
        resume_notebook(workspace, run_id, tasks=["broken"], latest=True)


@pytest.mark.parametrize("cell", ["", "%load_ext nbflow"])
def test_the_cells_of_a_notebook_without_tasks_wait_for_their_slot(workspace: Workspace, tmp_path: Path, cell: str) -> None:
    """Else they ran beside what the pool allows, and a driver that lost its run meanwhile had run them for nothing."""
    deploy(workspace, notebook(tmp_path / "waits.ipynb", cell, "import pathlib\npathlib.Path('ran').touch()"))
    workspace.store.save_pool(Pool(name=DEFAULT_POOL, slots=0))
    run_id = trigger(workspace, "waits").run_id
    host = threading.Thread(target=host_run, args=(workspace, run_id, ""))
    host.start()
    until(lambda: "slot" in workspace.store.task_records(run_id)[0].reason)
    assert not (tmp_path / "ran").exists()
    workspace.store.save_pool(Pool(name=DEFAULT_POOL, slots=1))
    host.join()
    assert workspace.store.run(run_id).state.value == "success"
    assert (tmp_path / "ran").exists()


def test_a_run_whose_cells_wait_can_be_cancelled(workspace: Workspace, tmp_path: Path) -> None:
    deploy(workspace, notebook(tmp_path / "waits.ipynb", "import pathlib\npathlib.Path('ran').touch()"))
    workspace.store.save_pool(Pool(name=DEFAULT_POOL, slots=0))
    run_id = trigger(workspace, "waits").run_id
    host = threading.Thread(target=host_run, args=(workspace, run_id, ""))
    host.start()
    until(lambda: workspace.store.task_records(run_id)[0].reason)
    workspace.cancel(run_id)
    host.join()
    assert workspace.store.run(run_id).state.value == "cancelled"
    assert not (tmp_path / "ran").exists()


def test_a_host_that_takes_long_to_begin_keeps_its_run(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between taking the run and driving it, the lease is renewed: no other scheduler takes it meanwhile."""
    workspace.settings = replace(workspace.settings, lease=0.3)
    deploy(workspace, notebook(tmp_path / "late.ipynb", "%load_ext nbflow", "%%task one\nx = 1"))
    run_id = trigger(workspace, "late").run_id
    renewed, renew, lay = threading.Semaphore(0), workspace.store.renew, deployed.lay_out

    def noted(lease: Lease) -> None:
        renew(lease)
        renewed.release()

    def slowly(*given) -> Stored:
        for _ in range(5):  # longer than the lease lasts
            assert renewed.acquire(timeout=30)
        return lay(*given)

    monkeypatch.setattr(workspace.store, "renew", noted)
    monkeypatch.setattr(deployed, "lay_out", slowly)
    host_run(workspace, run_id, "")
    assert workspace.store.run(run_id).state.value == "success"


def test_a_run_whose_database_goes_away_for_a_moment_goes_on_when_it_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not fail for that: its host gives it back, and what had succeeded is not run again, but shown, and if that takes two attempts."""
    count = "import pathlib\npathlib.Path('{0}.txt').open('a').write('x')\nprint('{0}', 'ran')\n{0} = 1"
    cells = ("%load_ext nbflow", f"%%task one\n{count.format('one')}", f"%%task two\nassert one\n{count.format('two')}")
    with closing(Workspace(Settings(home=tmp_path / "home", dask="inline"))) as workspace:
        deploy(workspace, notebook(tmp_path / "cut_off.ipynb", *cells))
        run_id = trigger(workspace, "cut_off").run_id
        commits = {name: getattr(workspace.store, name) for name in ("commit", "commit_asking")}
        failures = [StoreError("PostgreSQL cannot be reached at here.")] * 2  # for the driver, and for its host

        def away_for_a_moment(name: str, *arguments: Any, **named: Any) -> Any:
            if failures and any(record.state.value == "success" for record in workspace.store.task_records(run_id)):
                raise failures.pop()
            return commits[name](*arguments, **named)

        with monkeypatch.context() as while_it_is_away:
            for name in commits:
                while_it_is_away.setattr(workspace.store, name, partial(away_for_a_moment, name))
            host_run(workspace, run_id, "")
        left = workspace.store.run(run_id)
        assert (left.state.value, left.hosts) == ("running", 0)
        assert run_id in workspace.store.deployments.orphans()
        attempts, refused = workspace.attempts, []  # for the outputs of what ran before

        def not_at_first(*asked: Any) -> Any:
            if not refused:
                refused.append(asked)
                raise StoreError("PostgreSQL cannot be reached at here.")
            return attempts(*asked)

        monkeypatch.setattr(workspace, "attempts", not_at_first)
        host_run(workspace, run_id, "")
        run = workspace.store.run(run_id)
        assert run.state.value == "success", [record.reason for record in workspace.store.task_records(run_id)]
    assert refused
    executed = nbformat.read(run.output, as_version=4)
    assert all(f"{name} ran" in nbformat.writes(executed) for name in ("one", "two"))
    assert [(tmp_path / f"{name}.txt").read_text() for name in ("one", "two")] == ["x", "x"]


def test_what_a_run_stands_on_and_is_gone_is_one_sentence(workspace: Workspace, tmp_path: Path) -> None:
    """The folder of the notebook, or its kernel: the run is there, failed, and can be gone on with when that is mended."""
    (tmp_path / "away").mkdir()
    gone = notebook(tmp_path / "away" / "gone.ipynb", "1")
    deploy(workspace, gone)
    folder = trigger(workspace, "gone").run_id
    gone.unlink()  # the notebook alone may go: its version is stored
    gone.parent.rmdir()
    path = notebook(tmp_path / "other.ipynb", "%load_ext nbflow", "%%task one\nx = 1")
    document = nbformat.read(path, as_version=4)
    document.metadata["kernelspec"] = {"name": "gone-kernel", "display_name": "Gone", "language": "python"}
    nbformat.write(document, path)
    deploy(workspace, path)
    kernel = trigger(workspace, "other").run_id
    for run_id in (folder, kernel):
        host_run(workspace, run_id, "")
        assert workspace.store.run(run_id).state.value == "failed"
    assert "away, is not there any more: put it back, or deploy the notebook from where it is now." in workspace.store.run(folder).reason
    assert 'There is no kernel "gone-kernel" on this machine.' in workspace.store.run(kernel).reason
    (tmp_path / "away").mkdir()
    assert resume_notebook(workspace, folder).succeeded
