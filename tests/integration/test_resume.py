# SPDX-License-Identifier: BSD-3-Clause
"""Going on with a run, with everything real behind it: what succeeded is loaded, the rest runs, with the captures of the first time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbflow.app import Workspace
from nbflow.core.errors import UserError
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow, Task
from nbflow.core.states import RunState
from nbflow.headless import resume_notebook, run_notebook
from nbflow.settings import Settings

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    opened = Workspace(Settings(home=tmp_path / "home", dask="inline"))
    yield opened
    opened.close()


def notebook(path: Path, *cells: str) -> Path:
    made = [nbformat.v4.new_code_cell(cell) for cell in ("day = 1", "%load_ext nbflow", *cells)]
    made[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": PYTHON}), path)
    return path


def wrote(task: str) -> str:
    """A line in the journal each time the task runs."""
    return f"open('journal', 'a').write('{task}\\n')"


def journal(path: Path) -> list[str]:
    return path.with_name("journal").read_text(encoding="utf-8").split()


def cell(nb: Any, start: str) -> Any:
    return next(one for one in nb.cells if one.source.startswith(start))


def streams(one: Any) -> str:
    return "".join(output.text for output in one.outputs if output.output_type == "stream")


FLAKY = "import os\nif not os.path.exists('ready'): raise ValueError('not ready')"


def test_what_succeeded_is_loaded_and_stands_under_its_cell_again(workspace: Workspace, tmp_path: Path) -> None:
    path = notebook(
        tmp_path / "in.ipynb",
        f"%%task one\n{wrote('one')}\nx = 20 + day\nprint('x is', x)",
        f"%%task two\n{FLAKY}\n{wrote('two')}\ny = x * 2",
        "%nbflow run",
        "print('y is', y)",
    )
    first = run_notebook(workspace, path, params={"day": 5})
    assert not first.succeeded
    (tmp_path / "ready").touch()
    second = resume_notebook(workspace, first.run_id)
    assert (second.succeeded, second.run_id, second.output) == (True, first.run_id, first.output)
    assert journal(path) == ["one", "two"]
    nb = nbformat.read(second.output, as_version=4)
    assert streams(cell(nb, "%%task one")) == "x is 25\n"
    assert streams(cell(nb, "print('y is'")) == "y is 50\n"


def test_tasks_take_the_captures_of_the_first_time_and_later_ones_their_own(workspace: Workspace, tmp_path: Path) -> None:
    path = notebook(
        tmp_path / "in.ipynb",
        "import random\nfactor = random.random()\nopen('factors', 'a').write(f'{factor}\\n')",
        f"%%task one\n{FLAKY}\nx = factor",
        "%nbflow run",
        "factor = -1",
        "%%task two\ny = (x, factor)",
        "%nbflow run",
        "print('y is', y)",
    )
    first = run_notebook(workspace, path)
    (tmp_path / "ready").touch()
    second = resume_notebook(workspace, "latest")
    assert second.run_id == first.run_id
    factor, again = (tmp_path / "factors").read_text(encoding="utf-8").split()
    assert factor != again
    nb = nbformat.read(second.output, as_version=4)
    assert streams(cell(nb, "print('y is'")) == f"y is ({factor}, -1)\n"


def test_values_of_tasks_further_down_do_not_come_back_before_their_cells(workspace: Workspace, tmp_path: Path) -> None:
    path = notebook(
        tmp_path / "in.ipynb",
        "%%task one\nx = 1",
        "%nbflow run",
        "print('x is', x)",
        "%%task two\nx = 2",
        f"%%task three --after two\n{FLAKY}",
    )
    run_notebook(workspace, path)
    (tmp_path / "ready").touch()
    second = resume_notebook(workspace, "latest")
    assert second.succeeded
    assert streams(cell(nbformat.read(second.output, as_version=4), "print('x is'")) == "x is 1\n"


def test_a_run_that_succeeded_has_nothing_to_go_on_with(workspace: Workspace, tmp_path: Path) -> None:
    run_notebook(workspace, notebook(tmp_path / "in.ipynb", "%%task one\nx = 1"))
    with pytest.raises(UserError, match="succeeded: there is nothing to go on with"):
        resume_notebook(workspace, "latest")


def test_a_notebook_that_was_changed_does_not_go_on_with_an_older_run(workspace: Workspace, tmp_path: Path) -> None:
    run_notebook(workspace, notebook(tmp_path / "in.ipynb", f"%%task one\n{FLAKY}"))
    notebook(tmp_path / "in.ipynb", "%%task one\nx = 1")
    with pytest.raises(UserError, match="was changed since run"):
        resume_notebook(workspace, "latest")


def test_what_is_only_said_of_a_task_may_change(workspace: Workspace, tmp_path: Path) -> None:
    path = notebook(tmp_path / "in.ipynb", f"%%task one\n{FLAKY}")
    document = nbformat.read(path, as_version=4)
    document.cells.insert(2, nbformat.v4.new_markdown_cell("Waits for a file."))
    nbformat.write(document, path)
    run_notebook(workspace, path)
    (tmp_path / "ready").touch()
    document.cells[2].source = "Waits until a file is there."
    nbformat.write(document, path)
    assert resume_notebook(workspace, "latest").succeeded


def test_a_run_that_is_being_driven_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    flow = Flow(name=FlowName("f"), tasks=(Task(id=TaskId("a"), source="import time\nwhile True: time.sleep(0.01)"),))
    handle = workspace.start_run(flow, CaptureSet())
    with pytest.raises(UserError, match=r"is being driven by .* wait for its end"):
        workspace.resume_run(handle.run_id)
    handle.cancel()
    assert handle.wait(120)


DRIVER = """
import sys
from nbflow.app import Workspace
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Edge, Flow, Task
body = "import time, pathlib\\npathlib.Path({ready!r}).touch()\\nwhile True: time.sleep(0.01)"
tasks = (Task(id=TaskId("a"), source="x = 1", writes=("x",), demands=("x",)), Task(id=TaskId("b"), source=body.format(ready=sys.argv[1])))
flow = Flow(name=FlowName("f"), tasks=tasks, edges=(Edge(upstream=TaskId("a"), downstream=TaskId("b")),))
Workspace.open().start_run(flow, CaptureSet()).wait()
"""


def test_a_live_run_whose_kernel_was_killed_is_ended_with_the_way_on_and_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    environment = {**os.environ, "NBFLOW_HOME": str(workspace.settings.home), "NBFLOW_DASK": "inline"}
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path / "ready")], env=environment, cwd=tmp_path)
    while not (tmp_path / "ready").exists():
        assert driver.poll() is None
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    (run_id,) = workspace.reap()
    run = workspace.run(run_id)
    assert run.state is RunState.FAILED
    assert run.reason == f"The kernel that drove this run ended. Go on with nbflow run --resume {run_id}."
    assert [attempt.outcome for attempt in workspace.attempts(run_id, "b")] == ["lost"]
    (tmp_path / "ready").unlink()
    handle = workspace.resume_run(run_id)
    while not (tmp_path / "ready").exists():
        assert not handle.wait(0.05)
    handle.cancel()
    assert handle.wait(120)
    again = {str(key): record.attempt for key, record in workspace.snapshot(run_id).tasks.items()}
    assert again == {"a": 1, "b": 2}


def test_a_task_of_an_executed_notebook_and_what_depends_on_it_run_again(workspace: Workspace, tmp_path: Path) -> None:
    path = notebook(
        tmp_path / "in.ipynb",
        f"%%task one\n{wrote('one')}\nx = 1",
        f"%%task two\n{wrote('two')}\ny = x + 1",
        f"%%task three\n{wrote('three')}\nz = y + 1",
        f"%%task four\n{wrote('four')}\nw = x + 1",
        "%nbflow run",
    )
    first = run_notebook(workspace, path)
    assert first.succeeded
    again = resume_notebook(workspace, first.run_id, tasks=["two"])
    assert (again.succeeded, again.run_id) == (True, first.run_id)
    assert sorted(journal(path)[:4]) == ["four", "one", "three", "two"]
    assert journal(path)[4:] == ["two", "three"]
    with pytest.raises(UserError, match='has no task "tow"'):
        resume_notebook(workspace, first.run_id, tasks=["tow"])
