# SPDX-License-Identifier: BSD-3-Clause
"""The change log: every state change of a run, in order, by a cursor that counts within the run (adr/0001)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from nbflow.core.records import Change
from nbflow.store.database import Database
from nbflow.store.rows import read_change
from nbflow.store.schema import change as change_table


class ChangeLog:
    """Queries on `change`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        columns = change_table.c
        this = columns.run_id == bindparam("this")
        self._insert = database.insert(change_table)
        self._after = database.statement(
            select(columns.cursor, columns.task_id, columns.map_index, columns.at, columns.record, columns.task, columns.run)
            .where(this, columns.cursor > bindparam("after"), columns.cursor <= bindparam("until"))
            .order_by(columns.cursor)
        )
        self._delete = database.statement(change_table.delete().where(this))

    def append(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        self._insert.run_many(connection, rows)

    def after(self, run_id: str, cursor: int, limit: int) -> tuple[Change, ...]:
        # Cursors have no gaps, so a limit is a cursor too.
        with self._database.reading() as connection:
            rows = self._after.run(connection, this=run_id, after=cursor, until=cursor + limit)
        return tuple(read_change(row, json.loads(row[4])) for row in rows)

    def delete(self, connection: Connection, run_id: str) -> None:
        self._delete.run(connection, this=run_id)
