# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import unicodedata

import pytest

from nbflow.core.states import RunState, TaskState
from nbflow.views.glyphs import GREY, STATE_VIEWS, glyph_paths, record_view, state_view
from tests.unit.views.flows import a_record


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ink", sorted({view.ink for view in STATE_VIEWS.values()} | {GREY}))
@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
def test_every_ink_holds_on_white_and_on_near_black(ink, page):
    assert contrast(ink, page) >= 3.0


def test_there_are_fifteen_silhouettes_and_no_two_are_alike():
    drawn = {tuple((shape.d, shape.dash) for shape in view.shapes) for view in STATE_VIEWS.values()}
    assert len(drawn) == len(STATE_VIEWS) == 15


def test_every_state_of_a_task_and_of_a_run_is_shown():
    for state in (*TaskState, *RunState):
        assert state_view(state).name == state.value


def test_terminal_glyphs_are_one_column_wide_and_differ():
    glyphs = [view.glyph for view in STATE_VIEWS.values()]
    assert len(set(glyphs)) == 15
    assert all(len(glyph) == 1 and unicodedata.east_asian_width(glyph) not in {"W", "F"} for glyph in glyphs)


def test_a_success_from_the_cache_has_a_shape_of_its_own():
    record = a_record("a", "success", note={"from_cache": True})
    assert record_view(record).name == "cached"


def test_colours_are_known_to_rich():
    from rich.style import Style

    for view in STATE_VIEWS.values():
        Style.parse(view.colour)


def test_a_glyph_can_stand_many_times_on_a_page():
    assert all("id=" not in glyph_paths(view) and "mask" not in glyph_paths(view) for view in STATE_VIEWS.values())
