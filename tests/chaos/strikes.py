# SPDX-License-Identifier: BSD-3-Clause
"""What befalls the processes of a storm, drawn from its seed: killed, stopped for a while, told to end, cut off from the database."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Final

from sqlalchemy import create_engine, make_url, text

from tests.chaos import processes

#: What is struck, and how often in comparison.
_WEIGHTS: Final = {
    "scheduler": 4,
    "scheduler ends": 2,
    "host": 3,
    "worker": 3,
    "nanny": 1,
    "cluster": 1,
    "dask scheduler": 1,
    "child": 2,
    "database": 4,
}
#: Kinds whose death takes hosted runs with it: a run whose hosts die ten times is given up, and that is not what is looked at here.
_HOSTING: Final = frozenset({"host", "worker", "nanny", "cluster"})
_MOST_HOSTS: Final = 6
#: Seconds a scheduler that was told to end may take.
_LEAVING: Final = 120.0
#: Seconds within which Python may not have come to our first line yet: a signal then ends it as it ends any process.
_STARTING: Final = 15.0


class Strikes:
    """The schedulers of a storm, and what is done to them and to everything they started."""

    def __init__(self, *, count: int, dice: Random, environment: Mapping[str, str], folder: Path, mark: str, lease: float) -> None:
        self._dice, self._environment, self._folder, self._mark, self._lease = dice, dict(environment), folder, mark, lease
        self._database_url = environment["NBFLOW_DATABASE_URL"]
        self.counts: Counter[str] = Counter()
        self.told: list[str] = []
        self._hosting = 0
        self._began: dict[int, float] = {}
        #: Told to end, each with whether it had just been started.
        self._leaving: list[tuple[subprocess.Popen[bytes], bool]] = []
        self._sleepers: list[threading.Timer] = []
        self._running = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "schedulers.log").open("ab") as log:
            command = [sys.executable, "-m", "nbflow", "scheduler", "-q"]
            started = subprocess.Popen(command, env=self._environment, cwd=self._folder, stdout=log, stderr=log)
        self._began[started.pid] = time.monotonic()
        return started

    def strike(self) -> None:
        """Once. What is not there now is left out: another seed meets it."""
        (kind,) = self._dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        is_stop, place, seconds = self._dice.random() < 0.4, self._dice.random(), self._dice.uniform(0.2, 1.5 * self._lease)
        if kind == "database":
            self._cut(place, seconds / 2)
        elif kind.startswith("scheduler"):
            self._strike_scheduler(int(place * len(self._running)), seconds, is_stop=is_stop, ends=kind == "scheduler ends")
        else:
            self._strike_other(kind, place, seconds, is_stop=is_stop)

    # --- processes ------------------------------------------------------------------------------------------------------

    def _strike_scheduler(self, place: int, seconds: float, *, is_stop: bool, ends: bool) -> None:
        scheduler = self._running[place]
        if ends:
            self._tell_to_end(scheduler)
            self._running[place] = self._start()
        elif is_stop:
            self._put_to_sleep(scheduler.pid, seconds, "scheduler")
        else:
            self._send(scheduler.pid, signal.SIGKILL, "scheduler")
            scheduler.wait()
            self._running[place] = self._start()

    def _tell_to_end(self, scheduler: subprocess.Popen[bytes]) -> None:
        self._send(scheduler.pid, signal.SIGTERM, "scheduler")
        self._leaving.append((scheduler, time.monotonic() - self._began[scheduler.pid] < _STARTING))

    def _strike_other(self, kind: str, place: float, seconds: float, *, is_stop: bool) -> None:
        found = sorted(processes.by_kind(self._mark, 0).get("scheduler" if kind == "dask scheduler" else kind, []))
        if not found:
            return
        pid = found[int(place * len(found))]
        if is_stop:
            self._put_to_sleep(pid, seconds, kind)
            return
        if kind in _HOSTING:
            self._hosting += 1
            if self._hosting > _MOST_HOSTS:
                return
        self._send(pid, signal.SIGKILL, kind)

    def _put_to_sleep(self, pid: int, seconds: float, kind: str) -> None:
        self._send(pid, signal.SIGSTOP, kind)
        timer = threading.Timer(seconds, self._wake, (pid,))
        timer.start()
        self._sleepers.append(timer)

    @staticmethod
    def _wake(pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def _send(self, pid: int, number: signal.Signals, kind: str) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            self._tell(f"{kind}: {number.name}", str(pid))

    def _tell(self, what: str, detail: str) -> None:
        self.counts[what] += 1
        self.told.append(f"{time.time():.3f} {what} {detail}")

    # --- the database ---------------------------------------------------------------------------------------------------

    def _cut(self, place: float, seconds: float) -> None:
        if self._database_url:
            self._drop_connections(place)
        else:
            thread = threading.Timer(0, self._hold, (seconds,))
            thread.start()
            self._sleepers.append(thread)

    def _drop_connections(self, place: float) -> None:
        """One of PostgreSQL's, or, now and then, all of this database."""
        engine = create_engine(make_url(self._database_url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        of_this = "datname = current_database() AND pid <> pg_backend_pid()"
        with engine.connect() as connection:
            pids = list(connection.scalars(text(f"SELECT pid FROM pg_stat_activity WHERE {of_this} ORDER BY pid")))
            chosen = pids if place < 0.3 else pids[int(place * len(pids)) :][:1]
            for pid in chosen:
                connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        engine.dispose()
        self._tell("database: connections dropped", str(len(chosen)))

    def _hold(self, seconds: float) -> None:
        """Somebody else writes to the SQLite file, and takes his time."""
        with closing(sqlite3.connect(self._folder / "home" / "nbflow.db", timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            self._tell("database: locked", f"{seconds:.1f} s")
            time.sleep(seconds)
            connection.rollback()

    # --- the end --------------------------------------------------------------------------------------------------------

    def calm(self) -> None:
        """Nothing is struck any more, and everybody is awake."""
        for timer in self._sleepers:
            timer.join()

    def end(self, wait: Callable[[Callable[[], object], str, float], None]) -> list[str]:
        """Tell the schedulers to end; what was wrong with how they did."""
        for scheduler in self._running:
            self._tell_to_end(scheduler)
        wait(lambda: all(one.poll() is not None for one, _ in self._leaving), "the end of the schedulers", _LEAVING)
        wrong = [one for one, is_young in self._leaving if one.returncode and not (is_young and one.returncode == -signal.SIGTERM)]
        return [f"scheduler {one.pid} ended with {one.returncode}" for one in wrong]
