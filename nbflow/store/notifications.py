# SPDX-License-Identifier: BSD-3-Clause
"""The outbox, and the runs that are watched for what is to be told of them: the queries.

A transaction touches the lease before the other tables, as a driver's commit does: a run that goes on is not taken off the watch at that instant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select

from nbflow.core.notifications import Claimed, Notification, Sending, Watched
from nbflow.store.codec import decode, encode, instant, micros
from nbflow.store.database import Database, now_micros
from nbflow.store.rows import column_text
from nbflow.store.schema import lease as lease_table
from nbflow.store.schema import notification as notification_table
from nbflow.store.schema import watch as watch_table
from nbflow.store.sentences import not_to_send_again, unknown_notification

_N, _W, _LEASE = notification_table.c, watch_table.c, lease_table.c
_SEEN = select(_W.run_id, _W.cursor, _W.since, _W.acknowledged, _W.revision)


class Notifications:
    """Queries on `notification` and `watch`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watch = database.upsert(watch_table, key=["run_id"], changing=["look_at"], setting={"revision": _W.revision + 1})
        self._cursor = database.statement(select(_LEASE.cursor).where(_LEASE.run_id == bindparam("this")))
        self._lock = database.statement(select(_LEASE.cursor).where(_LEASE.run_id == bindparam("this")).with_for_update())
        seen = (_W.run_id == bindparam("this")) & (_W.revision == bindparam("seen")) & (_W.cursor == bindparam("at"))
        self._settle = database.statement(
            watch_table.update().where(seen).values(cursor=bindparam("told"), look_at=bindparam("then"), revision=_W.revision + 1)
        )
        self._over = database.statement(watch_table.delete().where(seen))
        self._unwatch = database.statement(watch_table.delete().where(_W.run_id == bindparam("this")))
        self._acknowledge = database.statement(
            watch_table.update()
            .where(_W.run_id == bindparam("this"))
            .values(acknowledged=bindparam("who"), look_at=0, revision=_W.revision + 1)
        )
        self._insert = database.insert_new(
            notification_table, names=[column.name for column in notification_table.columns if column.name != "id"]
        )
        self._claim = database.statement(
            notification_table.update()
            .where(_N.id == bindparam("this"), _N.epoch == bindparam("seen"), _N.next_at.is_not(None))
            .values(owner=bindparam("who"), expires_at=now_micros() + bindparam("micros"), epoch=_N.epoch + 1)
        )
        self._sent = database.statement(
            notification_table.update()
            .where(_N.id == bindparam("this"), _N.epoch == bindparam("seen"), _N.owner == bindparam("who"))
            .values(state=bindparam("new_state"), next_at=bindparam("then"), owner="", expires_at=0, record=bindparam("new_record"))
        )
        self._of_run = database.statement(notification_table.delete().where(_N.run_id == bindparam("this"), _N.next_at.is_(None)))

    # runs

    def watch(self, run_id: str, now: datetime) -> Watched:
        with self._database.writing() as connection:
            self.begin(connection, run_id, 0, now)
            return _seen(connection.execute(_SEEN.where(_W.run_id == run_id)).one())

    def begin(self, connection: Connection, run_id: str, cursor: int, now: datetime) -> None:
        """Watch the run from this cursor on; one that is watched already is looked at again."""
        row = {"run_id": run_id, "cursor": cursor, "look_at": 0, "since": micros(now), "acknowledged": "", "revision": 0}
        self._watch.run(connection, **row)

    def look_again(self, connection: Connection, run_id: str, now: datetime) -> None:
        """Something about the run that does not stand in its log is to be told."""
        cursor = self._cursor.run(connection, this=run_id).scalar_one_or_none()
        if cursor is not None:
            self.begin(connection, run_id, cursor, now)

    def watched(self, now: datetime, limit: int = 100, *, without: Sequence[str] = ()) -> tuple[Watched, ...]:
        grown = or_(_LEASE.cursor > _W.cursor, _W.look_at <= micros(now))
        query = _SEEN.join(lease_table, _LEASE.run_id == _W.run_id).where(grown)
        if without:
            query = query.where(_W.run_id.not_in(without))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(_W.since, _W.run_id).limit(limit)).all()
        return tuple(map(_seen, rows))

    def settle(
        self, seen: Watched, *, cursor: int, look_at: datetime | None, is_over: bool, notifications: Sequence[Notification] = ()
    ) -> bool:
        rows = [_row(each) for each in notifications]
        known = {"this": seen.run_id, "seen": seen.revision, "at": seen.cursor}
        with self._database.writing() as connection:
            if is_over and self._lock.run(connection, this=seen.run_id).scalar_one_or_none() in {cursor, None}:
                changed = self._over.run(connection, **known)
            else:
                then = None if look_at is None else micros(look_at)
                changed = self._settle.run(connection, **known, told=cursor, then=then)
            if not changed.rowcount:
                return False
            for row in rows:
                self._insert.run(connection, **row)
        return True

    def forget(self, seen: Watched) -> None:
        with self._database.writing() as connection:
            self._over.run(connection, this=seen.run_id, seen=seen.revision, at=seen.cursor)

    def acknowledge(self, run_id: str, by: str) -> bool:
        with self._database.writing() as connection:
            return bool(self._acknowledge.run(connection, this=run_id, who=by).rowcount)

    def delete(self, connection: Connection, run_id: str) -> None:
        """What is still to be sent is sent."""
        self._unwatch.run(connection, this=run_id)
        self._of_run.run(connection, this=run_id)

    # the outbox

    def claim(
        self,
        now: datetime,
        owner: str,
        seconds: float,
        *,
        limit: int = 1,
        is_dead: Callable[[str], bool] = lambda _: False,
        only: Sequence[int] | None = None,
    ) -> tuple[Claimed, ...]:
        due = _N.next_at <= micros(now) if only is None else (_N.next_at <= micros(now)) & _N.id.in_(only)
        held = (_N.owner != "") & (_N.expires_at > now_micros())
        with self._database.reading() as connection:
            owners = connection.scalars(select(_N.owner).where(due, held).distinct()).all()
            free = or_(~held, _N.owner.in_([one for one in owners if is_dead(one)]))
            rows = connection.execute(select(_N.id, _N.epoch, _N.record).where(due, free).order_by(_N.next_at, _N.id).limit(limit)).all()
        if not rows:
            return ()
        found = []
        with self._database.writing() as connection:
            for id, epoch, record in rows:
                if self._claim.run(connection, this=id, seen=epoch, who=owner, micros=round(seconds * 1_000_000)).rowcount:
                    found.append(Claimed(notification=_read(id, record), owner=owner, epoch=epoch + 1))
        return tuple(found)

    def sent(self, claimed: Claimed, after: Notification) -> bool:
        row = _row(after)
        values = {"new_state": row["state"], "then": row["next_at"], "new_record": row["record"]}
        with self._database.writing() as connection:
            done = self._sent.run(connection, this=claimed.notification.id, seen=claimed.epoch, who=claimed.owner, **values)
            return bool(done.rowcount)

    def notifications(self, *, flow: str = "", run_id: str = "", state: str = "", limit: int = 50) -> tuple[Notification, ...]:
        query = select(_N.id, _N.record)
        for column, value in ((_N.flow, flow), (_N.run_id, run_id), (_N.state, state)):
            if value:
                query = query.where(column == value)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(_N.id.desc()).limit(limit)).all()
        return tuple(_read(id, record) for id, record in rows)

    def notification(self, id: int) -> Notification:
        with self._database.reading() as connection:
            return self._one(connection, id)

    def send_again(self, id: int, now: datetime) -> Notification:
        with self._database.writing() as connection:
            stored = self._one(connection, id)
            if stored.state is not Sending.FAILED:
                raise not_to_send_again(stored)
            again = replace(stored, state=Sending.WAITING, tries=0, next_at=now)
            row = _row(again)
            query = notification_table.update().where(_N.id == id)
            connection.execute(query.values(state=row["state"], next_at=row["next_at"], record=row["record"]))
        return again

    @staticmethod
    def _one(connection: Connection, id: int) -> Notification:
        record = connection.execute(select(_N.record).where(_N.id == id)).scalar_one_or_none()
        if record is None:
            raise unknown_notification(id)
        return _read(id, record)


def _seen(row: Any) -> Watched:
    run_id, cursor, since, acknowledged, revision = row
    return Watched(run_id=run_id, cursor=cursor, since=instant(since), acknowledged=acknowledged, revision=revision)


def _read(id: int, record: str) -> Notification:
    return replace(decode(Notification, record), id=id)


def _row(one: Notification) -> dict[str, Any]:
    return {
        "key": column_text(one.key),
        "address_hash": one.address_hash,
        "state": one.state.value,
        "next_at": None if one.next_at is None else micros(one.next_at),
        "owner": "",
        "expires_at": 0,
        "epoch": 0,
        "flow": column_text(one.flow),
        "run_id": one.run_id,
        "record": encode(replace(one, id=0)),
    }
