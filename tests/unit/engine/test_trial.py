# SPDX-License-Identifier: BSD-3-Clause
"""Trying one task: with values of the last run, or made on the spot, and nothing is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nbflow.app import Workspace
from nbflow.app.trial import Trial
from nbflow.cli.main import cli
from nbflow.core.errors import RunFailed, UserError
from nbflow.core.hosting import Advance
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Edge, Flow, Read, Task
from nbflow.core.options import PastCheck, TaskOptions
from nbflow.headless.host import HostedRun, WorkspaceHost
from nbflow.operators.notebook_host import NotebookInfo
from nbflow.testing import memory_workspace

DATE = datetime(2026, 2, 3, tzinfo=UTC)


def cell(id: str, source: str, gives: str, *reads: str, **options: object) -> Task:
    found = tuple(Read(name=name, writers=(TaskId(writer),)) for writer, name in (read.split(".") for read in reads))
    return Task(id=TaskId(id), source=source, reads=found, writes=(gives,), demands=(gives,), options=TaskOptions(**options))


FLOW = Flow(
    name=FlowName("f"),
    tasks=(
        cell("load", "from pathlib import Path\nPath('journal').open('a').write('load ')\nrows = [1, 2]", "rows"),
        cell("other", "1 / 0", "unused"),
        cell("total", "from nbflow import ctx\nkwh = (sum(rows), ctx.ds)", "kwh", "load.rows", depends_on_past=PastCheck.WAIT),
        cell("report", "text = str(kwh)", "text", "total.kwh"),
    ),
    edges=tuple(Edge(upstream=TaskId(a), downstream=TaskId(b)) for a, b in (("load", "total"), ("other", "total"), ("total", "report"))),
)


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.chdir(tmp_path)
    with memory_workspace(tmp_path / "home") as workspace:
        yield workspace


def tried(real: Workspace, task: str) -> Trial:
    trial = Trial(real, task, DATE)
    handle = trial.start_run(FLOW, CaptureSet())
    assert handle.wait(60)
    return trial


def test_what_nobody_has_yet_is_made_on_the_spot_and_nothing_else_runs(real: Workspace):
    trial = tried(real, "total")
    assert trial.handle is not None
    assert [key.task_id for key in trial.handle.snapshot().tasks] == ["load", "total"]
    assert trial.given(trial.handle.run_id, "total")["kwh"].shown == "(3, '2026-02-03')"
    assert real.find_runs().runs == ()


def test_values_of_the_last_run_are_taken(real: Workspace):
    run = real.start_run(FLOW, CaptureSet())
    assert run.wait(60)
    assert run.snapshot().run.state == "failed"
    trial = tried(real, "total")
    assert trial.handle is not None
    assert [key.task_id for key in trial.handle.snapshot().tasks] == ["total"]
    assert Path("journal").read_text().split() == ["load"]
    assert [run.run_id for run in real.find_runs().runs] == [run.run_id]


def test_several_steps_up(real: Workspace):
    assert Trial(real, "report").to_run(FLOW) == ("load", "total", "report")


def test_the_notebook_is_told_to_stop_before_its_kernel_hears_that_the_task_has_run(real: Workspace, monkeypatch: pytest.MonkeyPatch):
    """Not by an observer, on another thread, which may be late: the kernel would have begun the cell below."""
    monkeypatch.setattr(HostedRun, "changed", lambda *_: None)
    stopped: list[str] = []
    trial = Trial(real, "total", DATE)
    info = NotebookInfo(path="", output="", working_dir=".", kernel_name="python3")
    hosted = WorkspaceHost(trial, trigger="manual").begin(info, stopped.append)
    hosted.advance(Advance(flow=FLOW, captures=CaptureSet(), tasks=(TaskId("load"),)), show=lambda _: None)
    assert stopped == []
    hosted.advance(Advance(flow=FLOW, captures=CaptureSet(), tasks=(TaskId("total"),)), show=lambda _: None)
    assert stopped == ["What was to run has run."]


def test_an_unknown_task_is_a_sentence(real: Workspace):
    with pytest.raises(UserError, match=r'^Flow f has no task "totel"\. Did you mean "total"\?$'):
        Trial(real, "totel").start_run(FLOW, CaptureSet())


FILE = """
from nbflow import ctx, flow, task

@task
def make(n):
    print("making")
    return n

@task
def use(x):
    print("using", ctx.ds)
    if x > 5:
        raise ValueError("too much")
    return x * 2

@flow
def sales(n: int = 2):
    use(make(n))
"""


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    file = tmp_path / "sales.py"
    file.write_text(FILE, encoding="utf-8")

    def test(*words: str) -> Result:
        return CliRunner().invoke(cli, ["tasks", "test", str(file), *words])

    well = test("use", "2026-02-03", "-p", "n", "3")
    assert well.exit_code == 0, well.output
    assert "using 2026-02-03\n" in well.stdout
    assert "making" not in well.stdout
    assert "use success: Succeeded." in well.stdout
    badly = test("use", "-p", "n", "6")
    assert isinstance(badly.exception, RunFailed)
    assert "ValueError: too much" in badly.stdout
    wrong = test("use", "yesterday")
    assert str(wrong.exception) == '"yesterday" is no date: write 2026-01-31, or 2026-01-31T03:00 for an instant in UTC.'
