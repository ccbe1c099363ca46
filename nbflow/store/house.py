# SPDX-License-Identifier: BSD-3-Clause
"""Keeping house: old runs and what only they hold, figures for whoever watches, and rows that do not belong to anything."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, BindParameter, Connection, Select, String, and_, bindparam, func, or_, select, text, tuple_

from nbflow.core.house import Figures, RunEnd
from nbflow.core.ids import RunId
from nbflow.core.protocols import RunPage
from nbflow.core.records import AttemptRecord, RunRecord
from nbflow.core.states import RunState
from nbflow.core.tallies import Tally
from nbflow.store.codec import decode, instant, micros
from nbflow.store.database import Database, now_micros
from nbflow.store.paging import as_page, following, read_page_cursor
from nbflow.store.rows import artifact_hashes, attempt_row, column_text
from nbflow.store.schema import (
    artifact_reference,
    cache_entry,
    callback,
    change,
    deployment,
    fact,
    lease,
    run_capture,
    run_end,
    task_instance,
    thinned,
    waiter,
    watch,
)
from nbflow.store.schema import attempt as attempt_table
from nbflow.store.schema import request as request_table
from nbflow.store.schema import run as run_table
from nbflow.store.schema import tally as tally_table
from nbflow.store.thinning import without

_UNFINISHED: Final = tuple(state.value for state in RunState if not state.is_finished)
_FINISHED: Final = tuple(state.value for state in RunState if state.is_finished)
_RUN, _LEASE, _DEPLOYMENT = run_table.c, lease.c, deployment.c
#: Of a flow that no deployment made, as many of the newest runs are looked through for the next logical date.
_RECENT: Final = 1_000
#: Artifacts asked about in one statement.
_MANY: Final = 500
#: Tables whose rows belong to a run, and what they are called in a sentence.
_OF_RUNS: Final = (
    (task_instance, "task instances"),
    (attempt_table, "attempts"),
    (change, "changes"),
    (lease, "leases"),
    (request_table, "requests"),
    (run_capture, "captures"),
    (waiter, "tasks that wait for a slot"),
    (callback, "callbacks"),
    (watch, "watched runs"),
    (artifact_reference, "references to artifacts"),
    (cache_entry, "entries of the cache"),
)


class House:
    """Queries over all tables of runs, and on `run_end`, `tally` and `thinned`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        this: BindParameter[Any] = bindparam("this")
        self._note_end = database.insert(run_end, names=["run_id", "cursor"])
        self._delete_end = database.statement(run_end.delete().where(run_end.c.id == this))
        self._new_fact = database.insert_new(fact)
        self._new_tally = database.insert_new(tally_table)
        changing: dict[str, Any] = {"count": bindparam("new_count"), "micros": bindparam("new_micros"), "buckets": bindparam("new_buckets")}
        key = and_(*(tally_table.c[name] == bindparam(f"this_{name}") for name in ("what", "flow", "state")))
        self._put_tally = database.statement(tally_table.update().where(key).values(**changing))
        self._thin = database.upsert(thinned, key=["run_id"], changing=["without_values", "without_outputs"])
        self._deletes = [database.statement(table.delete().where(table.c.run_id == this)) for table in (run_end, thinned)]

    # under the transaction of others

    def note_end(self, connection: Connection, run_id: str, cursor: int) -> None:
        """The run ends with this change of its log."""
        self._note_end.run(connection, run_id=run_id, cursor=cursor)

    def delete(self, connection: Connection, run_id: str) -> None:
        for delete in self._deletes:
            delete.run(connection, this=run_id)

    def identity(self) -> str:
        query = select(fact.c.value).where(fact.c.name == "identity")
        with self._database.reading() as connection:
            found: str | None = connection.execute(query).scalar_one_or_none()
        if found is not None:
            return found
        with self._database.writing() as connection:
            self._new_fact.run(connection, name="identity", value=uuid.uuid4().hex)
            return str(connection.execute(query).scalar_one())

    # what may go

    def old(
        self, before: datetime, *, flow: str = "", has_values: bool = False, has_outputs: bool = False, cursor: str = "", limit: int = 100
    ) -> RunPage:
        limit = max(limit, 1)
        query = select(_RUN.record).where(_RUN.created_at < micros(before), _RUN.state.in_(_FINISHED))
        if flow:
            query = query.where(_RUN.flow == flow)
        if has_values or has_outputs:
            query = query.outerjoin(thinned, thinned.c.run_id == _RUN.run_id)
            wanted = [
                column
                for column, is_wanted in ((thinned.c.without_values, has_values), (thinned.c.without_outputs, has_outputs))
                if is_wanted
            ]
            query = query.where(or_(thinned.c.run_id.is_(None), *(column.is_(False) for column in wanted)))
        if cursor:
            created_at, run_id = read_page_cursor(cursor)
            here = tuple_(created_at, run_id, types=[BigInteger, String])
            query = query.where(tuple_(_RUN.created_at, _RUN.run_id) > here)
        texts = self._texts(query.order_by(_RUN.created_at, _RUN.run_id).limit(limit + 1))
        return as_page([decode(RunRecord, record) for record in texts], limit)

    def following(self, run: RunRecord, *, manual: bool) -> RunRecord | None:
        if run.logical_date is None:
            return None
        if run.deployment:
            query = select(_RUN.record).where(_RUN.deployment == run.deployment, _RUN.logical_date > micros(run.logical_date))
            query = query if manual else query.where(_RUN.run_type != "manual")
            found = self._texts(query.order_by(_RUN.logical_date).limit(1))
            return decode(RunRecord, found[0]) if found else None
        mine = and_(_RUN.flow == run.flow, _RUN.path == column_text(run.path), _RUN.deployment.is_(None))
        texts = self._texts(select(_RUN.record).where(mine).order_by(_RUN.created_at.desc(), _RUN.run_id.desc()).limit(_RECENT))
        return following(run, [decode(RunRecord, record) for record in texts], manual=manual)

    def thin(self, run_id: str, *, values: bool, outputs: bool) -> tuple[str, ...]:
        this = attempt_table.c.run_id == run_id
        with self._database.writing() as connection:
            stored = connection.execute(select(_RUN.state).where(_RUN.run_id == run_id).with_for_update()).scalar_one_or_none()
            if stored is None or not RunState(stored).is_finished:
                return ()
            done = connection.execute(select(thinned).where(thinned.c.run_id == run_id)).one_or_none()
            records = [decode(AttemptRecord, record) for record in connection.scalars(select(attempt_table.c.record).where(this))]
            after = [without(attempt, values=values, outputs=outputs) for attempt in records]
            for before, changed in zip(records, after, strict=True):
                if changed != before:
                    row = attempt_row(run_id, changed)
                    connection.execute(attempt_table.update().where(attempt_table.c.token == row["token"]).values(record=row["record"]))
            gone = artifact_hashes(records) - artifact_hashes(after)
            if values:  # what the kernel handed over goes too
                connection.execute(run_capture.delete().where(run_capture.c.run_id == run_id))
                referred = select(artifact_reference.c.hash).where(artifact_reference.c.run_id == run_id)
                gone = set(connection.scalars(referred)) - artifact_hashes(after)
            elif gone:
                handed = connection.execute(select(run_capture.c.captures).where(run_capture.c.run_id == run_id)).scalar_one_or_none()
                gone = {hash for hash in gone if hash.encode() not in bytes(handed or b"")}
            for part in _parts(sorted(gone)):
                mine = artifact_reference.c.run_id == run_id
                connection.execute(artifact_reference.delete().where(mine, artifact_reference.c.hash.in_(part)))
            self._thin.run(
                connection,
                run_id=run_id,
                without_values=values or bool(done and done.without_values),
                without_outputs=outputs or bool(done and done.without_outputs),
            )
            return self._unreferenced(connection, sorted(gone))

    def unreferenced(self, hashes: Sequence[str]) -> tuple[str, ...]:
        with self._database.reading() as connection:
            return self._unreferenced(connection, hashes)

    @staticmethod
    def _unreferenced(connection: Connection, hashes: Sequence[str]) -> tuple[str, ...]:
        referred: set[str] = set()
        for part in _parts(hashes):
            referred.update(connection.scalars(select(artifact_reference.c.hash).where(artifact_reference.c.hash.in_(part)).distinct()))
        return tuple(hash for hash in hashes if hash not in referred)

    def referenced(self, after: str = "", limit: int = 1000) -> tuple[str, ...]:
        column = artifact_reference.c.hash
        return tuple(self._texts(select(column).where(column > after).distinct().order_by(column).limit(limit)))

    def known(self, run_ids: Sequence[str]) -> frozenset[RunId]:
        found: set[RunId] = set()
        for part in _parts(run_ids):
            found.update(RunId(run_id) for run_id in self._texts(select(_RUN.run_id).where(_RUN.run_id.in_(part))))
        return frozenset(found)

    def versions_in_use(self) -> frozenset[str]:
        texts = self._texts(select(_RUN.record).where(_RUN.state.in_(_UNFINISHED)))
        return frozenset(decode(RunRecord, record).version for record in texts)

    def running_since(self) -> datetime | None:
        query = select(func.min(_RUN.created_at)).where(_RUN.state == RunState.RUNNING.value)
        with self._database.reading() as connection:
            found: int | None = connection.execute(query).scalar_one_or_none()
        return None if found is None else instant(found)

    # how things stand

    def figures(self, now: datetime) -> Figures:
        unfinished = _RUN.state.in_(_UNFINISHED)
        counted = func.count()
        runs = select(_RUN.flow, _RUN.state, counted).where(unfinished).group_by(_RUN.flow, _RUN.state)
        joined = run_table.join(task_instance, task_instance.c.run_id == _RUN.run_id)
        tasks = select(task_instance.c.state, counted).select_from(joined).where(unfinished).group_by(task_instance.c.state)
        leases = run_table.join(lease, _LEASE.run_id == _RUN.run_id)
        left = _LEASE.expires_at - now_micros()
        taken = select(counted, func.min(left)).select_from(leases).where(unfinished, _LEASE.owner != "")
        waiting = leases.outerjoin(deployment, _DEPLOYMENT.name == _RUN.deployment)
        queued = (
            select(func.min(_RUN.run_after))
            .select_from(waiting)
            .where(_RUN.state == RunState.QUEUED.value, _LEASE.owner == "", _RUN.deployment.is_not(None), _DEPLOYMENT.paused == 0)
        )
        due = select(func.min(_DEPLOYMENT.next_run_at)).where(_DEPLOYMENT.next_run_at <= micros(now))
        with self._database.reading() as connection:
            held, first = connection.execute(taken.where(left > 0)).one()
            lapsed, _ = connection.execute(taken.where(left <= 0)).one()
            oldest_queued = connection.execute(queued).scalar_one_or_none()
            oldest_due = connection.execute(due).scalar_one_or_none()
            return Figures(
                active_runs={(flow, state): number for flow, state, number in connection.execute(runs)},
                active_tasks={str(row[0]): int(row[1]) for row in connection.execute(tasks)},
                oldest_queued=None if oldest_queued is None else instant(oldest_queued),
                oldest_due=None if oldest_due is None else instant(oldest_due),
                held_leases=held,
                lapsed_leases=lapsed,
                first_lapse=None if first is None else first / 1_000_000,
                flows=connection.execute(select(counted).select_from(deployment)).scalar_one(),
                paused_flows=connection.execute(select(counted).select_from(deployment).where(_DEPLOYMENT.paused != 0)).scalar_one(),
            )

    def ended(self, limit: int = 100) -> tuple[RunEnd, ...]:
        query = select(run_end.c.id, run_end.c.run_id, run_end.c.cursor).order_by(run_end.c.id).limit(limit)
        with self._database.reading() as connection:
            return tuple(RunEnd(number=number, run_id=RunId(run_id), cursor=cursor) for number, run_id, cursor in connection.execute(query))

    def count(self, number: int, tallies: Iterable[Tally]) -> bool:
        columns = tally_table.c
        with self._database.writing() as connection:
            if not self._delete_end.run(connection, this=number).rowcount:
                return False
            for one in sorted(tallies, key=lambda each: each.key):  # in one order: two that count never lock each other out
                self._new_tally.run(connection, **_tally_row(Tally(what=one.what, flow=one.flow, state=one.state)))
                mine = and_(columns.what == one.what, columns.flow == one.flow, columns.state == one.state)
                whole = _tally_row(_tally(connection.execute(select(tally_table).where(mine).with_for_update()).one()).plus(one))
                new = {f"new_{name}": whole[name] for name in ("count", "micros", "buckets")}
                self._put_tally.run(connection, this_what=one.what, this_flow=one.flow, this_state=one.state, **new)
        return True

    def tallies(self) -> tuple[Tally, ...]:
        columns = tally_table.c
        with self._database.reading() as connection:
            rows = connection.execute(select(tally_table).order_by(columns.what, columns.flow, columns.state)).all()
        return tuple(_tally(row) for row in rows)

    # what does not fit

    def complaints(self) -> tuple[str, ...]:
        return tuple(self._complaints())

    def _complaints(self) -> Iterator[str]:
        with self._database.reading() as connection:
            if self._database.is_sqlite:
                found = [str(line) for line in connection.scalars(text("PRAGMA integrity_check(5)"))]
                if found != ["ok"]:
                    yield f"The database is damaged: {'; '.join(found)}. Restore it from a backup (nbflow db backup made it), or move it away."
            for table, what in _OF_RUNS:
                lost = select(func.count(), func.min(table.c.run_id)).where(
                    ~select(_RUN.run_id).where(_RUN.run_id == table.c.run_id).exists()
                )
                number, example = connection.execute(lost).one()
                if number:
                    yield f"{number} {what} belong to runs that are not there, such as {example}: restore the database from a backup, or report this."
            without_lease = select(_RUN.run_id).where(~select(_LEASE.run_id).where(_LEASE.run_id == _RUN.run_id).exists()).limit(5)
            for run_id in connection.scalars(without_lease):
                yield f"Run {run_id} has no lease, so that nobody can go on with it: restore the database from a backup, or report this."

    # how

    def _texts(self, query: Select[str]) -> Sequence[str]:
        with self._database.reading() as connection:
            return connection.scalars(query).all()


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _MANY] for start in range(0, len(items), _MANY))


def _tally(row: Any) -> Tally:
    return Tally(what=row.what, flow=row.flow, state=row.state, count=row.count, micros=row.micros, buckets=tuple(json.loads(row.buckets)))


def _tally_row(one: Tally) -> dict[str, Any]:
    return {
        "what": one.what,
        "flow": one.flow,
        "state": one.state,
        "count": one.count,
        "micros": one.micros,
        "buckets": json.dumps(one.buckets),
    }
