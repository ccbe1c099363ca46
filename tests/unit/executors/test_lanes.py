# SPDX-License-Identifier: BSD-3-Clause
"""The threads that run what lines bring."""

import threading
from collections.abc import Callable, Sequence

from nbflow.executors.lanes import Lanes, Piece


def call(pieces: Sequence[Piece[Callable[[], object]]]) -> None:
    for piece in pieces:
        piece.work()


def run(lanes: Lanes, *pieces: tuple[int, Callable[[], object]]) -> None:
    """Add them and wait until all have ended."""
    left = threading.Semaphore(0)

    def and_tell(piece: Callable[[], object]) -> Callable[[], None]:
        def both() -> None:
            piece()
            left.release()

        return both

    lanes.add((priority, and_tell(piece)) for priority, piece in pieces)
    for _ in pieces:
        assert left.acquire(timeout=60)


def test_each_piece_is_done_once():
    done: list[int] = []
    lanes = Lanes(3, call)
    run(lanes, *[(0, lambda number=number: done.append(number)) for number in range(20)])
    lanes.close()
    assert sorted(done) == list(range(20))


def test_no_more_run_at_once_than_there_are_lanes():
    lanes, lock = Lanes(2, call), threading.Lock()
    running, most = 0, 0
    both = threading.Barrier(2)

    def piece() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(60)
        with lock:
            running -= 1

    run(lanes, *[(0, piece)] * 6)
    lanes.close()
    assert most == 2


def test_what_has_priority_comes_first():
    lanes, order, may = Lanes(1, call), [], threading.Event()
    begun = threading.Event()

    def first() -> None:
        begun.set()
        may.wait(60)

    lanes.add([(0, first)])
    assert begun.wait(60)
    lanes.add([(0, lambda: order.append("low")), (5, lambda: order.append("high"))])
    may.set()
    run(lanes, (-1, lambda: None))
    lanes.close()
    assert order == ["high", "low"]


def test_a_long_piece_does_not_hold_up_what_comes_after_it():
    lanes, may = Lanes(2, call), threading.Event()
    lanes.add([(0, lambda: may.wait(60))])
    done: list[int] = []
    run(lanes, *[(0, lambda: done.append(1))] * 5)
    assert done == [1] * 5
    may.set()
    lanes.close()


def test_several_go_to_one_lane_only_while_many_more_are_waiting():
    taken: list[list[str]] = []
    may, over = threading.Event(), threading.Semaphore(0)

    def do(pieces: Sequence[Piece[str]]) -> None:
        may.wait(60)
        taken.append([piece.work for piece in pieces])
        over.release(len(pieces))

    lanes = Lanes(1, do, lambda first, other: first[0] == other[0])
    lanes.most = 4
    lanes.add([(0, "a")])
    lanes.add([(0, work) for work in ("b1", "b2", "c1", *(f"d{number}" for number in range(9)))])
    may.set()
    for _ in range(13):
        assert over.acquire(timeout=60)
    lanes.close()
    assert [work for one in taken for work in one] == ["a", "b1", "b2", "c1", *(f"d{number}" for number in range(9))]
    assert taken[:3] == [["a"], ["b1", "b2"], ["c1"]]
    assert max(map(len, taken)) == 4
    assert taken[-1] == ["d8"]


def test_what_comes_back_keeps_its_place():
    order: list[str] = []
    lanes: Lanes[str]
    over = threading.Semaphore(0)

    def do(pieces: Sequence[Piece[str]]) -> None:
        if pieces[0].work == "first" and not order:
            order.append("given back")
            lanes.add([(0, "second")])
            lanes.give_back(pieces)
        else:
            order.extend(piece.work for piece in pieces)
            over.release()

    lanes = Lanes(1, do)
    lanes.add([(0, "first")])
    assert all(over.acquire(timeout=60) for _ in range(2))
    lanes.close()
    assert order == ["given back", "first", "second"]
