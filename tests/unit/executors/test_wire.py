# SPDX-License-Identifier: BSD-3-Clause
"""Pieces between two ends: whole, in order, and nobody waits for somebody who does not read."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.executors import wire
from nbflow.executors.wire import Door, Wire, call

LARGE = bytes(8_000_000)


@pytest.fixture
def ends() -> Iterator[tuple[Wire, Wire]]:
    ours, theirs = map(Wire, socket.socketpair())
    yield ours, theirs
    for end in (ours, theirs):
        end.close()
        assert list(end.pieces()) == []


@given(st.lists(st.binary(max_size=300_000), max_size=6))
def test_pieces_come_whole_and_in_order(pieces):
    ours, theirs = map(Wire, socket.socketpair())
    sending = threading.Thread(target=lambda: [*map(ours.send, pieces), ours.send(b"the end")])
    sending.start()
    read = theirs.pieces()
    assert [next(read) for _ in pieces] == pieces
    assert next(read) == b"the end"
    sending.join()
    ours.close()
    assert list(read) == []
    assert list(ours.pieces()) == []


def test_sending_does_not_wait_for_an_end_that_does_not_read(ends):
    ours, theirs = ends
    for _ in range(3):
        ours.send(LARGE)
    ours.send(b"small")
    assert ours.is_behind
    read = theirs.pieces()
    assert [len(next(read)) for _ in range(4)] == [len(LARGE)] * 3 + [5]


class Meanwhile:
    """A lock behind which, the first time that nothing waits any more, somebody else sends before its holder goes on."""

    def __init__(self, wire: Wire, *pieces: bytes) -> None:
        self._wire, self._pieces = wire, pieces
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        is_over = threading.current_thread().name == "nbflow-wire" and not self._wire.is_behind
        self._lock.release()
        if is_over:
            pieces, self._pieces = self._pieces, ()
            for piece in pieces:
                self._wire.send(piece)


def test_what_is_sent_as_the_last_piece_that_waited_goes_out_is_sent_once(ends):
    ours, theirs = ends
    ours._lock = Meanwhile(ours, LARGE, b"the end")
    ours.send(LARGE)
    read = theirs.pieces()
    assert [len(next(read)) for _ in range(3)] == [len(LARGE), len(LARGE), len(b"the end")]


def test_who_hangs_up_ends_both_and_nothing_goes_out_any_more(ends):
    ours, theirs = ends
    reading = theirs.pieces()
    ours.send(b"last words")
    ours.close()
    ours.send(b"too late")
    assert list(reading) == [b"last words"]
    theirs.send(b"nobody hears")
    assert list(ours.pieces()) == []


def test_closing_from_another_thread_wakes_the_reader(ends):
    ours, _ = ends
    read: list[bytes] = []
    reading = threading.Thread(target=lambda: read.extend(ours.pieces()))
    reading.start()
    ours.close()
    reading.join(20)
    assert not reading.is_alive()
    assert read == []


def test_half_a_piece_is_none():
    ours, theirs = socket.socketpair()
    theirs.sendall((5).to_bytes(8, "big") + b"hal")
    theirs.close()
    assert list(Wire(ours).pieces()) == []


def test_a_door_lets_one_person_in_and_is_gone_then():
    with Door() as door:
        folder = Path(door.address).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        caller = call(door.address)
        inside = door.wait(lambda: True)
    assert inside is not None
    assert not folder.exists()
    caller.send(b"hello")
    assert next(inside.pieces()) == b"hello"
    for end in (caller, inside):
        end.close()
    assert list(caller.pieces()) == []


def test_a_door_that_nobody_wants_any_more_is_not_waited_at(monkeypatch):
    monkeypatch.setattr(wire, "_LOOK", 0.001)
    answers = iter([True, True, False])
    with Door() as door:
        assert door.wait(lambda: next(answers)) is None


def test_nobody_is_behind_a_door_that_is_closed():
    with Door() as door:
        address = door.address
    with pytest.raises(OSError, match="No such file"):
        call(address)
