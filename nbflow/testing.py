# SPDX-License-Identifier: BSD-3-Clause
"""What nbflow's own tests use, for yours: a workspace in memory, tasks run one at a time in this process, a clock you turn by hand.

With pytest, the fixture `nbflow_workspace` (of `nbflow.pytest_plugin`, which installing nbflow makes known) is such a workspace, and flows run in it:

    def test_sales(nbflow_workspace):
        run = sales.run(day="2026-02-01")
        assert run.state == "success"
        assert run.task("total").result() == 3

Anywhere else:

    with memory_workspace(folder, FakeClock()) as workspace:
        run = nbflow.load("sales.ipynb").run(params={"day": "2026-02-01"})

What waits for the time of day, such as the next attempt of a task with `retry_delay="10m"`, waits until the clock is turned by `clock.advance(600)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nbflow.app import Rooms, SystemClock, Workspace
from nbflow.core.job import AttemptBegan, ExecutorEvent, Job, Report
from nbflow.core.protocols import Clock, RunJob
from nbflow.executors.inline import InlineExecutor
from nbflow.python.ambient import using
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


def _timed(run_job: RunJob, clock: Clock) -> RunJob:
    """Attempts begin and end by this clock: what is to happen so long after one, such as the next, waits for it to be turned."""

    def run(job: Job, tell: Callable[[ExecutorEvent], None]) -> Report:
        began = clock.now()

        def retold(event: ExecutorEvent) -> None:
            tell(replace(event, at=began) if isinstance(event, AttemptBegan) else event)

        return replace(run_job(job, retold), started_at=began, ended_at=clock.now())

    return run


@contextmanager
def memory_workspace(folder: Path, clock: Clock | None = None) -> Iterator[Workspace]:
    """A workspace whose history lives in memory, whose values lie in `folder` and whose tasks run inline; closed at the end.

    Inside the block, flows of this process run in it.
    """
    from nbflow.operators.entry import run_job  # noqa: PLC0415 - IPython is loaded when a task is to run

    artifacts = open_artifacts(str(folder / "artifacts"))
    clock = clock or SystemClock()
    rooms = Rooms(
        store=MemoryStore(clock),
        artifacts=artifacts,
        executor=InlineExecutor(_timed(lambda job, tell: run_job(job, artifacts, tell, worker="inline"), clock)),
        clock=clock,
    )
    workspace = Workspace(Settings(home=folder, dask="inline"), rooms)
    try:
        with using(workspace):
            yield workspace
    finally:
        workspace.close()
