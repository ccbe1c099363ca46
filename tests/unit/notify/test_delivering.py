# SPDX-License-Identifier: BSD-3-Clause
"""Deliverers over one outbox: each message is sent by one of them, and a failing service changes nothing but its own messages."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from nbflow.core.errors import NbflowError
from nbflow.core.notifications import Sending
from nbflow.notify.delivering import Deliverer
from nbflow.store.memory import MemoryStore
from nbflow.testing import FakeClock
from tests.contracts.test_notifications import NOW, a_message, put


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(FakeClock(NOW))


def now():
    return NOW


def test_racing_deliverers_send_each_once(store: MemoryStore) -> None:
    put(store, *(a_message(f"r1/{number}") for number in range(40)))
    sent: list[str] = []
    start = threading.Barrier(3)

    def deliver(owner: str) -> None:
        start.wait()
        Deliverer(outbox=store.notifications, owner=owner, send=lambda one: sent.append(one.key)).deliver(now)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(deliver, "abc"))
    assert sorted(sent) == sorted(f"r1/{number}" for number in range(40))
    assert {one.state for one in store.notifications.notifications()} == {Sending.SENT}


def test_what_fails_is_tried_again_and_stops_no_other(store: MemoryStore) -> None:
    put(store, a_message("r1/bad"), a_message("r1/worse"), a_message("r1/good"))
    tries: list[str] = []

    def send(one) -> None:
        tries.append(one.key)
        if one.key == "r1/bad":
            raise NbflowError("The server answered 500.")
        if one.key == "r1/worse":
            raise ZeroDivisionError("a plugin's own mistake")

    deliverer = Deliverer(outbox=store.notifications, owner="a", send=send)
    assert deliverer.deliver(now) == 3
    assert deliverer.deliver(now) == 0
    found = {one.key: (one.state.value, one.reason) for one in store.notifications.notifications()}
    assert found == {
        "r1/bad": ("waiting", "The server answered 500."),
        "r1/worse": ("waiting", "ZeroDivisionError: it could not be sent."),
        "r1/good": ("sent", ""),
    }
    assert deliverer.deliver(lambda: NOW + timedelta(seconds=30)) == 2
    assert tries.count("r1/good") == 1


def test_a_process_that_dies_while_it_sends_has_its_message_sent_by_another(store: MemoryStore) -> None:
    put(store, a_message())
    sent: list[str] = []

    def die(_) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        Deliverer(outbox=store.notifications, owner="dead", send=die).deliver(now)
    another = Deliverer(outbox=store.notifications, owner="b", send=lambda one: sent.append(one.key), is_dead=lambda owner: owner == "dead")
    assert another.deliver(now) == 1
    assert sent == ["r1/1"]


def test_a_database_that_is_away_for_a_moment_makes_nothing_arrive_twice(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, a_message())
    sent: list[str] = []
    waited: list[float] = []
    write = store.notifications.sent

    def away(claimed, after):
        if len(waited) < 2:
            raise NbflowError("The database is away.")
        return write(claimed, after)

    monkeypatch.setattr(store.notifications, "sent", away)
    deliverer = Deliverer(outbox=store.notifications, owner="a", send=lambda one: sent.append(one.key), wait=waited.append)
    assert deliverer.deliver(now) == 1
    assert (sent, len(waited)) == (["r1/1"], 2)
    assert store.notifications.notifications()[0].state is Sending.SENT
