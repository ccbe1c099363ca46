# SPDX-License-Identifier: BSD-3-Clause
"""A notebook without nbflow: the outputs of stock papermill, cell by cell, and one task."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError

from nbflow.core.errors import RunFailed
from nbflow.operators.shell_channel import ShellChannel
from tests.unit.operators_notebook.conftest import Executed, WriteNotebook
from tests.unit.operators_notebook.hosts import MemoryHost

Execute = Callable[..., Executed]
#: Ids that differ from one execution to the next.
CHANGING = re.compile(r"[0-9a-f]{32}|0x[0-9a-f]+|ipykernel_\d+/\d+")

EVERYTHING = (
    "x = 3\nprint('one')\nprint('two')\nimport sys\nprint('err', file=sys.stderr)\nx",
    "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, x, 2])\nplt.show()",
    "from IPython.display import HTML, clear_output, display\ndisplay(HTML('<b>bold</b>'), x)\n{'a': x}",
    "print('gone')\nclear_output()\nprint('stays')\nclear_output(wait=True)\nprint('last')",
    "import ipywidgets\nslider = ipywidgets.IntSlider(value=x)\nslider",
    "out = ipywidgets.Output()\ndisplay(out)\nwith out:\n    print('inside')",
    "handle = display('before', display_id='here')",
    "handle.update('after')",
    "!echo from the shell",
    "import os; os.path.basename(os.getcwd()) != ''",
    "try:\n    input('name? ')\nexcept Exception as error:\n    print(type(error).__name__, error)",
    "def f(n):\n    return 1 / n\nf(0)",
    "print('never')",
)


class Hearing(AsyncKernelManager):
    """Stock papermill waits for ever, one time in twenty, for a cell whose Output widget it keeps: `ShellChannel` says why."""

    def client(self, **options: Any) -> Any:
        return super().client(shell_channel_class=ShellChannel, **options)


def seen(nb: Any) -> list[Any]:
    """Outputs without what may differ: pieces of one stream are joined, random ids masked."""
    cells = []
    for cell in nb.cells:
        joined: list[Any] = []
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
                joined[-1]["text"] += output.text
            else:
                joined.append(dict(output))
        cells.append((cell.source, cell.get("execution_count"), CHANGING.sub("#", repr(joined))))
    return cells


def test_the_outputs_are_those_of_stock_papermill(write: WriteNotebook, execute: Execute, tmp_path: Path) -> None:
    path = write(*EVERYTHING)
    with pytest.raises(PapermillExecutionError) as stock_error:
        papermill.execute_notebook(str(path), str(tmp_path / "stock.ipynb"), progress_bar=False, kernel_manager_class=Hearing)
    stock = nbformat.read(tmp_path / "stock.ipynb", as_version=4)
    ours = execute(path)
    assert seen(ours.nb) == seen(stock)
    assert str(ours.error) == str(stock_error.value)
    assert len(ours.nb.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]) == len(
        stock.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    )
    assert ours.nb.metadata.language_info == stock.metadata.language_info
    assert [cell.metadata.papermill.status for cell in ours.nb.cells if "papermill" in cell.metadata] == [
        cell.metadata.papermill.status for cell in stock.cells if "papermill" in cell.metadata
    ]


def test_it_is_one_task_of_its_run(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("print(1)"))
    assert done.error is None
    assert not done.host.run.notebook.is_flow
    assert done.nb.metadata.nbflow.tasks == {"notebook": {"state": "success", "attempt": 1, "reason": ""}}


def test_the_kernel_works_in_the_folder_of_the_notebook(write: WriteNotebook, execute: Execute, tmp_path: Path) -> None:
    (tmp_path / "helper_beside.py").write_text("answer = 42\n")
    before = Path.cwd()
    done = execute(write("import os, helper_beside\nprint(os.getcwd(), helper_beside.answer)"))
    assert done.text(0) == f"{tmp_path} 42\n"
    assert Path.cwd() == before


def test_papermills_working_directory_counts_and_modules_beside_the_notebook_stay_importable(
    write: WriteNotebook, execute: Execute, tmp_path: Path
) -> None:
    (tmp_path / "helper_beside.py").write_text("answer = 42\n")
    (tmp_path / "elsewhere").mkdir()
    done = execute(write("import os, helper_beside\nprint(os.getcwd(), helper_beside.answer)"), cwd=str(tmp_path / "elsewhere"))
    assert done.text(0) == f"{tmp_path / 'elsewhere'} 42\n"


def test_a_variable_of_this_process_reaches_a_warm_kernel(write: WriteNotebook, execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBFLOW_TEST_VARIABLE", "set late")
    assert execute(write("import os\nprint(os.environ['NBFLOW_TEST_VARIABLE'])")).text(0) == "set late\n"


def test_a_notebook_finds_nothing_of_the_one_before(write: WriteNotebook, execute: Execute) -> None:
    execute(write("leftover = 1"))
    assert execute(write("print('leftover' in globals())")).text(0) == "False\n"


def test_what_is_sent_for_an_earlier_cell_lands_under_that_cell(write: WriteNotebook, execute: Execute) -> None:
    keep = "kernel, parent = get_ipython().kernel, get_ipython().get_parent()"
    send = "kernel.session.send(kernel.iopub_socket, 'stream', {'name': 'stdout', 'text': 'late'}, parent=parent, ident=b'stream')\nprint('on')"
    done = execute(write(keep, send))
    assert (done.text(0), done.text(1)) == ("late", "on\n")


def test_a_kernel_that_dies_is_one_sentence_at_the_cell(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("print('before', flush=True)", "import os\nos.kill(os.getpid(), 9)", "print('never')"))
    assert isinstance(done.error, PapermillExecutionError)
    assert done.error.ename == "DeadKernelError"
    assert done.error.evalue == "The kernel ended by signal 9 while this cell ran; signal 9 often means that the machine ran out of memory."
    assert done.text(0) == "before\n"


def test_a_cell_that_takes_too_long_is_ended(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("import time\ntime.sleep(600)"), execution_timeout=1)
    assert isinstance(done.error, PapermillExecutionError)
    assert done.error.evalue == "This cell ran longer than 1 s and was ended (execution_timeout)."


def test_a_run_that_fails_without_a_cell_to_blame_is_raised_as_its_sentence(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("print(1)"), MemoryHost(cancelled_by_somebody=True))
    assert isinstance(done.error, RunFailed)
    assert str(done.error) == "It did not end well."


def test_the_notebook_on_disk_grows_while_it_runs(write: WriteNotebook, execute: Execute, tmp_path: Path) -> None:
    look = f"import pathlib, time\nout = pathlib.Path({str(tmp_path / 'out.ipynb')!r})\n"
    wait = "until = time.time() + 20\nwhile 'first output' + '!' not in out.read_text() and time.time() < until: time.sleep(0.02)\n"
    done = execute(write("print('first output' + '!')", look + wait + "print('first output' + '!' in out.read_text())"))
    assert done.text(1) == "True\n"
    assert not list(tmp_path.glob(".*.part"))
