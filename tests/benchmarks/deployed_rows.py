# SPDX-License-Identifier: BSD-3-Clause
"""Deployed notebooks that are due at the same moment, against two processes of stock papermill; and what all of nbflow's processes take meanwhile."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psutil

from nbflow.app import Workspace
from nbflow.app.deploying import deploy, trigger
from nbflow.executors.cluster import read_facts, stop_home_cluster
from nbflow.settings import Settings
from tests.benchmarks.measure import Row, cost, processors
from tests.benchmarks.notebook_rows import AT_ONCE, side_by_side, ten_cells
from tests.chaos import processes

_ROUNDS: Final = 3
#: Seconds between deploying and being due.
_AHEAD: Final = 2.0


class _Memory:
    """The most that the processes with a mark had resident together, what they share counted once."""

    def __init__(self, mark: str) -> None:
        self._mark, self._stop, self.most = mark, threading.Event(), 0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.5):
            total = 0
            for pid in processes.marked(self._mark):
                with contextlib.suppress(psutil.Error):
                    total += psutil.Process(pid).memory_full_info().pss
            self.most = max(self.most, total)

    def stop(self) -> float:
        self._stop.set()
        self._thread.join()
        return self.most / 2**20


def deployed() -> Iterator[Row]:
    """Two hosts, whose kernels are not started before the notebooks are due; the scheduler and its cluster are there, as they are at night."""
    mark = uuid.uuid4().hex
    with ten_cells() as (source, folder):
        home = folder / "home"
        workspace = Workspace(Settings(home=home, dask="inline"))
        environment = {**os.environ, "NBFLOW_HOME": str(home), "NBFLOW_WORKERS": "2", processes.MARK: mark}
        deploy(workspace, source, name="first")
        scheduler = subprocess.Popen([sys.executable, "-m", "nbflow", "scheduler", "-q"], env=environment, stderr=subprocess.DEVNULL)
        try:
            first = trigger(workspace, "first").run_id
            _until_over(workspace, [first])
            side_by_side(source, folder)
            raw, ours, used, memory = [], [], [], _Memory(mark)
            for number in range(_ROUNDS):
                raw.append(cost(lambda: side_by_side(source, folder)))
                before = _processors(scheduler.pid, home)
                ours.append(_round(workspace, source, number))
                used.append(_processors(scheduler.pid, home) - before)
            most = memory.stop()
        finally:
            scheduler.terminate()
            scheduler.wait()
            workspace.close()
            stop_home_cluster(home)
    name = f"{AT_ONCE} deployed notebooks due at once"
    wall, cpu = statistics.median(one.wall for one in raw), statistics.median(one.cpu for one in raw)
    yield Row(name=name, ours=statistics.median(ours), raw=wall, against="two processes of papermill", target=0.6)
    yield Row(name=f"{name}: processors", ours=statistics.median(used), raw=cpu, against="as above, seconds of processors")
    yield Row(name=f"{name}: memory", ours=most, against="of all processes, shared pages once", target=600, unit="MB")


def _round(workspace: Workspace, source: Path, number: int) -> float:
    """Seconds from the instant they are due to the recorded end of the last."""
    due = datetime.now(UTC) + timedelta(seconds=_AHEAD)
    names = [f"r{number}_{one}" for one in range(AT_ONCE)]
    for name in names:
        deploy(workspace, source, name=name, said={"schedule": "@once", "start_date": due.isoformat()})
    assert datetime.now(UTC) < due, "deploying took longer than there was time"
    ended: list[datetime] = []
    while len(ended) < AT_ONCE:
        time.sleep(0.2)
        runs = [run for name in names for run in workspace.store.deployments.ended(workspace.store.deployments.get(name).name, 2)]
        ended = [run.ended_at for run in runs if run.ended_at is not None]
    assert all(run.state.value == "success" for run in runs), [run.reason for run in runs]
    return (max(ended) - due).total_seconds()


def _processors(scheduler: int, home: Path) -> float:
    """Seconds used so far by the scheduler, the cluster and all that they started."""
    facts = read_facts(home)
    return processors([scheduler] if facts is None else [scheduler, facts.pid])


def _until_over(workspace: Workspace, runs: list[str]) -> None:
    while not all(workspace.run(run_id).state.is_finished for run_id in runs):
        time.sleep(0.2)
