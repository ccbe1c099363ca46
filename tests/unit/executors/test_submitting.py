# SPDX-License-Identifier: BSD-3-Clause
"""Jobs are handed over, and the cluster is asked what it has, while another thread of the process connects with it anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbflow.core.job import Job
from nbflow.core.resources import Offers
from nbflow.executors.connection import Connection
from nbflow.executors.dask_executor import DaskExecutor
from tests.unit.executors.runner import job


class Connecting(DaskExecutor):
    """Its line comes, or goes, between any two looks at it."""

    def __init__(self, home: Path, *, is_there: bool) -> None:
        self.sent: list[str] = []
        self._is_there = is_there
        super().__init__(home=home)
        self.connection.client = lambda: None  # type: ignore[method-assign]

    @property
    def _line(self) -> Any:
        self._is_there = not self._is_there
        return self if self._is_there else None

    @_line.setter
    def _line(self, line: Any) -> None: ...

    def _send_over_line(self, _client: Any, jobs: Sequence[Job]) -> None:
        self.sent += [each.token for each in jobs]

    def _send(self, _client: Any, jobs: Sequence[Job]) -> None:
        self.sent += [each.token for each in jobs]


@pytest.mark.parametrize("is_there", [True, False])
def test_each_job_goes_out_once(tmp_path: Path, is_there: bool) -> None:  # noqa: FBT001 - a parameter of the test
    executor = Connecting(tmp_path, is_there=is_there)
    executor.submit([job("1", token="a"), job("2", token="b")])
    assert executor.sent == ["a", "b"]


class Client:
    """Of a cluster with one worker. It is given up for a new one: then it answers nobody who waits without a limit, or says that its loop is closed."""

    scheduler = SimpleNamespace(identity=None, address="tcp://there")

    def __init__(self, *, is_closed: bool) -> None:
        self._is_closed = is_closed

    def _answer(self, answer: Any, limit: float) -> Any:
        assert limit > 0
        if self._is_closed:
            raise RuntimeError("IOLoop is closed")
        return answer

    def nthreads(self, *, callback_timeout: float) -> Any:
        return self._answer({"tcp://worker": 2}, callback_timeout)

    def sync(self, _asked: Any, *, n_workers: int, callback_timeout: float) -> Any:
        assert n_workers == -1
        return self._answer({"workers": {"tcp://worker": {"resources": {"GPU": 1}}}}, callback_timeout)


class Losing(Connection):
    """Each look at its client is the last one at which there is one."""

    client_there: Client | None = None

    @property
    def current(self) -> Any:
        client, self.client_there = self.client_there, None
        return client

    @current.setter
    def current(self, client: Any) -> None: ...


@pytest.mark.parametrize("is_closed", [True, False])
def test_what_a_cluster_has_is_asked_of_a_client_that_another_thread_gives_up(tmp_path: Path, is_closed: bool) -> None:  # noqa: FBT001 - as above
    facts: dict[str, Any] = {"artifacts_url": "", "workers": 0, "memory": None, "idle": 0, "artifacts": None, "opener": None, "runner": ""}
    connection = Losing("tcp://there", home=tmp_path, connected=lambda _: None, **facts)
    connection.client_there = Client(is_closed=is_closed)
    assert connection.slots() == (None if is_closed else 2)
    connection.client_there = Client(is_closed=is_closed)
    assert connection.offers() == (None if is_closed else Offers(where="tcp://there", workers=({"GPU": 1},), may_grow=False))
