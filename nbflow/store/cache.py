# SPDX-License-Identifier: BSD-3-Clause
"""Whose result answers a cache key. An entry points at an attempt and lives as long as its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, select

from nbflow.core.ids import RunId, Token
from nbflow.core.records import AttemptRecord
from nbflow.store.codec import decode
from nbflow.store.database import Database
from nbflow.store.schema import attempt as attempt_table
from nbflow.store.schema import cache_entry

#: Up to this many keys are asked for one by one, since one statement for all of them must be compiled first.
_FEW: Final = 8
#: Keys in one statement.
_MANY: Final = 500


class Cache:
    """Queries on `cache_entry`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        columns = cache_entry.c
        self._upsert = database.upsert(cache_entry, key=["key"], changing=["run_id", "token"])
        self._found = select(columns.key, attempt_table.c.run_id, attempt_table.c.record).join(
            attempt_table, attempt_table.c.token == columns.token
        )
        self._find = database.statement(self._found.where(columns.key == bindparam("this")))
        self._made = database.statement(self._found.where(columns.run_id == bindparam("this")))
        self._delete = database.statement(cache_entry.delete().where(columns.run_id == bindparam("this")))

    def record(self, connection: Connection, run_id: str, entries: Mapping[str, Token]) -> None:
        """These attempts answer these keys from now on. In the order of the keys: two runs that record the same never lock each other out."""
        rows = [{"key": key, "run_id": run_id, "token": entries[key]} for key in sorted(entries)]
        self._upsert.run_many(connection, rows)

    def find(self, keys: Sequence[str]) -> dict[str, tuple[RunId, AttemptRecord]]:
        wanted = sorted(set(keys))
        with self._database.reading() as connection:
            if len(wanted) <= _FEW:
                rows = [row for key in wanted for row in self._find.run(connection, this=key)]
            else:
                parts = (wanted[start : start + _MANY] for start in range(0, len(wanted), _MANY))
                rows = [row for part in parts for row in connection.execute(self._found.where(cache_entry.c.key.in_(part)))]
        return {key: (RunId(run_id), decode(AttemptRecord, record)) for key, run_id, record in rows}

    def made_by(self, run_id: str) -> dict[str, tuple[RunId, AttemptRecord]]:
        with self._database.reading() as connection:
            rows = self._made.run(connection, this=run_id)
        return {key: (RunId(run_id), decode(AttemptRecord, record)) for key, _, record in rows}

    def delete(self, connection: Connection, run_id: str) -> None:
        self._delete.run(connection, this=run_id)
