# SPDX-License-Identifier: BSD-3-Clause
"""What nbflow's own tests use, for yours: a workspace in memory, tasks run one at a time in this process, a clock you turn by hand.

from nbflow.testing import memory_workspace

def test_my_flow(tmp_path):
    with memory_workspace(tmp_path) as workspace:
        ...
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nbflow.app import Rooms, SystemClock, Workspace
from nbflow.core.protocols import Clock
from nbflow.executors.inline import InlineExecutor
from nbflow.settings import Settings
from nbflow.store.artifacts import open_artifacts
from nbflow.store.memory import MemoryStore


class FakeClock:
    """A clock that stands still until it is turned."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, duration: timedelta | float) -> datetime:
        """Turn it on by a timedelta or a number of seconds; returns the new instant."""
        self._now += duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
        return self._now


@contextmanager
def memory_workspace(folder: Path, clock: Clock | None = None) -> Iterator[Workspace]:
    """A workspace whose history lives in memory, whose values lie in `folder` and whose tasks run inline. Closed at the end."""
    from nbflow.operators.entry import run_job  # noqa: PLC0415 - IPython is loaded when a task is to run

    artifacts = open_artifacts(str(folder / "artifacts"))
    clock = clock or SystemClock()
    rooms = Rooms(
        store=MemoryStore(clock),
        artifacts=artifacts,
        executor=InlineExecutor(lambda job, tell: run_job(job, artifacts, tell, worker="inline")),
        clock=clock,
    )
    workspace = Workspace(Settings(home=folder, dask="inline"), rooms)
    try:
        yield workspace
    finally:
        workspace.close()
