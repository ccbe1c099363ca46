# SPDX-License-Identifier: BSD-3-Clause
"""The sentences about attempts that could not speak for themselves."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest

from nbflow.core.ids import Token
from nbflow.core.job import OutputMade
from nbflow.executors import endings
from nbflow.executors.frames import FrameReader, Ready, pack


@pytest.mark.parametrize(("count", "text"), [(0, "0 bytes"), (2_100_000_000, "2.1 GB"), (2_000_000_000, "2 GB"), (512_000_000, "512 MB")])
def test_bytes_are_said_in_decimal_units(count, text):
    assert endings.say_bytes(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(2, "2 s"), (0.5, "0.5 s"), (108, "1 m 48 s")])
def test_a_limit_is_said_as_it_was_written(seconds, text):
    assert endings.say_limit(timedelta(seconds=seconds)) == text


def test_a_memory_report_says_used_and_allowed():
    report = endings.out_of_memory(endings.Facts(token=Token("t")), 2_100_000_000, 2_000_000_000)
    assert report.reason == "MemoryLimitExceeded: killed: used 2.1 GB of 2 GB"


def test_neighbouring_pieces_of_one_stream_are_one_output_and_a_clear_forgets():
    heard = endings.HeardOutputs()
    for output in (
        {"output_type": "stream", "name": "stdout", "text": "gone"},
        {"output_type": "clear_output"},
        {"output_type": "stream", "name": "stdout", "text": "a"},
        {"output_type": "stream", "name": "stdout", "text": "b"},
        {"output_type": "display_data", "data": {"text/plain": "c"}, "metadata": {}},
    ):
        heard.add(OutputMade(token=Token("t"), output=output))
    assert [output.get("text") for output in heard.ref().inline] == ["ab", None]


def test_a_frame_that_comes_in_pieces_is_one_message():
    ours, theirs = socket.socketpair()
    reader = FrameReader(ours)
    frame = pack(Ready(pid=7))
    theirs.sendall(frame[:5])
    assert list(reader.read()) == []
    theirs.sendall(frame[5:] + frame)
    assert [message.pid for message in reader.read()] == [7, 7]
    theirs.close()
    assert reader.next() is None
