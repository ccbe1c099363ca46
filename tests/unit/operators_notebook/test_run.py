# SPDX-License-Identifier: BSD-3-Clause
"""`execute_notebook`: results, and mistakes as sentences."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbflow.core.errors import SetupError, UserError
from nbflow.operators.kernels import KernelPool
from nbflow.operators.notebook_run import ExecutedNotebook, execute_notebook
from tests.unit.operators_notebook.conftest import WriteNotebook
from tests.unit.operators_notebook.hosts import MemoryHost

Run = Callable[..., ExecutedNotebook]


@pytest.fixture
def run(pool: KernelPool, tmp_path: Path) -> Run:
    def run(path: Path, output: Path = tmp_path / "out.ipynb", **options: Any) -> ExecutedNotebook:
        return execute_notebook(path, output, host=options.pop("host", MemoryHost()), pool=pool, **options)

    return run


def refused(run: Run, path: Path, **options: Any) -> str:
    host = MemoryHost()
    with pytest.raises(UserError) as error:
        run(path, host=host, **options)
    assert host.runs == []
    return re.sub(re.escape(str(path.parent)) + "/?", "", str(error.value))


def test_a_notebook_that_succeeds(write: WriteNotebook, run: Run, tmp_path: Path) -> None:
    done = run(write("print(day)", parameters="day = 1"), parameters={"day": "2026-01-01"})
    assert done.succeeded
    assert done.run is not None
    assert done.run.state == "success"
    assert nbformat.read(done.output, as_version=4).cells[-1].outputs[0].text == "2026-01-01\n"


def test_a_notebook_that_fails_says_where_and_why(write: WriteNotebook, run: Run) -> None:
    done = run(write("%%task one\n1 / 0", "%nbflow run"))
    assert not done.succeeded
    assert done.error is not None
    assert (done.error.ename, done.cell) == ("ZeroDivisionError", 1)
    assert done.run is not None
    assert done.run.state == "failed"


def test_the_working_directory_of_the_process_is_never_changed(write: WriteNotebook, run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    before = Path.cwd()
    done = run(write("import os\nprint(os.getcwd())"), cwd=tmp_path / "data")
    assert nbformat.read(done.output, as_version=4).cells[0].outputs[0].text == f"{tmp_path / 'data'}\n"
    assert Path.cwd() == before


def test_a_notebook_that_names_no_kernel_gets_python(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bare.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1)")]), path)
    assert run(path).succeeded


def test_an_unknown_parameter_is_refused_with_the_nearest(write: WriteNotebook, run: Run) -> None:
    path = write("1", parameters="day = 1\ncount = 2")
    assert refused(run, path, parameters={"dya": 1}) == 'in.ipynb has no parameter "dya". Did you mean "day"? It has day, count.'


def test_a_notebook_without_a_parameters_cell_takes_none(write: WriteNotebook, run: Run) -> None:
    said = 'in.ipynb takes no parameters: give the cell that assigns "day" the tag "parameters".'
    assert refused(run, write("1"), parameters={"day": 1}) == said


def test_a_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    assert refused(run, tmp_path / "nothing.ipynb") == "nothing.ipynb does not exist."


def test_broken_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.ipynb").write_text('{"cells": [')
    assert refused(run, tmp_path / "broken.ipynb") == "broken.ipynb is not a notebook: it does not contain JSON."


def test_json_that_is_no_notebook(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.ipynb").write_text('{"a": 1}')
    assert refused(run, tmp_path / "other.ipynb").startswith("other.ipynb is not a notebook: ")


def test_an_output_in_a_folder_that_is_not_there(write: WriteNotebook, run: Run, tmp_path: Path) -> None:
    said = refused(run, write("1"), output=tmp_path / "no" / "out.ipynb")
    assert said == "The executed notebook cannot be written: the folder no does not exist."


def test_an_output_that_is_a_folder(write: WriteNotebook, run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert refused(run, write("1"), output=tmp_path / "folder") == "folder is a folder: give the executed notebook a file name."


def test_the_notebook_is_never_its_own_output(write: WriteNotebook, run: Run) -> None:
    path = write("1")
    before = path.read_bytes()
    assert refused(run, path, output=path) == "in.ipynb is the notebook itself: write the executed notebook to another file."
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_that_may_not_be_written(write: WriteNotebook, run: Run, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert refused(run, write("1"), output=tmp_path / "locked" / "out.ipynb") == "locked/out.ipynb cannot be written: permission denied."


def test_an_unknown_kernel_is_a_sentence(write: WriteNotebook, run: Run) -> None:
    with pytest.raises(SetupError, match=r'There is no kernel "ir" on this machine.'):
        run(write("1", kernel="ir"))


def test_tasks_in_a_notebook_of_another_language_are_refused(
    write: WriteNotebook, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "ir"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["R"], "display_name": "R", "language": "R"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    said = refused(run, write("%%task one\n1", kernel="ir"))
    assert said == 'Tasks need a Python kernel, and "ir" runs R: choose one with --kernel.'


def test_a_working_directory_that_is_not_there(write: WriteNotebook, run: Run, tmp_path: Path) -> None:
    assert refused(run, write("1"), cwd=tmp_path / "nowhere") == "The working directory nowhere does not exist."
