# SPDX-License-Identifier: BSD-3-Clause
"""What happened that deployments wait for: the queries.

An occasion reaches who waits for it in the transaction it happened in, one row for each deployment. A transaction that takes occasions, or writes
down what was seen of files, holds the deployment's row, as all do that make its runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, Row, Text, bindparam, func, insert, literal_column, select

from nbflow.core.ids import RunId
from nbflow.core.occasions import MOST_UPDATES, AssetUse, Kind, Occasion, occasions_of
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.watching import Watch
from nbflow.store.asset_uses import asset_uses
from nbflow.store.codec import decode, encode, instant, micros
from nbflow.store.database import Database
from nbflow.store.rows import column_text
from nbflow.store.runs import Runs
from nbflow.store.schema import asset_event, reference
from nbflow.store.schema import deployment as deployment_table
from nbflow.store.schema import file_watch as watch_table
from nbflow.store.schema import occasion as occasion_table
from nbflow.store.sentences import taken

_OCCASION, _WATCH, _DEPLOYMENT = occasion_table.c, watch_table.c, deployment_table.c
Create = Callable[[Connection, RunRecord, Sequence[TaskRecord]], bool]


class _Stale(Exception):
    """Somebody else was there first: the transaction is rolled back."""


class Occasions:
    """Queries on `asset_event`, `occasion` and `watch`."""

    def __init__(self, database: Database, runs: Runs, create: Create) -> None:
        """`create` makes a run; False where its id is taken."""
        self._database, self._runs, self._create = database, runs, create
        self._insert_update = database.statement(asset_event.insert().returning(asset_event.c.id), ["asset", "at", "record"])
        updates = asset_event.c
        of_one = updates.asset == bindparam("of")
        self._oldest = database.statement(
            select(updates.id).where(of_one).order_by(updates.id.desc()).offset(bindparam("most", type_=Integer)).limit(1)
        )
        self._forget = database.statement(asset_event.delete().where(of_one, updates.id <= bindparam("until")))
        columns = reference.c
        listening = (
            select(columns.name, columns.role, columns.subject, literal_column("1"), bindparam("new_record", type_=Text))
            .join(deployment_table, _DEPLOYMENT.name == columns.name)
            .where(columns.role == bindparam("role"), columns.subject == bindparam("of"), _DEPLOYMENT.paused == 0)
        )
        names = ["name", "kind", "subject", "fresh", "record"]
        self._tell = database.statement(insert(occasion_table).from_select(names, listening), names=[])
        this = _DEPLOYMENT.name == bindparam("this")
        self._lock = database.statement(select(_DEPLOYMENT.paused).where(this).with_for_update())
        watched = (_WATCH.name == bindparam("this")) & (_WATCH.url == bindparam("place")) & (_WATCH.revision == bindparam("seen"))
        self._take_watch = database.statement(
            watch_table.update().where(watched).values(due_at=bindparam("due"), revision=bindparam("seen") + 1)
        )
        self._put_watch = database.statement(
            watch_table.update()
            .where(watched)
            .values(due_at=bindparam("due"), revision=bindparam("seen") + 1, record=bindparam("new_record"))
        )

    # where it happens

    def record(self, connection: Connection, run_id: str, changes: Iterable[Change]) -> None:
        """What these changes of a run mean to those who wait, in their own transaction."""
        self._record(connection, occasions_of(changes, lambda: self._runs.lock(connection, run_id)))

    def update(self, occasion: Occasion) -> Occasion:
        with self._database.writing() as connection:
            (id,) = self._record(connection, [occasion])
        return replace(occasion, id=id)

    def _record(self, connection: Connection, occasions: Iterable[Occasion]) -> list[int]:
        """Returns the ids of the updates of assets among them."""
        updated: set[str] = set()
        ids: list[int] = []
        for occasion in occasions:
            record, subject = encode(occasion), column_text(occasion.subject)
            if occasion.kind is Kind.ASSET:
                updated.add(subject)
                done = self._insert_update.run(connection, asset=subject, at=micros(occasion.at), record=record)
                ids.append(done.scalar_one())
            self._tell.run(connection, role=occasion.kind.value, of=subject, new_record=record)
        for asset in sorted(updated):  # in one order: drivers that do the same at once wait for each other, and not in a circle
            oldest = self._oldest.run(connection, of=asset, most=MOST_UPDATES).scalar_one_or_none()
            if oldest is not None:
                self._forget.run(connection, of=asset, until=oldest)
        return ids

    # assets

    def assets(self) -> tuple[AssetUse, ...]:
        columns = asset_event.c
        counted = select(columns.asset, func.count(), func.max(columns.id)).group_by(columns.asset)
        roles = select(reference.c.subject, reference.c.role, reference.c.name).where(reference.c.role.in_(["asset", "outlet", "inlet"]))
        with self._database.reading() as connection:
            counts = connection.execute(counted).all()
            named = connection.execute(roles.order_by(reference.c.name)).all()
            newest = connection.execute(select(columns.id, columns.record).where(columns.id.in_([row[2] for row in counts]))).all()
        records = {id: replace(decode(Occasion, record), id=id) for id, record in newest}
        return asset_uses({asset: (count, records[id]) for asset, count, id in counts}, [(row[0], row[1], row[2]) for row in named])

    def updates_of(self, asset: str, limit: int = 50) -> tuple[Occasion, ...]:
        columns = asset_event.c
        query = select(columns.id, columns.record).where(columns.asset == asset).order_by(columns.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return tuple(replace(decode(Occasion, record), id=id) for id, record in connection.execute(query))

    # who waits

    def pending(self, limit: int = 100, *, without: Collection[str] = ()) -> tuple[str, ...]:
        query = (
            select(_OCCASION.name)
            .join(deployment_table, _DEPLOYMENT.name == _OCCASION.name)
            .where(_OCCASION.fresh == 1, _DEPLOYMENT.paused == 0)
            .group_by(_OCCASION.name)
            .order_by(func.min(_OCCASION.id))
        )
        if without:
            query = query.where(_OCCASION.name.not_in(without))
        with self._database.reading() as connection:
            return tuple(connection.scalars(query.limit(limit)))

    def waiting(self, name: str) -> tuple[Occasion, ...]:
        query = select(_OCCASION.id, _OCCASION.record).where(_OCCASION.name == name).order_by(_OCCASION.id)
        with self._database.reading() as connection:
            return tuple(replace(decode(Occasion, record), id=id) for id, record in connection.execute(query))

    def looked(self, name: str, ids: Sequence[int]) -> None:
        with self._database.writing() as connection:
            connection.execute(occasion_table.update().where(_OCCASION.name == name, _OCCASION.id.in_(ids)).values(fresh=0))

    def start(self, name: str, ids: Sequence[int], run: RunRecord | None, tasks: Sequence[TaskRecord] = ()) -> bool:
        try:
            with self._database.writing() as connection:
                self._hold(connection, name)
                gone = connection.execute(occasion_table.delete().where(_OCCASION.name == name, _OCCASION.id.in_(ids)))
                _expect(gone.rowcount == len(set(ids)))
                if run is not None:
                    self._make(connection, run, tasks)
        except _Stale:
            return False
        return True

    # files

    def due_watches(self, now: datetime, limit: int = 100) -> tuple[Watch, ...]:
        query = select(watch_table).join(deployment_table, _DEPLOYMENT.name == _WATCH.name)
        query = query.where(_WATCH.due_at <= micros(now), _DEPLOYMENT.paused == 0)
        with self._database.reading() as connection:
            return tuple(_watch(row) for row in connection.execute(query.order_by(_WATCH.due_at, _WATCH.name, _WATCH.url).limit(limit)))

    def watches(self, name: str) -> tuple[Watch, ...]:
        with self._database.reading() as connection:
            return tuple(_watch(row) for row in connection.execute(select(watch_table).where(_WATCH.name == name).order_by(_WATCH.url)))

    def take_watch(self, watch: Watch, until: datetime) -> Watch | None:
        with self._database.writing() as connection:
            done = self._take_watch.run(connection, this=watch.name, place=watch.url, seen=watch.revision, due=micros(until))
        return replace(watch, due=until, revision=watch.revision + 1) if done.rowcount else None

    def settle_watch(self, watch: Watch, runs: Sequence[tuple[RunRecord, Sequence[TaskRecord]]] = ()) -> bool:
        values: dict[str, Any] = {"due": micros(watch.due), "new_record": encode(replace(watch, revision=0))}
        try:
            with self._database.writing() as connection:
                self._hold(connection, watch.name)
                _expect(self._put_watch.run(connection, this=watch.name, place=watch.url, seen=watch.revision, **values).rowcount == 1)
                for run, tasks in runs:
                    self._make(connection, run, tasks)
        except _Stale:
            return False
        return True

    # how

    def _hold(self, connection: Connection, name: str) -> None:
        _expect(self._lock.run(connection, this=name).scalar_one_or_none() == 0)

    def _make(self, connection: Connection, run: RunRecord, tasks: Sequence[TaskRecord]) -> None:
        if not self._create(connection, run, tasks):
            raise taken(RunId(run.run_id))


def _expect(fact: bool) -> None:  # noqa: FBT001 - reads as an assertion
    if not fact:
        raise _Stale


def _watch(row: Row[Any]) -> Watch:
    return replace(decode(Watch, row.record), due=instant(row.due_at), revision=row.revision)
