# SPDX-License-Identifier: BSD-3-Clause
"""What `%%flow`, `%%task` and `%nbflow` do in a shell, short of running anything."""

from __future__ import annotations

import pytest

from nbflow.app.arriving import update_asset
from nbflow.core.errors import UserError
from nbflow.notebook import extension
from tests.unit.notebook.recording import RecordingChannel


@pytest.fixture
def channel():
    return RecordingChannel()


@pytest.fixture
def loaded(shell, channel, tmp_path, monkeypatch):
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    loaded = extension.load(shell, channel)
    try:
        yield loaded
    finally:
        extension.unload(shell)


@pytest.fixture
def execute(shell, channel, loaded):
    """Execute a cell; raises what it raised, as a caller of run_cell sees it."""

    def execute(source, cell=None):
        channel.current = cell or "none"
        return shell.execute(source, cell)

    return execute


def mistake(result):
    """The one line a person sees."""
    (line,) = result.error_in_exec._render_traceback_()
    return line.removeprefix("\x1b[31m").removesuffix("\x1b[0m")


def test_a_task_cell_shows_its_card_and_runs_nothing(execute, channel, shell):
    execute("%%task extract\nrows = 1 / 0", "a")
    assert len(channel.texts("a")) == 1
    assert "extract" in channel.texts("a")[0]
    assert "rows" not in shell.user_ns


def test_a_card_can_be_updated_by_its_display_id(execute, channel):
    execute("%%task etl.extract\nrows = 1", "a")
    assert channel.cells["a"][0]["transient"] == {"display_id": "nbflow-card-etl.extract"}


def test_a_card_says_when_its_cell_is_not_in_the_file_yet(execute, channel, notebook):
    notebook.save(("a", "%%task one\nx = 1"))
    execute("%%task one\nx = 1", "a")
    execute("%%task two\ny = 1", "b")
    assert "Not in the saved notebook yet" not in channel.texts("a")[0]
    assert "Not in the saved notebook yet: it counts as its last cell." in channel.texts("b")[0]


def test_a_wrong_option_is_one_line_and_defines_nothing(execute, loaded):
    result = execute("%%task extract --retrys 2\nrows = 1", "a")
    assert not result.success
    assert 'Did you mean "' in mistake(result)
    assert loaded.session.task_names() == ()


def test_a_mistake_in_one_cell_is_not_told_by_another(execute, channel):
    execute("%%task one --retrys 2\nx = 1", "a")
    assert execute("%%task two\ny = 1", "b").success


def test_a_task_may_wait_for_one_whose_cell_is_saved_but_not_executed_yet(execute, notebook):
    notebook.save(("a", "%%task one --after two\nx = 1"), ("b", "%%task two\ny = 1"))
    assert execute("%%task one --after two\nx = 1", "a").success
    assert execute("%%task two\ny = 1", "b").success


def test_a_task_that_waits_for_an_unknown_one_is_a_mistake(execute):
    execute("%%task clean\nx = 1", "a")
    assert 'Did you mean "clean"?' in mistake(execute("%%task load --after claen\ny = 1", "b"))


def test_two_tasks_of_one_name_are_a_mistake_when_both_are_saved(execute, notebook):
    notebook.save(("a", "%%task one\nx = 1"), ("b", "%%task one\ny = 1"))
    execute("%%task one\nx = 1", "a")
    assert not execute("%%task one\ny = 1", "b").success


def test_the_header_is_shown_in_one_line(execute, channel):
    execute('%%flow sales\ndescription = "Sales of the day"', "a")
    assert channel.texts("a") == ["sales: 0 tasks. Sales of the day."]


def test_a_wrong_key_of_the_header_is_one_line(execute):
    assert 'Did you mean "description"?' in mistake(execute('%%flow sales\ndescriptoin = "x"', "a"))


def test_the_graph_is_shown_without_a_verb(execute, channel):
    execute("%%task one\nx = 1", "a")
    execute("%%task two\ny = x", "b")
    execute("%nbflow", "g")
    (bundle,) = channel.cells["g"]
    assert "one" in bundle["data"]["text/plain"]
    assert bundle["transient"]["display_id"].startswith("nbflow-graph-")


def test_an_unknown_verb_names_the_nearest(execute):
    assert mistake(execute("%nbflow grahp", "a")) == 'There is no "%nbflow grahp". Did you mean "graph"?'


def test_a_run_without_tasks_says_what_to_do(execute):
    assert mistake(execute("%nbflow run", "a")).startswith("There is no task above this cell: put %%task NAME")


def test_a_run_of_an_unknown_task_names_the_nearest(execute):
    execute("%%task clean\nx = 1", "a")
    assert mistake(execute("%nbflow run --task claen", "b")) == 'There is no task "claen". Did you mean "clean"?'


def test_an_unknown_parameter_names_those_there_are(execute):
    execute("day = '2026-01-01'", "p")
    execute("%%task clean\nx = day", "a")
    assert mistake(execute("%nbflow run -p dya 2026-01-02", "b")) == 'There is no parameter "dya". Did you mean "day"?'


def test_a_call_from_a_function_is_a_mistake_all_the_same(execute):
    result = execute("def go():\n    %nbflow run\ngo()", "a")
    assert isinstance(result.error_in_exec, UserError)


def test_check_says_what_cannot_travel(execute, capsys):
    execute("import sqlite3\nconn = sqlite3.connect(':memory:')", "p")
    execute("%%task train\nrows = conn.execute('select 1').fetchall()", "a")
    execute("%nbflow check", "c")
    assert "error: Task train uses `conn`, which cannot be sent to a worker" in capsys.readouterr().out


def test_check_of_a_sound_flow_says_so(execute, capsys):
    execute("%%task one\nx = 1", "a")
    execute("%nbflow check", "c")
    assert capsys.readouterr().out.endswith("Nothing is wrong with 1 task.\n")


def test_history_of_a_flow_that_never_ran_says_so(execute):
    execute("%%task one\nx = 1", "a")
    assert mistake(execute("%nbflow logs one", "l")) == "Flow notebook has not run yet: type %nbflow run."


def test_help_is_printed(execute, capsys):
    execute("%%task -h\n", "a")
    execute("%nbflow -h", "b")
    shown = capsys.readouterr().out
    assert "--retries" in shown
    assert "%nbflow forget" in shown


def test_the_extension_can_be_unloaded_and_loaded_again(shell, loaded):
    extension.unload(shell)
    assert shell.find_line_magic("nbflow") is None
    again = extension.load(shell, RecordingChannel())
    assert again is not loaded
    assert shell.find_cell_magic("task") is not None


def test_assets_are_listed(execute, channel, loaded):
    execute("%nbflow assets")
    assert "There are no assets yet: write --outlets NAME on the %%task line of what makes one." in "".join(channel.texts("none"))
    update_asset(loaded.magics.launcher.host.workspace, "clean_logs")
    execute("%nbflow assets")
    assert "clean_logs" in "".join(channel.texts("none"))


def test_connections_and_variables_are_listed_and_completed(execute, channel, loaded, shell):
    execute("%nbflow connections")
    execute("%nbflow variables")
    assert "There are no connections: type nbflow connections set NAME in a terminal." in "".join(channel.texts("none"))
    workspace = loaded.magics.launcher.host.workspace
    workspace.secrets.set_connection("warehouse", "postgresql://me:TopSecret1@db/sales")
    workspace.secrets.set_variable("region", "eu")
    execute("%nbflow connections")
    execute("%nbflow variables")
    assert "postgresql://me:***@db/sales" in "".join(channel.texts("none"))
    assert "region" in "".join(channel.texts("none"))
    assert "TopSecret1" not in "".join(channel.texts("none"))
