# SPDX-License-Identifier: BSD-3-Clause
"""Deployments, the runs that come from them, the schedulers that make them: the queries.

A transaction that makes or takes runs of a deployment holds the deployment's row, so that schedulers on any number of machines queue up there
and nowhere else. Whether a run was taken is read from its lease, which has an owner from then on until it is given back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, func, or_, select

from nbflow.core.backfills import BACKFILL
from nbflow.core.deployments import AuditEntry, DeployedVersion, Deployment, SchedulerRecord
from nbflow.core.ids import RunId
from nbflow.core.records import Lease, RunRecord, TaskRecord
from nbflow.core.states import RunState
from nbflow.store.codec import decode, encode, instant, micros
from nbflow.store.database import Database, now_micros
from nbflow.store.leases import Leases
from nbflow.store.notifications import Notifications
from nbflow.store.references import References
from nbflow.store.rows import run_row
from nbflow.store.runs import Runs
from nbflow.store.schema import audit as audit_table
from nbflow.store.schema import backfill as backfill_table
from nbflow.store.schema import deployment as deployment_table
from nbflow.store.schema import deployment_version
from nbflow.store.schema import lease as lease_table
from nbflow.store.schema import run as run_table
from nbflow.store.schema import scheduler as scheduler_table
from nbflow.store.sentences import date_taken, deployment_taken, taken, unknown_deployment

_UNFINISHED = tuple(state.value for state in RunState if not state.is_finished)
_FINISHED = tuple(state.value for state in RunState if state.is_finished)
_RUN, _LEASE, _DEPLOYMENT = run_table.c, lease_table.c, deployment_table.c
#: Whose turn it is: backfills after the others, each in its own order; then the longest due.
_TURN = (case((_RUN.run_type == BACKFILL, 1), else_=0), _RUN.run_after, _RUN.place, _RUN.created_at, _RUN.run_id)
#: It makes no runs now. One that was cancelled and is over holds nothing up: a run of it that somebody retries is taken as any other.
_PAUSED_BACKFILLS = select(backfill_table.c.id).where(backfill_table.c.paused == 1, backfill_table.c.ended == 0)
_TAKEN = or_(_RUN.state == RunState.RUNNING.value, _LEASE.owner != "")


class Deployments:
    """Queries on `deployment`, `deployment_version`, `scheduler`, `audit`, and on `run` as far as deployments go."""

    def __init__(self, database: Database, runs: Runs, leases: Leases, notifications: Notifications) -> None:
        self._database, self._runs, self._leases, self._notifications = database, runs, leases, notifications
        self._references = References(database)
        this = _DEPLOYMENT.name == bindparam("this")
        self._insert = database.insert_new(deployment_table)
        self._select = database.statement(select(_DEPLOYMENT.record).where(this))
        self._lock = database.statement(select(_DEPLOYMENT.record).where(this).with_for_update())
        changed: dict[str, Any] = {"next_run_at": bindparam("due"), "paused": bindparam("is_paused"), "record": bindparam("new_record")}
        self._update = database.statement(
            deployment_table.update()
            .where(this, _DEPLOYMENT.revision == bindparam("seen"))
            .values(**changed, revision=bindparam("seen") + 1)
        )
        self._delete = database.statement(deployment_table.delete().where(this))
        self._insert_version = database.insert(deployment_version)
        self._insert_run = database.insert_new(run_table)
        of = _RUN.deployment == bindparam("of")
        self._with_key = database.statement(select(_RUN.record).where(of, _RUN.idempotency_key == bindparam("key")))
        self._with_date = database.statement(select(_RUN.run_id).where(of, _RUN.logical_date == bindparam("date")))
        taken_runs = (
            select(func.count())
            .select_from(run_table.join(lease_table, _LEASE.run_id == _RUN.run_id))
            .where(or_(*(_RUN.state == state for state in _UNFINISHED)), _TAKEN)
        )
        self._count_taken = database.statement(taken_runs.where(of, _RUN.run_type != BACKFILL))
        self._count_taken_of = database.statement(taken_runs.where(_RUN.backfill == bindparam("backfill")))
        this_one = backfill_table.c.id == bindparam("backfill")
        self._limit_of = database.statement(
            select(case(((backfill_table.c.paused == 1) & (backfill_table.c.ended == 0), 0), else_=backfill_table.c.max_active)).where(
                this_one
            )
        )
        self._announce = database.upsert(scheduler_table, key=["owner"], changing=["expires_at", "record"])
        self._announce_for = database.statement(
            scheduler_table.update()
            .where(scheduler_table.c.owner == bindparam("who"))
            .values(expires_at=now_micros() + bindparam("micros"))
        )
        self._leave = database.statement(
            scheduler_table.delete().where(or_(scheduler_table.c.owner == bindparam("who"), scheduler_table.c.expires_at <= now_micros()))
        )
        self._insert_audit = database.insert(audit_table, names=["about", "record"])

    # deployments

    def create(self, deployment: Deployment) -> None:
        with self._database.writing() as connection:
            if not self._insert.run(connection, **_row(deployment)).rowcount:
                raise deployment_taken(deployment.name)
            self._references.change(connection, None, deployment)

    def get(self, name: str) -> Deployment:
        with self._database.reading() as connection:
            return self._decoded(connection, name, self._select.run(connection, this=name).scalar_one_or_none())

    def find(self, *, after: str = "", limit: int = 1000) -> tuple[Deployment, ...]:
        query = select(_DEPLOYMENT.record).where(_DEPLOYMENT.name > after).order_by(_DEPLOYMENT.name).limit(limit)
        return self._deployments(query)

    def change(self, name: str, change: Callable[[Deployment], Deployment]) -> Deployment:
        with self._database.writing() as connection:
            stored = self._decoded(connection, name, self._lock.run(connection, this=name).scalar_one_or_none())
            changed = replace(change(stored), revision=stored.revision)
            self._put(connection, changed)
            if changed.paused_by and changed.paused_by != stored.paused_by:
                self._notifications.look_again(connection, changed.paused_by, changed.paused_at or changed.deployed_at)
            self._references.change(connection, stored, changed)
        return replace(changed, revision=changed.revision + 1)

    def delete(self, name: str) -> None:
        with self._database.writing() as connection:
            stored = self._decoded(connection, name, self._lock.run(connection, this=name).scalar_one_or_none())
            self._references.change(connection, stored, None)
            self._delete.run(connection, this=name)

    def add_version(self, version: DeployedVersion) -> None:
        with self._database.writing() as connection:
            self._insert_version.run(connection, name=version.name, number=version.number, record=encode(version))

    def versions(self, name: str) -> tuple[DeployedVersion, ...]:
        columns = deployment_version.c
        query = select(columns.record).where(columns.name == name).order_by(columns.number.desc())
        with self._database.reading() as connection:
            texts: Sequence[str] = connection.scalars(query).all()
        return tuple(decode(DeployedVersion, text) for text in texts)

    # runs

    def due(self, now: datetime, limit: int = 100) -> tuple[Deployment, ...]:
        query = select(_DEPLOYMENT.record).where(_DEPLOYMENT.next_run_at <= micros(now))
        return self._deployments(query.order_by(_DEPLOYMENT.next_run_at, _DEPLOYMENT.name).limit(limit))

    def make_run(self, planned: Deployment, run: RunRecord | None, tasks: Sequence[TaskRecord] = ()) -> bool:
        with self._database.writing() as connection:
            if not self._put(connection, planned):
                return False
            if run is not None:
                self.add(connection, run, tasks)
        return True

    def add_run(self, run: RunRecord, tasks: Sequence[TaskRecord]) -> RunRecord:
        with self._database.writing() as connection:
            if self.add(connection, run, tasks):
                return run
            if run.idempotency_key:
                stored = self._with_key.run(connection, of=run.deployment, key=run.idempotency_key).scalar_one_or_none()
                if stored is not None:
                    return decode(RunRecord, stored)
            date = micros(run.logical_date) if run.logical_date else 0
            other = self._with_date.run(connection, of=run.deployment, date=date).scalar_one_or_none()
            raise date_taken(run, other) if other else taken(run.run_id)

    def add(self, connection: Connection, run: RunRecord, tasks: Sequence[TaskRecord]) -> bool:
        """False where the run's id, its logical date or its key is there already."""
        if not self._insert_run.run(connection, **run_row(run, encode(run))).rowcount:
            return False
        self._leases.create(connection, run.run_id)
        self._runs.put_tasks(connection, self._runs.rows_of(run.run_id, tasks))
        self._notifications.begin(connection, run.run_id, 0, run.created_at)
        return True

    def lock(self, connection: Connection, name: str) -> None:
        """Nobody else makes or takes runs of this deployment before the transaction ends. Raises UserError when there is none."""
        self._decoded(connection, name, self._lock.run(connection, this=name).scalar_one_or_none())

    def other_of(self, connection: Connection, run: RunRecord) -> str:
        """The run that has this one's logical date, or its id."""
        date = micros(run.logical_date) if run.logical_date else 0
        other: str | None = self._with_date.run(connection, of=run.deployment, date=date).scalar_one_or_none()
        return other or run.run_id

    def next_due(self) -> datetime | None:
        with self._database.reading() as connection:
            found: int | None = connection.execute(select(func.min(_DEPLOYMENT.next_run_at))).scalar_one_or_none()
        return None if found is None else instant(found)

    def queued(self, limit: int = 100, *, without: Sequence[str] = (), without_backfills: Sequence[int] = ()) -> tuple[RunRecord, ...]:
        query = (
            select(_RUN.record)
            .join(lease_table, _LEASE.run_id == _RUN.run_id)
            .join(deployment_table, _DEPLOYMENT.name == _RUN.deployment)
            .where(_RUN.state == RunState.QUEUED.value, _LEASE.owner == "", _DEPLOYMENT.paused == 0)
            .where(or_(_RUN.backfill.is_(None), _RUN.backfill.not_in(_PAUSED_BACKFILLS)))
        )
        if without:
            query = query.where(or_(_RUN.run_type == BACKFILL, _RUN.deployment.not_in(without)))
        if without_backfills:
            query = query.where(or_(_RUN.backfill.is_(None), _RUN.backfill.not_in(without_backfills)))
        return self._run_records(query.order_by(*_TURN).limit(limit))

    def active(self, name: str) -> tuple[RunRecord, ...]:
        query = select(_RUN.record).where(_RUN.deployment == name, _RUN.state.in_(_UNFINISHED))
        return self._run_records(query.order_by(_RUN.created_at, _RUN.run_id))

    def ended(self, name: str, limit: int, *, backfills: bool = True) -> tuple[RunRecord, ...]:
        query = select(_RUN.record).where(_RUN.deployment == name, _RUN.state.in_(_FINISHED))
        if not backfills:
            query = query.where(_RUN.run_type != BACKFILL)
        return self._run_records(query.order_by(_RUN.created_at.desc(), _RUN.run_id.desc()).limit(limit))

    def promote(self, run_id: str, limit: int, owner: str, seconds: float) -> Lease | None:
        run = self._runs.load(run_id)
        with self._database.writing() as connection:
            stored = self._lock.run(connection, this=run.deployment).scalar_one_or_none()
            if stored is None or decode(Deployment, stored).paused:
                return None
            if self._is_full(connection, run, limit):
                return None
            return self._leases.take_free(connection, run_id, owner, seconds)

    def _is_full(self, connection: Connection, run: RunRecord, limit: int) -> bool:
        if run.run_type != BACKFILL:
            return bool(self._count_taken.run(connection, of=run.deployment).scalar_one() >= limit)
        own = self._limit_of.run(connection, backfill=run.backfill).scalar_one_or_none()
        return own is not None and bool(self._count_taken_of.run(connection, backfill=run.backfill).scalar_one() >= own)

    def orphans(self) -> tuple[RunId, ...]:
        query = (
            select(_RUN.run_id)
            .join(lease_table, _LEASE.run_id == _RUN.run_id)
            .where(_RUN.deployment.is_not(None), _RUN.state.in_(_UNFINISHED), _LEASE.owner != "", _LEASE.expires_at <= now_micros())
        )
        with self._database.reading() as connection:
            return tuple(RunId(run_id) for run_id in connection.scalars(query.order_by(_RUN.created_at, _RUN.run_id)))

    # who is there

    def announce(self, scheduler: SchedulerRecord, seconds: float) -> None:
        with self._database.writing() as connection:
            if seconds <= 0:
                self._leave.run(connection, who=scheduler.owner)
                return
            self._announce.run(connection, owner=scheduler.owner, expires_at=0, record=encode(scheduler))
            self._announce_for.run(connection, who=scheduler.owner, micros=round(seconds * 1_000_000))

    def schedulers(self) -> tuple[SchedulerRecord, ...]:
        columns = scheduler_table.c
        query = select(columns.record).where(columns.expires_at > now_micros()).order_by(columns.owner)
        with self._database.reading() as connection:
            texts: Sequence[str] = connection.scalars(query).all()
        return tuple(decode(SchedulerRecord, text) for text in texts)

    # what people did

    def note(self, entry: AuditEntry) -> None:
        with self._database.writing() as connection:
            self._insert_audit.run(connection, about=entry.about, record=encode(replace(entry, id=0)))

    def audit(self, about: str = "", limit: int = 50) -> tuple[AuditEntry, ...]:
        columns = audit_table.c
        query = select(columns.id, columns.record).order_by(columns.id.desc()).limit(limit)
        if about:
            query = query.where(columns.about == about)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(replace(decode(AuditEntry, record), id=id) for id, record in rows)

    # how

    def _put(self, connection: Connection, deployment: Deployment) -> bool:
        """Over the revision it was read at."""
        row = _row(replace(deployment, revision=deployment.revision + 1))
        values = {"due": row["next_run_at"], "is_paused": row["paused"], "new_record": row["record"]}
        return bool(self._update.run(connection, this=deployment.name, seen=deployment.revision, **values).rowcount)

    def _deployments(self, query: Select[str]) -> tuple[Deployment, ...]:
        with self._database.reading() as connection:
            texts: Sequence[str] = connection.scalars(query).all()
        return tuple(decode(Deployment, text) for text in texts)

    def _run_records(self, query: Select[str]) -> tuple[RunRecord, ...]:
        with self._database.reading() as connection:
            texts: Sequence[str] = connection.scalars(query).all()
        return tuple(decode(RunRecord, text) for text in texts)

    def _decoded(self, connection: Connection, name: str, text: str | None) -> Deployment:
        if text is None:
            raise unknown_deployment(name, self._names(connection))
        return decode(Deployment, text)

    @staticmethod
    def _names(connection: Connection) -> Sequence[str]:
        return connection.scalars(select(_DEPLOYMENT.name).order_by(_DEPLOYMENT.name).limit(1000)).all()


def _row(deployment: Deployment) -> dict[str, Any]:
    is_waiting = deployment.next_run is not None and not deployment.paused
    return {
        "name": deployment.name,
        "next_run_at": micros(deployment.next_run) if is_waiting and deployment.next_run else None,
        "paused": int(deployment.paused),
        "revision": deployment.revision,
        "record": encode(deployment),
    }
