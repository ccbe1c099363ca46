# SPDX-License-Identifier: BSD-3-Clause
"""Issue 2, "Bad input": each mistake is one sentence that names the place and the remedy, an exit code, and leaves database and files whole."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
from pathlib import Path

import nbformat
import pytest

from tests.acceptance.shell import PYTHON, R_KERNEL, RUN, Shell

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
        done = alone.nbflow("run", "sales.ipynb", NBFLOW_DASK=address)  # nobody else can listen there meanwhile
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
