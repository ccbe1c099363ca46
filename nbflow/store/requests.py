# SPDX-License-Identifier: BSD-3-Clause
"""What somebody who does not drive a run asks of its driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, select

from nbflow.core.records import Request
from nbflow.store.codec import decode, encode
from nbflow.store.database import Database
from nbflow.store.schema import request as request_table


class Requests:
    """Queries on `request`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        columns = request_table.c
        this = columns.run_id == bindparam("this")
        self._insert = database.statement(request_table.insert().returning(columns.id), ["run_id", "record"])
        self._select = database.statement(select(columns.id, columns.record).where(this).order_by(columns.id))
        self._done = database.statement(request_table.delete().where(this, columns.id == bindparam("done")))
        self._delete = database.statement(request_table.delete().where(this))

    def leave(self, connection: Connection, run_id: str, request: Request) -> int:
        id: int = self._insert.run(connection, run_id=run_id, record=encode(replace(request, id=0))).scalar_one()
        return id

    def waiting(self, run_id: str) -> tuple[Request, ...]:
        with self._database.reading() as connection:
            return self.waiting_in(connection, run_id)

    def waiting_in(self, connection: Connection, run_id: str) -> tuple[Request, ...]:
        rows = self._select.run(connection, this=run_id)
        return tuple(replace(decode(Request, record), id=id) for id, record in rows)

    def done(self, connection: Connection, run_id: str, ids: Sequence[int]) -> None:
        self._done.run_many(connection, [{"this": run_id, "done": id} for id in ids])

    def delete(self, connection: Connection, run_id: str) -> None:
        self._delete.run(connection, this=run_id)
