# SPDX-License-Identifier: BSD-3-Clause
"""What a scheduler costs that has much to look after, and how soon a run that is due does something."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import psutil

from nbflow.app import Workspace
from nbflow.app.deploying import deploy, read_keys
from nbflow.core.deployments import Deployment
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.model import Flow, Task
from nbflow.core.planning import rescheduled
from nbflow.core.records import Change, Lease, RunRecord
from nbflow.core.states import RunState
from nbflow.executors.cluster import stop_home_cluster
from nbflow.headless.scheduling import SchedulerProcess
from nbflow.settings import Settings
from tests.benchmarks.measure import Row

_FLOWS = 10_000
_SECONDS = 60
#: Runs whose wait is measured, after those that warm everything up; this many seconds apart, so that each meets an idle machine.
_RUNS, _FIRST, _APART = 20, 4, 2


class _Nobody:
    """Hosts nothing: a run ends as soon as it is taken, so that only the scheduler is measured."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def room(self) -> int:
        return 1000

    def launch(self, run: RunRecord, lease: Lease) -> None:
        now = self._workspace.clock.now()
        ended = replace(run, state=RunState.SUCCESS, started_at=now, ended_at=now)
        self._workspace.store.commit(lease, [Change(at=now, key=None, before="queued", after="success", run=ended)])
        self._workspace.store.release(lease)

    def is_dead(self, owner: str) -> bool:
        return False

    def close(self) -> None:
        """Nothing is held."""


def _many(workspace: Workspace) -> None:
    """Flows that run every hundred minutes, a hundred of them a minute."""
    now = datetime.now(UTC)
    version = workspace.store.save_flow(Flow(name=FlowName("f"), tasks=(Task(id=TaskId("a"), source="x = 1"),)))
    for number in range(_FLOWS):
        start = now + timedelta(seconds=number * 6_000 / _FLOWS - 6_000)
        keys = {"schedule": "every 100m", "start_date": start.isoformat()}
        made = Deployment(
            name=FlowName(f"f{number}"),
            version=version,
            path="/f.ipynb",
            schedule=keys,
            deployed_at=now,
            since=now,
            last_start=start,
            last_end=start,
        )
        workspace.store.deployments.create(rescheduled(made, read_keys(workspace, keys), now))


def serve(home: str) -> None:
    """The scheduler that is measured, in a process of its own."""
    workspace = Workspace(Settings(home=Path(home), dask="inline"))
    process = SchedulerProcess(workspace)
    process.scheduler.launcher = process._launching = _Nobody(workspace)
    process.run()


def many() -> Iterator[Row]:
    """Ten thousand deployed flows on SQLite, a hundred due a minute."""
    with tempfile.TemporaryDirectory() as home:
        workspace = Workspace(Settings(home=Path(home), dask="inline"))
        _many(workspace)
        before = len(workspace.store.find_runs(limit=1000).runs)
        with _process("-c", f"from tests.benchmarks.scheduler_rows import serve; serve({home!r})") as scheduler:
            time.sleep(20)  # what it costs to begin is not what it costs
            began, used = time.monotonic(), sum(scheduler.cpu_times()[:2])
            time.sleep(_SECONDS)
            share = (sum(scheduler.cpu_times()[:2]) - used) / (time.monotonic() - began)
            memory = scheduler.memory_info().rss / 2**20
        made = len(workspace.store.find_runs(limit=1000).runs) - before
        workspace.close()
    yield Row(
        name=f"{_FLOWS} flows, 100 due a minute: CPU",
        ours=share * 100,
        against=f"of one core; {made} runs made in 80 s",
        target=10,
        unit="%",
    )
    yield Row(name=f"{_FLOWS} flows: memory", ours=memory, against="resident", target=150, unit="MB")


def due() -> Iterator[Row]:
    """From the instant a run is due to the first line of its first task, on a warm local cluster."""
    with tempfile.TemporaryDirectory() as folder:
        home, path, log = Path(folder) / "home", Path(folder) / "due.ipynb", Path(folder) / "log"
        cells = [
            "%load_ext nbflow",
            f"%%flow due\nschedule = 'every {_APART}s'\non_overlap = 'skip'",
            """%%task first
import time; at = time.time()
import pathlib
from nbflow import ctx
pathlib.Path('log').open('a').write(f'{at - ctx.logical_date.timestamp()}\\n')""",
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
        workspace = Workspace(Settings(home=home))
        deploy(workspace, path)
        with _process("-m", "nbflow", "scheduler", "-q", NBFLOW_HOME=str(home)):
            until = time.monotonic() + 60 + (_RUNS + _FIRST) * _APART
            while time.monotonic() < until and (not log.exists() or len(log.read_text().splitlines()) < _RUNS + _FIRST):
                time.sleep(0.5)
        workspace.close()
        stop_home_cluster(home)
        waits = sorted(float(line) for line in log.read_text().splitlines()[_FIRST:])
    assert len(waits) >= _RUNS, f"{len(waits)} runs in time: what is measured does not keep up with its schedule"
    yield Row(name="due -> user code, median", ours=statistics.median(waits), against=f"of {len(waits)} runs", target=0.3)
    yield Row(name="due -> user code, p95", ours=statistics.quantiles(waits, n=20)[-1], against="as above", target=1.0)


@contextmanager
def _process(*words: str, **environment: str) -> Iterator[psutil.Process]:
    running = subprocess.Popen([sys.executable, *words], env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        running.wait()
