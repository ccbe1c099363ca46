# SPDX-License-Identifier: BSD-3-Clause
"""Issue 2, "Bad input", continued: what goes wrong while a run goes on, and in a kernel."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from nbflow.executors import deaths
from tests.acceptance.shell import PATIENCE, PYTHON, RUN, Shell
from tests.processes import still_running

# --- while it runs ----------------------------------------------------------------------------------------------------------

FAILURES = {
    "a capture that cannot be sent": (
        ("import sqlite3\nconn = sqlite3.connect(':memory:')", "%%task a\nrows = list(conn.execute('select 1'))"),
        (
            "Cell 4 failed: Task a uses `conn`, which cannot be sent to a worker: it is a connection (sqlite3.Connection). "
            "Remedy: open it inside the task that uses it."
        ),
    ),
    "a generator somebody reads": (
        ("%%task a\ng = (i for i in range(3))", "%%task b\nprint(list(g))"),
        "Failed in a: `g` is a generator, which cannot be stored: turn it into a list first.",
    ),
    "an open file somebody reads": (
        ("%%task a\nf = open('sales.ipynb')", "%%task b\nprint(f.read())"),
        "Failed in a: `f` is an open file, which cannot be stored: give its path or its content instead.",
    ),
    "a task that is killed": (
        ("%%task a\nimport os\nos.kill(os.getpid(), 9)",),
        f"Failed: it was lost 3 times: {deaths.say(signal.SIGKILL, deaths.oom_kill_count())}.",
    ),
    "a task that crashes": (
        ("%%task a\nimport ctypes\nctypes.string_at(0)",),
        (
            "Failed in a, line 3: TaskCrashed: killed by SIGSEGV: compiled code it called crashed; "
            "update that library, or call it in another way."
        ),
    ),
    "a task that exits": (("%%task a\nimport sys\nsys.exit(3)",), "Failed: SystemExit: 3 in a, line 3."),
    "a task that asks": (
        ("%%task a\nname = input('who? ')",),
        (
            "Failed in a, line 2: RuntimeError: a task runs unattended, so input() cannot ask anybody: "
            "read a parameter, a file or an environment variable instead."
        ),
    ),
    "a plain cell that fails": (("x = 1\n1/0", "%%task a\ny = x"), "Cell 2 failed: ZeroDivisionError: division by zero"),
    "a kernel that is killed": (
        ("import os\nos.kill(os.getpid(), 9)", "%%task a\nx = 1"),
        (
            "The kernel ended by signal 9 while cell 2 ran; signal 9 often means that the machine ran out of memory. "
            "Go on with nbflow run --resume RUN."
        ),
    ),
}


@pytest.mark.parametrize("mistake", FAILURES)
def test_a_run_fails_with_its_reason_for(shell: Shell, alone: Shell, mistake: str) -> None:
    cells, sentence = FAILURES[mistake]
    if not any(word in sentence for word in ("was lost", "TaskCrashed")):
        shell = alone  # what needs no process of its own to die in
    shell.notebook(*cells, RUN)
    done = shell.nbflow("run", "sales.ipynb", "-o", "out.ipynb")
    assert done.err.count("\n") == 1
    assert re.sub(r"--resume \S+\.$", "--resume RUN.", done.err.strip()).endswith(sentence)
    assert done.code == 1
    done.shows_no_internals()
    executed = nbformat.read(shell.folder / "out.ipynb", as_version=4)
    nbformat.validate(executed)
    assert executed.metadata["nbflow"]["state"] == "failed"
    run = shell.latest()
    assert run["run_id"] == executed.metadata["nbflow"]["run_id"]
    assert {task["state"] for task in run["tasks"]}.isdisjoint({"pending", "scheduled", "queued", "running"})


def test_what_failed_is_told_by_json_show_logs_and_result(alone: Shell) -> None:
    shell = alone
    name = "a_name_so_long_that_a_table_of_eighty_columns_would_have_to_cut_it.and_its_group"
    shell.notebook("%%task a\nprint('hello')\n{}['temp']", f"%%task {name} --after a\ny = 1", RUN)
    ran = shell.nbflow("run", "sales.ipynb", "--json")
    run = json.loads(ran.out)
    assert (ran.code, run["state"]) == (1, "failed")
    assert [(task["id"], task["state"]) for task in run["tasks"]] == [("a", "failed"), (name, "upstream_failed")]
    reason = "Failed: KeyError: 'temp' in a, line 3."
    assert reason in ran.err
    shown = shell.nbflow("runs", "show", "latest").out
    assert reason in shown
    assert name in shown
    logs = shell.nbflow("runs", "logs", "latest", "a").out
    assert logs.startswith("hello\n")
    assert "KeyError: 'temp'" in logs
    shell.nbflow("runs", "result", "latest", "a").says(f"Task a of run {run['run_id']} gave nothing. {reason}", 2)
    shell.nbflow("runs", "logs", "latest", name).says(
        f"Task {name} of run {run['run_id']} has no finished attempt. Did not run: a failed.", 2
    )


@pytest.mark.parametrize("cells", [[], [nbformat.v4.new_markdown_cell("# Only words")]], ids=["no cells", "only Markdown"])
def test_a_notebook_without_code_succeeds(alone: Shell, cells: list) -> None:
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": PYTHON}), alone.folder / "words.ipynb")
    done = alone.nbflow("run", "words.ipynb", "-o", "out.ipynb")
    assert (done.code, done.err) == (0, "")
    assert "words finished in" in done.out
    nbformat.validate(nbformat.read(alone.folder / "out.ipynb", as_version=4))


def test_ctrl_c_cancels_the_run_ends_what_it_started_and_keeps_the_notebook(shell: Shell) -> None:
    os.mkfifo(shell.folder / "pids")
    tell = "import os, time\nwith open('pids', 'w') as pids: pids.write(f'{kernel} {os.getpid()}')\ntime.sleep(600)"
    shell.notebook("import os\nkernel = os.getpid()", f"%%task a\n{tell}", "%%task b --after a\n1", RUN)
    pids = os.open(shell.folder / "pids", os.O_RDWR | os.O_NONBLOCK)
    command = [sys.executable, "-m", "nbflow", "run", "sales.ipynb", "-o", "out.ipynb"]
    with subprocess.Popen(
        command, cwd=shell.folder, env=shell.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert select.select([pids], [], [], PATIENCE)[0]
            kernel, child = map(int, os.read(pids, 100).split())
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            _, err = process.communicate(timeout=PATIENCE)
        except BaseException:
            process.kill()  # else it is waited for until it ends
            raise
    os.close(pids)
    assert (process.returncode, err.strip()) == (130, "nbflow: interrupted.")
    assert still_running([kernel, child]) == []
    run = shell.latest()
    assert [run["state"], *(task["state"] for task in run["tasks"])] == ["cancelled"] * 3
    executed = nbformat.read(shell.folder / "out.ipynb", as_version=4)
    nbformat.validate(executed)
    assert executed.metadata["nbflow"]["state"] == "cancelled"


# --- in a kernel ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingKernelClient]:
    """A live kernel with nbflow in it; what one test defines, the next one sees."""
    folder = tmp_path_factory.mktemp("live")
    environment = {**os.environ, "NBFLOW_HOME": str(folder / "home"), "NBFLOW_DASK": "inline", "JUPYTER_PLATFORM_DIRS": "1"}
    manager, client = start_new_kernel(kernel_name="python3", env=environment, cwd=str(folder))
    try:
        execute(client, "%load_ext nbflow")
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def execute(client: BlockingKernelClient, source: str) -> str:
    """Execute a cell and return the error it shows, as a person reads it; "" when it shows none."""
    shown: list[str] = []

    def look(message: dict) -> None:
        if message["msg_type"] == "error":
            shown.extend(message["content"]["traceback"])

    client.execute_interactive(source, output_hook=look, timeout=PATIENCE, allow_stdin=False)
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(shown))


LIVE = {
    "%%task a --retris 2\nx = 1": 'There is no option "--retris". Did you mean "--retries"?',
    "%%task a --retries many\nx = 1": '--retries cannot be "many": it takes a whole number, 0 or more.',
    "%%task a b\nx = 1": None,
    "%%flow sales\nschedul = '@daily'": 'There is no key "schedul" in a %%flow header. Did you mean "schedule"?',
    "%nbflow runn": 'There is no "%nbflow runn". Did you mean "run"?',
    "%nbflow logs nobody": None,
    "%nbflow forget nobody": 'There is no task "nobody" to forget.',
    "%nbflow run": "There is no task above this cell: put %%task NAME on the first line of a cell and execute it.",
}


@pytest.mark.parametrize("source", LIVE)
def test_a_mistake_in_a_kernel_is_one_line(kernel: BlockingKernelClient, source: str) -> None:
    shown = execute(kernel, source)
    assert len(shown.splitlines()) == 1
    assert "Traceback" not in shown
    if LIVE[source] is not None:
        assert shown.endswith(LIVE[source])


def test_a_capture_that_cannot_be_sent_is_one_line_in_a_kernel(kernel: BlockingKernelClient) -> None:
    execute(kernel, "import sqlite3\nconn = sqlite3.connect(':memory:')")
    execute(kernel, "%%task rows\nrows = list(conn.execute('select 1'))")
    shown = execute(kernel, "%nbflow run")
    assert shown == (
        "Task rows uses `conn`, which cannot be sent to a worker: it is a connection (sqlite3.Connection). "
        "Remedy: open it inside the task that uses it."
    )


def test_a_cycle_is_one_sentence_in_a_kernel(kernel: BlockingKernelClient) -> None:
    assert not execute(kernel, "%%task first\nx = 1")
    assert not execute(kernel, "%%task second --after first\ny = 1")
    shown = execute(kernel, "%%task first --after second\nx = 1") or execute(kernel, "%nbflow run")
    assert "These tasks wait for each other: " in shown
    assert "Remove one of these dependencies." in shown
    assert len(shown.splitlines()) == 1
