# SPDX-License-Identifier: BSD-3-Clause
"""Schedulers under fire: `python -m tests.chaos.schedulers [--runs 200] [--seconds 60] [--schedulers 3] [--seed N] [--database URL]`.

Real scheduler processes on one database; scheduler and host processes are killed or stopped for a while at random throughout. Then: each date
has exactly one run, every run has ended well, no task ran again that had succeeded, and never more runs of a flow were active than may.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import nbformat
import psutil

from nbflow.app import Workspace
from nbflow.app.deploying import deploy, read_keys
from nbflow.executors.cluster import read_facts
from nbflow.settings import Settings

_LIMIT = 2
_FLOWS = 4
BODY = """%%task {name}
from nbflow import ctx
import pathlib, time
time.sleep(0.1)
pathlib.Path("log.txt").open("a").write(f"{{ctx.run_id}} {name}\\n")
done_{name} = 1{after}"""


class Fire:
    """What happens to the processes, drawn from the seed."""

    def __init__(self, settings: Settings, count: int, seed: int) -> None:
        self._random, self._settings = Random(seed), settings
        self.counts: Counter[str] = Counter()
        self.running = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "NBFLOW_HOME": str(self._settings.home), "NBFLOW_DATABASE_URL": self._settings.database_url}
        environment |= {"NBFLOW_LEASE": str(self._settings.lease), "NBFLOW_WORKERS": "4", "NBFLOW_CLUSTER_IDLE": "5"}
        return subprocess.Popen([sys.executable, "-m", "nbflow", "scheduler", "-q"], env=environment, stderr=subprocess.DEVNULL)

    def strike(self) -> None:
        place = self._random.randrange(len(self.running))
        scheduler = self.running[place]
        what = self._random.choice(["kill", "host", "stop", "end"])
        with suppress(psutil.Error, ProcessLookupError):
            if what == "host":
                self._kill_workers()
            elif what == "stop":
                scheduler.send_signal(signal.SIGSTOP)
                time.sleep(self._random.uniform(0.5, 2 * self._settings.lease))
                scheduler.send_signal(signal.SIGCONT)
            else:
                scheduler.send_signal(signal.SIGKILL if what == "kill" else signal.SIGTERM)
                scheduler.wait(60)
                self.running[place] = self._start()
        self.counts[what] += 1

    def _kill_workers(self) -> None:
        """What hosts notebooks and runs attempts; sometimes the whole cluster."""
        facts = read_facts(self._settings.home)
        if facts is None:
            return
        cluster = psutil.Process(facts.pid)
        for child in cluster.children():
            child.kill()
        if self._random.random() < 0.3:
            cluster.kill()

    def close(self) -> None:
        for scheduler in self.running:
            scheduler.kill()
            scheduler.wait()
        facts = read_facts(self._settings.home)
        with suppress(psutil.Error):
            if facts is not None:
                psutil.Process(facts.pid).terminate()


def storm(*, runs: int, seconds: float, schedulers: int, seed: int, database: str = "") -> str:
    """Raises AssertionError, with the seed, for what may never happen."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Settings(home=Path(folder) / "home", database_url=database, lease=15.0, workers=4, cluster_idle=5.0))
        step = max(1, round(seconds * _FLOWS / runs))
        v4 = nbformat.v4
        for number in range(_FLOWS):
            place = Path(folder) / f"f{number}"
            place.mkdir()
            cells = [
                "%load_ext nbflow",
                f"%%flow f{number}\nschedule = 'every {step}s'\ncatchup = 'all'\nmax_active_runs = {_LIMIT}",
                BODY.format(name="one", after=""),
                BODY.format(name="two", after="; assert done_one"),
            ]
            nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells]), place / f"f{number}.ipynb")
            deploy(workspace, place / f"f{number}.ipynb")
        began = time.monotonic()
        fire = Fire(workspace.settings, schedulers, seed)
        watch = _Watch(workspace)
        try:
            while time.monotonic() - began < seconds:
                time.sleep(fire._random.uniform(1, 4))
                fire.strike()
            until = datetime.now(UTC)
            for number in range(_FLOWS):
                keys = workspace.store.deployments.get(f"f{number}").schedule
                workspace.store.deployments.change(
                    f"f{number}", lambda one, keys=keys: replace(one, schedule={**keys, "end_date": until.isoformat()})
                )
            while any(
                workspace.store.deployments.active(f"f{n}") or workspace.store.deployments.get(f"f{n}").next_run for n in range(_FLOWS)
            ):
                assert time.monotonic() - began < seconds + 900, f"seed {seed}: runs do not end"
                time.sleep(0.5)
        finally:
            watch.stop()
            fire.close()
        made = _check(workspace, Path(folder), until, seed)
        assert watch.most <= _LIMIT, f"seed {seed}: {watch.most} runs of a flow at once"
        workspace.close()
    return f"seed {seed}: {made} runs, each date one, all well; {dict(fire.counts)}; at most {watch.most} runs of a flow at once"


class _Watch:
    """How many runs of one flow are taken at once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._stop, self.most = workspace, threading.Event(), 0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            for number in range(_FLOWS):
                held = [run for run in self._workspace.store.deployments.active(f"f{number}") if run.state.value == "running"]
                self.most = max(self.most, len(held))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def _check(workspace: Workspace, folder: Path, until: datetime, seed: int) -> int:
    made = 0
    for number in range(_FLOWS):
        name = f"f{number}"
        deployment = workspace.store.deployments.get(name)
        runs = workspace.store.deployments.ended(name, 100_000)
        dates = sorted(run.logical_date for run in runs if run.logical_date)
        schedule, expected = read_keys(workspace, {**deployment.schedule, "end_date": ""}), []
        for planned in schedule.coming(deployment.since):
            if planned.run_after > until:
                break
            expected.append(planned.logical_date)
        assert dates == expected, f"seed {seed}: {name} has dates {set(dates) ^ set(expected)} too many or too few"
        bad = [f"{run.run_id}: {run.reason}" for run in runs if run.state.value != "success"]
        assert not bad, f"seed {seed}: {bad}"
        lines = Counter((folder / name / "log.txt").read_text().splitlines())
        for run in runs:
            attempts = workspace.store.attempts(run.run_id)
            for task in ("one", "two"):
                of_task = [one for one in attempts if one.key.task_id == task]
                assert [one.outcome for one in of_task].count("success") == 1, f"seed {seed}: {run.run_id} {task} succeeded more than once"
                ran, outcomes = lines[f"{run.run_id} {task}"], [one.outcome for one in of_task]
                elsewhere = [str(path) for path in folder.rglob("log.txt") if f"{run.run_id} {task}" in path.read_text()]
                assert 1 <= ran <= len(of_task), (
                    f"{elsewhere} seed {seed}: {run.run_id} {task} ran {ran} times in attempts that were {outcomes}"
                )
        made += len(runs)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.schedulers")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--schedulers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--database", default="", help="a PostgreSQL URL (default: SQLite)")
    options = parser.parse_args()
    sys.stdout.write(
        storm(runs=options.runs, seconds=options.seconds, schedulers=options.schedulers, seed=options.seed, database=options.database)
        + "\n"
    )


if __name__ == "__main__":
    main()
