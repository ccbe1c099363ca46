# SPDX-License-Identifier: BSD-3-Clause
"""The attempts of task instances, and which artifacts each run refers to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select

from nbflow.core.records import AttemptRecord
from nbflow.store.codec import decode
from nbflow.store.database import Database
from nbflow.store.schema import artifact_reference
from nbflow.store.schema import attempt as attempt_table

_NAMES = ["token", "run_id", "task_id", "map_index", "outcome", "record"]


class Attempts:
    """Queries on `attempt` and `artifact_reference`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        columns = attempt_table.c
        this = columns.run_id == bindparam("this")
        self._upsert = database.upsert(attempt_table, key=["token"], changing=["outcome", "record"], names=_NAMES)
        self._refer = database.upsert(artifact_reference, key=["run_id", "hash"], changing=[])
        self._of_run = select(columns.record).where(columns.run_id == bindparam("this")).order_by(columns.id)
        self._delete = database.statement(attempt_table.delete().where(this))
        other = artifact_reference.alias("other")
        mine = artifact_reference.c.run_id == bindparam("this")
        elsewhere = select(other.c.hash).where(other.c.hash == artifact_reference.c.hash, other.c.run_id != artifact_reference.c.run_id)
        self._only_mine = database.statement(
            select(artifact_reference.c.hash).where(mine, ~elsewhere.exists()).order_by(artifact_reference.c.hash)
        )
        self._forget = database.statement(artifact_reference.delete().where(mine))

    def record(self, connection: Connection, run_id: str, rows: Iterable[Mapping[str, Any]], hashes: Iterable[str]) -> None:
        """Attempts as rows, and the artifacts they refer to."""
        self._upsert.run_many(connection, rows)
        self.refer(connection, run_id, hashes)

    def refer(self, connection: Connection, run_id: str, hashes: Iterable[str]) -> None:
        """The run needs these artifacts."""
        self._refer.run_many(connection, [{"run_id": run_id, "hash": hash} for hash in sorted(hashes)])

    def of(self, run_id: str, task_id: str, map_index: int | None) -> tuple[AttemptRecord, ...]:
        query = self._of_run
        if task_id:
            query = query.where(attempt_table.c.task_id == task_id)
        if map_index is not None:
            query = query.where(attempt_table.c.map_index == map_index)
        with self._database.reading() as connection:
            texts = connection.scalars(query, {"this": run_id}).all()
        return tuple(decode(AttemptRecord, text) for text in texts)

    def delete(self, connection: Connection, run_id: str) -> tuple[str, ...]:
        """Returns the artifacts that only this run referred to."""
        hashes = tuple(row[0] for row in self._only_mine.run(connection, this=run_id))
        self._forget.run(connection, this=run_id)
        self._delete.run(connection, this=run_id)
        return hashes
