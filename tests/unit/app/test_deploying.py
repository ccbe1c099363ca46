# SPDX-License-Identifier: BSD-3-Clause
"""Deploying: what is stored, what a name means, what is refused before anything happens."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest

from nbflow.app import Workspace
from nbflow.app.deploying import delete_flow, deploy, pause, reschedule, trigger, undeploy, unpause
from nbflow.app.flows_folders import FlowsFolders
from nbflow.app.saying import deployed_sentence, said_keys, without_scheduler
from nbflow.core.errors import FlowError, UserError
from nbflow.settings import Settings
from nbflow.testing import FakeClock, memory_workspace


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 1, 1, 12, tzinfo=UTC))


@pytest.fixture
def workspace(tmp_path: Path, clock: FakeClock):
    with memory_workspace(tmp_path / "home", clock) as opened:
        yield opened


def notebook(path: Path, *cells: str, parameters: str = "", outputs: bool = False, metadata: dict | None = None) -> Path:
    v4 = nbformat.v4
    made = [v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters else []
    made += [v4.new_code_cell(cell) for cell in cells]
    if outputs:
        for cell in made:
            cell.outputs, cell.execution_count = [v4.new_output("stream", name="stdout", text="x" * 99)], 7
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=made, metadata=metadata or {}), path)
    return path


def sales(folder: Path, body: str = "x = 1", **more) -> Path:
    return notebook(folder / "sales.ipynb", "%%flow sales\nschedule = '@daily'", f"%%task one\n{body}", **more)


# --- versions -----------------------------------------------------------------------------------------------------------


def test_a_version_is_stored_with_its_graph_and_scheduled(workspace: Workspace, tmp_path: Path) -> None:
    done = deploy(workspace, sales(tmp_path))
    deployment = workspace.store.deployments.get("sales")
    assert (done.is_new, deployment.number, deployment.path) == (True, 1, str(tmp_path / "sales.ipynb"))
    assert [task.id for task in workspace.store.flow(deployment.version).tasks] == ["one"]
    assert deployment.next_run == datetime(2026, 1, 2, tzinfo=UTC)
    assert deployed_sentence(workspace, done) == "Deployed sales, version 1. Every day at 00:00, UTC. Next: Fri 02 Jan 00:00, in 12 h 00 m."
    assert without_scheduler(workspace, deployment).startswith("Nothing will start by itself: no scheduler is running.")


def test_outputs_are_no_new_version_code_is(workspace: Workspace, tmp_path: Path) -> None:
    first = deploy(workspace, sales(tmp_path)).deployment
    again = deploy(workspace, sales(tmp_path, outputs=True))
    assert (again.is_changed, again.deployment.version, again.deployment.number) == (False, first.version, 1)
    edited = deploy(workspace, sales(tmp_path, body="x = 2"))
    assert (edited.is_changed, edited.deployment.number) == (True, 2)
    assert [version.number for version in workspace.store.deployments.versions("sales")] == [2, 1]


def test_what_the_notebook_left_in_the_file_is_not_stored(workspace: Workspace, tmp_path: Path) -> None:
    deployment = deploy(workspace, sales(tmp_path, outputs=True)).deployment
    (cell, _) = json.loads(workspace.store.source(deployment.version))["cells"]
    assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_the_modules_beside_it_belong_to_the_version(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("from pkg.inner import deep\n")
    (tmp_path / "unused.py").write_text("")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "inner.py").write_text("from . import other\nimport json\ndeep = 1\n")
    (tmp_path / "pkg" / "other.py").write_text("")
    path = sales(tmp_path, body="import helper, os\nx = helper.deep")
    first = deploy(workspace, path).deployment
    assert set(workspace.store.files(first.version)) == {"helper.py", "pkg/__init__.py", "pkg/inner.py", "pkg/other.py"}
    (tmp_path / "pkg" / "other.py").write_text("new = 1")
    assert deploy(workspace, path).deployment.number == 2


@pytest.mark.parametrize("kernel", ["python3", "ir"])
def test_any_notebook_can_be_deployed(workspace: Workspace, tmp_path: Path, kernel: str) -> None:
    language = {"python3": "python", "ir": "R"}[kernel]
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": language}}
    path = notebook(tmp_path / "any one.ipynb", "x <- 1" if language == "R" else "x = 1", metadata=metadata)
    deployment = deploy(workspace, path).deployment
    assert deployment.name == "any_one"
    (task,) = workspace.store.flow(deployment.version).tasks
    assert task.operator == "notebook"


def test_the_commit_and_whether_the_file_differs_from_it(workspace: Workspace, tmp_path: Path) -> None:
    path = sales(tmp_path)
    assert deploy(workspace, path).deployment.commit == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x"]
    for words in (["init", "-q"], ["add", "sales.ipynb"], ["commit", "-qm", "m"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    clean = deploy(workspace, path).deployment
    assert (len(clean.commit), clean.is_dirty) == (40, False)
    dirty = deploy(workspace, sales(tmp_path, body="x = 2")).deployment
    assert (dirty.commit, dirty.is_dirty) == (clean.commit, True)


# --- names, parameters, schedules ---------------------------------------------------------------------------------------


def test_one_notebook_many_deployments(workspace: Workspace, tmp_path: Path) -> None:
    path = sales(tmp_path, parameters="region = 'us'")
    deploy(workspace, path)
    deploy(workspace, path, name="sales_eu", params={"region": "eu"}, said=said_keys(["0 3 * * *"], "Europe/Zurich"))
    eu = workspace.store.deployments.get("sales_eu")
    assert (dict(eu.params), eu.next_run) == ({"region": "eu"}, datetime(2026, 1, 2, 2, tzinfo=UTC))
    assert workspace.store.flow(eu.version).name == "sales_eu"
    deploy(workspace, path, name="sales_eu", said={"catchup": "none"})  # what was given before stays
    eu = workspace.store.deployments.get("sales_eu")
    assert (dict(eu.params), eu.schedule["timezone"], eu.schedule["catchup"]) == ({"region": "eu"}, "Europe/Zurich", "none")


def test_a_taken_name_is_refused_unless_it_is_replaced(workspace: Workspace, tmp_path: Path) -> None:
    deploy(workspace, sales(tmp_path / "one"))
    other = sales(tmp_path / "two")
    with pytest.raises(
        UserError, match=r'There is a flow "sales" already, of .*one.sales.ipynb: choose another name with --name, or replace'
    ):
        deploy(workspace, other)
    (tmp_path / "one" / "sales.ipynb").unlink()
    with pytest.raises(UserError, match=r"one.sales.ipynb \(which is not there any more\): choose another name"):
        deploy(workspace, other)
    deploy(workspace, other, replace_other=True)
    assert workspace.store.deployments.get("sales").path == str(other)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"params": {"regio": "eu"}}, 'Flow sales has no parameter "regio". Did you mean "region"? It has region, n.'),
        ({"params": {"n": "two"}}, 'Parameter n of flow sales takes a whole number, and "two" is none.'),
        ({"name": "a b"}, '"a b" cannot be a flow name'),
        ({"said": {"start_date": "2026-02-01", "end_date": "2026-01-01"}}, "end_date (2026-01-01) is before start_date (2026-02-01)."),
    ],
)
def test_mistakes_are_said_before_anything_is_stored(workspace: Workspace, tmp_path: Path, given: dict, sentence: str) -> None:
    path = sales(tmp_path, parameters="region = 'us'\nn: int = 1")
    with pytest.raises(UserError) as caught:
        deploy(workspace, path, **given)
    assert sentence in str(caught.value)
    assert workspace.store.deployments.find() == ()


def test_a_notebook_with_problems_is_not_deployed(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(FlowError):
        deploy(workspace, sales(tmp_path, body="x = ("))
    with pytest.raises(UserError, match="There is no file"):
        deploy(workspace, tmp_path / "none.ipynb")
    assert workspace.store.deployments.find() == ()


def test_defaults_of_the_installation_hold_where_the_header_says_nothing(tmp_path: Path, clock: FakeClock) -> None:
    with memory_workspace(tmp_path / "home", clock) as workspace:
        workspace.settings = Settings(home=tmp_path, defaults='{"timezone": "Europe/Zurich", "catchup": "none"}')
        deployment = deploy(workspace, sales(tmp_path)).deployment
    assert (deployment.schedule["timezone"], deployment.schedule["catchup"]) == ("Europe/Zurich", "none")
    assert deployment.next_run == datetime(2026, 1, 1, 23, tzinfo=UTC)


def test_options_of_tasks_hold_as_they_were_when_it_was_deployed(tmp_path: Path, clock: FakeClock) -> None:
    with memory_workspace(tmp_path / "home", clock) as workspace:
        workspace.settings = Settings(home=tmp_path, defaults='{"retries": 2, "catchup": "none"}')
        first = deploy(workspace, sales(tmp_path)).deployment
        workspace.settings = Settings(home=tmp_path, defaults='{"retries": 3}')
        assert workspace.store.flow(workspace.store.deployments.get("sales").version).tasks[0].options.retries == 2
        again = deploy(workspace, sales(tmp_path))
        assert (again.is_changed, workspace.store.flow(again.deployment.version).tasks[0].options.retries) == (True, 3)
        assert again.deployment.version != first.version


def test_a_schedule_can_be_changed_and_taken_away(workspace: Workspace, tmp_path: Path) -> None:
    path = sales(tmp_path)
    deploy(workspace, path)
    assert reschedule(workspace, "sales", {"schedule": "@hourly"}).deployment.next_run == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert reschedule(workspace, "sales", {"schedule": None}).deployment.next_run is None
    assert deploy(workspace, path).deployment.next_run is None  # also when it is deployed again


# --- what is done to it -------------------------------------------------------------------------------------------------


def test_pausing_and_going_on(workspace: Workspace, tmp_path: Path, clock: FakeClock) -> None:
    deploy(workspace, sales(tmp_path))
    assert pause(workspace, "sales", by="me").pause_reason == "Paused by me."
    assert workspace.store.deployments.get("sales").next_run is None
    deploy(workspace, sales(tmp_path, body="x = 2"))
    assert workspace.store.deployments.get("sales").paused
    clock.advance(timedelta(days=14))
    going = unpause(workspace, "sales", by="me")
    assert going.next_run == datetime(2026, 1, 15, tzinfo=UTC)
    assert [entry.what for entry in workspace.store.deployments.audit("sales")] == ["unpause", "deploy", "pause", "deploy"]


def test_asking_for_a_run(workspace: Workspace, tmp_path: Path) -> None:
    deploy(workspace, sales(tmp_path, parameters="region = 'us'"), params={"region": "eu"})
    run = trigger(workspace, "sales", key="monday")
    assert (run.params, run.run_type, run.state.value) == ({"region": "eu"}, "manual", "queued")
    assert trigger(workspace, "sales", params={"region": "de"}, key="monday").run_id == run.run_id
    assert [record.key.task_id for record in workspace.store.task_records(run.run_id)] == ["one"]
    with pytest.raises(UserError, match='has no parameter "x"'):
        trigger(workspace, "sales", params={"x": 1})
    with pytest.raises(UserError, match="The idempotency key has 300 characters: 250 are the most"):
        trigger(workspace, "sales", key="k" * 300)
    assert len(workspace.store.deployments.active("sales")) == 1
    workspace.cancel(run.run_id)
    assert workspace.store.run(run.run_id).state.value == "cancelled"


def test_undeploying_keeps_history_and_deleting_does_not(workspace: Workspace, tmp_path: Path) -> None:
    path = sales(tmp_path)
    deploy(workspace, path)
    run = trigger(workspace, "sales")
    with pytest.raises(UserError, match=r"Flow sales has runs that have not ended, such as manual__.*: cancel them first"):
        delete_flow(workspace, "sales")
    workspace.cancel(run.run_id)
    undeploy(workspace, "sales")
    assert workspace.store.run(run.run_id).deployment == "sales"
    deploy(workspace, path)
    assert delete_flow(workspace, "sales") == 1
    assert workspace.find_runs(flow="sales").runs == ()


# --- flows folders ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(workspace: Workspace, tmp_path: Path) -> FlowsFolders:
    workspace.settings = Settings(home=tmp_path / "home", flows_dirs=str(tmp_path / "flows"))
    (tmp_path / "flows").mkdir()
    return FlowsFolders(workspace)


def test_a_notebook_placed_in_a_flows_folder_is_deployed(folders: FlowsFolders, tmp_path: Path) -> None:
    path = sales(tmp_path / "flows" / "team")
    notebook(tmp_path / "flows" / ".ipynb_checkpoints" / "old.ipynb", "1")
    assert folders.scan() == (f"{path}: flow sales is deployed.",)
    assert folders.scan() == ()
    assert FlowsFolders(folders.workspace).scan() == ()  # another process finds nothing new either
    assert [each.name for each in folders.workspace.store.deployments.find()] == ["sales"]


def test_a_broken_file_keeps_the_last_good_version_and_says_why(folders: FlowsFolders, tmp_path: Path) -> None:
    path = sales(tmp_path / "flows")
    folders.scan()
    good = folders.workspace.store.deployments.get("sales").version
    path.write_text("{")
    (told,) = folders.scan()
    assert "is broken: its JSON is wrong" in told
    broken = folders.workspace.store.deployments.get("sales")
    assert (broken.version, broken.next_run) == (good, datetime(2026, 1, 2, tzinfo=UTC))
    assert "is broken: its JSON is wrong" in broken.error
    assert folders.scan() == ()
    sales(tmp_path / "flows", body="x = 22")
    assert folders.scan() == (f"{path}: flow sales has version 2.",)
    assert folders.workspace.store.deployments.get("sales").error == ""


def test_a_file_that_was_never_right_is_shown_and_cannot_run(folders: FlowsFolders, tmp_path: Path) -> None:
    path = tmp_path / "flows" / "bad.ipynb"
    path.write_text("{")
    folders.scan()
    assert folders.workspace.store.deployments.get("bad").version == ""
    with pytest.raises(UserError, match=r"Flow bad cannot run: .*bad.ipynb is broken"):
        trigger(folders.workspace, "bad")
    path.unlink()
    folders.scan()
    assert folders.workspace.store.deployments.find() == ()


def test_a_file_that_is_gone_is_said_and_comes_back(folders: FlowsFolders, tmp_path: Path) -> None:
    path = sales(tmp_path / "flows")
    folders.scan()
    path.unlink()
    folders.scan()
    gone = folders.workspace.store.deployments.get("sales")
    assert gone.error == f"{path} is not there any more: put it back, or type nbflow undeploy sales."
    assert gone.next_run is None
    sales(tmp_path / "flows")
    folders.scan()
    back = folders.workspace.store.deployments.get("sales")
    assert (back.error, back.next_run) == ("", datetime(2026, 1, 2, tzinfo=UTC))


def test_a_module_that_changed_is_a_new_version(folders: FlowsFolders, tmp_path: Path) -> None:
    sales(tmp_path / "flows", body="import helper\nx = 1")
    (tmp_path / "flows" / "helper.py").write_text("a = 1")
    folders.scan()
    (tmp_path / "flows" / "helper.py").write_text("a = 2222")
    folders.scan()
    assert folders.workspace.store.deployments.get("sales").number == 2
