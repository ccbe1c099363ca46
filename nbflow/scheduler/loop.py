# SPDX-License-Identifier: BSD-3-Clause
"""One turn of a scheduler: `tick(now)`. Any number of processes take turns on one database, and nothing but the database tells them apart.

    due deployments  ->  the timetable plans  ->  the run and the deployment's next date in one transaction, or neither
    backfills        ->  the next runs of each are made, up to its own limit (`backfilling.py`)
    what happened    ->  runs of those who wait for it (arriving.py)
    queued runs      ->  taken, in turn, while fewer than max_active_runs of their flow are  ->  handed to the launcher
    orphans          ->  runs whose host or scheduler died: taken again, and handed over to go on

Nothing is remembered between two turns that the database does not say as well.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from nbflow.core.backfills import BACKFILL
from nbflow.core.deployments import Deployment
from nbflow.core.errors import NbflowError, Superseded, UserError
from nbflow.core.ids import RunId, TaskId, TaskKey
from nbflow.core.planning import advanced, planned_run
from nbflow.core.protocols import Store
from nbflow.core.records import Lease, Request, RunRecord, TaskRecord
from nbflow.core.schedule import Overlap, Schedule
from nbflow.core.timetable import ContinuousTimetable, PlannedRun
from nbflow.scheduler.arriving import Arriving, Looks
from nbflow.scheduler.backfilling import Backfilling
from nbflow.scheduler.failing import pause_if_failing

_log = logging.getLogger("nbflow.scheduler")
#: Deployments and runs looked at in one query.
_PAGE: Final = 100
#: Runs of one flow that wait at once while the past is caught up: the rest are made when these have run.
_BACKLOG: Final = 50
#: A run whose host died, or could not become it, as often as this is not hosted again. A host that gives it back does not count.
MOST_HOSTS: Final = 10
#: Seconds for which a run waits that could not be hosted for a reason of its own, the first time and at most.
_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 30.0
#: Types of runs that people ask for: a flow that fails again and again does not refuse them.
_ASKED_FOR: Final = frozenset({"manual", BACKFILL})
#: Seconds between two looks at who has died.
_LOOK_AFTER: Final = timedelta(seconds=2)


class Launcher(Protocol):
    """Who hosts runs."""

    def room(self) -> int:
        """How many more runs it takes now."""
        ...

    def launch(self, run: RunRecord, lease: Lease) -> None:
        """Host this run, taking it over from this lease; returns at once."""
        ...

    def is_dead(self, owner: str) -> bool:
        """Whether this owner of a lease is known to have died."""
        ...

    def give_up(self, lease: Lease, why: str) -> None:
        """End the run as failed."""
        ...


@dataclass
class Scheduler:
    """A scheduler of one home."""

    store: Store
    launcher: Launcher
    #: The schedule that the keys of a deployment say.
    read: Callable[[Mapping[str, Any]], Schedule]
    #: This scheduler, as leases name it.
    owner: str
    #: Seconds of a lease.
    seconds: float = 30.0
    #: Runs that were handed over and that their hosts have not taken yet.
    handed: dict[RunId, Lease] = field(default_factory=dict)
    #: Who looks at files that flows wait for; None: nobody.
    looks: Looks | None = None
    #: Between two looks at the same files.
    look_pause: timedelta = timedelta(seconds=10)
    _schedules: dict[str, Schedule] = field(default_factory=dict)
    #: Of each version its tasks, and its parameters.
    _versions: dict[str, tuple[tuple[TaskId, ...], frozenset[str]]] = field(default_factory=dict)
    _looked_after: datetime | None = None

    def __post_init__(self) -> None:
        self.backfilling = Backfilling(self.store, self.owner, self.seconds, self.schedule_of)
        self._arriving = Arriving(self, self.looks, self.look_pause)

    def tick(self, now: datetime) -> None:
        """One turn. What fails for one flow is logged and keeps no other from starting."""
        self.plan(now)
        self._arriving.turn(now)
        self.backfilling.advance(now)
        self.take(now)
        if self._looked_after is None or not timedelta() <= now - self._looked_after < _LOOK_AFTER:
            self._looked_after = now
            self.take_orphans()

    # --- runs are made -------------------------------------------------------------------------------------------------

    def plan(self, now: datetime) -> None:
        """Make the runs that are due. A flow that waits for something is left alone until the next turn."""
        waiting: set[str] = set()
        while True:
            due = [each for each in self.store.deployments.due(now, _PAGE + len(waiting)) if each.name not in waiting]
            if not due:
                return
            for deployment in due:
                try:
                    if not self._plan(deployment, now):
                        waiting.add(deployment.name)
                except UserError as error:  # what the database cannot do now says nothing of a schedule
                    waiting.add(deployment.name)
                    self._stop(deployment, str(error))

    def _plan(self, deployment: Deployment, now: datetime) -> bool:
        """Whether this deployment was looked after: its next run made, passed over, or still to come."""
        deployments = self.store.deployments
        schedule = self.schedule_of(deployment)
        planned = schedule.next_run(deployment.last, now, deployment.since)
        if planned is None or planned.run_after > now:
            deployments.make_run(replace(deployment, next_run=planned.run_after if planned else None), None)
            return True
        active = self._active(deployment.name) if self._asks_for_active(schedule) else ()
        if isinstance(schedule.timetable, ContinuousTimetable) and (active or planned.interval.start >= planned.interval.end):
            return False
        if schedule.catchup == "all" and len(active) >= _BACKLOG:
            return False
        if self.pauses(deployment, schedule, now):
            return True
        following = advanced(deployment, schedule, planned, now)
        if schedule.on_overlap is Overlap.SKIP and len(active) >= schedule.max_active_runs:
            deployments.make_run(_passed_over(following, planned), None)
            return True
        run = planned_run(deployment, schedule, planned, now)
        if deployments.make_run(following, run, self.records_of(deployment.version)) and schedule.on_overlap is Overlap.CANCEL_PREVIOUS:
            self.make_room(active, run, schedule, now)
        return True

    def _active(self, name: str) -> tuple[RunRecord, ...]:
        """Backfills neither hold up what is due nor are cancelled for it."""
        return tuple(run for run in self.store.deployments.active(name) if run.run_type != BACKFILL)

    @staticmethod
    def _asks_for_active(schedule: Schedule) -> bool:
        return schedule.on_overlap is not Overlap.QUEUE or schedule.catchup == "all" or isinstance(schedule.timetable, ContinuousTimetable)

    def make_room(self, active: Sequence[RunRecord], run: RunRecord, schedule: Schedule, now: datetime) -> None:
        """The oldest runs make room for this one."""
        for other in active[: max(0, len(active) + 1 - schedule.max_active_runs)]:
            why = Request(kind="cancel", by=f"{run.run_id}, which is due", at=now)
            try:
                self.store.leave_request(other.run_id, why)
            except UserError:
                continue  # it has ended meanwhile

    def _stop(self, deployment: Deployment, why: str) -> None:
        """A schedule that cannot be followed any more (its zone is gone from tzdata) says so instead of being tried again and again."""
        _log.warning("flow %s is not scheduled: %s", deployment.name, why)
        self.store.deployments.change(deployment.name, lambda stored: replace(stored, next_run=None, error=why))

    def pauses(self, deployment: Deployment, schedule: Schedule, now: datetime) -> bool:
        return pause_if_failing(self.store.deployments, deployment.name, schedule.max_consecutive_failed_runs, now)

    # --- runs are taken ------------------------------------------------------------------------------------------------

    def take(self, now: datetime) -> None:
        """Take queued runs in turn, as long as there is room and their flows allow it."""
        full: set[str] = set()
        full_backfills: set[int] = set()
        while (room := self.launcher.room()) > 0:
            queued = self.store.deployments.queued(_PAGE, without=tuple(full), without_backfills=tuple(full_backfills))
            taken = 0
            for run in queued:
                if taken >= room:
                    return
                is_backfill = run.run_type == BACKFILL
                if is_backfill and taken + 1 >= room and self.backfilling.is_running():
                    return  # the last place is left to a run that will be due
                is_full = run.backfill in full_backfills if is_backfill else run.deployment in full
                if not is_full and self._take(run, now):
                    taken += 1
                elif is_backfill:
                    full_backfills.add(run.backfill)
                else:
                    full.add(run.deployment)
            if len(queued) < _PAGE:
                return

    def _take(self, run: RunRecord, now: datetime) -> bool:
        """False when no run of this flow, or of its backfill, can be taken now."""
        deployments = self.store.deployments
        try:
            deployment = deployments.get(run.deployment)
            schedule = self.schedule_of(deployment)
        except NbflowError as error:
            _log.warning("run %s waits: %s", run.run_id, error)
            return False
        if run.run_type not in _ASKED_FOR and self.pauses(deployment, schedule, now):
            return False
        lease = deployments.promote(run.run_id, schedule.max_active_runs, self.owner, self.seconds)
        if lease is None:
            return False
        self._hand_over(run, lease)
        return True

    def take_orphans(self) -> None:
        """Take the runs of hosts and schedulers that are gone, and have them gone on with."""
        orphans: dict[RunId, str] = dict.fromkeys(self.store.deployments.orphans(), "")
        for run_id, owner in self.store.holders().items():
            if self.launcher.is_dead(owner):
                orphans.setdefault(run_id, owner)
        for run_id, owner in orphans.items():
            run = self.store.run(run_id)
            if not run.deployment or run_id in self.handed:
                continue
            lease = self.store.claim(run_id, self.owner, self.seconds, owner)
            if lease is None:
                continue
            if run.hosts >= MOST_HOSTS:
                self.launcher.give_up(lease, f"The process that hosted this run ended {MOST_HOSTS} times.")
                continue
            _log.warning("run %s goes on: whoever drove it is gone", run_id)
            self._hand_over(run, lease)

    def _hand_over(self, run: RunRecord, lease: Lease) -> None:
        self.handed[run.run_id] = lease
        self.launcher.launch(run, lease)

    def renew(self) -> None:
        """Keep the runs that were handed over until their hosts take them."""
        for run_id, lease in list(self.handed.items()):
            try:
                self.store.renew(lease)
            except Superseded:
                self.handed.pop(run_id, None)
            except NbflowError as error:
                _log.warning("the lease of run %s could not be renewed: %s", run_id, error)

    def let_go(self, run_id: RunId, why: str = "") -> None:
        """It is hosted no more. If it is still ours, no host has taken it: it becomes an orphan at once.

        `why` is a sentence about what kept it from being hosted, and empty where that says nothing of it, as when the database was away. With
        it, the try counts like a host that died: the next one waits, longer each time, and after the last one the run has failed.
        """
        lease = self.handed.pop(run_id, None)
        if lease is None:
            return
        try:
            wait = self._count(lease, why) if why else 0.0
        except Superseded:
            return  # its host had taken it
        if wait is not None:
            self.store.claim(run_id, self.owner, wait, self.owner)  # a lease of so long, which nobody renews

    def _count(self, lease: Lease, why: str) -> float | None:
        """Seconds until the run may be tried again; None when it is over. Raises Superseded."""
        run = self.store.run(lease.run_id)
        if run.state.is_finished:
            return None
        tries = run.hosts + 1
        self.store.commit(lease, [], run=replace(run, hosts=tries))
        if tries >= MOST_HOSTS:
            self.launcher.give_up(lease, f"Nobody could host this run in {MOST_HOSTS} tries. {why}")
            return None
        wait = min(_FIRST_WAIT * 2.0 ** (tries - 1), _LONGEST_WAIT)
        _log.warning("run %s could not be hosted and is tried again in %.0f s: %s", run.run_id, wait, why)
        return wait

    # --- what is known of deployments ---------------------------------------------------------------------------------

    def schedule_of(self, deployment: Deployment) -> Schedule:
        """Read once for all deployments that say the same."""
        keys = json.dumps(deployment.schedule, sort_keys=True, default=str)
        found = self._schedules.get(keys)
        if found is None:
            if len(self._schedules) > 50_000:
                self._schedules.clear()
            found = self._schedules[keys] = self.read(deployment.schedule)
        return found

    def records_of(self, version: str) -> tuple[TaskRecord, ...]:
        return tuple(TaskRecord(key=TaskKey(task)) for task in self._known(version)[0])

    def parameters_of(self, version: str) -> frozenset[str]:
        return self._known(version)[1]

    def _known(self, version: str) -> tuple[tuple[TaskId, ...], frozenset[str]]:
        found = self._versions.get(version)
        if found is None:
            if len(self._versions) > 50_000:
                self._versions.clear()
            flow = self.store.flow(version)
            tasks, parameters = tuple(task.id for task in flow.tasks), frozenset(parameter.name for parameter in flow.parameters)
            found = self._versions[version] = (tasks, parameters)
        return found


def _passed_over(following: Deployment, planned: PlannedRun) -> Deployment:
    first = following.missed_from if planned.missed else planned.logical_date
    return replace(following, missed_from=first, missed_until=planned.logical_date)
