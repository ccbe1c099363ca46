# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from nbflow.core.model import Read
from nbflow.core.options import TaskOptions
from nbflow.views.card import card_html, card_text, header_html, header_text
from tests.unit.views.flows import NOW, a_flow, a_record, a_task, monitor_errors
from tests.unit.views.test_svg import PAYLOADS

JOIN = a_task(
    "join_weather",
    options=TaskOptions(retries=2),
    reads=tuple(Read(name=name) for name in ("tidy", "weather", "stations", "day")),
    writes=("features", "merged"),
    demands=("features",),
)
FLOW = a_flow([("train", "join_weather", "tidy")], [a_task("train"), JOIN], "energy_forecast")
FAILED = a_record("join_weather", "failed", 0.9, attempt=3, reason="Failed after 3 attempts: KeyError: 'temp_c' in join_weather, line 4.")


class _Reader(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_before_any_run_the_card_says_what_was_understood():
    understood = "Waits for train. Reads tidy, weather, stations, day. Gives features, merged."
    assert understood in _Reader(card_html(FLOW, JOIN, None, NOW)).text
    assert card_text(FLOW, JOIN, None, NOW) == f"[not started] join_weather  {understood}"


def test_a_task_that_waits_for_a_whole_group_says_its_name():
    flow = monitor_errors()
    assert "Waits for download." in card_text(flow, flow.task("drop_exception"), None, NOW)


def test_a_task_without_upstream_says_so():
    assert "Waits for nothing." in card_text(FLOW, FLOW.task("train"), None, NOW)


def test_after_an_attempt_the_text_says_state_time_and_attempts():
    assert card_text(FLOW, JOIN, FAILED, NOW) == "[failed] join_weather  0.9 s  attempt 3 of 3"


def test_where_there_is_no_time_to_tell_the_text_gives_the_reason():
    record = a_record("join_weather", "upstream_failed", reason="Did not run: train failed.")
    assert card_text(FLOW, JOIN, record, NOW) == "[not run] join_weather  Did not run: train failed."


def test_the_line_shows_the_recorded_reason_chips_and_attempts():
    shown = _Reader(card_html(FLOW, JOIN, FAILED, NOW)).text
    assert FAILED.reason in shown
    assert "reads tidy weather +2 gives features merged" in shown
    assert shown.endswith("0.9 s, attempt 3 of 3")


def test_a_note_follows_the_sentence():
    assert "The cell is not in the saved file yet." in card_html(FLOW, JOIN, None, NOW, note="The cell is not in the saved file yet.")


def test_the_line_stands_alone_and_survives_a_page_that_filters_svg():
    html = card_html(FLOW, JOIN, FAILED, NOW)
    assert not re.search(r"<script|<style|<svg|<link|https?:", html)
    assert 'alt="[failed]"' in html
    assert "\n" not in html


@pytest.mark.parametrize("payload", PAYLOADS)
def test_whatever_people_write_is_only_text(payload):
    task = a_task(payload, reads=(Read(name=payload),), writes=(payload,))
    flow = a_flow(tasks=[task], name=payload, description=payload)
    for html in (card_html(flow, task, a_record(payload, "failed", 1, reason=payload), NOW, note=payload), header_html(flow)):
        read = _Reader(html)
        assert set(read.tags) <= {"div", "img", "span"}
        assert read.attributes <= {"style", "title", "src", "alt", "width", "height"}


def test_the_header_says_what_is_known_of_the_flow():
    flow = monitor_errors()
    assert header_text(flow) == "monitor_errors: 16 tasks. Download logs, alert over a threshold."
    assert "16 tasks. Download logs, alert over a threshold." in _Reader(header_html(flow)).text
