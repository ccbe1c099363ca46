# SPDX-License-Identifier: BSD-3-Clause
"""Flows of Python files, deployed: what is stored, what is refused, where their runs happen and what those see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from nbflow.app import Workspace, tracing
from nbflow.app.deploying import Wish, deploy, deploy_file, trigger
from nbflow.app.flows_folders import FlowsFolders
from nbflow.app.tracing import NotWanted
from nbflow.core.errors import UserError
from nbflow.headless.deployed import host_run
from nbflow.headless.running import resume_notebook
from nbflow.settings import Settings

FLOWS = """
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from base_of_python_flows import FACTOR
from nbflow import ctx, flow, task


@task(retries=1)
def extract(table: str):
    print("from", table, "in", Path.cwd().name)
    return [1, 2, 3]


@task
def total(rows):
    Path("left.txt").write_text(ctx.params["tables"][0])
    return sum(rows) * FACTOR


@flow(schedule="0 3 * * *", start_date=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Zurich")), max_active_runs=2)
def sales(tables: list = ["a"]):
    for table in tables:
        rows = extract.override(task_id=f"extract_{table}")(table)
    total(rows)


@flow
def needs(day: str):
    total([day])
"""
#: Without a date, a file is read once.
UNDATED = FLOWS.replace('start_date=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Zurich")), ', "")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    settings = Settings(home=tmp_path / "home", dask="inline", flows_dirs=str(tmp_path / "flows"))
    with closing(Workspace(settings)) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "base_of_python_flows.py").write_text("FACTOR = 2\n")
    (folder / "flows_to_deploy.py").write_text(UNDATED)
    return folder / "flows_to_deploy.py"


def test_a_file_is_deployed_and_its_runs_are_of_that_version(workspace: Workspace, file: Path) -> None:
    file.write_text(FLOWS)
    sales, needs = deploy_file(workspace, file, Wish())
    assert (sales.deployment.name, needs.deployment.name) == ("sales", "needs")
    assert sales.schedule.timezone == "Europe/Zurich"
    assert dict(workspace.store.files(sales.deployment.version)) == {"base_of_python_flows.py": b"FACTOR = 2\n"}
    (file.parent / "base_of_python_flows.py").write_text("FACTOR = 0\n")  # the version has its own copy
    file.write_text("no Python")
    run_id = trigger(workspace, "sales").run_id
    host_run(workspace, run_id, "")
    run = workspace.store.run(run_id)
    assert (run.state.value, run.version, run.output, dict(run.params)) == ("success", sales.deployment.version, "", {"tables": ["a"]})
    assert workspace.given(run_id, "total")["total()"].shown == "12"
    assert workspace.logs(run_id, "extract_a")[0]["text"] == "from a in work\n"
    assert (file.parent / "left.txt").read_text() == "a"
    # Another graph, because of the parameters of this run.
    other = trigger(workspace, "sales", params={"tables": ["b", "c"]}).run_id
    host_run(workspace, other, "")
    tasks = {record.key.task_id: record.state.value for record in workspace.store.task_records(other)}
    assert tasks == {"extract_b": "success", "extract_c": "success", "total": "success", "extract_a": "removed"}
    with pytest.raises(UserError, match="Flow needs needs a value for day: give it with -p day VALUE"):
        trigger(workspace, "needs")
    # What fails while the flow is traced ends the run, with the line.
    broken = trigger(workspace, "sales", params={"tables": []}).run_id
    host_run(workspace, broken, "")
    assert workspace.store.run(broken).state.value == "failed"
    assert "flows_to_deploy.py, line 26: UnboundLocalError" in workspace.store.run(broken).reason


def test_one_flow_under_another_name_with_its_own_parameters(workspace: Workspace, file: Path) -> None:
    done = deploy(workspace, f"{file}:sales", name="sales_eu", params={"tables": ["x"]}, said={"schedule": "@hourly"})
    assert [task.id for task in workspace.store.flow(done.deployment.version).tasks] == ["extract_x", "total"]
    run_id = trigger(workspace, "sales_eu").run_id
    host_run(workspace, run_id, "")
    run = workspace.store.run(run_id)
    assert (run.flow, run.state.value, run.version) == ("sales_eu", "success", done.deployment.version)


def test_mistakes_are_said_before_anything_is_stored(workspace: Workspace, file: Path) -> None:
    given = [
        (
            file,
            Wish(name="one"),
            r"flows_to_deploy.py defines 2 flows \(sales, needs\), and --name names one: write flows_to_deploy.py:sales",
        ),
        (f"{file}:sale", Wish(), 'defines no flow "sale". Did you mean "sales"'),
        (f"{file}:needs", Wish(said={"schedule": "@daily"}), "Flow needs needs a value for day"),
    ]
    for path, wish, sentence in given:
        with pytest.raises(UserError, match=sentence):
            deploy_file(workspace, path, wish)
    assert workspace.store.deployments.find() == ()


@pytest.mark.parametrize("start", ["START", "helper()"])
def test_a_start_date_that_is_computed_is_refused(workspace: Workspace, file: Path, start: str) -> None:
    text = FLOWS.replace('datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Zurich"))', start)
    asks = "import time\nfrom datetime import date\nSTART = date.today()\n\n\ndef helper():\n    return f'2026-01-01T00:00:{time.time_ns() % 10**9 / 10**9 + 10:.9f}'[:26]\n"
    file.write_text(asks + text)
    with pytest.raises(UserError, match=r"start_date.* is another one each time it is read.*: write a date, such as 2026-01-01"):
        deploy(workspace, f"{file}:sales")


def test_a_date_that_moved_since_the_same_file_was_deployed_is_refused(workspace: Workspace, file: Path) -> None:
    text = FLOWS.replace('datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Zurich"))', "Path(__file__).with_name('day').read_text()")
    file.write_text(text)
    (file.parent / "day").write_text("2026-01-01")
    deploy(workspace, f"{file}:sales")
    (file.parent / "day").write_text("2026-01-02")
    with pytest.raises(UserError, match=r"start_date of flow sales is another one each time it is read \(2026-01-01, then 2026-01-02\)"):
        deploy(workspace, f"{file}:sales")


def test_a_file_in_a_flows_folder(workspace: Workspace, file: Path, tmp_path: Path) -> None:
    folder, folders = tmp_path / "flows", FlowsFolders(workspace)
    (folder / "pack").mkdir(parents=True)
    (folder / "pack" / "__init__.py").write_text("")
    (folder / "pack" / "base.py").write_text("FACTOR = 3\n")
    placed = folder / "pack" / "placed.py"
    good = UNDATED.replace("from base_of_python_flows", "from .base")
    placed.write_text(good)
    assert [told.partition(": ")[2] for told in folders.scan()] == ["flow sales is deployed.", "flow needs is deployed."]
    assert folders.scan() == FlowsFolders(workspace).scan() == ()
    version = workspace.store.deployments.get("sales").version
    assert set(workspace.store.files(version)) == {"pack/__init__.py", "pack/base.py"}
    run_id = trigger(workspace, "sales").run_id
    host_run(workspace, run_id, "")
    assert workspace.given(run_id, "total")["total()"].shown == "18"
    # One flow breaks: it keeps its version and says why; another one is gone, a new one is there.
    placed.write_text(good.replace("total(rows)\n", "totl(rows)\n").replace("def needs(day: str)", "def new(day: str)"))
    told = folders.scan()
    assert any(sentence.endswith("flow new is deployed.") for sentence in told)
    sales, needs = workspace.store.deployments.get("sales"), workspace.store.deployments.get("needs")
    assert (sales.version, sales.next_run is not None) == (version, True)
    assert "placed.py, line 26: NameError: name 'totl' is not defined" in sales.error
    assert needs.error.endswith("placed.py does not define needs any more: put it back, or type nbflow undeploy needs.")
    placed.write_text("@flow\nnothing that can be read")
    assert "SyntaxError" in folders.scan()[0]
    assert "SyntaxError" in workspace.store.deployments.get("new").error
    placed.write_text(good)
    folders.scan()
    assert {each.name: each.error for each in workspace.store.deployments.find() if each.name != "new"} == {"sales": "", "needs": ""}


def test_a_placeholder_of_a_broken_file_goes_when_it_is_right(workspace: Workspace, file: Path, tmp_path: Path) -> None:
    folder, folders = tmp_path / "flows", FlowsFolders(workspace)
    folder.mkdir()
    (folder / "first.py").write_text("from nbflow import flow\n@flow\ndef late(:\n")
    folders.scan()
    assert "SyntaxError" in workspace.store.deployments.get("first").error
    (folder / "first.py").write_text(UNDATED.replace("base_of_python_flows", "base_beside"))
    (folder / "base_beside.py").write_text("FACTOR = 2\n")
    folders.scan()
    assert {each.name for each in workspace.store.deployments.find()} == {"sales", "needs"}


def test_a_run_that_is_cancelled_while_its_file_is_read_runs_nothing(workspace: Workspace, file: Path) -> None:
    deploy(workspace, f"{file}:sales")
    run_id = trigger(workspace, "sales").run_id
    slow = workspace.store.flow(workspace.store.run(run_id).version)
    source = b"import time\ntime.sleep(600)\n" + workspace.store.source(workspace.store.run(run_id).version)
    version = workspace.store.save_flow(slow, source=source)
    lease = workspace.store.deployments.promote(run_id, 9, "scheduler", 60)
    assert lease is not None
    workspace.store.commit(lease, [], run=replace(workspace.store.run(run_id), version=version))
    workspace.cancel(run_id)
    host_run(workspace, run_id, "scheduler")
    assert workspace.store.run(run_id).state.value == "cancelled"
    assert not (file.parent / "left.txt").exists()


def test_a_run_goes_on_with_the_newest_version_of_its_file(workspace: Workspace, file: Path) -> None:
    deploy(workspace, f"{file}:sales")
    (file.parent / "left.txt").mkdir()  # total cannot write there
    run_id = trigger(workspace, "sales", params={"tables": ["b", "c"]}).run_id
    host_run(workspace, run_id, "")
    assert workspace.store.run(run_id).state.value == "failed"
    file.write_text(UNDATED.replace('Path("left.txt")', 'Path("right.txt")').replace("sum(rows)", "max(rows)"))
    deploy(workspace, f"{file}:sales")
    before = workspace.attempts(run_id, "extract_b")
    assert resume_notebook(workspace, run_id, latest=True).succeeded
    assert workspace.given(run_id, "total")["total()"].shown == "6"
    assert workspace.attempts(run_id, "extract_b") == before  # what had succeeded is kept, though the deployment itself has no such task
    assert resume_notebook(workspace, run_id, tasks=["total"]).succeeded


def test_a_file_that_takes_for_ever_keeps_nothing_else_waiting(
    workspace: Workspace, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "PATIENCE", 0.5)
    file.write_text("import time\ntime.sleep(600)\n" + FLOWS)
    with pytest.raises(UserError, match=r"Reading .*flows_to_deploy.py took longer than 0 s: what takes long belongs into its tasks"):
        deploy(workspace, f"{file}:sales")
    monkeypatch.setattr(tracing, "PATIENCE", 60)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "slow.py").write_text(file.read_text())
    with pytest.raises(NotWanted):
        FlowsFolders(workspace, is_wanted=lambda: False).scan()
    assert workspace.store.deployments.find() == ()
