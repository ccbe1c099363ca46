# SPDX-License-Identifier: BSD-3-Clause
"""Runs and their task instances as they stand now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Select, String, bindparam, case, select, tuple_

from nbflow.core.protocols import RunPage
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.store.codec import decode, encode, micros
from nbflow.store.database import Database
from nbflow.store.paging import as_page, earlier, read_page_cursor
from nbflow.store.rows import KEPT, column_text, in_order, run_row, task_row
from nbflow.store.schema import run as run_table
from nbflow.store.schema import run_capture, task_instance
from nbflow.store.sentences import taken, unknown

_UNFINISHED: Final = tuple(state.value for state in RunState if not state.is_finished)
#: What may be another during the life of a run: one that a backfill runs again is the backfill's from then on.
_CHANGING: Final = ("state", "path", "record", "run_type", "run_after", "backfill", "place")
#: How many of the newest run ids a mistyped one is compared with.
_RECENT = 1_000


class Runs:
    """Queries on `run`, `task_instance` and `run_capture`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        columns = run_table.c
        this = columns.run_id == bindparam("this")
        of_run = task_instance.c.run_id == bindparam("this")
        captured = run_capture.c.run_id == bindparam("this")
        self._create = database.insert_new(run_table)
        self._update = database.statement(run_table.update().where(this).values({name: bindparam(f"new_{name}") for name in _CHANGING}))
        self._select = database.statement(select(columns.record).where(this))
        lock = select(columns.record).where(this).with_for_update()
        self._lock = database.statement(lock)
        self._recent = select(columns.run_id).order_by(columns.created_at.desc(), columns.run_id.desc()).limit(_RECENT)
        key = ["run_id", "task_id", "map_index"]
        # What goes on holding a slot keeps its pool.
        keep = database.excluded(task_instance, "slots") == KEPT
        held = {name: case((keep, task_instance.c[name]), else_=database.excluded(task_instance, name)) for name in ("pool", "slots")}
        self._upsert_task = database.upsert(task_instance, key=key, changing=["state", "record"], setting=held)
        self._tasks = database.statement(select(task_instance.c.position, task_instance.c.record).where(of_run))
        self._save_captures = database.upsert(run_capture, key=["run_id"], changing=["captures"])
        self._captures = database.statement(select(run_capture.c.captures).where(captured))
        self._deletes = [
            database.statement(table.delete().where(table.c.run_id == bindparam("this")))
            for table in (task_instance, run_capture, run_table)
        ]

    def create(self, connection: Connection, run: RunRecord, tasks: Sequence[TaskRecord]) -> None:
        if not self._create.run(connection, **run_row(run, encode(run))).rowcount:
            raise taken(run.run_id)
        self.put_tasks(connection, self.rows_of(run.run_id, tasks))

    @staticmethod
    def rows_of(run_id: str, tasks: Sequence[TaskRecord]) -> list[dict[str, Any]]:
        """The rows of the instances of a new run, in order."""
        return [task_row(run_id, task, encode(task), position) for position, task in enumerate(tasks)]

    def put(self, connection: Connection, run: RunRecord, record: str) -> None:
        """The run's record, which is there already."""
        row = run_row(run, record)
        self._update.run(connection, this=run.run_id, **{f"new_{name}": row[name] for name in _CHANGING})

    def put_tasks(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        self._upsert_task.run_many(connection, rows)

    def unfinished_tasks(self, states: Sequence[TaskState]) -> tuple[tuple[RunRecord, TaskRecord], ...]:
        columns = run_table.c
        query = (
            select(columns.run_id, columns.record, task_instance.c.record)
            .join(task_instance, task_instance.c.run_id == columns.run_id)
            .where(columns.state.in_(_UNFINISHED), task_instance.c.state.in_([state.value for state in states]))
            .order_by(columns.created_at, columns.run_id, task_instance.c.position, task_instance.c.task_id, task_instance.c.map_index)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        runs = {run_id: decode(RunRecord, text) for run_id, text in {run_id: text for run_id, text, _ in rows}.items()}
        return tuple((runs[run_id], decode(TaskRecord, text)) for run_id, _, text in rows)

    def load(self, run_id: str) -> RunRecord:
        with self._database.reading() as connection:
            return self._decoded(connection, run_id, self._select.run(connection, this=run_id).scalar_one_or_none())

    def lock(self, connection: Connection, run_id: str) -> RunRecord:
        """The run, which nobody else deletes before this transaction ends."""
        return self._decoded(connection, run_id, self._lock.run(connection, this=run_id).scalar_one_or_none())

    def _decoded(self, connection: Connection, run_id: str, text: str | None) -> RunRecord:
        if text is None:
            raise unknown(run_id, connection.scalars(self._recent).all())
        return decode(RunRecord, text)

    def find(self, *, flow: str, state: str, path: str, cursor: str, limit: int) -> RunPage:
        limit = max(limit, 1)
        query = _page(cursor, limit)
        for column, value in ((run_table.c.flow, flow), (run_table.c.state, state), (run_table.c.path, column_text(path))):
            if value:
                query = query.where(column == value)
        with self._database.reading() as connection:
            texts: Sequence[str] = connection.scalars(query).all()
            runs = [decode(RunRecord, text) for text in texts]
        return as_page(runs, limit)

    def earlier(self, run: RunRecord, *, manual: bool, limit: int) -> tuple[RunRecord, ...]:
        """Of a deployment by an index; of any other flow among its newest runs, which are in that order unless somebody turned the clock."""
        if run.logical_date is None:
            return ()
        columns = run_table.c
        if run.deployment:
            found = columns.logical_date < micros(run.logical_date)
            query = select(columns.record).where(columns.deployment == run.deployment, found).order_by(columns.logical_date.desc())
            query = query if manual else query.where(columns.run_type != "manual")
            query = query.limit(limit)
        else:
            mine = (columns.flow == run.flow) & (columns.path == column_text(run.path)) & columns.deployment.is_(None)
            query = select(columns.record).where(mine).order_by(columns.created_at.desc(), columns.run_id.desc()).limit(_RECENT)
        with self._database.reading() as connection:
            runs = [decode(RunRecord, text) for text in connection.scalars(query)]
        return earlier(run, runs, manual=manual)[:limit]

    def tasks(self, run_id: str) -> tuple[TaskRecord, ...]:
        with self._database.reading() as connection:
            rows = self._tasks.run(connection, this=run_id)
        return in_order((position, decode(TaskRecord, text)) for position, text in rows)

    def save_captures(self, connection: Connection, run_id: str, captures: bytes) -> None:
        self._save_captures.run(connection, run_id=run_id, captures=captures)

    def captures(self, run_id: str) -> bytes | None:
        with self._database.reading() as connection:
            found = self._captures.run(connection, this=run_id).scalar_one_or_none()
        return None if found is None else bytes(found)

    def delete(self, connection: Connection, run_id: str) -> None:
        for delete in self._deletes:
            delete.run(connection, this=run_id)


def _page(cursor: str, limit: int) -> Select[str]:
    columns = run_table.c
    query = select(columns.record).order_by(columns.created_at.desc(), columns.run_id.desc()).limit(limit + 1)
    if not cursor:
        return query
    created_at, run_id = read_page_cursor(cursor)
    return query.where(tuple_(columns.created_at, columns.run_id) < tuple_(created_at, run_id, types=[BigInteger, String]))
