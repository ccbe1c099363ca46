# SPDX-License-Identifier: BSD-3-Clause
"""Issue 2, "Bad input": each mistake is one sentence that names the place and the remedy, an exit code, and leaves database and files whole."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from nbflow.executors import deaths

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}
R_KERNEL = {"name": "ir", "display_name": "R", "language": "R"}
RUN = "%nbflow run"
#: Seconds after which something hangs.
PATIENCE = 120


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a person sees of a command that ended."""

    code: int
    out: str
    err: str

    def says(self, sentence: str, code: int) -> None:
        """stderr is this sentence and nothing else, and the exit code is right."""
        assert (self.err.strip(), self.code) == (f"nbflow: {sentence}", code)

    def ends_with(self, sentence: str, code: int) -> None:
        """The last line of stderr is this sentence; nothing on the screen comes from inside nbflow."""
        assert (self.err.strip().splitlines() or [""])[-1] == f"nbflow: {sentence}"
        assert self.code == code
        self.shows_no_internals()

    def shows_no_internals(self) -> None:
        assert "site-packages" not in self.out + self.err
        assert "/nbflow/" not in self.err
        assert 'File "' not in self.err


@dataclass(frozen=True)
class Shell:
    """A terminal in an empty folder, with a home of nbflow."""

    folder: Path
    environment: dict[str, str]

    def nbflow(self, *arguments: str | Path, **variables: str) -> Ended:
        return self.run(sys.executable, "-m", "nbflow", *arguments, **variables)

    def run(self, *command: str | Path, **variables: str) -> Ended:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    def write(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text, encoding="utf-8")
        return self.folder / name

    def notebook(self, *cells: str, name: str = "sales.ipynb", kernel: dict[str, str] = PYTHON, parameters: str = "") -> Path:
        made = [nbformat.v4.new_code_cell(source) for source in ("%load_ext nbflow", *cells)]
        if parameters:
            made.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel}), self.folder / name)
        return self.folder / name

    def latest(self) -> dict:
        return json.loads(self.nbflow("runs", "show", "latest", "--json").out)


@pytest.fixture
def shell(tmp_path: Path, home_environment: dict[str, str]) -> Shell:
    """In the home that all tests share, with its cluster."""
    return Shell(tmp_path, home_environment)


@pytest.fixture
def alone(tmp_path: Path, home_environment: dict[str, str]) -> Shell:
    """In a home of its own that may be spoiled, without a cluster."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Shell(folder, {**home_environment, "NBFLOW_HOME": str(tmp_path / "home"), "NBFLOW_DASK": "inline"})


# --- files that are no notebooks ------------------------------------------------------------------------------------------


NO_NOTEBOOKS = {
    "missing.ipynb": (None, "There is no file missing.ipynb."),
    "notes.ipynb": ("hello", "notes.ipynb is not a notebook: it is not JSON."),
    "empty.ipynb": ("", "empty.ipynb is not a notebook: it is empty."),
    "list.ipynb": ("[1, 2]", "list.ipynb is not a notebook: it has no cells."),
    "broken.ipynb": (
        '{"cells": [\n {"cell_type":,}]}',
        (
            "broken.ipynb is broken: its JSON is wrong in line 2, column 15 (Expecting value). "
            "Restore it from version control, or from .ipynb_checkpoints beside it."
        ),
    ),
}


@pytest.mark.parametrize("verb", ["run", "graph"])
@pytest.mark.parametrize("name", NO_NOTEBOOKS)
def test_a_file_that_is_no_notebook_is_refused_before_anything_is_started(alone: Shell, verb: str, name: str) -> None:
    text, sentence = NO_NOTEBOOKS[name]
    if text is not None:
        alone.write(name, text)
    alone.nbflow(verb, name).says(sentence, 2)
    assert not Path(alone.environment["NBFLOW_HOME"]).exists()


@pytest.mark.parametrize("verb", ["run", "graph"])
def test_a_folder_is_refused(alone: Shell, verb: str) -> None:
    (alone.folder / "sales.ipynb").mkdir()
    alone.nbflow(verb, "sales.ipynb").says("sales.ipynb is a folder: name a notebook in it.", 2)


def test_a_name_mistyped_by_little_is_guessed(alone: Shell) -> None:
    alone.notebook("x = 1")
    alone.nbflow("run", "sale.ipynb").says('There is no file sale.ipynb. Did you mean "sales.ipynb"?', 2)


def test_check_goes_on_after_a_file_that_cannot_be_read(alone: Shell) -> None:
    alone.notebook("x = 1", RUN)
    done = alone.nbflow("check", "missing.ipynb", "sales.ipynb")
    assert (done.code, done.err.strip()) == (2, "missing.ipynb: error: There is no file missing.ipynb.")
    assert "sales.ipynb: no problems" in done.out


# --- flows that cannot be ---------------------------------------------------------------------------------------------------


BAD_FLOWS = {
    "a cycle": (
        ("%%task a --after b\nx = 1", "%%task b --after a\ny = 1"),
        "cell 2, line 1: These tasks wait for each other: a -> b -> a. Remove one of these dependencies.",
    ),
    "two tasks of one name": (
        ("%%task a\nx = 1", "%%task a\ny = 1"),
        'cell 3, line 1: There are two tasks named "a": cell 2 and cell 3. Rename one.',
    ),
    "an unknown upstream": (
        ("%%task extract\nx = 1", "%%task b --after extrct\ny = 1"),
        'cell 3, line 1: --after of task b: there is no task or group "extrct". Did you mean "extract"?',
    ),
    "an unknown option": (("%%task a --retris 2\nx = 1",), 'cell 2, line 1: There is no option "--retris". Did you mean "--retries"?'),
    "a bad value of an option": (
        ("%%task a --timeout soon\nx = 1",),
        'cell 2, line 1: --timeout cannot be "soon": it takes a duration such as 30s, 5m, 1h30m or a number of seconds.',
    ),
    "an unknown key of the header": (
        ('%%flow sales\nowner = "me"\nschedul = "@daily"', "%%task a\nx = 1"),
        'cell 2, line 3: There is no key "schedul" in a %%flow header. Did you mean "schedule"?',
    ),
    "a bad value in the header": (
        ('%%flow sales\nmax_active_runs = "two"', "%%task a\nx = 1"),
        'cell 2, line 2: max_active_runs must be a whole number, 1 or more, not "two".',
    ),
    "a header that is not TOML": (
        ("%%flow sales\nowner = me", "%%task a\nx = 1"),
        'cell 2, line 2: The header is not TOML: invalid value. Text stands in quotation marks: owner = "me".',
    ),
}


@pytest.mark.parametrize("mistake", BAD_FLOWS)
def test_a_flow_is_refused_for(alone: Shell, mistake: str) -> None:
    cells, sentence = BAD_FLOWS[mistake]
    alone.notebook(*cells, RUN)
    alone.nbflow("run", "sales.ipynb").says(f"sales.ipynb, {sentence}", 2)
    checked = alone.nbflow("check", "sales.ipynb")
    assert (checked.out.strip(), checked.code) == (f"sales.ipynb: error: {sentence}", 2)
    assert not Path(alone.environment["NBFLOW_HOME"]).exists()


def test_all_mistakes_of_a_notebook_are_told_at_once(alone: Shell) -> None:
    alone.notebook("%%flow sales\nbad = 1", "%%task a --retris 2\nx = 1", "%%task b\ny = (")
    done = alone.nbflow("run", "sales.ipynb")
    assert [line.partition(": ")[2].partition(": ")[0] for line in done.err.splitlines()] == [
        "sales.ipynb, cell 2, line 2",
        "sales.ipynb, cell 3, line 1",
        "sales.ipynb, cell 4, line 2",
    ]


def test_papermill_says_what_is_wrong_with_a_flow_in_one_sentence_and_leaves_the_old_output(alone: Shell) -> None:
    cells, sentence = BAD_FLOWS["a cycle"]
    alone.notebook(*cells)
    alone.notebook("# the last good one", name="out.ipynb")
    papermill = Path(sys.executable).with_name("papermill")
    done = alone.run(papermill, "sales.ipynb", "out.ipynb", "--engine", "nbflow", "--no-progress-bar")
    assert done.err.strip().splitlines()[-1] == f"Error: sales.ipynb, {sentence}"
    assert done.code == 2
    done.shows_no_internals()
    nbformat.validate(nbformat.read(alone.folder / "out.ipynb", as_version=4))


# --- parameters, options, outputs, settings ---------------------------------------------------------------------------------


PARAMETER_FILES = {
    "bad.yaml": (
        "day: [1\n",
        "The parameter file bad.yaml, near line 2, is neither YAML nor JSON: write a line such as day: 2026-01-01 for each parameter.",
    ),
    "list.yaml": ("- 1\n", "The parameter file list.yaml must hold names and values, such as day: 2026-01-01."),
    "name.yaml": ("a b: 1\n", '"a b" cannot be a parameter: its name must be one of Python, such as day or threshold_2.'),
    "nope.yaml": (None, "The parameter file nope.yaml cannot be read: No such file or directory."),
}


@pytest.mark.parametrize("name", PARAMETER_FILES)
def test_a_file_of_parameters_is_refused(alone: Shell, name: str) -> None:
    text, sentence = PARAMETER_FILES[name]
    if text is not None:
        alone.write(name, text)
    alone.notebook("x = 1", parameters="day = 1")
    alone.nbflow("run", "sales.ipynb", "-f", name).says(sentence, 2)


def test_an_unknown_parameter_is_refused_with_the_names_there_are(alone: Shell) -> None:
    alone.notebook("x = 1", parameters="day = 1")
    alone.nbflow("run", "sales.ipynb", "-p", "dayy", "2").says('sales.ipynb has no parameter "dayy". Did you mean "day"? It has day.', 2)


def test_a_parameter_for_a_notebook_without_any_is_refused_with_what_to_do(alone: Shell) -> None:
    alone.notebook("x = 1")
    alone.nbflow("run", "sales.ipynb", "-p", "day", "2").says(
        'sales.ipynb takes no parameters: give the cell that assigns "day" the tag "parameters".', 2
    )


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("out", "out is a folder: give the executed notebook a file name."),
        ("sales.ipynb", "sales.ipynb is the notebook itself: write the executed notebook to another file."),
        ("notes.txt/out.ipynb", "notes.txt/out.ipynb cannot be written: {folder}/notes.txt is a file, not a folder."),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_started(alone: Shell, output: str, sentence: str) -> None:
    (alone.folder / "out").mkdir()
    alone.write("notes.txt", "mine")
    before = alone.notebook("x = 1").read_bytes()
    alone.nbflow("run", "sales.ipynb", "-o", output).says(sentence.format(folder=alone.folder), 2)
    assert (alone.folder / "sales.ipynb").read_bytes() == before
    assert not Path(alone.environment["NBFLOW_HOME"]).exists()


SETTINGS = {
    "an unknown setting": ('dask = "local"\nhom = "x"\n', 'line 2: there is no setting "hom". Did you mean "home"?'),
    "a number that is none": ('# mine\nworkers = "many"\n', 'line 2: workers is "many", but takes a whole number, 0 or more.'),
    "a duration that is none": ('lease = "soon"\n', 'line 1: lease is "soon", but takes a duration such as 30s or 10m.'),
    "what is not TOML": ("dask = local\n", 'line 1: this is not TOML (invalid value). A text stands in quotation marks: dask = "local".'),
}


@pytest.mark.parametrize("mistake", SETTINGS)
def test_nbflow_toml_is_refused_with_file_and_line_for(alone: Shell, mistake: str) -> None:
    text, sentence = SETTINGS[mistake]
    path = alone.write("nbflow.toml", text)
    alone.nbflow("runs", "list").says(f"{path}, {sentence}", 3)


# --- home, database, cluster ------------------------------------------------------------------------------------------------


def test_a_home_that_is_a_file_is_refused(alone: Shell) -> None:
    home = alone.write("home.txt", "mine")
    alone.notebook("%%task a\nx = 1")
    sentence = f"The database {home}/nbflow.db cannot be made: a file stands where its folder should be. Choose another home."
    alone.nbflow("run", "sales.ipynb", NBFLOW_HOME=str(home)).says(sentence, 3)
    assert home.read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_home_that_is_read_only_is_refused(alone: Shell) -> None:
    home = Path(alone.environment["NBFLOW_HOME"])
    home.mkdir(mode=0o500)
    sentence = (
        f"The database {home}/nbflow.db cannot be written: change the permissions of the file and of its folder, or choose another home."
    )
    alone.nbflow("runs", "list").says(sentence, 3)


def test_a_database_locked_by_another_program_is_said_and_works_again_afterwards(alone: Shell, tmp_path: Path) -> None:
    database = tmp_path / "nbflow.db"
    url = f"sqlite:///{database}?timeout=1"
    assert alone.nbflow("runs", "list", NBFLOW_DATABASE_URL=url).code == 0
    alone.notebook("%%task a\nx = 1")
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        refused = alone.nbflow("run", "sales.ipynb", NBFLOW_DATABASE_URL=url)
    finally:
        other.close()
    refused.ends_with(f"The database {database} is locked by another program: close whatever else has it open, and try again.", 3)
    assert alone.nbflow("runs", "list", NBFLOW_DATABASE_URL=url).out.strip() == "No runs yet. Type nbflow run NOTEBOOK, or nbflow demo."


def test_a_cluster_that_is_not_there_is_said_with_its_address(alone: Shell) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    alone.notebook("%%task a\nx = 1")
    done = alone.nbflow("run", "sales.ipynb", NBFLOW_DASK=address)
    assert done.code == 3
    assert done.err.startswith(f"nbflow: The Dask cluster at {address} cannot be reached (")
    assert done.err.strip().endswith("): start it, or change `dask` (NBFLOW_DASK).")
    done.shows_no_internals()
    assert "No runs yet" in alone.nbflow("runs", "list").out


# --- kernels ----------------------------------------------------------------------------------------------------------------


def test_tasks_in_a_notebook_for_r_are_refused(alone: Shell) -> None:
    alone.notebook("%%task a\nx <- 1", kernel=R_KERNEL)
    sentence = (
        'sales.ipynb is a notebook for R (kernel "R"), and tasks are Python: choose a Python kernel for it in JupyterLab and save it.'
    )
    alone.nbflow("run", "sales.ipynb").says(sentence, 2)


def test_a_kernel_that_is_not_installed_is_refused_with_those_that_are(alone: Shell) -> None:
    alone.notebook("%%task a\nx = 1", kernel={**PYTHON, "name": "python33"})
    done = alone.nbflow("run", "sales.ipynb")
    assert done.err.startswith('nbflow: There is no kernel "python33" on this machine. Did you mean "python3"? Installed: ')
    assert done.err.strip().endswith("Install it, or choose another one, in the notebook or with --kernel.")
    assert done.code == 3
    done.shows_no_internals()


def test_a_kernel_that_dies_at_its_start_is_said_with_its_last_words(alone: Shell) -> None:
    folder = alone.folder / "kernels" / "broken"
    folder.mkdir(parents=True)
    code = "import sys; sys.exit('libfoo.so is missing')"
    spec = {"argv": [sys.executable, "-c", code, "{connection_file}"], "display_name": "Broken", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    alone.notebook("%%task a\nx = 1")
    done = alone.nbflow("run", "sales.ipynb", "-k", "broken", JUPYTER_PATH=str(alone.folder))
    done.ends_with(
        'The kernel "broken" did not start: its process ended (libfoo.so is missing). '
        "Mend it (jupyter kernelspec list says where it is), or choose another one, in the notebook or with --kernel.",
        3,
    )
    assert alone.latest()["state"] == "failed"


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
        "The kernel ended by signal 9 while cell 2 ran; signal 9 often means that the machine ran out of memory.",
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
    assert done.err.strip().endswith(sentence)
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
        assert select.select([pids], [], [], PATIENCE)[0]
        kernel, child = map(int, os.read(pids, 100).split())
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=PATIENCE)
    os.close(pids)
    assert (process.returncode, err.strip()) == (130, "nbflow: interrupted.")
    assert not is_running(kernel)
    assert not is_running(child)
    run = shell.latest()
    assert [run["state"], *(task["state"] for task in run["tasks"])] == ["cancelled"] * 3
    executed = nbformat.read(shell.folder / "out.ipynb", as_version=4)
    nbformat.validate(executed)
    assert executed.metadata["nbflow"]["state"] == "cancelled"


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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
