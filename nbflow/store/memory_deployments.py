# SPDX-License-Identifier: BSD-3-Clause
"""Deployments in this process: what `deployments.py` promises, over the runs of a MemoryStore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from nbflow.core.backfills import BACKFILL
from nbflow.core.deployments import AuditEntry, DeployedVersion, Deployment, SchedulerRecord
from nbflow.core.ids import RunId
from nbflow.core.records import Lease, RunRecord, TaskRecord
from nbflow.core.states import RunState
from nbflow.store.codec import micros
from nbflow.store.sentences import date_taken, deployment_taken, taken, unknown_deployment

if TYPE_CHECKING:
    from nbflow.store.memory import MemoryStore


class MemoryDeployments:
    """Every method takes the lock of the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._found: dict[str, Deployment] = {}
        self._versions: dict[str, list[DeployedVersion]] = {}
        self._schedulers: dict[str, tuple[SchedulerRecord, datetime]] = {}
        self._audit: list[AuditEntry] = []

    # deployments

    def create(self, deployment: Deployment) -> None:
        with self._store.lock:
            if deployment.name in self._found:
                raise deployment_taken(deployment.name)
            self._found[deployment.name] = self._store.kept(deployment)
            self._store.occasions.change(None, deployment)

    def get(self, name: str) -> Deployment:
        with self._store.lock:
            return self._get(name)

    def find(self, *, after: str = "", limit: int = 1000) -> tuple[Deployment, ...]:
        with self._store.lock:
            return tuple(self._found[name] for name in sorted(self._found) if name > after)[:limit]

    def change(self, name: str, change: Callable[[Deployment], Deployment]) -> Deployment:
        with self._store.lock:
            stored = self._get(name)
            changed = self._found[name] = self._store.kept(replace(change(stored), revision=stored.revision + 1))
            if changed.paused_by and changed.paused_by != stored.paused_by:
                self._store.notifications.look_again(changed.paused_by, changed.paused_at or changed.deployed_at)
            self._store.occasions.change(stored, changed)
            return changed

    def delete(self, name: str) -> None:
        with self._store.lock:
            self._store.occasions.change(self._get(name), None)
            del self._found[name]

    def add_version(self, version: DeployedVersion) -> None:
        with self._store.lock:
            self._versions.setdefault(version.name, []).append(self._store.kept(version))

    def versions(self, name: str) -> tuple[DeployedVersion, ...]:
        with self._store.lock:
            return tuple(reversed(self._versions.get(name, [])))

    # runs

    def due(self, now: datetime, limit: int = 100) -> tuple[Deployment, ...]:
        with self._store.lock:
            found = [(each.next_run, each.name, each) for each in self._found.values() if each.next_run and not each.paused]
        return tuple(each for when, _, each in sorted(found, key=lambda entry: entry[:2]) if when <= now)[:limit]

    def make_run(self, planned: Deployment, run: RunRecord | None, tasks: Sequence[TaskRecord] = ()) -> bool:
        with self._store.lock:
            stored = self._found.get(planned.name)
            if stored is None or stored.revision != planned.revision:
                return False
            self._found[planned.name] = self._store.kept(replace(planned, revision=planned.revision + 1))
            if run is not None and self._store.other_of(run) is None:
                self._store.add(run, tasks)
            return True

    def add_run(self, run: RunRecord, tasks: Sequence[TaskRecord]) -> RunRecord:
        with self._store.lock:
            other = self._store.other_of(run)
            if other is None:
                self._store.add(run, tasks)
                return run
            if run.idempotency_key and other.idempotency_key == run.idempotency_key and other.deployment == run.deployment:
                return other
            raise taken(run.run_id) if other.run_id == run.run_id else date_taken(run, other.run_id)

    def next_due(self) -> datetime | None:
        with self._store.lock:
            return min((each.next_run for each in self._found.values() if each.next_run and not each.paused), default=None)

    def queued(self, limit: int = 100, *, without: Sequence[str] = (), without_backfills: Sequence[int] = ()) -> tuple[RunRecord, ...]:
        with self._store.lock:
            waiting = [
                run
                for run in self._store.records()
                if run.state is RunState.QUEUED and run.deployment in self._found and not self._found[run.deployment].paused
                if not self._store.owner_of(run.run_id) and self._store.backfills.limit_of(run) != 0
                if (run.backfill not in without_backfills if run.run_type == BACKFILL else run.deployment not in without)
            ]
        return tuple(sorted(waiting, key=_turn)[:limit])

    def active(self, name: str) -> tuple[RunRecord, ...]:
        with self._store.lock:
            return tuple(sorted((run for run in self._of(name) if not run.state.is_finished), key=_age))

    def ended(self, name: str, limit: int, *, backfills: bool = True) -> tuple[RunRecord, ...]:
        with self._store.lock:
            found = [run for run in self._of(name) if run.state.is_finished and (backfills or run.run_type != BACKFILL)]
        return tuple(sorted(found, key=_age, reverse=True)[:limit])

    def promote(self, run_id: str, limit: int, owner: str, seconds: float) -> Lease | None:
        with self._store.lock:
            run = self._store.record_of(run_id)
            deployment = self._found.get(run.deployment) if run else None
            if run is None or deployment is None or deployment.paused or self._store.owner_of(run_id):
                return None
            own = limit if run.run_type != BACKFILL else self._store.backfills.limit_of(run)
            others = [one for one in self._of(run.deployment) if not one.state.is_finished and _line(one) == _line(run)]
            held = [one for one in others if one.state is RunState.RUNNING or self._store.owner_of(one.run_id)]
            if own is not None and len(held) >= own:
                return None
            return self._store.claim(run_id, owner, seconds)

    def orphans(self) -> tuple[RunId, ...]:
        lapsed = self._store.lapsed_runs()
        with self._store.lock:
            return tuple(one for one in lapsed if self._store.owner_of(one) and (run := self._store.record_of(one)) and run.deployment)

    # who is there

    def announce(self, scheduler: SchedulerRecord, seconds: float) -> None:
        with self._store.lock:
            if seconds <= 0:
                self._schedulers.pop(scheduler.owner, None)
            else:
                self._schedulers[scheduler.owner] = (scheduler, self._store.after(seconds))

    def schedulers(self) -> tuple[SchedulerRecord, ...]:
        with self._store.lock:
            now = self._store.after(0)
            return tuple(record for _, (record, until) in sorted(self._schedulers.items()) if until > now)

    # what people did

    def note(self, entry: AuditEntry) -> None:
        with self._store.lock:
            self._audit.append(replace(self._store.kept(entry), id=len(self._audit) + 1))

    def audit(self, about: str = "", limit: int = 50) -> tuple[AuditEntry, ...]:
        with self._store.lock:
            return tuple(entry for entry in reversed(self._audit) if about in ("", entry.about))[:limit]

    # under the lock

    def is_open(self, name: str) -> bool:
        """It is there, and not paused."""
        return name in self._found and not self._found[name].paused

    def _get(self, name: str) -> Deployment:
        if name not in self._found:
            raise unknown_deployment(name, sorted(self._found))
        return self._found[name]

    def _of(self, name: str) -> list[RunRecord]:
        return self._store.records_of(name)


def _turn(run: RunRecord) -> tuple[bool, datetime, int, datetime, str]:
    return run.run_type == BACKFILL, run.run_after or run.created_at, run.place, run.created_at, run.run_id


def _line(run: RunRecord) -> int | None:
    """Among which runs of the flow it counts."""
    return run.backfill if run.run_type == BACKFILL else None


def _age(run: RunRecord) -> tuple[int, str]:
    return micros(run.created_at), run.run_id
