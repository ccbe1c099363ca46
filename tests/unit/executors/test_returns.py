# SPDX-License-Identifier: BSD-3-Clause
"""What is told of attempts that Dask gave up: each has a report, whatever is in the way of finding out more."""

from __future__ import annotations

import queue
from types import SimpleNamespace

import pytest

from nbflow.core.errors import SetupError
from nbflow.core.ids import Token
from nbflow.core.job import Outcome
from nbflow.executors.returns import Returns
from tests.unit.executors.runner import job


class Away:
    """An artifact store that cannot be reached."""

    def manifest(self, token: Token) -> bytes | None:
        raise SetupError("The bucket is away.")


def closed_meanwhile(timeout: float) -> None:
    raise RuntimeError("IOLoop is closed")


@pytest.mark.parametrize(
    ("future", "reason"),
    [
        ({"status": "cancelled"}, "what became of it cannot be found out: The bucket is away."),
        ({"status": "error", "exception": closed_meanwhile}, "what became of it cannot be found out: IOLoop is closed"),
    ],
)
def test_an_attempt_of_which_nothing_can_be_found_out_is_lost(future, reason):
    heard: queue.SimpleQueue = queue.SimpleQueue()
    returns = Returns(Away())
    returns.start(heard.put)
    returns.expect([job("1", token="a")])
    returns._ended([Token("a")], SimpleNamespace(**future, release=lambda: None))
    report = heard.get(timeout=30)
    returns.stop()
    assert (report.token, report.outcome, report.reason) == ("a", Outcome.LOST, reason)
    assert returns.live == {}
