# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.widgets.entries import Entry, Log, plain


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {kind.replace("_", "/"): value for kind, value in data.items()}, "metadata": {}}


def test_lines_have_the_time_they_were_heard_at_and_a_level_that_is_written_in_them():
    log = Log()
    log.add(
        stream("round 1\nWARNING:root:two readings missing\nERROR no\n", "stderr"), datetime(2026, 3, 14, 9, 13, 2, 118_000, tzinfo=UTC)
    )
    assert [entry["text"] for entry in log.entries] == ["round 1", "WARNING:root:two readings missing", "ERROR no"]
    assert [entry.get("level") for entry in log.entries] == [None, "W", "E"]
    assert all(entry["time"].endswith(".118") for entry in log.entries)


def test_a_progress_bar_is_one_line_in_its_last_state():
    log = Log()
    told: list[Entry] = []
    for piece in ("\r 10 %", "\r 60 %", "\r100 %\n", "done\n"):
        log.add(stream(piece))
        gone, fresh = log.news()
        told[len(told) - gone :] = fresh
    assert plain(told) == ["100 %", "done"]


def test_a_traceback_is_shown_line_by_line_and_marked():
    log = Log.of(
        [
            {
                "output_type": "error",
                "ename": "KeyError",
                "evalue": "'x'",
                "traceback": ["\x1b[31mKeyError\x1b[0m\n  line 4", "KeyError: 'x'"],
            }
        ]
    )
    assert plain(log.entries) == ["KeyError", "  line 4", "KeyError: 'x'"]
    assert [entry.get("level") for entry in log.entries] == [None, None, "E"]


def test_pictures_are_data_and_html_is_its_text():
    svg = "<svg><script>evil()</script></svg>"
    log = Log.of(
        [shown(image_png="aGk=\n", text_plain="<Figure>"), shown(text_html="<b>no</b>", text_plain="city 3"), shown(text_html="<b>no</b>")]
    )
    assert log.entries == [{"image": "data:image/png;base64,aGk=", "text": "<Figure>"}, {"text": "city 3"}, {"text": "(text/html)"}]
    drawn = Log.of([{"output_type": "display_data", "data": {"image/svg+xml": svg}, "metadata": {}}]).entries[0]
    assert drawn["image"] == "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


@pytest.mark.parametrize("wait", [True, False])
def test_a_cleared_output_is_told_as_taken_back(wait):
    log = Log()
    log.add(stream("one\ntwo\n"))
    assert log.news() == (0, [{"text": "one"}, {"text": "two"}])
    log.add({"output_type": "clear_output", "wait": wait})
    log.add(stream("three\n"))
    assert log.news() == (2, [{"text": "three"}])


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr", "clear", "wait"]), st.text("ab\n\r", max_size=6), st.booleans())))
def test_who_follows_the_news_has_what_the_log_has(pieces):
    log = Log()
    told: list[Entry] = []
    for kind, text, ask in pieces:
        log.add({"output_type": "clear_output", "wait": kind == "wait"} if kind in {"clear", "wait"} else stream(text, kind))
        if ask:
            gone, fresh = log.news()
            told[len(told) - gone :] = fresh
    gone, fresh = log.news()
    told[len(told) - gone :] = fresh
    assert told == log.entries
