# SPDX-License-Identifier: BSD-3-Clause
"""Where task outputs go in a notebook, piece by piece."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest

from nbflow.core.ids import TaskId, TaskKey
from nbflow.operators.notebook_areas import TaskAreas, card_id
from nbflow.operators.notebook_cells import Displays
from nbflow.operators.notebook_host import AttemptShown, CardShown, OutputShown
from tests.unit.operators_notebook.conftest import shown


class Page:
    """Two tasks defined in one cell, as `@task` functions are, and one `%%task` cell without a card."""

    def __init__(self) -> None:
        self.cells = [nbformat.v4.new_code_cell("two tasks"), nbformat.v4.new_code_cell("%%task plain\n1")]
        self.displays = Displays()
        for task in ("a", "b"):
            card = nbformat.v4.new_output("display_data", data={"text/plain": f"card {task}"})
            self.cells[0].outputs.append(card)
            self.displays.register(card_id(task), card)
        self.areas = TaskAreas(self.cells, self.displays)

    def say(self, task: str, text: str, attempt: int = 1, index: int = -1) -> None:
        self.output(task, {"output_type": "stream", "name": "stdout", "text": text}, attempt, index)

    def output(self, task: str, output: dict[str, Any], attempt: int = 1, index: int = -1) -> None:
        self.areas.show(OutputShown(key=TaskKey(TaskId(task), index), attempt=attempt, output=output), None)

    def text(self, cell: int = 0) -> str:
        return "".join(shown(output) for output in self.cells[cell].outputs)


@pytest.fixture
def page() -> Page:
    return Page()


def test_outputs_stand_behind_the_card_of_their_task(page: Page) -> None:
    page.say("b", "from b ")
    page.say("a", "from a ")
    assert page.text() == "<card a> from a <card b> from b "


def test_a_task_without_a_card_is_found_by_its_first_line(page: Page) -> None:
    page.say("plain", "here")
    assert page.text(1) == "here"


def test_pieces_of_one_stream_are_one_output(page: Page) -> None:
    page.say("a", "one ")
    page.say("a", "two ")
    assert len(page.cells[0].outputs) == 3
    assert page.text() == "<card a> one two <card b> "


def test_a_new_attempt_starts_with_an_empty_area(page: Page) -> None:
    page.say("a", "first try ")
    page.say("a", "second try ", attempt=2)
    assert page.text() == "<card a> second try <card b> "


def test_the_complete_outputs_replace_the_live_ones(page: Page) -> None:
    page.say("a", "li")
    page.areas.show(
        AttemptShown(key=TaskKey(TaskId("a")), attempt=1, outputs=[{"output_type": "stream", "name": "stdout", "text": "live "}]), None
    )
    assert page.text() == "<card a> live <card b> "


def test_clear_output_clears_the_task_and_leaves_the_card(page: Page) -> None:
    page.say("a", "gone")
    page.output("a", {"output_type": "clear_output", "wait": False})
    assert page.text() == "<card a> <card b> "


def test_clear_output_with_wait_waits_for_the_next_output(page: Page) -> None:
    page.say("a", "old ")
    page.output("a", {"output_type": "clear_output", "wait": True})
    assert page.text() == "<card a> old <card b> "
    page.say("a", "new ")
    assert page.text() == "<card a> new <card b> "


def test_a_display_of_a_task_is_updated_in_place(page: Page) -> None:
    page.output("a", {"output_type": "display_data", "data": {"text/plain": "10 %"}, "transient": {"display_id": "bar"}})
    page.output("a", {"output_type": "update_display_data", "data": {"text/plain": "90 %"}, "transient": {"display_id": "bar"}})
    assert page.text() == "<card a> <90 %> <card b> "


def test_the_instances_of_a_mapped_task_stand_in_the_order_of_the_map(page: Page) -> None:
    page.say("a", "second ", index=1)
    page.say("a", "first ", index=0)
    page.say("a", "third ", index=2)
    assert page.text() == "<card a> <a[0]> first <a[1]> second <a[2]> third <card b> "


def test_a_result_gets_the_prompt_of_the_cell_it_stands_under(page: Page) -> None:
    page.cells[0].execution_count = 7
    page.output("a", {"output_type": "execute_result", "data": {"text/plain": "1"}, "execution_count": 99})
    assert page.cells[0].outputs[1].execution_count == 7
    nbformat.validate(nbformat.v4.new_notebook(cells=page.cells))


def test_a_card_is_replaced_where_it_stands(page: Page) -> None:
    page.areas.show(CardShown(task=TaskId("a"), data={"text/plain": "a is done"}), None)
    assert page.text() == "<a is done> <card b> "


def test_a_task_that_stands_nowhere_is_left_out(page: Page) -> None:
    page.say("unknown", "nothing")
    assert "nothing" not in page.text() + page.text(1)
