# SPDX-License-Identifier: BSD-3-Clause
"""Tasks in an executed notebook: real kernels, a host in memory, a stand-in for the kernel's magics."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from papermill.exceptions import PapermillExecutionError

from nbflow import __version__
from nbflow.core.errors import RunFailed
from nbflow.operators.notebook_files import number_in_file
from tests.unit.operators_notebook.conftest import Executed, WriteNotebook
from tests.unit.operators_notebook.hosts import GRAPH, MemoryHost, MemoryRun

Execute = Callable[..., Executed]


def test_each_task_shows_its_card_and_then_its_outputs_under_its_own_cell(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("%%task one\nprint('first')", "%%task two\nprint('second')", "%nbflow run", "print(sentence)"))
    assert done.error is None
    assert [done.text(0), done.text(1)] == ["<card one: success> first\n", "<card two: success> second\n"]
    assert done.text(3) == "2 tasks seen\n"


def test_what_tasks_print_goes_to_papermills_output_file_too(write: WriteNotebook, execute: Execute, tmp_path: Path) -> None:
    with (tmp_path / "said.txt").open("w") as said:
        execute(write("%%task one\nprint('first')\nprint('second')", "%nbflow run", "print('cell')"), stdout_file=said)
    assert (tmp_path / "said.txt").read_text() == "first\nsecond\ncell\n"


def test_the_graph_stands_under_the_cell_that_ran_it(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("%%task one\n1", "%nbflow run", "%%task two\n2", "%nbflow run"))
    assert done.code[1].outputs[0].data[GRAPH] == {"states": {"one": "success"}}
    assert done.code[3].outputs[0].data[GRAPH] == {"states": {"one": "success", "two": "success"}}


def test_the_end_of_the_notebook_advances_the_rest(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("%%task one\nprint(1)", "%nbflow run", "%%task two\nprint(2)"))
    assert done.text(2) == "<card two: success> 2\n"
    assert [request.final for request in done.host.run.advances] == [False, True]


def test_the_metadata_names_run_version_and_states(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("%%task one\n1"))
    assert done.nb.metadata.nbflow == {
        "run_id": "run-1",
        "flow": "standin",
        "version": "v1",
        "state": "success",
        "nbflow": __version__,
        "tasks": {"one": {"state": "success", "attempt": 1, "reason": ""}},
    }


def test_a_failed_task_fails_the_notebook_at_its_own_cell(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("%%task one\nprint('so far')\n1 / 0", "%%task two\n2", "%nbflow run", "print('never')"))
    assert isinstance(done.error, PapermillExecutionError)
    assert (done.error.ename, done.error.source) == ("ZeroDivisionError", "%%task one\nprint('so far')\n1 / 0")
    assert done.text(0) == "<card one: failed> so far\n[ZeroDivisionError: division by zero] "
    assert done.code[0].outputs[-1].traceback == ["traceback of one"]
    banner = next(index for index, cell in enumerate(done.nb.cells) if "papermill-error-cell" in cell.source and index)
    assert done.nb.cells[banner + 1].source.startswith("%%task one")
    assert done.nb.metadata.nbflow.tasks.two == {"state": "upstream_failed", "attempt": 0, "reason": "Not run: a task above it failed."}
    assert done.code[3].execution_count is None


def test_the_cell_that_ran_the_graph_keeps_no_error_of_its_own(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("%%task one\n1 / 0", "%nbflow run"))
    assert [output.output_type for output in done.code[1].outputs] == ["display_data", "stream"]


def test_a_task_that_failed_at_the_end_of_the_notebook_fails_it_too(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("%%task one\n1 / 0"))
    assert isinstance(done.error, PapermillExecutionError)
    assert done.error.source.startswith("%%task one")


def test_a_failure_without_an_output_gets_its_error_as_one(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("%%task one\n1 / 0", "%nbflow run"), MemoryHost(silent=("one",)))
    assert done.text(0) == "<card one: failed> [ZeroDivisionError: division by zero] "
    assert isinstance(done.error, PapermillExecutionError)


def test_a_handled_failure_is_shown_and_does_not_fail_the_notebook(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("%%task one\n1 / 0", "%nbflow run", "print('goes on')"), MemoryHost(handled=("one",)))
    assert done.error is None
    assert done.text(0) == "<card one: failed> traceback of one\n"
    assert done.text(2) == "goes on\n"


def test_a_display_updated_by_a_later_cell_changes_where_it_was_shown(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("h = display('old', display_id='mine')", "%%task one\n1", "h.update('new')"))
    assert done.text(0) == "<'new'> "


def test_what_a_task_shows_by_display_id_changes_elsewhere_too(write: WriteNotebook, execute: Execute) -> None:
    update = "extra = [{'output_type': 'update_display_data', 'data': {'text/plain': 'from task'}, 'transient': {'display_id': 'mine'}}]"
    done = execute(write("h = display('old', display_id='mine')", f"%%task one\n{update}"))
    assert done.text(0) == "<from task> "


def test_a_failing_plain_cell_ends_the_run(write: WriteNotebook, execute: Execute) -> None:
    done = execute(write("%%task one\n1", "raise ValueError('plain')", "%nbflow run"))
    assert isinstance(done.error, PapermillExecutionError)
    ending = done.host.run.ending
    assert ending is not None
    assert (ending.kind, ending.cell, ending.reason) == ("cell_failed", 2, "Cell 2 failed: ValueError: plain")
    assert done.host.run.advances == []


def test_a_failing_plain_cell_has_the_number_it_has_in_the_persons_file(write: WriteNotebook, execute: Execute) -> None:
    path = write("%%task one\n1", "raise ValueError(day)", "%nbflow run", parameters="day = 1")
    done = execute(path, parameters={"day": 2})
    assert isinstance(done.error, PapermillExecutionError)
    assert done.host.run.ending is not None
    assert done.host.run.ending.reason == "Cell 3 failed: ValueError: 2"


def test_in_a_notebook_that_was_executed_before_the_injected_cell_counts(tmp_path: Path) -> None:
    injected = nbformat.v4.new_code_cell("day = 2", metadata={"tags": ["injected-parameters"]})
    cells = [nbformat.v4.new_code_cell("day = 1"), injected, nbformat.v4.new_code_cell("1 / 0")]
    before, executed = tmp_path / "before.ipynb", tmp_path / "executed.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cells[0], cells[2]]), before)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), executed)
    assert [number_in_file(cells, index, str(before)) for index in range(3)] == [1, 1, 2]
    assert [number_in_file(cells, index, str(executed)) for index in range(3)] == [1, 2, 3]
    assert number_in_file(cells, 2, "") == 2


def test_the_host_is_told_about_the_notebook(write: WriteNotebook, execute: Execute, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write("%%task one\n1", parameters="day = 1")
    info = execute(path, parameters={"day": 2}).host.run.notebook
    assert (info.path, info.params, info.is_flow, info.working_dir) == (str(path), {"day": 2}, True, str(path.parent))
    assert "day = 2" in info.source


def test_the_host_may_stop_a_plain_cell(write: WriteNotebook, execute: Execute) -> None:
    host = MemoryHost()
    host.started = lambda run: run.stop("Cancelled by ada.")
    done = execute(write("%%task one\n1", "%nbflow run", "import time\ntime.sleep(600)"), host)
    assert isinstance(done.error, PapermillExecutionError)
    assert done.error.evalue == "Cancelled by ada."
    assert done.host.run.ending is not None
    assert done.host.run.ending.kind == "stopped"


def test_an_execution_timeout_does_not_count_the_time_tasks_take(write: WriteNotebook, execute: Execute) -> None:
    waits = "%%task one\ncancelled.wait(3.5)"
    done = execute(write(waits, "%nbflow run", "print('on')"), execution_timeout=3)
    assert done.error is None
    assert done.text(2) == "on\n"


@pytest.mark.parametrize("asks", [("%nbflow run",), ()])
def test_a_kernel_that_dies_while_its_tasks_run_ends_the_run_with_how_it_died(
    write: WriteNotebook, execute: Execute, tmp_path: Path, asks: tuple[str, ...]
) -> None:
    """In the cell that asked, or behind the last one; the run is not cancelled, for nobody has cancelled it."""
    note = f"import os, pathlib\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
    kill = f"import os, pathlib\nos.kill(int(pathlib.Path({str(tmp_path / 'pid')!r}).read_text()), 9)\nprint(over.wait(30))"
    done = execute(write(note, f"%%task one\n{kill}", *asks))
    assert "The kernel ended by signal 9 while" in str(done.error)
    ending = done.host.run.ending
    assert ending is not None
    assert ending.kind == "kernel_ended"
    where = "cell 3 ran" if asks else "its last tasks were run"
    assert ending.reason == f"The kernel ended by signal 9 while {where}; signal 9 often means that the machine ran out of memory."
    assert not done.host.run.cancelled.is_set()


@pytest.mark.parametrize("asks", [("%nbflow run",), ()])
def test_who_cancels_a_run_from_outside_ends_its_execution_with_that_sentence_alone(
    write: WriteNotebook, execute: Execute, caplog: pytest.LogCaptureFixture, asks: tuple[str, ...]
) -> None:
    """The advance that the kernel waits for ends behind the execution of the cells: it is waited for, and nobody reads of it."""
    host = MemoryHost()
    host.started = lambda run: run.stop("Cancelled by ada.")
    done = execute(write("%%task one\nprint(over.wait(30))", *asks), host)
    assert str(done.error).rstrip().endswith("Cancelled by ada.")
    assert getattr(done.error, "exit_code", 1) == 1
    assert "one" in host.run.tasks
    assert host.run.tasks["one"].state == "success"
    assert caplog.records == []


def test_a_stop_that_comes_before_the_advance_is_answered_reaches_no_cell_below(
    write: WriteNotebook, execute: Execute, tmp_path: Path
) -> None:
    host = MemoryHost()
    host.started = lambda run: run.stop("What was to run has run.")
    done = execute(write("%%task one\n1", "%nbflow run", f"open({str(tmp_path / 'below')!r}, 'w').close()"), host)
    assert str(done.error).rstrip().endswith("What was to run has run.")
    assert not (tmp_path / "below").exists()
    assert host.run.tasks["one"].state == "success"


def test_an_interrupt_cancels_the_run_saves_the_notebook_and_goes_on_as_keyboard_interrupt(write: WriteNotebook, execute: Execute) -> None:
    host = MemoryHost()
    running = threading.Event()

    def started(run: MemoryRun) -> None:
        if not running.is_set():
            running.set()
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C: it reaches the thread that waits

    host.started = started
    with pytest.raises(KeyboardInterrupt):
        execute(write("%%task one\nprint(cancelled.wait(30))", "%nbflow run", "print('never')"), host)
    assert host.run.cancelled.is_set()
    assert host.run.ending is not None
    assert host.run.ending.kind == "interrupted"


def test_an_interrupt_of_the_kernel_behind_its_last_cell_cancels_the_run_and_is_told_by_it(
    write: WriteNotebook, execute: Execute, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    interrupts = f"%%task one\nimport os\nos.kill(int(open({str(pid)!r}).read()), 2)\nprint(cancelled.wait(60))"
    done = execute(write(f"import os\n_ = open({str(pid)!r}, 'w').write(str(os.getpid()))", interrupts))
    assert done.host.run.cancelled.is_set()
    assert done.host.run.ending is not None
    assert done.host.run.ending.kind == "interrupted"
    assert (type(done.error), str(done.error)) == (RunFailed, "It did not end well.")
