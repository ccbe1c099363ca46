# SPDX-License-Identifier: BSD-3-Clause
"""Which callbacks of a run were called, and how that ended: a resumed run calls those that are not here."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from nbflow.core.callbacks import CallbackRecord
from nbflow.store.codec import decode, encode, micros
from nbflow.store.database import Database
from nbflow.store.schema import callback


class Callbacks:
    """Queries on `callback`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        this = callback.c.run_id == bindparam("this")
        self._put = database.upsert(callback, key=["run_id", "happening", "place"], changing=["at", "record"])
        self._of = database.statement(select(callback.c.record).where(this).order_by(callback.c.at, callback.c.happening, callback.c.place))
        self._delete = database.statement(callback.delete().where(this))

    def note(self, run_id: str, record: CallbackRecord) -> None:
        row = {"run_id": run_id, "happening": record.happening, "place": record.place}
        with self._database.writing() as connection:
            self._put.run(connection, **row, at=micros(record.at), record=encode(record))

    def of(self, run_id: str) -> tuple[CallbackRecord, ...]:
        with self._database.reading() as connection:
            return tuple(decode(CallbackRecord, row[0]) for row in self._of.run(connection, this=run_id))

    def delete(self, connection: Connection, run_id: str) -> None:
        self._delete.run(connection, this=run_id)
