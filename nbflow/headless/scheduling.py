# SPDX-License-Identifier: BSD-3-Clause
"""The scheduler as a process: turn after turn, as soon as something is due, until it is told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from nbflow import __version__
from nbflow.app import Workspace
from nbflow.app.deploying import read_keys
from nbflow.app.notifying import Notifier, check_settings
from nbflow.core.deployments import SchedulerRecord
from nbflow.core.errors import NbflowError
from nbflow.core.ids import RunId
from nbflow.core.records import Lease, RunRecord
from nbflow.engine.inbox import monotonic
from nbflow.engine.owner import is_dead, me
from nbflow.headless.hosts import HostProcess, host_here, settings_as_json
from nbflow.headless.keeping import Keeping
from nbflow.headless.scanning import Scanning
from nbflow.operators.watching import find_files
from nbflow.scheduler.looking import ThreadedLooks
from nbflow.scheduler.loop import Scheduler

_log = logging.getLogger("nbflow.scheduler")
#: Seconds between two turns when nothing is due before: runs that people asked for wait no longer.
_PERIOD: Final = 0.5
#: Seconds between two looks at what there is to tell.
_TELLING: Final = 1.0
#: Seconds after a turn that failed, and at most after several.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


class Launching:
    """Hands runs to the workers of the cluster where it hosts notebooks, else to a process beside this scheduler."""

    def __init__(self, workspace: Workspace, ended: Callable[[RunId, str], None]) -> None:
        self._workspace, self._ended = workspace, ended
        self._process: HostProcess | None = None
        self._cluster: Any = None
        self._settings = settings_as_json(workspace.settings)
        self._hosted: set[RunId] = set()

    def open(self) -> None:
        """Find out who hosts. Raises SetupError when the cluster is away."""
        if self._process is not None or self._cluster is not None:
            return
        if self._workspace.settings.dask != "inline":
            from nbflow.executors.dask_executor import DaskExecutor  # noqa: PLC0415 - only where there is a cluster
            from nbflow.executors.notebooks import NotebookHosting  # noqa: PLC0415 - as above

            executor = self._workspace.executor
            if isinstance(executor, DaskExecutor):
                hosting = NotebookHosting(executor)
                if hosting.offered():
                    self._cluster = hosting
                    if self._workspace.settings.dask != "local":
                        self._settings["dask"] = hosting.address()
                    return
        self._process = HostProcess(self._workspace.settings, self._ended)
        self._process.warm()

    def room(self) -> int:
        self.open()
        if self._process is not None:
            return self._process.room()
        return int(self._cluster.offered()) - len(self._hosted)

    def launch(self, run: RunRecord, lease: Lease) -> None:
        if self._process is not None:
            self._process.host(run.run_id, lease.owner)
            return
        self._hosted.add(run.run_id)
        key = f"nbflow-host-{run.run_id}-{lease.epoch}"
        try:
            self._cluster.host(key, host_here, (self._settings, run.run_id, lease.owner), lambda why: self._gone(run.run_id, why))
        except NbflowError:
            self._gone(run.run_id, "")
            raise

    def _gone(self, run_id: RunId, why: str) -> None:
        self._hosted.discard(run_id)
        self._ended(run_id, why)

    def close(self) -> None:
        """Whoever hosts ends in order what it has."""
        if self._process is not None:
            self._process.close()

    def is_dead(self, owner: str) -> bool:
        return is_dead(owner)

    def give_up(self, lease: Lease, why: str) -> None:
        self._workspace.give_up(lease, why)


class SchedulerProcess:
    """A scheduler of one home. `run` blocks; `stop` may be called from any thread or signal handler."""

    def __init__(self, workspace: Workspace, tell: Callable[[str], None] = _log.info, stopping: threading.Event | None = None) -> None:
        """`tell` is given sentences for whoever watches; `stopping`, when it is set, means the same as `stop`."""
        self._workspace, self._tell = workspace, tell
        self._stopping = stopping or threading.Event()
        self._launching = Launching(workspace, self._ended)
        self._record = SchedulerRecord(owner=me(), started_at=workspace.clock.now(), nbflow=__version__)
        self.scheduler = Scheduler(
            store=workspace.store,
            launcher=self._launching,
            read=lambda keys: read_keys(workspace, keys),
            owner=me(),
            seconds=workspace.settings.lease,
            looks=ThreadedLooks(find_files),
            look_pause=timedelta(seconds=workspace.settings.watch_interval),
        )
        check_settings(workspace)
        self._notifier = Notifier(workspace)
        self._keeping = Keeping(workspace, self._stopping)
        self._turned = monotonic()
        self._scanning = Scanning(workspace, tell, self._stopping)

    def run(self) -> None:
        """Until `stop`; then what was handed over is waited for, and this scheduler leaves."""
        self._say_others()
        keeper = threading.Thread(target=self._keep, name="nbflow-scheduler-lease", daemon=True)
        keeper.start()
        teller = threading.Thread(target=self._tell_people, name="nbflow-notify", daemon=True)
        teller.start()
        self._keeping.start()
        self._scanning.start()
        pause = 0.0
        while not self._stopping.wait(pause):
            began = monotonic()
            try:
                self._turn()
            except NbflowError as error:
                pause = min(max(_FIRST_PAUSE, pause * 2), _LONGEST_PAUSE)
                _log.warning("%s (trying again in %.0f s)", error, pause)
                continue
            self._turned = monotonic()
            self._record = replace(self._record, loop_seconds=round(self._turned - began, 4))
            pause = self._patience()
        self._drain()
        keeper.join()
        teller.join()
        self._keeping.join()
        self._scanning.join()
        self._tell_now()  # what ended meanwhile

    def stop(self) -> None:
        """Take no more runs. Those that are hosted go on."""
        self._stopping.set()

    def loop(self) -> tuple[float, float]:
        """How many seconds its last turn took, and how many ago it ended."""
        return self._record.loop_seconds, monotonic() - self._turned

    def _say_others(self) -> None:
        """Schedulers of other versions work together, but what one of them does not know yet it does not do."""
        others = {other.nbflow for other in self._workspace.store.deployments.schedulers()} - {__version__}
        if others:
            _log.warning(
                "A scheduler of nbflow %s runs on this database, and this one is %s: bring them to one version, the newer one last.",
                " and ".join(sorted(others)),
                __version__,
            )

    def _turn(self) -> None:
        self.scheduler.tick(self._workspace.clock.now())

    def _patience(self) -> float:
        """Seconds until something is due, at most the period."""
        due: datetime | None = self._workspace.store.deployments.next_due()
        if due is None:
            return _PERIOD
        seconds = (due - self._workspace.clock.now()).total_seconds()
        return _PERIOD if seconds <= 0 else min(_PERIOD, seconds + 0.001)  # what is due and still there waits for something

    def _keep(self) -> None:
        """Keep the leases of what was handed over, and say that this scheduler lives."""
        seconds = self._workspace.settings.lease
        while True:
            try:
                self._workspace.store.deployments.announce(self._record, seconds)
                self.scheduler.renew()
            except NbflowError as error:
                _log.warning("%s", error)
            if self._stopping.wait(seconds / 3):
                return

    def _tell_people(self) -> None:
        """On a thread of its own: a mail server that hangs delays no run."""
        while not self._stopping.wait(_TELLING):
            self._tell_now()

    def _tell_now(self) -> None:
        try:
            self._notifier.turn()
        except NbflowError as error:
            _log.warning("%s", error)
        except Exception:  # noqa: BLE001 - whatever it is, the next look may find another
            _log.exception("messages could not be looked after")

    def _drain(self) -> None:
        until = monotonic() + self._workspace.settings.lease
        while self.scheduler.handed and monotonic() < until:
            self.scheduler.renew()
            threading.Event().wait(0.1)
        self._launching.close()
        self._workspace.store.deployments.announce(self._record, 0)

    def _ended(self, run_id: RunId, why: str) -> None:
        try:
            self.scheduler.let_go(run_id, why)
        except NbflowError as error:
            _log.warning("%s", error)
