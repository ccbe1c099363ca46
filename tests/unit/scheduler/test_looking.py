# SPDX-License-Identifier: BSD-3-Clause
"""Looks in threads: they hold up nobody, a failing one is a sentence, a hanging one fails after a while and begins no second."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from nbflow.core.errors import SetupError
from nbflow.core.watching import Thing, Watch
from nbflow.scheduler.looking import ThreadedLooks
from tests.unit.scheduler.world import START

MINUTE = timedelta(minutes=1)


class Place:
    """Files behind gates."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.left = threading.Semaphore(0)

    def look(self, url: str) -> dict[str, Thing]:
        try:
            assert self.open.wait(30)
            if url == "wrong":
                raise SetupError("wrong cannot be looked at: no route.")
            if url == "odd":
                raise ZeroDivisionError("by zero")
            return {url: Thing("1", START)}
        finally:
            self.left.release()


@pytest.fixture
def place():
    place = Place()
    yield place
    place.open.set()


def watch(url, name="sales"):
    return Watch(name=name, url=url, due=START)


def all_ended(looks, place, count, now=START):
    """What `count` looks that may end now told."""
    place.open.set()
    told = []
    for _ in range(count):
        assert place.left.acquire(timeout=30)
    while len(told) < count:
        told += looks.ended(now)
    return {one.url: found for one, found in told}


def test_each_look_is_told_once_as_it_ended(place):
    looks = ThreadedLooks(place.look)
    for url in ("a", "wrong", "odd"):
        assert looks.room(watch(url))
        looks.begin(watch(url), url, START)
    assert not looks.room(watch("a"))
    assert looks.ended(START) == []
    told = all_ended(looks, place, 3)
    assert told == {
        "a": {"a": Thing("1", START)},
        "wrong": "wrong cannot be looked at: no route.",
        "odd": "odd cannot be looked at: ZeroDivisionError: by zero",
    }
    assert looks.ended(START) == []
    assert looks.room(watch("a"))


def test_a_look_that_hangs_has_failed_and_makes_room_for_others_but_not_for_itself(place):
    looks = ThreadedLooks(place.look)
    for number in range(8):
        looks.begin(watch(str(number)), str(number), START)
    assert not looks.room(watch("other"))
    told = looks.ended(START + 2 * MINUTE)
    assert [found for _, found in told] == [f"{number} did not answer within 60 s." for number in range(8)]
    assert looks.room(watch("other"))
    assert not looks.room(watch("0")), "its thread still hangs"
    place.open.set()
    for _ in range(8):
        assert place.left.acquire(timeout=30)
    while not looks.room(watch("0")):
        assert looks.ended(START) == [], "what comes late is told to nobody"
