# SPDX-License-Identifier: BSD-3-Clause
"""Jobs are handed over while another thread of the process connects with the cluster anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.job import Job
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
