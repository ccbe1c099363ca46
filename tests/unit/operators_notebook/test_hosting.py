# SPDX-License-Identifier: BSD-3-Clause
"""The link between a kernel and its host, over a real socket."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.errors import SetupError, UserError
from nbflow.core.hosting import Advance, Advanced
from nbflow.core.ids import FlowName, RunId, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.core.states import RunState
from nbflow.operators.hosting import HostClient, HostServer

REQUEST = Advance(flow=Flow(name=FlowName("f")), captures=CaptureSet(), tasks=(TaskId("a"),), params={"day": 1})
ANSWER = Advanced(run_id=RunId("r"), state=RunState.SUCCESS, sentence="done")


@contextmanager
def linked(handle: Callable[[Advance], Advanced], cancel: Callable[[], None] = lambda: None) -> Iterator[HostClient]:
    server = HostServer(handle, cancel)
    client = HostClient(server.address, server.authkey_hex)
    try:
        yield client
    finally:
        client.close()
        server.close()


def test_an_advance_travels_and_its_answer_comes_back() -> None:
    asked = []

    def handle(request: Advance) -> Advanced:
        asked.append(request)
        return ANSWER

    with linked(handle) as client:
        assert client.advance(REQUEST) == ANSWER
    assert asked == [REQUEST]


@pytest.mark.parametrize("error", [UserError("Do this instead."), SetupError("The cluster is away.")])
def test_a_known_error_keeps_its_kind_and_sentence(error: Exception) -> None:
    def handle(request: Advance) -> Advanced:
        raise error

    with linked(handle) as client, pytest.raises(type(error), match=str(error)):
        client.advance(REQUEST)


def test_an_unknown_error_becomes_a_sentence_and_the_link_stays() -> None:
    def handle(request: Advance) -> Advanced:
        if request.final:
            return ANSWER
        raise ZeroDivisionError("division by zero")

    with linked(handle) as client:
        with pytest.raises(SetupError, match="The process that drives this run failed: ZeroDivisionError: division by zero"):
            client.advance(REQUEST)
        assert client.advance(Advance(flow=REQUEST.flow, captures=CaptureSet(), tasks=(), final=True)) == ANSWER


def test_a_cancel_is_heard_while_an_advance_is_under_way() -> None:
    began, cancelled = threading.Event(), threading.Event()

    def handle(request: Advance) -> Advanced:
        began.set()
        assert cancelled.wait(60)
        raise KeyboardInterrupt

    with linked(handle, cancelled.set) as client:
        canceller = threading.Thread(target=lambda: began.wait(60) and client.cancel())
        canceller.start()
        with pytest.raises(KeyboardInterrupt):
            client.advance(REQUEST)
        canceller.join()


class Waited:
    """A connection of which it is known when somebody waits for its other end."""

    def __init__(self, connection: Connection, waits: threading.Event) -> None:
        self._connection, self._waits = connection, waits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def poll(self, seconds: float) -> bool:
        self._waits.set()
        return self._connection.poll(seconds)


def test_an_interrupt_of_the_waiting_kernel_cancels_and_waits_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    began, cancelled, ended, waits = threading.Event(), threading.Event(), threading.Event(), threading.Event()

    def handle(request: Advance) -> Advanced:
        began.set()
        assert cancelled.wait(60)
        ended.set()
        return ANSWER

    with linked(handle, cancelled.set) as client:
        monkeypatch.setattr(client, "_connection", Waited(client._connection, waits))
        threading.Thread(target=lambda: began.wait(60) and waits.wait(60) and os.kill(os.getpid(), 2)).start()
        with pytest.raises(KeyboardInterrupt):
            client.advance(REQUEST)
    assert ended.is_set()


class Interrupting:
    """A connection over which no message goes without an interrupt just before, or just after."""

    def __init__(self, connection: Connection, when: str) -> None:
        self._connection, self._when = connection, when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def send_bytes(self, data: bytes) -> None:
        first, self._when = self._when, ""
        if first == "before":
            signal.raise_signal(signal.SIGINT)
        self._connection.send_bytes(data)
        if first == "after":
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_while_the_request_is_sent_cancels_once_and_waits_for_the_end(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    cancelled, asked, ended = threading.Event(), [], threading.Event()

    def handle(request: Advance) -> Advanced:
        assert cancelled.wait(60)
        ended.set()
        return ANSWER

    def cancel() -> None:
        asked.append("cancel")
        cancelled.set()

    with linked(handle, cancel) as client:
        monkeypatch.setattr(client, "_connection", Interrupting(client._connection, when))
        with pytest.raises(KeyboardInterrupt):
            client.advance(REQUEST)
    assert (ended.is_set(), asked) == (True, ["cancel"])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nobody_without_the_key_is_served() -> None:
    server = HostServer(lambda _: ANSWER, lambda: None)
    with pytest.raises(Exception, match="digest"):
        HostClient(server.address, "00" * 32)
    client = HostClient(server.address, server.authkey_hex)
    assert client.advance(REQUEST) == ANSWER
    client.close()
    server.close()


def test_a_host_that_is_gone_is_a_sentence() -> None:
    server = HostServer(lambda _: ANSWER, lambda: None)
    server.close()
    with pytest.raises(SetupError, match="cannot reach the process that drives its run"):
        HostClient(server.address, server.authkey_hex)


def test_the_socket_is_in_a_folder_of_this_person_alone_and_goes_with_the_server() -> None:
    server = HostServer(lambda _: ANSWER, lambda: None)
    folder = Path(server.address).parent
    assert folder.stat().st_mode & 0o077 == 0
    server.close()
    assert not folder.exists()
