# SPDX-License-Identifier: BSD-3-Clause
"""Who may advance a run, and until when (adr/0001). All instants are the database's own."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, or_, select

from nbflow.core.ids import RunId
from nbflow.core.records import Lease
from nbflow.core.states import RunState
from nbflow.store.database import Database, now_micros
from nbflow.store.schema import lease as lease_table
from nbflow.store.schema import run as run_table
from nbflow.store.sentences import superseded

_UNFINISHED = tuple(state.value for state in RunState if not state.is_finished)


class Leases:
    """Queries on `lease`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        columns = lease_table.c
        this = columns.run_id == bindparam("this")
        held = this & (columns.epoch == bindparam("held")) & (columns.owner == bindparam("holder"))
        until = now_micros() + bindparam("micros")
        # The holder itself is no exception: an owner is a process, and two of its threads must not both drive a run.
        free = or_(columns.owner == "", columns.expires_at <= now_micros(), columns.owner == bindparam("gone"))
        self._insert = database.insert(lease_table)
        self._claim = database.statement(
            lease_table.update()
            .where(this, free)
            .values(owner=bindparam("holder"), epoch=columns.epoch + 1, expires_at=until)
            .returning(columns.epoch)
        )
        self._nobodys = database.statement(select(columns.epoch).where(this, columns.owner == ""))
        self._advance = database.statement(
            lease_table.update().where(held).values(expires_at=until, cursor=columns.cursor + bindparam("count")).returning(columns.cursor)
        )
        self._release = database.statement(lease_table.update().where(held).values(owner="", expires_at=0))
        self._delete = database.statement(lease_table.delete().where(this))
        self._lapsed = (
            select(run_table.c.run_id)
            .join(lease_table, lease_table.c.run_id == run_table.c.run_id)
            .where(run_table.c.state.in_(_UNFINISHED), columns.expires_at <= now_micros())
            .order_by(run_table.c.created_at, run_table.c.run_id)
        )

        self._holders = (
            select(run_table.c.run_id, columns.owner)
            .join(lease_table, lease_table.c.run_id == run_table.c.run_id)
            .where(run_table.c.state.in_(_UNFINISHED), columns.owner != "")
        )
        self._holder = database.statement(select(columns.owner).where(this, columns.expires_at > now_micros()))

    def create(self, connection: Connection, run_id: str) -> None:
        """A lease that nobody has had yet."""
        self._insert.run(connection, run_id=run_id, owner="", epoch=0, expires_at=0, cursor=0)

    def take_free(self, connection: Connection, run_id: str, owner: str, seconds: float) -> Lease | None:
        """As `claim`, but only where nobody has it, not even somebody who is gone."""
        epoch = self._nobodys.run(connection, this=run_id).scalar_one_or_none()
        return None if epoch is None else self.claim(connection, run_id, owner, seconds)

    def claim(self, connection: Connection, run_id: str, owner: str, seconds: float, instead_of: str = "") -> Lease | None:
        found = self._claim.run(connection, this=run_id, holder=owner, micros=_micros(seconds), gone=instead_of)
        epoch = found.scalar_one_or_none()
        return None if epoch is None else Lease(run_id=RunId(run_id), owner=owner, epoch=epoch, seconds=seconds)

    def advance(self, connection: Connection, lease: Lease, count: int) -> int:
        """Prove the lease, renew it and take `count` cursors, in one statement; returns the newest cursor. Raises Superseded."""
        micros = _micros(lease.seconds)
        found = self._advance.run(connection, this=lease.run_id, held=lease.epoch, holder=lease.owner, micros=micros, count=count)
        cursor: int | None = found.scalar_one_or_none()
        if cursor is None:
            raise superseded(lease)
        return cursor

    def renew(self, lease: Lease) -> None:
        with self._database.writing() as connection:
            self.advance(connection, lease, 0)

    def release(self, connection: Connection, lease: Lease) -> bool:
        """False when it was superseded."""
        return bool(self._release.run(connection, this=lease.run_id, held=lease.epoch, holder=lease.owner).rowcount)

    def delete(self, connection: Connection, run_id: str) -> None:
        self._delete.run(connection, this=run_id)

    def holders(self) -> dict[RunId, str]:
        with self._database.reading() as connection:
            return {RunId(run_id): owner for run_id, owner in connection.execute(self._holders)}

    def holder(self, run_id: str) -> str:
        with self._database.reading() as connection:
            return self.holder_in(connection, run_id)

    def holder_in(self, connection: Connection, run_id: str) -> str:
        return self._holder.run(connection, this=run_id).scalar_one_or_none() or ""

    def lapsed(self) -> tuple[RunId, ...]:
        with self._database.reading() as connection:
            return tuple(RunId(run_id) for run_id in connection.scalars(self._lapsed))


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)
