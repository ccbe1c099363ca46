# SPDX-License-Identifier: BSD-3-Clause
"""A flow's tasks use connections and variables: missing ones are refused, the others are lent to each attempt and kept nowhere."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

import nbflow
from nbflow.app import Workspace
from nbflow.app.deploying import deploy
from nbflow.app.lending import secret_problems
from nbflow.app.trial import Trial
from nbflow.core.errors import UserError
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import Capture, CaptureKind, CaptureSet
from nbflow.core.model import CellRef, Edge, Flow, Read, Task
from nbflow.core.options import TaskOptions
from nbflow.testing import memory_workspace
from tests.integration.test_schedulers import notebook

URL = "postgresql://me:TopSecret1@db/sales"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with memory_workspace(tmp_path / "home") as opened:
        yield opened


def cell(id: str, source: str, **options: object) -> Task:
    gives = (f"{id}_is",)
    return Task(id=TaskId(id), source=source, cell=CellRef(number=3), writes=gives, demands=gives, options=TaskOptions(**options))


def flow(*tasks: Task, **more: object) -> Flow:
    edges = tuple(Edge(upstream=above.id, downstream=below.id) for above, below in itertools.pairwise(tasks))
    return Flow(name=FlowName("f"), tasks=tasks, edges=edges, **more)


def run(workspace: Workspace, asked: Flow, captures: CaptureSet | None = None):
    handle = workspace.start_run(asked, captures or CaptureSet())
    assert handle.wait(60)
    return handle


def reason(workspace: Workspace, handle, task: str) -> str:
    return next(record.reason for record in workspace.store.task_records(handle.run_id) if record.key.task_id == task)


USING = flow(
    cell("a", "from nbflow import ctx\na_is = len(ctx.conn.password)\nprint(ctx.conn.url)", conn="warehouse"),
    cell("b", "from nbflow import ctx\nb_is = ctx.var('region') + ctx.var('colour', 'none')"),
)


def test_what_a_task_names_must_be_there_before_anything_runs(workspace: Workspace):
    problems = secret_problems(lambda: workspace.store.secrets, USING)
    assert [(one.cell, one.line, one.message) for one in problems] == [
        (3, 1, 'Task a uses the connection "warehouse", which does not exist. Set it with nbflow connections set warehouse.'),
        (3, 1, 'Task b uses the variable "region", which does not exist. Set it with nbflow variables set region.'),
    ]
    workspace.secrets.set_connection("warehose", URL)
    with pytest.raises(UserError, match=r'Task a uses the connection "warehouse", which does not exist\. Did you mean "warehose"\?'):
        run(workspace, USING)
    assert workspace.store.find_runs().runs == ()


def test_a_function_of_the_notebook_may_name_it_too(workspace: Workspace):
    source = "def where():\n    from nbflow import ctx\n    return ctx.var('region')"
    captures = CaptureSet(names={"where": Capture(name="where", kind=CaptureKind.DEFINITION, source=source, hash="h")})
    task = Task(
        id=TaskId("a"),
        source="a_is = where()",
        reads=(Read(name="where", plain=True),),
        writes=("a_is",),
        demands=("a_is",),
    )
    with pytest.raises(UserError, match='Task a uses the variable "region", which does not exist'):
        run(workspace, flow(task, captures=("where",)), captures)
    workspace.secrets.set_variable("region", "eu")
    handle = run(workspace, flow(task, captures=("where",)), captures)
    assert workspace.given(handle.run_id, "a")["a_is"].shown == "'eu'"


def test_check_looks_at_plain_cells_too(workspace: Workspace, tmp_path: Path):
    where = "%load_ext nbflow\nfrom nbflow import ctx\ndef where():\n    return ctx.var('region')"
    path = notebook(tmp_path / "plain_uses.ipynb", where, "%%task a\nx = where()", "%nbflow run")
    (problem,) = workspace.problems(path)
    assert problem.message == 'This cell uses the variable "region", which does not exist. Set it with nbflow variables set region.'
    workspace.secrets.set_variable("region", "eu")
    assert workspace.problems(path) == ()


def test_a_run_uses_them_and_its_history_has_no_secret(workspace: Workspace, tmp_path: Path):
    workspace.secrets.set_connection("warehouse", URL)
    workspace.secrets.set_variable("region", "eu")
    handle = run(workspace, USING)
    assert handle.snapshot().run.state.value == "success", reason(workspace, handle, "a")
    assert workspace.given(handle.run_id, "a")["a_is"].shown == "10"
    assert workspace.given(handle.run_id, "b")["b_is"].shown == "'eunone'"
    told = [workspace.store.changes(handle.run_id), workspace.store.attempts(handle.run_id), workspace.store.run(handle.run_id)]
    assert b"TopSecret1" not in pickle.dumps(told)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"TopSecret1" in path.read_bytes()]


def test_what_is_gone_when_its_turn_comes_fails_the_task_with_the_sentence(workspace: Workspace):
    workspace.secrets.set_connection("warehouse", URL)
    workspace.secrets.set_variable("region", "eu")
    take_away = "from nbflow.python.ambient import current_workspace\nfirst_is = current_workspace().secrets.delete_connection('warehouse')"
    handle = run(workspace, flow(cell("first", take_away), *USING.tasks))
    assert reason(workspace, handle, "a") == 'Failed in a: There is no connection "warehouse". `nbflow connections list` shows them.'


def test_a_key_that_does_not_fit_fails_the_task_with_the_sentence(workspace: Workspace):
    workspace.secrets.set_connection("warehouse", URL)
    workspace.secrets.set_variable("region", "eu")
    (workspace.settings.home / "secret.key").unlink()
    handle = run(workspace, USING)
    assert f"There is no key {workspace.settings.home / 'secret.key'}" in reason(workspace, handle, "a")


def test_another_value_of_a_variable_is_another_result(workspace: Workspace):
    cached = flow(cell("a", "from nbflow import ctx\na_is = ctx.var('region')", cache=True))
    workspace.secrets.set_variable("region", "eu")
    run(workspace, cached)
    assert "From cache" in reason(workspace, run(workspace, cached), "a")
    workspace.secrets.set_variable("region", "us")
    handle = run(workspace, cached)
    assert workspace.given(handle.run_id, "a")["a_is"].shown == "'us'"


def test_a_trial_uses_those_of_the_workspace(workspace: Workspace):
    workspace.secrets.set_connection("warehouse", URL)
    workspace.secrets.set_variable("region", "eu")
    trial = Trial(workspace, "a")
    handle = trial.start_run(USING, CaptureSet())
    assert handle.wait(60)
    assert trial.given(handle.run_id, "a")["a_is"].shown == "10"


@nbflow.task(conn="warehouse")
def letters() -> int:
    return len(nbflow.ctx.conn.password) + len(nbflow.ctx.var("region"))


@nbflow.flow
def in_python():
    letters()


def test_a_flow_in_python_uses_them_too(workspace: Workspace):
    workspace.secrets.set_connection("warehouse", URL)
    with pytest.raises(UserError, match='Task letters uses the variable "region", which does not exist'):
        in_python.run()
    workspace.secrets.set_variable("region", "eu")
    assert in_python.run().task("letters").result() == 12


def test_what_is_missing_is_not_deployed(workspace: Workspace, tmp_path: Path):
    path = notebook(tmp_path / "uses.ipynb", "%load_ext nbflow", "%%task a --conn warehouse\nx = 1")
    with pytest.raises(UserError, match='Task a uses the connection "warehouse", which does not exist'):
        deploy(workspace, path)
    workspace.secrets.set_connection("warehouse", URL)
    assert deploy(workspace, path)
