# SPDX-License-Identifier: BSD-3-Clause
"""Outputs in order, as a notebook shows them."""

import pytest

from nbflow.operators.outputs import Outputs, keep_outputs
from nbflow.operators.streamtext import StreamText
from nbflow.store.artifacts import open_artifacts

FOLDED = [
    (["a\n", "b"], "a\nb"),
    (["10%\r20%\r", "100%\n"], "100%\n"),
    (["10%\r20%\r"], "20%"),
    (["long line\rshort"], "shortline"),
    (["done\r\nnext"], "done\nnext"),
    (["a\rb\nc\rd"], "b\nd"),
    (["abc\b\bX"], "aX"),
    (["x\r", "y"], "y"),
    (["one\n", "\rtwo"], "one\ntwo"),
]


@pytest.mark.parametrize(("pieces", "text"), FOLDED, ids=[repr("".join(pieces)) for pieces, _ in FOLDED])
def test_carriage_returns_overwrite_their_line(pieces, text):
    stream = StreamText()
    for piece in pieces:
        stream.feed(piece)
    assert stream.value() == text
    assert stream.size == len(text)


def texts(outputs):
    return [(output.get("name"), output.get("text")) for output in outputs]


def test_pieces_of_one_stream_are_one_output_and_order_is_kept():
    outputs = Outputs()
    for name, text in [("stdout", "a"), ("stdout", "b\n"), ("stderr", "e\n"), ("stdout", "c\n")]:
        outputs.stream(name, text)
    assert texts(outputs.close()) == [("stdout", "ab\n"), ("stderr", "e\n"), ("stdout", "c\n")]


def test_a_display_between_two_prints_stays_between_them():
    outputs = Outputs()
    outputs.stream("stdout", "a")
    outputs.display({"text/plain": "x"}, {})
    outputs.stream("stdout", "b")
    assert [output["output_type"] for output in outputs.close()] == ["stream", "display_data", "stream"]


def test_an_update_replaces_what_stands_under_its_display_id():
    outputs = Outputs()
    outputs.display({"text/plain": "old"}, {}, display_id="bar")
    outputs.display({"text/plain": "other"}, {})
    outputs.update({"text/plain": "new"}, {}, "bar")
    assert [output["data"]["text/plain"] for output in outputs.close()] == ["new", "other"]


def test_clear_now_and_clear_at_the_next_output():
    outputs = Outputs()
    outputs.stream("stdout", "gone")
    outputs.clear()
    outputs.stream("stdout", "kept until something comes")
    outputs.clear(wait=True)
    assert texts(outputs._head[:0]) == []
    outputs.stream("stdout", "new")
    assert texts(outputs.close()) == [("stdout", "new")]


def test_a_clear_that_nothing_follows_clears_nothing():
    outputs = Outputs()
    outputs.stream("stdout", "last")
    outputs.clear(wait=True)
    assert texts(outputs.close()) == [("stdout", "last")]


def test_everything_is_told_live_in_order():
    told = []
    outputs = Outputs(told.append)
    outputs.stream("stdout", "a\n")
    outputs.display({"text/plain": "x"}, {}, display_id="d")
    outputs.update({"text/plain": "y"}, {}, "d")
    outputs.clear()
    outputs.stream("stderr", "no newline yet")
    outputs.close()
    assert [output["output_type"] for output in told] == ["stream", "display_data", "update_display_data", "clear_output", "stream"]
    assert told[1]["transient"] == {"display_id": "d"}


def test_many_lines_are_told_in_few_messages():
    told = []
    outputs = Outputs(told.append)
    for number in range(20_000):
        outputs.stream("stdout", f"{number}\n")
    outputs.close()
    assert "".join(output["text"] for output in told).count("\n") == 20_000
    assert len(told) < 2_000


def test_nothing_is_added_after_the_end():
    outputs = Outputs()
    outputs.close()
    outputs.stream("stdout", "late")
    assert outputs.close() == []


def test_too_much_output_keeps_the_beginning_and_the_end():
    outputs = Outputs(half=1_000_000)
    for number in range(1_000_000):
        outputs.stream("stdout", f"{number:06}\n")
    kept = outputs.close()
    assert [output["name"] for output in kept] == ["stdout", "stderr", "stdout"]
    assert kept[0]["text"].startswith("000000\n000001\n")
    assert "left out" in kept[1]["text"]
    assert kept[2]["text"].endswith("999998\n999999\n")
    assert sum(len(output["text"]) for output in kept) < 3_000_000


def test_one_huge_write_is_bounded_too():
    outputs = Outputs(half=1_000_000)
    outputs.stream("stdout", "start" + "x" * 10_000_000 + "end")
    kept = outputs.close()
    assert kept[0]["text"].startswith("start")
    assert kept[-1]["text"].endswith("end")
    assert sum(len(output["text"]) for output in kept) < 3_000_000


def test_a_progress_bar_of_many_steps_takes_no_room():
    outputs = Outputs(half=10_000)
    for step in range(100_000):
        outputs.stream("stderr", f"\r{step}")
    assert texts(outputs.close()) == [("stderr", "99999")]


def test_a_display_of_many_megabytes_is_named_instead():
    outputs = Outputs(half=1_000)
    outputs.display({"text/html": "x" * 10_000}, {})
    assert "too large" in outputs.close()[0]["data"]["text/plain"]


def test_small_outputs_are_inline_and_large_ones_an_artifact(tmp_path):
    artifacts = open_artifacts(str(tmp_path))
    small = keep_outputs([{"output_type": "stream", "name": "stdout", "text": "a"}], artifacts)
    large = keep_outputs([{"output_type": "stream", "name": "stdout", "text": "a" * 100_000}], artifacts)
    assert small.inline[0]["text"] == "a"
    assert large.inline == ()
    assert artifacts.has(large.hash)
