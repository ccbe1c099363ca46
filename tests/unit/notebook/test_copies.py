# SPDX-License-Identifier: BSD-3-Clause
"""The outputs of a mapped task's copies under its one cell."""

from __future__ import annotations

import pytest

from nbflow.core.ids import TaskId, TaskKey
from nbflow.notebook.area import Area
from nbflow.notebook.copies import CopiesArea
from tests.unit.notebook.recording import RecordingChannel, request

CARD = {"text/plain": "[card]"}


def copy(index: int) -> TaskKey:
    return TaskKey(TaskId("score"), index)


def stream(text: str) -> dict[str, str]:
    return {"output_type": "stream", "name": "stdout", "text": text}


class Page:
    def __init__(self) -> None:
        self.channel = RecordingChannel()
        self.channel.send("display_data", {"data": CARD, "transient": {"display_id": "nbflow-card-score"}}, request("cell"))
        self.copies = CopiesArea(Area(self.channel, request("cell"), 1, "nbflow-card-score", set()))

    def say(self, index: int, text: str, attempt: int = 1) -> None:
        self.copies.begin(copy(index), attempt)
        self.copies.add(copy(index), stream(text), CARD)
        self.flush()

    def flush(self) -> None:
        self.copies.flush(CARD, now=True)

    @property
    def text(self) -> list[str]:
        return self.channel.texts("cell")

    @property
    def clears(self) -> int:
        return sum(kind == "clear_output" for kind, _, _ in self.channel.sent)


@pytest.fixture
def page() -> Page:
    return Page()


def test_copies_stand_in_map_order_whatever_order_they_speak_in(page: Page):
    page.say(1, "second")
    page.say(0, "first")
    assert page.text == ["[card]", "score[0]", "first", "score[1]", "second"]


def test_what_comes_behind_what_is_shown_is_added_without_clearing(page: Page):
    page.say(0, "one ")
    page.say(0, "two ")
    page.say(1, "three")
    assert "".join(page.text) == "[card]score[0]one two score[1]three"
    assert page.clears == 0


def test_a_new_attempt_of_a_copy_replaces_its_outputs_only(page: Page):
    page.say(0, "kept")
    page.say(1, "failed")
    page.say(1, "better", attempt=2)
    assert page.text == ["[card]", "score[0]", "kept", "score[1]", "better"]


def test_the_recorded_outputs_replace_the_live_ones(page: Page):
    page.say(0, "li")
    page.copies.settle(copy(0), [stream("live"), {"output_type": "display_data", "data": {"text/plain": "plot"}, "metadata": {}}])
    page.flush()
    assert "".join(page.text) == "[card]score[0]liveplot"


def test_a_copy_that_clears_its_output_has_no_heading(page: Page):
    page.say(0, "gone")
    page.copies.add(copy(0), {"output_type": "clear_output", "wait": False}, CARD)
    page.flush()
    assert page.text == ["[card]"]


def test_a_display_is_updated_where_it_stands(page: Page):
    shown = {"output_type": "display_data", "data": {"text/plain": "0 %"}, "metadata": {}, "transient": {"display_id": "bar"}}
    page.copies.add(copy(0), shown, CARD)
    page.flush()
    page.copies.add(copy(0), {**shown, "output_type": "update_display_data", "data": {"text/plain": "50 %"}}, CARD)
    page.say(1, "other")
    assert page.text == ["[card]", "score[0]", "50 %", "score[1]", "other"]
