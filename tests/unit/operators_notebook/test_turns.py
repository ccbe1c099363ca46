# SPDX-License-Identifier: BSD-3-Clause
"""Turns: never more than there are, in order, and none is lost with whoever held it or waited for it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest

from nbflow.operators.turns import Turns


def test_turns_are_given_in_order() -> None:
    async def story() -> list[str]:
        turns, told = Turns(1), []
        first, second, third = turns.one(), turns.one(), turns.one()
        await first.take()
        await first.take()  # it is held already

        async def wait(name: str, turn: object) -> None:
            await turn.take()  # type: ignore[attr-defined]
            told.append(name)

        waiting = [asyncio.create_task(wait(name, turn)) for name, turn in (("second", second), ("third", third))]
        await asyncio.sleep(0)
        assert told == []
        first.give()
        first.give()  # twice is once
        await waiting[0]
        assert told == ["second"]
        second.give()
        await waiting[1]
        return told

    assert asyncio.run(story()) == ["second", "third"]


def test_whoever_stops_waiting_takes_no_turn_away() -> None:
    async def story() -> bool:
        turns = Turns(1)
        first, second, third = turns.one(), turns.one(), turns.one()
        await first.take()
        gives_up = asyncio.create_task(second.take())
        await asyncio.sleep(0)
        gives_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gives_up
        again = asyncio.create_task(second.take())
        await asyncio.sleep(0)
        first.give()  # it is given, and cancelled before it is heard
        again.cancel()
        with pytest.raises(asyncio.CancelledError):
            await again
        await asyncio.wait_for(third.take(), 5)
        return third.is_held

    assert asyncio.run(story())


def test_a_loop_that_ended_while_it_waited_loses_no_turn() -> None:
    turns = Turns(1)
    first, second, third = turns.one(), turns.one(), turns.one()
    asyncio.run(first.take())
    ended = asyncio.new_event_loop()
    ended.set_exception_handler(lambda *_: None)  # of a task that it leaves pending, which is what it should do
    task = ended.create_task(second.take())
    ended.run_until_complete(asyncio.sleep(0))
    ended.close()
    first.give()
    asyncio.run(asyncio.wait_for(third.take(), 5))
    assert third.is_held
    assert not task.done()


def test_many_loops_share_two_turns() -> None:
    turns, lock, busy, most = Turns(2), Lock(), 0, 0

    async def one() -> None:
        nonlocal busy, most
        turn = turns.one()
        for _ in range(20):
            await turn.take()
            with lock:
                busy += 1
                most = max(most, busy)
            await asyncio.sleep(0)
            with lock:
                busy -= 1
            turn.give()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: asyncio.run(one()), range(8)))
    assert 1 <= most <= 2


def test_without_a_number_everybody_has_one() -> None:
    turns = Turns(None)
    several = [turns.one() for _ in range(3)]
    for turn in several:
        asyncio.run(turn.take())
    assert all(turn.is_held for turn in several)
