# SPDX-License-Identifier: BSD-3-Clause
"""A notebook run live: a real kernel, a real cluster, and a front end that draws what it is sent."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from tests.unit.notebook.recording import RecordingChannel

#: Seconds after which a kernel that says nothing is stuck.
PATIENCE = 120


@dataclass
class FrontEnd:
    """Executes cells by id and draws every message under the cell whose request it answers."""

    client: BlockingKernelClient
    drawn: RecordingChannel = field(default_factory=RecordingChannel)
    requests: dict[str, str] = field(default_factory=dict)

    def ask(self, cell: str, source: str) -> str:
        """Send the cell; returns the id of the request."""
        content = {
            "code": textwrap.dedent(source).strip(),
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell})
        self.client.shell_channel.send(message)
        self.requests[cell] = message["header"]["msg_id"]
        return self.requests[cell]

    def follow(self, request: str, until: str = "idle") -> None:
        """Draw until the request is idle, or until a piece of output under it holds `until`."""
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            kind, parent = message["msg_type"], message["parent_header"].get("msg_id", "")
            if kind == "status":
                if parent == request and message["content"]["execution_state"] == "idle":
                    return
            elif kind in {"stream", "display_data", "execute_result", "error", "clear_output", "update_display_data"}:
                self.drawn.send(kind, message["content"], {"header": {"msg_id": parent}})
                if until != "idle" and any(until in text for cell in self.requests for text in self.texts(cell)):
                    return

    def run(self, cell: str, source: str) -> list[str]:
        """Execute the cell to its end and return what stands under it."""
        self.follow(self.ask(cell, source))
        return self.texts(cell)

    def texts(self, cell: str) -> list[str]:
        return self.drawn.texts(self.requests[cell])

    def completions(self, code: str) -> list[str]:
        reply = self.client.complete(code, len(code), reply=True, timeout=PATIENCE)
        return list(reply["content"]["matches"])


@pytest.fixture
def manager_and_client(home_environment: dict[str, str], tmp_path: Path) -> Iterator[tuple]:
    manager, client = start_new_kernel(PATIENCE, kernel_name="python3", env=home_environment, cwd=str(tmp_path))
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def notebook(manager_and_client) -> FrontEnd:
    front = FrontEnd(manager_and_client[1])
    front.run("load", "%load_ext nbflow")
    return front


def test_every_output_stands_under_its_own_cell_and_the_values_are_back(notebook):
    notebook.run("plain", "factor = 3\ndef times(x): return x * factor")
    notebook.run("a", "%%task extract\nrows = [1, 2]\nprint('two rows')\nrows")
    notebook.run("b", "%%task load\ntotal = times(sum(rows))\nprint('loaded')")
    notebook.run("run", "%nbflow run")

    assert notebook.texts("a")[1:] == ["two rows\n", "[1, 2]"]
    assert notebook.texts("b")[1:] == ["loaded\n"]
    assert "2 succeeded" in notebook.texts("run")[-1]
    assert notebook.run("after", "total, rows") == ["(9, [1, 2])"]


def test_the_cards_and_the_graph_show_the_last_state(notebook):
    notebook.run("a", "%%task extract\nrows = [1]")
    before = notebook.texts("a")[0]
    notebook.run("run", "%nbflow run")
    assert notebook.texts("a")[0] != before
    assert "extract" in notebook.texts("a")[0]
    graph = notebook.drawn.cells[notebook.requests["run"]][0]["data"]
    assert "image/svg+xml" in graph or "<svg" in graph.get("text/html", "")


def test_a_second_run_shows_only_its_own_outputs(notebook):
    notebook.run("a", "%%task extract\nprint('hello')")
    notebook.run("run", "%nbflow run")
    notebook.run("run again", "%nbflow run")
    assert notebook.texts("a")[1:] == ["hello\n"]


def test_a_failing_task_fails_the_cell_with_its_own_traceback(notebook):
    notebook.run("a", "%%task extract\nrows = {}\nrows['x']")
    notebook.run("run", "%nbflow run")
    error = notebook.drawn.cells[notebook.requests["run"]][-1]
    assert (error["kind"], error["ename"]) == ("error", "TaskFailed")
    assert error["evalue"] == "Task extract failed: KeyError: 'x', line 3"
    shown = "\n".join(error["traceback"])
    assert "rows" in shown
    assert "nbflow/" not in shown
    assert notebook.texts("a")[-1] == "KeyError: 'x'"


def test_a_mistake_is_one_line(notebook):
    notebook.run("a", "%%task extract --retrys 2\nrows = 1")
    (error,) = notebook.drawn.cells[notebook.requests["a"]]
    assert error["kind"] == "error"
    assert len(error["traceback"]) == 1
    assert "retries" in error["traceback"][0]


def test_an_interrupt_cancels_the_run(notebook, manager_and_client):
    notebook.run("a", "%%task wait\nimport time\nprint('waiting')\ntime.sleep(600)")
    request = notebook.ask("run", "%nbflow run")
    notebook.follow(request, until="waiting\n")
    manager_and_client[0].interrupt_kernel()
    notebook.follow(request)
    error = notebook.drawn.cells[notebook.requests["run"]][-1]
    assert (error["kind"], error["ename"]) == ("error", "Interrupted")
    assert "cancelled" in error["evalue"]
    assert len(error["traceback"]) == 1


def test_a_run_in_the_background_leaves_the_kernel_free(notebook):
    notebook.run("a", "%%task extract\nrows = [1]")
    notebook.run("run", "handle = %nbflow run --background")
    notebook.run("wait", "handle.wait()")
    assert notebook.run("after", "handle.state, rows") == ["('success', [1])"]


def test_one_task_alone_takes_its_inputs_from_the_last_run(notebook):
    notebook.run("a", "%%task extract\nrows = [1, 2]")
    notebook.run("b", "%%task load\ntotal = sum(rows)")
    notebook.run("run", "%nbflow run")
    notebook.run("b", "%%task load\ntotal = sum(rows) * 10")
    notebook.run("run", "%nbflow run --task load")
    assert notebook.run("after", "total") == ["30"]


def test_what_cannot_travel_is_refused_before_anything_runs(notebook):
    notebook.run("plain", "import sqlite3\nconn = sqlite3.connect(':memory:')")
    notebook.run("a", "%%task train\nrows = conn.execute('select 1').fetchall()")
    notebook.run("run", "%nbflow run")
    (error,) = notebook.drawn.cells[notebook.requests["run"]]
    assert error["evalue"].startswith("Task train uses `conn`, which cannot be sent to a worker: it is a connection (sqlite3.Connection).")


def test_instances_of_a_class_of_the_notebook_keep_their_identity(notebook):
    notebook.run("plain", "class Point:\n    def __init__(self, x): self.x = x")
    notebook.run("a", "%%task make\np = Point(1)")
    notebook.run("run", "%nbflow run")
    assert notebook.run("after", "type(p) is Point, p.x") == ["(True, 1)"]


def test_a_task_takes_a_name_as_it_stood_when_a_cell_below_rewrites_it(notebook):
    notebook.run("plain", "limit = 1")
    notebook.run("a", "%%task first\nseen = limit")
    notebook.run("below", "limit = 2")
    notebook.run("b", "%%task second\nlater = limit")
    notebook.run("run", "%nbflow run")
    assert notebook.run("after", "seen, later, limit") == ["(1, 2, 2)"]


def test_cells_before_the_extension_was_loaded_count_too(manager_and_client):
    front = FrontEnd(manager_and_client[1])
    front.run("imports", "import math\nradius = 2")
    front.run("load", "%load_ext nbflow")
    front.run("a", "%%task area\nsize = round(math.pi * radius ** 2)")
    front.run("run", "%nbflow run")
    assert front.run("after", "size") == ["13"]


def test_a_task_that_runs_at_once_runs_what_it_needs_first_and_only_that(notebook):
    notebook.run("a", "%%task extract\nrows = [1, 2]\nprint('extracting')")
    notebook.run("o", "%%task other\nunused = 1\nprint('never')")
    notebook.run("b", "%%task load --run\ntotal = sum(rows)\nprint('loading')")
    assert notebook.texts("a")[1:] == ["extracting\n"]
    assert notebook.texts("o")[1:] == []
    assert notebook.run("after", "total") == ["3"]


def test_what_had_succeeded_is_not_run_again_by_a_task_that_runs_at_once(notebook):
    notebook.run("a", "%%task extract\nimport time\nat = time.time_ns()")
    notebook.run("run", "%nbflow run")
    notebook.run("keep", "first = at")
    notebook.run("b", "%%task load --run\nsame = at")
    assert notebook.run("after", "same == first") == ["True"]


def test_a_retried_task_shows_its_newest_attempt_only(notebook, tmp_path):
    notebook.run(
        "a",
        f"%%task flaky --retries 1 --retry-delay 0s\nfrom pathlib import Path\nmark = Path({str(tmp_path / 'mark')!r})\nprint('second' if mark.exists() else 'first')\nif not mark.exists():\n    mark.touch()\n    raise OSError('not yet')",
    )
    notebook.run("run", "%nbflow run")
    assert notebook.texts("a")[1:] == ["second\n"]


def test_outputs_come_while_the_task_runs(notebook, tmp_path):
    gate = tmp_path / "gate"
    notebook.run(
        "a",
        f"%%task wait\nimport time\nfrom pathlib import Path\nprint('started')\nwhile not Path({str(gate)!r}).exists(): time.sleep(0.01)\nprint('done')",
    )
    request = notebook.ask("run", "%nbflow run")
    notebook.follow(request, until="started\n")
    gate.touch()
    notebook.follow(request)
    assert "".join(notebook.texts("a")[1:]) == "started\ndone\n"


def test_logs_and_results_of_the_last_run_can_be_seen_again(notebook):
    notebook.run("a", "%%task extract\nrows = [1]\nprint('one row')")
    notebook.run("run", "%nbflow run")
    assert notebook.run("logs", "%nbflow logs extract") == ["one row\n"]
    assert notebook.run("result", "%nbflow result extract") == ["[1]"]
    assert "success" in notebook.run("runs", "%nbflow runs")[0]


def test_completion_knows_options_choices_tasks_and_verbs(notebook):
    notebook.run("a", "%%task extract\nrows = 1")
    assert "--retries" in notebook.completions("%%task load --re")
    assert "one_success" in notebook.completions("%%task load --trigger-rule one_s")
    assert "extract" in notebook.completions("%%task load --after ex")
    assert notebook.completions("%nbflow ru") == ["run", "runs"]
    assert notebook.completions("%nbflow logs ex") == ["extract"]


def test_loading_the_extension_loads_nothing_heavy(notebook):
    heavy = ("sqlalchemy", "distributed", "papermill", "pandas", "cloudpickle")
    assert notebook.run("after", f"import sys; [name for name in {heavy} if name in sys.modules]") == ["[]"]


def test_what_failed_runs_again_in_place_and_what_succeeded_is_kept(notebook):
    notebook.run("a", "%%task extract\nimport uuid\nmark = uuid.uuid4().hex\nprint('extracted')")
    notebook.run(
        "b", "%%task load\nimport os\nif not os.path.exists('ready'): raise ValueError('not ready')\nloaded = mark\nprint('loaded')"
    )
    notebook.run("run", "%nbflow run")
    assert "ValueError: not ready" in notebook.texts("b")[-1]
    notebook.run("mend", "open('ready', 'w').close(); before = mark")
    again = notebook.run("again", "%nbflow retry")
    assert "2 succeeded" in again[-1]
    assert notebook.texts("a")[1:] == ["extracted\n"]
    assert notebook.texts("b")[1:] == ["loaded\n"]
    assert notebook.run("after", "loaded == mark == before") == ["True"]
    assert "2 succeeded" in notebook.run("from", "%nbflow run --from extract")[-1]
    assert notebook.run("later", "loaded == mark, mark == before") == ["(True, False)"]
    assert notebook.run("wrong", "%nbflow retry laod")[-1].endswith('has no task "laod". Did you mean "load"?')
    assert "No task of run" in notebook.run("well", "%nbflow retry")[-1]
