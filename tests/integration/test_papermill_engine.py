# SPDX-License-Identifier: BSD-3-Clause
"""papermill with nbflow's engine and everything real behind it: kernel, magics, driver, database. Tasks run in this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from nbflow.app import Workspace
from nbflow.core.errors import FlowError, SetupError

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    return tmp_path / "home"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*cells: str) -> Path:
        made = [nbformat.v4.new_code_cell(cell) for cell in ("day = 1", "%load_ext nbflow", *cells)]
        made[0].metadata["tags"] = ["parameters"]
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": PYTHON}), tmp_path / "in.ipynb")
        return tmp_path / "in.ipynb"

    return write


def execute(path: Path, **options: Any) -> Any:
    papermill.execute_notebook(str(path), str(path.with_name("out.ipynb")), engine_name="nbflow", progress_bar=False, **options)
    return read(path)


def read(path: Path) -> Any:
    nb = nbformat.read(path.with_name("out.ipynb"), as_version=4)
    nbformat.validate(nb)
    return nb


def cell(nb: Any, start: str) -> Any:
    return next(one for one in nb.cells if one.source.startswith(start))


def streams(one: Any) -> str:
    return "".join(output.text for output in one.outputs if output.output_type == "stream")


def test_tasks_run_with_their_outputs_under_their_cells_and_values_return_to_the_kernel(write: Write) -> None:
    nb = execute(
        write("base = 10", "%%task one\nx = base + day\nprint('x is', x)", "%%task two\ny = x * 2", "%nbflow run", "print('y is', y)"),
        parameters={"day": 5},
    )
    assert streams(cell(nb, "%%task one")) == "x is 15\n"
    assert streams(cell(nb, "print('y is'")) == "y is 30\n"
    assert {name: task.state for name, task in nb.metadata.nbflow.tasks.items()} == {"one": "success", "two": "success"}


def test_one_execution_is_one_run_however_often_it_advances(write: Write) -> None:
    nb = execute(write("%%task one\na = 1", "%nbflow run", "%%task two\nb = a + 1", "%nbflow run", "%%task three\nprint(b)"))
    assert streams(cell(nb, "%%task three")) == "2\n"
    workspace = Workspace.open()
    (run,) = workspace.find_runs().runs
    workspace.close()
    assert (run.run_id, run.state, run.trigger) == (nb.metadata.nbflow.run_id, "success", "papermill")


def test_a_failed_task_has_papermills_banner_above_its_cell(write: Write) -> None:
    path = write("%%task one\nx = 1 / 0", "%%task two\nprint(x)", "%nbflow run")
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        execute(path)
    nb = read(path)
    sources = [one.source for one in nb.cells]
    banner = next(index for index, source in enumerate(sources) if 'id="papermill-error-cell"' in source)
    assert sources[banner + 1].startswith("%%task one")
    assert nb.metadata.nbflow.tasks.two.state == "upstream_failed"


def test_a_handled_failure_does_not_fail_the_notebook(write: Write) -> None:
    nb = execute(
        write("%%task one\n1 / 0", "%%task tidy --after one --trigger-rule all_failed\nprint('tidied')", "%nbflow run", "print('on')")
    )
    assert "ZeroDivisionError" in streams(cell(nb, "%%task one"))
    assert streams(cell(nb, "print('on')")) == "on\n"
    assert nb.metadata.nbflow.state == "success"


def test_a_failure_that_was_handled_above_does_not_keep_the_rest_from_running(write: Write) -> None:
    handled = ("%%task one\n1 / 0", "%%task tidy --after one --trigger-rule all_failed\nprint('tidied')")
    nb = execute(write(*handled, "%nbflow run", "print('on')", "%%task three\nprint('three')"))
    assert streams(cell(nb, "%%task three")) == "three\n"
    assert nb.metadata.nbflow.state == "success"


def test_in_a_failed_run_a_handled_failure_is_not_an_error_of_the_notebook(write: Write) -> None:
    handled = ("%%task one\n1 / 0", "%%task tidy --after one --trigger-rule all_failed\nprint('tidied')")
    path = write(*handled, "%%task three\n{}['missing']")
    with pytest.raises(PapermillExecutionError, match="KeyError"):
        execute(path)
    kinds = {one.source.split()[1]: [output.output_type for output in one.outputs] for one in read(path).cells if "%%task" in one.source}
    assert kinds["one"] == ["display_data", "stream"]
    assert kinds["three"] == ["display_data", "error"]


def test_a_flow_with_problems_is_refused_before_its_first_cell(write: Write) -> None:
    path = write("print('never')", "%%task one --after two\n1", "%%task two --after one\n2")
    with pytest.raises(FlowError, match="one -> two -> one"):
        execute(path)
    assert {one.metadata.papermill.status for one in read(path).cells} == {"pending"}


def test_a_database_that_cannot_be_used_is_one_sentence_and_no_cell_runs(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBFLOW_DATABASE_URL", "mysql://here/nbflow")
    path = write("print('never')")
    with pytest.raises(SetupError, match=r'^database_url names "mysql": nbflow keeps its history in sqlite or postgresql\.$'):
        execute(path)
    assert {one.metadata.papermill.status for one in read(path).cells} == {"pending"}


def test_a_notebook_without_nbflow_is_one_task(tmp_path: Path) -> None:
    path = tmp_path / "plain.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("6 * 7")], metadata={"kernelspec": PYTHON}), path)
    nb = execute(path)
    assert nb.cells[0].outputs[0].data["text/plain"] == "42"
    assert nb.metadata.nbflow.tasks.plain.state == "success"


def test_an_interrupt_cancels_the_run_and_leaves_a_valid_notebook_and_no_kernel(write: Write, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    path = write(f"%%task slow\nimport os, pathlib, time\npathlib.Path({str(mark)!r}).write_text('on')\ntime.sleep(600)", "%nbflow run")
    kernel = f"import os, pathlib\n_ = pathlib.Path({str(tmp_path / 'kernel')!r}).write_text(str(os.getpid()))"
    nb = nbformat.read(path, as_version=4)
    nb.cells.insert(1, nbformat.v4.new_code_cell(kernel))
    nbformat.write(nb, path)
    command = [sys.executable, "-m", "papermill", str(path), str(tmp_path / "out.ipynb"), "--engine", "nbflow", "--no-progress-bar"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert wait_until(mark.exists, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(300) != 0
    executed = read(path)
    assert executed.metadata.nbflow.state == "cancelled"
    assert executed.metadata.nbflow.tasks.slow.state == "cancelled"
    assert wait_until(lambda: not is_running(int((tmp_path / "kernel").read_text())), None)


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes] | None) -> bool:
    """Look again and again, for some minutes at most or as long as the process runs."""
    import time

    end = time.monotonic() + 300
    while not true():
        if time.monotonic() > end or (process is not None and process.poll() is not None):
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
