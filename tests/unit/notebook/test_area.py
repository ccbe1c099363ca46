# SPDX-License-Identifier: BSD-3-Clause
"""What stands under a task's own cell while and after it runs."""

from __future__ import annotations

import pytest

from nbflow.notebook.area import Area
from tests.unit.notebook.recording import RecordingChannel, request

CARD = {"text/plain": "[card]"}


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(text, display_id=""):
    transient = {"transient": {"display_id": display_id}} if display_id else {}
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}, **transient}


@pytest.fixture
def channel():
    return RecordingChannel()


@pytest.fixture
def used():
    return set()


@pytest.fixture
def area(channel, used):
    channel.send("display_data", {"data": CARD, "transient": {"display_id": "nbflow-card-a"}}, request("cell"))
    return Area(channel, request("cell"), 7, "nbflow-card-a", used)


def play(area, *outputs, attempt=1):
    area.begin(attempt, CARD)
    for output in outputs:
        area.add(output, CARD)
    area.flush()


def test_outputs_follow_the_card(area, channel):
    play(area, stream("one\n"), shown("table"))
    assert channel.texts("cell") == ["[card]", "one\n", "table"]


def test_pieces_of_one_stream_are_sent_together(area, channel):
    play(area, stream("one\n"), stream("two\n"))
    assert channel.texts("cell") == ["[card]", "one\ntwo\n"]


def test_a_second_attempt_starts_with_an_empty_area(area, channel):
    play(area, stream("first\n"))
    play(area, stream("second\n"), attempt=2)
    assert channel.texts("cell") == ["[card]", "second\n"]


def test_a_new_run_takes_away_what_the_last_one_showed(area, channel, used):
    play(area, stream("old\n"))
    Area(channel, request("cell"), 7, "nbflow-card-a", used).reset(CARD)
    assert channel.texts("cell") == ["[card]"]


def test_a_first_run_clears_nothing(area, channel):
    area.reset(CARD)
    assert [kind for kind, _, _ in channel.sent] == ["display_data"]


def test_clearing_in_the_task_leaves_the_card(area, channel):
    play(area, stream("old\n"), {"output_type": "clear_output", "wait": False}, stream("new\n"))
    assert channel.texts("cell") == ["[card]", "new\n"]


def test_clearing_with_wait_happens_with_the_next_output(area, channel):
    play(area, stream("old\n"), {"output_type": "clear_output", "wait": True})
    assert channel.texts("cell") == ["[card]", "old\n"]
    play(area, stream("new\n"))
    assert channel.texts("cell") == ["[card]", "new\n"]


def test_an_updated_display_changes_in_place(area, channel):
    play(
        area,
        shown("10 %", "bar"),
        {"output_type": "update_display_data", "data": {"text/plain": "90 %"}, "transient": {"display_id": "bar"}},
    )
    assert channel.texts("cell") == ["[card]", "90 %"]


def test_a_complete_live_display_is_not_shown_again(area, channel):
    play(area, stream("one\n"), stream("two\n"), shown("table"))
    before = len(channel.sent)
    area.settle([stream("one\ntwo\n"), shown("table")], CARD)
    assert len(channel.sent) == before


def test_what_was_lost_on_the_way_is_shown_from_the_record(area, channel):
    play(area, stream("two\n"))
    area.settle([stream("one\ntwo\n"), shown("table")], CARD)
    assert channel.texts("cell") == ["[card]", "one\ntwo\n", "table"]


def test_a_result_has_the_prompt_of_its_cell(area, channel):
    play(area, {"output_type": "execute_result", "data": {"text/plain": "42"}, "metadata": {}, "execution_count": None})
    assert channel.cells["cell"][-1]["execution_count"] == 7
