# SPDX-License-Identifier: BSD-3-Clause
"""One seed: start its flow, strike, resume until the run ends, check. Every wait is for an event, with a generous deadline."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from nbflow.app import Workspace
from nbflow.core.errors import StoreError
from nbflow.core.limits import Pool
from nbflow.core.records import RunRecord
from nbflow.executors.cluster import stop_home_cluster
from nbflow.settings import Settings
from tests.chaos import faces, processes
from tests.chaos.checks import is_as_planned, journal, problems
from tests.chaos.flows import POOL, SLOTS, plan
from tests.chaos.surroundings import Databases, ForeignCluster

ROOT = Path(__file__).resolve().parents[2]
#: Seconds after which what should happen is said to hang.
DEADLINE = 300.0
#: Seconds after which a whole seed is said to hang, also where this process itself waits for a lock that one of the seed's has.
LONGEST = 450.0
LEASE = 2.0
#: Resumes that may be needed once nothing is struck any more.
RESUMES = 3
#: The shares of seeds whose history is in PostgreSQL, and whose cluster is somebody else's.
POSTGRESQL, FOREIGN = 0.3, 0.12


class Hangs(Exception):
    """Something that should happen did not, in time."""


class Seed:
    """The flow of one seed, and what befalls it."""

    def __init__(self, seed: int, folder: Path, databases: Databases | None = None) -> None:
        """Without `databases`, every history is in SQLite."""
        self.seed, self.folder = seed, folder
        self.dice = random.Random(f"strikes {seed}")
        surroundings = random.Random(f"surroundings {seed}")
        (self.face,) = surroundings.choices(list(faces.FACES.values()), [face.weight for face in faces.FACES.values()])
        uses_postgresql, is_foreign = surroundings.random() < POSTGRESQL, surroundings.random() < FOREIGN
        self.plan = plan(seed) if self.face.name != "plain" else None
        self.mark = uuid.uuid4().hex
        self.journal = folder / "journal"
        self.told: list[str] = []
        self._is_given_up = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)
        self.databases, self.database = databases if uses_postgresql else None, f"chaos_{self.mark}"
        database_url = self.databases.make(self.database) if self.databases else ""
        self.environment = {
            **os.environ,
            "NBFLOW_HOME": str(folder / "home"),
            "NBFLOW_LEASE": str(LEASE),
            "NBFLOW_WORKERS": "3",
            "NBFLOW_CLUSTER_IDLE": "20",
            "NBFLOW_DATABASE_URL": database_url,
            "JUPYTER_PLATFORM_DIRS": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONFAULTHANDLER": "1",
            "CHAOS_JOURNAL": str(self.journal),
            processes.MARK: self.mark,
        }
        self.cluster = ForeignCluster(folder, self.environment) if is_foreign else None
        if self.cluster is not None:
            self.environment["NBFLOW_DASK"] = self.cluster.address
        self.settings = Settings(home=folder / "home", lease=LEASE, database_url=database_url)
        self.workspace = Workspace(self.settings)
        self.workspace.store.save_pool(Pool(name=POOL, slots=SLOTS))
        faces.write(plan(seed), folder)
        self._tell(f"{self.face.name}, {'PostgreSQL' if database_url else 'SQLite'}, {'a foreign' if is_foreign else 'the local'} cluster")

    # --- the story ----------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        """What was wrong; nothing when all is well."""
        watch = threading.Timer(LONGEST, self._give_up)
        watch.daemon = True
        watch.start()
        try:
            self._until_it_has_ended()
            found = list(problems(self.workspace, self.recorded().run_id, journal(self.journal), self.plan, self.mark))
            stop_home_cluster(self.settings.home)
            if self.cluster is not None:
                self.cluster.stop()
                self.cluster = None
            self._wait(lambda: not processes.marked(self.mark), "the end of every process", 120)
        except Hangs as hangs:
            found = [str(hangs), *self._where_drivers_stand()]
        finally:
            watch.cancel()
            self._clean()
        return found

    def _until_it_has_ended(self) -> None:
        driver = self._start()
        for _ in range(self.dice.choice([1, 1, 2, 2, 3])):
            driver = self._strike(driver)
        for _ in range(RESUMES + 1):
            self._wait(lambda driver=driver: driver.poll() is not None, "the end of the driver")
            self._tell(f"driver {driver.pid} ended with {driver.returncode}")
            if self._is_done():
                return
            driver = self._start()
        raise Hangs(f"the run has not come to its end after {RESUMES} resumes without any strike")

    def _start(self) -> subprocess.Popen[bytes]:
        """The first driver, or the next one."""
        run = self._found()
        if run is not None and self.dice.random() < 0.3:
            self._reap()
        words = [*self.face.resume, run.run_id] if run else self.face.start
        with (self.folder / "drivers.log").open("ab") as log:
            driver = subprocess.Popen([sys.executable, "-m", *words], env=self.environment, cwd=self.folder, stdout=log, stderr=log)
        self._tell(f"driver {driver.pid} {'resumes' if run else 'starts'}")
        return driver

    def _reap(self) -> None:
        try:
            self._tell(f"reaped {self.workspace.reap()}")
        except StoreError as error:  # its driver is stopped while it has SQLite's only lock
            self._tell(f"reaped none: {error}")

    def _strike(self, driver: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Kill or stop one process at a random instant; the driver that is in charge afterwards."""
        lines = len(journal(self.journal)) + self.dice.choice([0, 1, 5, 20])
        delay, is_stop = self.dice.random() * 0.05, self.dice.random() < 0.3
        kind = self.dice.choice(processes.KINDS)
        self._wait(lambda: driver.poll() is not None or len(journal(self.journal)) >= lines, "the journal's next line")
        if driver.poll() is not None:
            self._tell(f"driver {driver.pid} ended with {driver.returncode}")
            return driver if self._is_done() else self._start()
        time.sleep(delay)  # somewhere between two lines
        found = processes.by_kind(self.mark, driver.pid)
        kind = kind if kind in found else self.dice.choice(sorted(found) or ["driver"])
        if kind == "driver" and is_stop:
            return self._put_to_sleep(driver)
        pid = self.dice.choice(sorted(found.get(kind, [driver.pid])))
        if is_stop:
            self._send(pid, signal.SIGSTOP, kind)
            time.sleep(self.dice.random())
            self._send(pid, signal.SIGCONT, kind)
            return driver
        self._send(pid, signal.SIGKILL, kind)
        if kind != "driver":
            return driver
        driver.wait()
        return self._start()

    def _put_to_sleep(self, driver: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Stop the driver for longer than its lease while another one takes over; then it wakes up."""
        self._send(driver.pid, signal.SIGSTOP, "driver")
        run = self._found()
        if run is None or run.state.is_finished:
            self._send(driver.pid, signal.SIGCONT, "driver")
            return driver
        self._wait(lambda: not self.workspace.store.holder(run.run_id), "the lapse of the lease")
        before = len(self.workspace.store.changes(run.run_id))
        other = self._start()
        self._wait(
            lambda: other.poll() is not None or len(self.workspace.store.changes(run.run_id)) > before, "the next driver taking over"
        )
        self._send(driver.pid, signal.SIGCONT, "driver")
        self._wait(lambda: driver.poll() is not None, "the end of the superseded driver")
        self._tell(f"the sleeper ended with {driver.returncode}")
        return other

    # --- looking ------------------------------------------------------------------------------------------------------

    def _found(self) -> RunRecord | None:
        runs = self.workspace.find_runs(limit=2).runs
        assert len(runs) < 2, f"there are two runs: {[run.run_id for run in runs]}"
        return runs[0] if runs else None

    def recorded(self) -> RunRecord:
        run = self._found()
        assert run is not None
        return run

    def _is_done(self) -> bool:
        run = self._found()
        return run is not None and is_as_planned(self.workspace.snapshot(run.run_id), self.plan)

    def _wait(self, is_there: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
        until = time.monotonic() + seconds
        while not is_there():
            if self.cluster is not None:
                self.cluster.keep()
            if self._is_given_up.is_set():
                raise Hangs(f"not over after {LONGEST:g} s, now waiting for {what}")
            if time.monotonic() > until:
                raise Hangs(f"waited {seconds:g} s for {what}; there are {processes.marked(self.mark)}")
            time.sleep(0.01)

    def _give_up(self) -> None:
        """Whatever this seed waits for: its drivers, which may be stopped amid a transaction, let go of their locks."""
        self._is_given_up.set()
        self._end_drivers()

    def _end_drivers(self) -> None:
        """In a way that makes Python's faulthandler write what each of their threads does."""
        for pid, command in processes.marked(self.mark).items():
            if any(word in command for word in ("nbflow run", "papermill", "tests.chaos.driver")):
                self._send(pid, signal.SIGCONT, "driver")
                self._send(pid, signal.SIGABRT, "driver")

    def _where_drivers_stand(self) -> list[str]:
        self._end_drivers()
        with contextlib.suppress(Hangs):
            self._wait(lambda: "Current thread" in self._log(), "faulthandler", 5)
        return [self._log()[-8000:]]

    def _log(self) -> str:
        return (self.folder / "drivers.log").read_text(encoding="utf-8", errors="replace")

    # --- doing --------------------------------------------------------------------------------------------------------

    def _send(self, pid: int, number: signal.Signals, kind: str) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        self._tell(f"{number.name} to {kind} {pid}")

    def _tell(self, what: str) -> None:
        self.told.append(f"{time.time():.3f} after {len(journal(self.journal))} lines: {what}")

    def _clean(self) -> None:
        until = time.monotonic() + DEADLINE
        while (living := processes.marked(self.mark)) and time.monotonic() < until:
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        self.workspace.close()
        if self.databases is not None:
            self.databases.drop(self.database)
