# SPDX-License-Identifier: BSD-3-Clause
"""What is deployed: a stored version of a flow with its parameters and schedule, and what the store promises about it and its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from nbflow.core.ids import FlowName, RunId
from nbflow.core.records import Lease, RunRecord, TaskRecord
from nbflow.core.timetable import Interval


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One flow as it is scheduled now. Runs of one version under several names are several deployments."""

    name: FlowName
    #: Content hash; "" while the file has never been right.
    version: str = ""
    #: Counts the versions of this name from 1.
    number: int = 0
    #: The notebook, absolute.
    path: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    #: Keys of the schedule that were given with the deployment: they hold over those of the header.
    said: Mapping[str, Any] = field(default_factory=dict)
    #: The keys in force: defaults of the installation, the header's, `said`.
    schedule: Mapping[str, Any] = field(default_factory=dict)
    paused: bool = False
    #: Who paused it, or why it paused itself.
    pause_reason: str = ""
    #: The run whose failure paused it, and when.
    paused_by: str = ""
    paused_at: datetime | None = None
    deployed_at: datetime
    by: str = ""
    #: `command`, or the flows folder it was found in.
    source: str = "command"
    #: What the file and the modules it imports looked like when they were last read from a flows folder.
    signature: str = ""
    #: What is wrong with the file as it is now; the last good version goes on.
    error: str = ""
    commit: str = ""
    #: The file, or a module it imports, differed from the commit.
    is_dirty: bool = False
    #: What happened before is not missed.
    since: datetime
    #: What the newest planned run is about.
    last_start: datetime | None = None
    last_end: datetime | None = None
    #: When the next run is due; None: never.
    next_run: datetime | None = None
    #: Logical dates of the first and the last run that was passed over last.
    missed_from: datetime | None = None
    missed_until: datetime | None = None
    #: Runs from before this instant do not count when failed ones are counted.
    counted_from: datetime | None = None
    #: Assets that tasks of this version update, and those they read.
    outlets: tuple[str, ...] = ()
    inlets: tuple[str, ...] = ()
    #: Raised by each write: a write that knew an older one is refused.
    revision: int = 0

    @property
    def last(self) -> Interval | None:
        return Interval(start=self.last_start, end=self.last_end) if self.last_start and self.last_end else None


@dataclass(frozen=True, kw_only=True)
class DeployedVersion:
    """One version of a deployment."""

    name: FlowName
    number: int
    version: str
    path: str = ""
    deployed_at: datetime
    by: str = ""
    commit: str = ""
    is_dirty: bool = False


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """Who did what, outside of runs."""

    at: datetime
    by: str
    #: `deploy`, `pause`, `unpause`, `undeploy`, `trigger` ...
    what: str
    #: The flow, pool, ... it was done to.
    about: str
    detail: str = ""
    id: int = 0


@dataclass(frozen=True, kw_only=True)
class SchedulerRecord:
    """A scheduler process that was heard of lately."""

    owner: str
    started_at: datetime
    #: Its version of nbflow.
    nbflow: str = ""
    #: Seconds one turn of its loop took last.
    loop_seconds: float = 0.0


class DeploymentStore(Protocol):
    """Deployments and how runs come from them. A transaction touches the deployment first, then lease, run and the others."""

    def create(self, deployment: Deployment) -> None:
        """Raises UserError when the name is taken."""
        ...

    def get(self, name: str) -> Deployment:
        """Raises UserError, with the nearest name."""
        ...

    def find(self, *, after: str = "", limit: int = 1000) -> tuple[Deployment, ...]:
        """By name, those behind `after`."""
        ...

    def change(self, name: str, change: Callable[[Deployment], Deployment]) -> Deployment:
        """Read, change and write it, alone. Raises UserError when there is none; what `change` raises leaves everything as it was."""
        ...

    def delete(self, name: str) -> None:
        """Its runs and versions stay. Raises UserError when there is none."""
        ...

    def add_version(self, version: DeployedVersion) -> None: ...

    def versions(self, name: str) -> tuple[DeployedVersion, ...]:
        """The newest first."""
        ...

    # runs
    def due(self, now: datetime, limit: int = 100) -> tuple[Deployment, ...]:
        """Those whose next run is due, the longest due first; none that is paused."""
        ...

    def make_run(self, planned: Deployment, run: RunRecord | None, tasks: Sequence[TaskRecord] = ()) -> bool:
        """Write the deployment and create the run it planned, both or neither.

        False, and nothing was written, when the deployment was written by somebody else meanwhile (its revision is another). Where the logical
        date has its run already, only the deployment is written.
        """
        ...

    def add_run(self, run: RunRecord, tasks: Sequence[TaskRecord]) -> RunRecord:
        """Create a run that was asked for. With an idempotency key the run of that key is returned, when there is one.

        Raises UserError when the logical date of this deployment, or the run's id, has its run already.
        """
        ...

    def next_due(self) -> datetime | None:
        """When the next run of any of them is due."""
        ...

    def queued(self, limit: int = 100, *, without: Sequence[str] = (), without_backfills: Sequence[int] = ()) -> tuple[RunRecord, ...]:
        """Deployed runs that nobody has taken, new ones and cleared ones: backfills after the others, else the longest due first.

        None of a paused flow or backfill. Left out are runs of the flows `without` that are of no backfill, and those of `without_backfills`.
        """
        ...

    def active(self, name: str) -> tuple[RunRecord, ...]:
        """Its unfinished runs, oldest first: queued ones too."""
        ...

    def ended(self, name: str, limit: int, *, backfills: bool = True) -> tuple[RunRecord, ...]:
        """Its newest finished runs, the newest first; those of backfills too?"""
        ...

    def promote(self, run_id: str, limit: int, owner: str, seconds: float) -> Lease | None:
        """Take a queued run: None when it was taken by somebody, its flow or backfill is paused, or `limit` runs of the flow are taken already.

        Under any number of callers never more than `limit` runs are taken and unfinished. Those of a backfill count only among themselves, and
        its own `max_active` is their limit.
        """
        ...

    def orphans(self) -> tuple[RunId, ...]:
        """Deployed runs that were taken, are unfinished, and whose lease has lapsed."""
        ...

    # who is there
    def announce(self, scheduler: SchedulerRecord, seconds: float) -> None:
        """This scheduler lives, for so many seconds by the database's clock; 0: it leaves."""
        ...

    def schedulers(self) -> tuple[SchedulerRecord, ...]:
        """Those that live."""
        ...

    # what people did
    def note(self, entry: AuditEntry) -> None: ...

    def audit(self, about: str = "", limit: int = 50) -> tuple[AuditEntry, ...]:
        """The newest first."""
        ...
