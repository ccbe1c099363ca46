# SPDX-License-Identifier: BSD-3-Clause
"""One storm: schedulers on one database, runs due again and again, and blows at random until the last one is due. Then all is looked at."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from nbflow.app import Workspace
from nbflow.app.deploying import deploy
from nbflow.core.limits import Pool
from nbflow.executors.cluster import stop_home_cluster
from nbflow.settings import Settings
from tests.chaos import processes, storm_checks
from tests.chaos.harness import ROOT, Hangs
from tests.chaos.storm_alerts import Alerts
from tests.chaos.storm_flows import POOL, SLOTS, StormFlow, flows, write
from tests.chaos.strikes import Strikes
from tests.chaos.surroundings import Databases, ForeignCluster

#: Seconds of a lease: short, so that what is dead or asleep is noticed within the storm.
LEASE: Final = 6.0
#: Seconds within which at least one more run must end, once nothing is struck any more.
PATIENCE: Final = 240.0
#: Seconds from the deployment to the first due date: the schedulers start meanwhile.
AHEAD: Final = 5


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How big a storm is, and where it takes place. What is not said is drawn from the seed."""

    runs: int = 200
    seconds: int = 60
    schedulers: int = 0
    #: "sqlite", "postgresql"; "" draws.
    database: str = ""
    #: "local", "foreign"; "" draws.
    cluster: str = ""

    def of(self, dice: Random) -> Weather:
        """With everything said."""
        schedulers, database = dice.choice([2, 3]), dice.choice(["sqlite", "postgresql"])
        cluster = dice.choice(["local", "local", "foreign"])
        return Weather(
            runs=self.runs,
            seconds=self.seconds,
            schedulers=self.schedulers or schedulers,
            database=self.database or database,
            cluster=self.cluster or cluster,
        )


class Storm:
    """The storm of one seed."""

    def __init__(self, seed: int, folder: Path, weather: Weather, databases: Databases | None) -> None:
        """`databases` is needed where the weather says PostgreSQL."""
        self.seed, self.folder, self.weather = seed, folder, weather.of(Random(f"weather {seed}"))
        self._dice = Random(f"storm {seed}")
        self._mark = uuid.uuid4().hex
        self._databases = databases if self.weather.database == "postgresql" else None
        self._database = f"storm_{self._mark}"
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = folder / "journal"
        database_url = self._databases.make(self._database) if self._databases else ""
        self._environment = {
            **os.environ,
            "NBFLOW_HOME": str(folder / "home"),
            "NBFLOW_DATABASE_URL": database_url,
            "NBFLOW_LEASE": str(LEASE),
            "NBFLOW_WORKERS": "4",
            "NBFLOW_CLUSTER_IDLE": "15",
            "JUPYTER_PLATFORM_DIRS": "1",
            "PYTHONPATH": str(ROOT),
            "CHAOS_JOURNAL": str(self.journal),
            processes.MARK: self._mark,
        }
        self._cluster = ForeignCluster(folder, self._environment) if self.weather.cluster == "foreign" else None
        if self._cluster is not None:
            self._environment["NBFLOW_DASK"] = self._cluster.address
            self._cluster.keep()
        self._settings = Settings(home=folder / "home", database_url=database_url, lease=LEASE, dask="inline")
        self.workspace = Workspace(self._settings)
        self.alerts = Alerts()
        self.flows: list[StormFlow] = []
        self.summary = ""
        self.told: list[str] = []

    # --- the story ------------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        """What was wrong; nothing when all is well."""
        strikes: Strikes | None = None
        try:
            strikes = self._begin()
            self._rage(strikes)
            self._until_all_has_ended()
            self._wait(lambda: self.alerts.all_are_sent(self.workspace, self.flows), "the last message", PATIENCE)
            alerts = self.alerts.problems(self.workspace, self.flows, strikes.counts)
            found = [*storm_checks.problems(self.workspace, self.flows, self.journal), *alerts, *self._leave(strikes)]
        except Hangs as hangs:
            found = [str(hangs)]
        finally:
            if strikes is not None:
                self.told = strikes.told
            self._clean()
        self.summary = self._summary(strikes)
        return found

    def _begin(self) -> Strikes:
        """Deploy, and start the schedulers."""
        weather = self.weather
        step, count = _steps(weather.runs, weather.seconds)
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=AHEAD)
        end = start + timedelta(seconds=weather.seconds) - timedelta(milliseconds=1)
        self.workspace.store.save_pool(Pool(name=POOL, slots=SLOTS))
        self.flows = flows(count)
        for flow in self.flows:
            path, keys = write(flow, self.folder, self._dice, step=step, start=start, end=end)
            deploy(self.workspace, path, said={**keys, **self.alerts.keys()})
        return Strikes(
            count=weather.schedulers,
            dice=self._dice,
            environment=self._environment,
            folder=self.folder,
            mark=self._mark,
            lease=LEASE,
        )

    def _rage(self, strikes: Strikes) -> None:
        until = time.monotonic() + AHEAD + self.weather.seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, self._dice.uniform(0.5, 3)))
            self._keep()
            strikes.strike()
        strikes.calm()

    def _until_all_has_ended(self) -> None:
        deployments = self.workspace.store.deployments
        ended = -1

        def moves() -> bool:
            return self._ended() > ended or not self._left()

        while self._left():
            ended = self._ended()
            self._wait(moves, "another run to end", PATIENCE)
        assert not any(deployments.active(flow.name) for flow in self.flows)

    def _ended(self) -> int:
        return sum(len(self.workspace.store.deployments.ended(flow.name, 100_000)) for flow in self.flows)

    def _left(self) -> bool:
        """Whether something runs, waits or is still to come."""
        deployments = self.workspace.store.deployments
        return any(deployments.active(flow.name) or deployments.get(flow.name).next_run for flow in self.flows)

    def _leave(self, strikes: Strikes) -> list[str]:
        """Everybody goes, in order, and leaves nothing behind."""
        found = strikes.end(self._wait)
        stop_home_cluster(self._settings.home)
        if self._cluster is not None:
            self._cluster.stop()
            self._cluster = None
        try:
            self._wait(lambda: not processes.marked(self._mark), "the end of every process", 120)
        except Hangs as hangs:
            found.append(str(hangs))
        return found

    # --- how ------------------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        if self._cluster is not None:
            self._cluster.keep()

    def _wait(self, is_there: Callable[[], object], what: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not is_there():
            self._keep()
            if time.monotonic() > until:
                raise Hangs(f"waited {seconds:g} s for {what}; {self._stuck()}; there are {processes.marked(self._mark)}")
            time.sleep(0.2)

    def _stuck(self) -> str:
        """The first runs that have not ended, each with its state and whoever holds it."""
        active = [run for flow in self.flows for run in self.workspace.store.deployments.active(flow.name)]
        said = [f"{run.run_id} {run.state} held by {self.workspace.store.holder(run.run_id) or 'nobody'}" for run in active[:5]]
        return f"{len(active)} runs are left: {'; '.join(said)}"

    def _summary(self, strikes: Strikes | None) -> str:
        weather = self.weather
        struck = ", ".join(f"{count} x {what}" for what, count in sorted(strikes.counts.items())) if strikes else "nothing"
        where = f"{weather.schedulers} schedulers, {weather.database}, {weather.cluster} cluster"
        return f"seed {self.seed}: {where}: {self._made} runs due in {weather.seconds} s; {struck}; {self.alerts.summary}"

    def _clean(self) -> None:
        self.alerts.close()
        self._made = self._ended() if self.flows else 0
        if self._cluster is not None:
            self._cluster.stop()
        while living := processes.marked(self._mark):
            for pid in living:
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            time.sleep(0.01)
        self.workspace.close()
        if self._databases is not None:
            self._databases.drop(self._database)


def _steps(runs: int, seconds: int) -> tuple[int, int]:
    """Seconds between two dates of a flow, and how many flows make so many runs in so many seconds."""
    for step in range(3, seconds + 1):
        dates = -(-seconds // step)
        if seconds % step == 0 and runs % dates == 0 and runs // dates >= 4:
            return step, runs // dates
    raise ValueError(f"{runs} runs in {seconds} s cannot be shared evenly: take a multiple")
