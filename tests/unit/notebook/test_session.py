# SPDX-License-Identifier: BSD-3-Clause
"""Which cells make the flow, and in which order."""

from __future__ import annotations

import pytest

from nbflow.core.errors import UserError
from nbflow.notebook.session import Session


@pytest.fixture
def session(shell):
    session = Session(shell)
    shell.events.register("pre_run_cell", session.pre_run_cell)
    shell.events.register("post_run_cell", session.post_run_cell)

    def define(name):
        def magic(line, cell):
            session.define(f"%%{name} {line}\n{cell}")

        return magic

    shell.register_magic_function(define("task"), "cell", "task")
    shell.register_magic_function(define("flow"), "cell", "flow")
    return session


def tasks(session):
    return [task.id for task in session.draft().tasks]


def test_only_executed_cells_count(shell, session, notebook):
    notebook.save(("a", "%%task one\nx = 1"), ("b", "%%task two\ny = 2"))
    shell.execute("%%task one\nx = 1", "a")
    assert tasks(session) == ["one"]


def test_the_order_is_that_of_the_saved_file(shell, session, notebook):
    notebook.save(("a", "%%task one\nx = 1"), ("b", "%%task two\ny = x"))
    shell.execute("%%task two\ny = x", "b")
    shell.execute("%%task one\nx = 1", "a")
    assert tasks(session) == ["one", "two"]


def test_executing_a_cell_again_replaces_its_definition_also_under_a_new_name(shell, session):
    shell.execute("%%task one\nx = 1", "a")
    shell.execute("%%task uno\nx = 1", "a")
    assert tasks(session) == ["uno"]


def test_a_changed_cell_counts_as_executed_not_as_saved(shell, session, notebook):
    notebook.save(("a", "%%task one\nx = 1"))
    shell.execute("%%task one\nx = 2", "a")
    assert session.draft().task("one").source.strip() == "x = 2"


def test_cells_that_are_not_in_the_file_come_last_in_the_order_executed(shell, session, notebook):
    notebook.save(("a", "%%task one\nx = 1"))
    shell.execute("%%task three\nz = 1", "new2")
    shell.execute("%%task two\ny = 1", "new1")
    shell.execute("%%task one\nx = 1", "a")
    shell.execute("%%task three\nz = 2", "new2")
    assert tasks(session) == ["one", "three", "two"]
    assert [task.cell.number for task in session.draft().tasks] == [1, 0, 0]


def test_a_cell_that_was_deleted_from_the_file_takes_its_task_along(shell, session, notebook):
    notebook.save(("a", "%%task one\nx = 1"), ("b", "%%task two\ny = 2"))
    shell.execute("%%task one\nx = 1", "a")
    shell.execute("%%task two\ny = 2", "b")
    assert tasks(session) == ["one", "two"]
    notebook.save(("b", "%%task two\ny = 2"))
    assert tasks(session) == ["two"]


def test_a_cell_that_was_never_saved_is_not_taken_for_deleted(shell, session, notebook):
    shell.execute("%%task one\nx = 1", "new")
    notebook.save(("b", "y = 1"))
    assert tasks(session) == ["one"]


def test_a_moved_cell_whose_old_place_was_never_saved_is_one_task(shell, session):
    shell.execute("%%task one\nx = 1", "old")
    shell.execute("%%task one\nx = 2", "pasted")
    assert tasks(session) == ["one"]


def test_forgetting_a_task_lasts_until_its_cell_is_executed_again(shell, session):
    shell.execute("%%task one\nx = 1", "a")
    session.forget("one")
    assert tasks(session) == []
    shell.execute("%%task one\nx = 1", "a")
    assert tasks(session) == ["one"]


def test_forgetting_an_unknown_task_names_the_nearest(shell, session):
    shell.execute("%%task clean\nx = 1", "a")
    with pytest.raises(UserError, match=r'There is no task "claen" to forget\. Did you mean "clean"\?'):
        session.forget("claen")


def test_a_console_without_cell_ids_knows_a_task_by_its_name(shell, session):
    shell.execute("%%task one\nx = 1")
    shell.execute("%%task two\ny = x")
    shell.execute("%%task one\nx = 3")
    assert tasks(session) == ["one", "two"]


def test_a_front_end_with_foreign_ids_is_matched_by_text(shell, session, notebook):
    notebook.save(("a", "%%task one\nx = 1"), ("b", "%%task two\ny = x"))
    shell.execute("%%task two\ny = x", "vscode:W1")
    shell.execute("%%task one\nx = 1", "vscode:W0")
    assert tasks(session) == ["one", "two"]


def test_a_cell_that_does_not_compile_was_not_executed(shell, session):
    shell.execute("limit = 1", "a")
    shell.execute("limit = = 2", "a")
    assert [cell.source for cell in session.executed()] == ["limit = 1"]


def test_cells_from_before_the_extension_are_known_by_their_text(shell, session, notebook):
    notebook.save(("a", "import math"), ("b", "%%task one\nx = math.pi"))
    session.remember(["import math"])
    shell.execute("%%task one\nx = math.pi", "b")
    assert session.draft().captures == ("math",)
    shell.execute("import math", "a")
    assert len(list(session.executed())) == 2


def test_the_tasks_above_a_cell_are_those_of_the_file(shell, session, notebook):
    notebook.save(("a", "%%task one\nx = 1"), ("run", "pass"), ("b", "%%task two\ny = 2"))
    shell.execute("%%task one\nx = 1", "a")
    shell.execute("%%task two\ny = 2", "b")
    above = []
    shell.events.register("post_execute", lambda: above.append(session.tasks_above(session.draft())))
    shell.execute("pass", "run")
    shell.execute("pass", "not saved yet")
    assert above == [("one",), ("one", "two")]


def test_outputs_belong_to_the_request_that_defined_the_task(shell, session):
    shell.execute("%%task one\nx = 1", "a")
    assert session.cell_of("one").parent["header"]["msg_id"] == "a"


def test_the_flow_is_named_after_the_notebook(shell, session, notebook):
    shell.execute("%%task one\nx = 1", "a")
    assert (session.draft().name, session.draft().path) == ("sales", str(notebook.path))


def test_a_headless_run_knows_the_whole_file_before_it_is_executed(shell, session, notebook):
    notebook.save(("a", "%%task one\nx = 1"), ("run", "pass"), ("b", "%%task two\ny = 2"))
    session.follow_file(str(notebook.path))
    assert tasks(session) == ["one", "two"]
