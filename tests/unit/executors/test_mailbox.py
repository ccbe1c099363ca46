# SPDX-License-Identifier: BSD-3-Clause
"""What a worker sends its clients: when it goes, and how much of it is kept for one that does not read."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable

from nbflow.core.ids import Token
from nbflow.core.job import OutputMade
from nbflow.executors.host import BATCH_LIMIT, Mailbox
from nbflow.executors.sealed import SealedReport

REPORT = SealedReport(Token("t"), None, b"report")


class Loop:
    """An event loop that turns when it is told to."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []

    def add_callback(self, call: Callable[[], None]) -> None:
        self._due.append(call)

    def call_later(self, _seconds: float, call: Callable[[], None]) -> None:
        self._due.append(call)

    def turn(self) -> None:
        for _ in range(2):  # what was added is a call for later
            due, self._due = self._due, []
            for call in due:
                call()


def printed(size: int) -> OutputMade:
    return OutputMade(token=Token("t"), output={"output_type": "stream", "name": "stdout", "text": "x" * size})


def test_live_events_of_a_moment_travel_together():
    loop, sent = Loop(), []
    mailbox = Mailbox(loop, sent.append)
    for _ in range(3):
        mailbox.put(printed(1))
    assert sent == []
    loop.turn()
    assert [len(pickle.loads(piece)) for piece in sent] == [3]


def test_a_report_takes_along_what_waits_and_is_as_the_child_pickled_it():
    loop, sent = Loop(), []
    mailbox = Mailbox(loop, sent.append)
    mailbox.put(printed(1))
    mailbox.deliver(REPORT, at_once=True)
    (piece,) = sent
    assert pickle.loads(piece) == [printed(1), b"report"]


def test_a_report_does_not_overtake_what_is_just_being_sent():
    loop, sent = Loop(), []
    telling = threading.Thread(target=lambda: mailbox.deliver(REPORT, at_once=True))

    def send(piece: bytes) -> None:
        if not sent and not telling.is_alive():
            telling.start()
            telling.join(0.1)  # it may go on, and must not
        sent.append(piece)

    mailbox = Mailbox(loop, send)
    mailbox.put(printed(1))
    loop.turn()
    telling.join(60)
    assert [pickle.loads(piece) for piece in sent] == [[printed(1)], [b"report"]]


def test_for_a_client_that_does_not_read_one_batch_is_kept_and_its_reports():
    loop, sent, behind = Loop(), [], [True]
    mailbox = Mailbox(loop, sent.append, lambda: behind[0])
    for _ in range(10):
        mailbox.put(printed(BATCH_LIMIT // 4))
        loop.turn()
    assert sent == []
    mailbox.deliver(REPORT, at_once=True)
    behind[0] = False
    loop.turn()
    (piece,) = sent
    assert len(piece) < 1.1 * BATCH_LIMIT
    assert pickle.loads(piece)[-1] == b"report"
