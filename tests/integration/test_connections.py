# SPDX-License-Identifier: BSD-3-Clause
"""A notebook that uses connections and prints their secrets, executed by papermill and by a real child process: nobody reads them afterwards."""

from __future__ import annotations

import pickle
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import nbformat
import pytest

from nbflow.app import Workspace
from nbflow.core.connections import Connection, secret_texts
from nbflow.core.ids import TaskKey
from nbflow.core.job import Job, JobContext, Outcome
from nbflow.core.lending import Lent
from nbflow.executors.pool import ChildPool
from nbflow.executors.sealed import seal
from nbflow.headless.running import run_notebook
from nbflow.settings import Settings
from tests.integration.test_schedulers import notebook

SECRET = "TopSecret1"


def test_an_executed_notebook_and_the_history_of_its_run_hold_no_secret(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "sales.db") as database:
        database.execute("create table sales as select 3 as n")
    database.close()
    path = notebook(
        tmp_path / "uses_connections.ipynb",
        "%load_ext nbflow",
        "%%task there -o sql --as sensor --conn sales --out found\nselect n from sales where n >= {{ var.least }}",
        "%%task shows --conn warehouse\nfrom nbflow import ctx\nimport sys\nprint('it is', ctx.conn.password, found)\n"
        "sys.stdout.write('Top'); sys.stdout.flush(); print('Secret1')\ndisplay(ctx.conn.url)\nkept = ctx.conn.password",
        "%%task fails --conn warehouse\nfrom nbflow import ctx\nraise ValueError('no answer from ' + ctx.conn.url)",
        "%nbflow run",
    )
    with closing(Workspace(Settings(home=tmp_path / "home", dask="inline"))) as workspace:
        workspace.secrets.set_connection("sales", f"sqlite:///{tmp_path / 'sales.db'}")
        workspace.secrets.set_connection("warehouse", f"postgresql://me:{SECRET}@db/sales")
        workspace.secrets.set_variable("least", "2")
        outcome = run_notebook(workspace, path, output=tmp_path / "out.ipynb")
        records = {record.key.task_id: record for record in workspace.store.task_records(outcome.run_id)}
        assert records["shows"].state.value == "success", records["there"].reason + records["shows"].reason
        assert records["fails"].reason == "Failed: ValueError: no answer from *** in fails, line 3."
        assert workspace.given(outcome.run_id, "there")["found"].shown == "3"
        assert "kept" not in workspace.given(outcome.run_id, "shows")
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    printed = "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", ()))
    assert "it is *** 3\n***\n" in printed
    assert [file.name for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()] == []


def test_a_child_process_tells_no_secret_and_has_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBFLOW_SECRET_KEY", "KeyOfAllSecrets")
    one = Connection(name="db", url=f"postgresql://me:{SECRET}@db/sales")
    source = (
        "import os\nfrom nbflow import ctx\npw = ctx.conn.password\nprint(os.environ.get('NBFLOW_SECRET_KEY'))\n"
        "os.write(1, pw[:4].encode())\nos.write(1, pw[4:].encode() + b'\\n')\nos.system(f'echo {pw}')\nraise KeyError(pw)"
    )
    context = JobContext(flow="f", run_id="r", key=TaskKey("t"), attempt=1)
    job = Job(
        token=uuid.uuid4().hex,
        context=context,
        operator="cell",
        source=source,
        artifacts_url=str(tmp_path),
        lent=Lent(conn="db", connections={"db": one}, hidden=secret_texts(one)),
    )
    heard = []
    pool = ChildPool(1, worker="here")
    try:
        sealed = pool.run(seal(job), heard.append)
    finally:
        pool.close()
    assert sealed is not None
    report = sealed.open()
    assert (report.outcome, report.reason) == (Outcome.FAILED, "KeyError: '***'")
    assert report.outputs.inline[0]["text"] == "None\n***\n***\n"
    assert SECRET.encode() not in pickle.dumps((report, heard))
    assert [file.name for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()] == []
