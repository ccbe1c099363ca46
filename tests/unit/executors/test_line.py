# SPDX-License-Identifier: BSD-3-Clause
"""A client's end of a line, with a door of this process in place of a worker: what is sent when, and what is said when nobody is there."""

from __future__ import annotations

import pickle
import threading
from types import SimpleNamespace

import pytest

from nbflow.executors import line as module
from nbflow.executors.line import Line
from nbflow.executors.wire import Door
from tests.unit.executors.runner import job


class Client:
    """Remembers the Dask task that was asked for."""

    def submit(self, _function: object, topic: str, *, key: str, **_: object) -> SimpleNamespace:
        self.topic, self.key = topic, key
        return SimpleNamespace(add_done_callback=lambda _: None)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def heard() -> list[bytes]:
    return []


@pytest.fixture
def ended() -> threading.Event:
    return threading.Event()


@pytest.fixture
def line(client, heard, ended, monkeypatch) -> Line:
    monkeypatch.setattr(module, "_WHY", 0.01)
    line = Line(client, heard.append, lambda _: ended.set())
    line.open("topic")
    return line


def test_jobs_that_were_sent_before_the_worker_was_there_come_first(line, client, heard):
    line.send([job("1", token="a"), job("2", token="b")])
    with Door() as door:
        line.answered(client.key, "tcp://worker", door.address)
        worker = door.wait(lambda: True)
    line.send([job("3", token="c")])
    pieces = worker.pieces()
    assert [[sealed.token for sealed in pickle.loads(next(pieces))] for _ in range(2)] == [["a", "b"], ["c"]]
    worker.send(b"an event")
    worker.close()
    line.wait_read()
    assert heard == [b"an event"]
    assert list(pieces) == []


def test_a_worker_that_hangs_up_ends_the_line(line, client, ended):
    with Door() as door:
        line.answered(client.key, "tcp://worker", door.address)
        worker = door.wait(lambda: True)
    worker.close()
    assert ended.wait(20)
    assert line.trouble == ""
    assert list(worker.pieces()) == []


def test_a_worker_that_cannot_be_reached_is_named(line, client, ended, tmp_path):
    line.answered(client.key, "tcp://worker", str(tmp_path / "line"))
    assert ended.wait(20)
    assert line.trouble.startswith("the socket of its Dask worker tcp://worker cannot be reached (")


def test_who_closes_it_is_not_told_that_it_ended(line, client, ended):
    with Door() as door:
        line.answered(client.key, "tcp://worker", door.address)
        worker = door.wait(lambda: True)
    line.close()
    assert list(worker.pieces()) == []
    line.wait_read()
    assert not ended.is_set()


def test_the_answer_of_another_line_is_not_meant(line, client, tmp_path):
    line.answered(f"{client.key}-other", "tcp://worker", str(tmp_path / "line"))
    assert line.address == ""
