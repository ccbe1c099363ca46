# SPDX-License-Identifier: BSD-3-Clause
"""Backfills and their dates: the queries. Whoever takes dates, makes runs of them or cancels holds the backfill's row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, literal_column, select

from nbflow.core.backfills import Backfill, BackfillDate, DateState, Progress, counted
from nbflow.core.ids import RunId
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import RunState
from nbflow.store.codec import decode, encode, instant, micros
from nbflow.store.database import Database
from nbflow.store.deployments import Deployments
from nbflow.store.schema import backfill as backfill_table
from nbflow.store.schema import backfill_date as date_table
from nbflow.store.schema import lease as lease_table
from nbflow.store.schema import run as run_table
from nbflow.store.sentences import backfill_taken, unknown_backfill

_BACKFILL, _DATE, _RUN = backfill_table.c, date_table.c, run_table.c
#: Dates written by one statement.
_DATES: Final = ("backfill", "place", "state", "run_id", "record")


class Backfills:
    """Queries on `backfill` and `backfill_date`, and on `run` as far as backfills go."""

    def __init__(self, database: Database, deployments: Deployments) -> None:
        self._database, self._deployments = database, deployments
        this = _BACKFILL.id == bindparam("this")
        names = ["flow", "paused", "ended", "max_active", "record"]
        self._insert = database.statement(backfill_table.insert().returning(_BACKFILL.id), names)
        self._insert_dates = database.insert(date_table, names=_DATES)
        self._select = database.statement(select(_BACKFILL.record).where(this))
        self._lock = database.statement(select(_BACKFILL.record).where(this).with_for_update())
        self._other = database.statement(select(_BACKFILL.id).where(_BACKFILL.flow == bindparam("of"), _BACKFILL.ended == 0))
        self._update = database.statement(
            backfill_table.update()
            .where(this)
            .values({name: bindparam(f"new_{name}") for name in ("paused", "ended", "max_active", "record")})
        )
        of = _DATE.backfill == bindparam("of")
        dated = select(_DATE.record, _DATE.state, _RUN.state).select_from(date_table.outerjoin(run_table, _RUN.run_id == _DATE.run_id))
        self._in_state = database.statement(
            dated.where(of, _DATE.state == bindparam("wanted")).order_by(_DATE.place).limit(bindparam("most"))
        )
        self._from = database.statement(dated.where(of, _DATE.place > bindparam("after")).order_by(_DATE.place).limit(bindparam("most")))
        self._counts = database.statement(
            select(_DATE.state, _RUN.state, func.count())
            .select_from(date_table.outerjoin(run_table, _RUN.run_id == _DATE.run_id))
            .where(of)
            .group_by(_DATE.state, _RUN.state)
        )
        waiting = _DATE.state == DateState.WAITING.value
        self._drop = database.statement(date_table.update().where(of, waiting).values(state=DateState.DROPPED.value))
        ahead = _DATE.state.in_([literal_column(f"'{state.value}'") for state in (DateState.WAITING, DateState.TAKEN)])
        self._dates_ahead = database.statement(select(_DATE.state, func.count()).where(of, ahead).group_by(_DATE.state))
        going = _RUN.state.in_([literal_column(f"'{state.value}'") for state in RunState if not state.is_finished])
        self._runs_ahead = database.statement(
            select(_RUN.state, func.count()).where(_RUN.backfill == bindparam("of"), going).group_by(_RUN.state)
        )
        self._move = database.statement(
            date_table.update()
            .where(of, _DATE.place == bindparam("at"), _DATE.state == bindparam("before"))
            .values(state=bindparam("new_state"), run_id=bindparam("new_run_id"), record=bindparam("new_record"))
        )
        self._queued = database.statement(
            select(_RUN.record)
            .join(lease_table, lease_table.c.run_id == _RUN.run_id)
            .where(_RUN.backfill == bindparam("of"), _RUN.state == RunState.QUEUED.value, lease_table.c.owner == "")
            .order_by(_RUN.place)
        )

    def create(self, backfill: Backfill, dates: Sequence[BackfillDate]) -> Backfill:
        rows = [_date_row(date) for date in dates]
        with self._database.writing() as connection:
            # The lock of the deployment: two that are asked for at the same moment are one after the other.
            self._deployments.lock(connection, backfill.flow)
            other = self._other.run(connection, of=backfill.flow).scalar_one_or_none()
            if other is not None:
                raise backfill_taken(backfill.flow, other)
            id: int = self._insert.run(connection, **_row(backfill)).scalar_one()
            made = replace(backfill, id=id)
            self._put(connection, made)
            self._insert_dates.run_many(connection, [{**row, "backfill": id} for row in rows])
        return made

    def get(self, id: int) -> Backfill:
        with self._database.reading() as connection:
            return _decoded(id, self._select.run(connection, this=id).scalar_one_or_none())

    def find(self, flow: str = "", *, before: int = 0, limit: int = 50) -> tuple[Backfill, ...]:
        query = select(_BACKFILL.record).order_by(_BACKFILL.id.desc()).limit(limit)
        if flow:
            query = query.where(_BACKFILL.flow == flow)
        if before:
            query = query.where(_BACKFILL.id < before)
        with self._database.reading() as connection:
            return tuple(decode(Backfill, text) for text in connection.scalars(query))

    def unfinished(self) -> tuple[Backfill, ...]:
        query = select(_BACKFILL.record).where(_BACKFILL.ended == 0).order_by(_BACKFILL.id)
        with self._database.reading() as connection:
            return tuple(decode(Backfill, text) for text in connection.scalars(query))

    def change(self, id: int, change: Callable[[Backfill], Backfill]) -> Backfill:
        with self._database.writing() as connection:
            changed = change(self._locked(connection, id))
            self._put(connection, changed)
        return changed

    def cancel(self, id: int, by: str) -> Backfill:
        with self._database.writing() as connection:
            backfill = self._locked(connection, id)
            if backfill.ended_at is not None or backfill.is_cancelled:
                return backfill
            backfill = replace(backfill, paused=True, cancelled_by=by)
            self._put(connection, backfill)
            self._drop.run(connection, of=id)
        return backfill

    def delete_of(self, flow: str) -> None:
        ended = select(_BACKFILL.id).where(_BACKFILL.flow == flow, _BACKFILL.ended == 1)
        with self._database.writing() as connection:
            connection.execute(date_table.delete().where(_DATE.backfill.in_(ended)))
            connection.execute(backfill_table.delete().where(_BACKFILL.flow == flow, _BACKFILL.ended == 1))

    # dates

    def dates(self, id: int, *, after: int = -1, limit: int = 1000) -> tuple[BackfillDate, ...]:
        with self._database.reading() as connection:
            return _read_dates(self._from.run(connection, of=id, after=after, most=limit))

    def progress(self, id: int) -> Progress:
        with self._database.reading() as connection:
            return self._progress(connection, id)

    def ahead(self, id: int) -> Progress:
        with self._database.reading() as connection:
            return self._ahead(connection, id)

    def runs_at(self, flow: str, start: datetime, until: datetime) -> Mapping[datetime, tuple[RunId, RunState]]:
        query = select(_RUN.logical_date, _RUN.run_id, _RUN.state).where(
            _RUN.deployment == flow, _RUN.logical_date >= micros(start), _RUN.logical_date <= micros(until)
        )
        with self._database.reading() as connection:
            return {instant(date): (RunId(run_id), RunState(state)) for date, run_id, state in connection.execute(query)}

    # what schedulers do

    def take(self, id: int, *, more: bool = True) -> tuple[BackfillDate, ...]:
        with self._database.writing() as connection:
            backfill = self._locked(connection, id)
            if more and not backfill.paused and backfill.ended_at is None:
                progress = self._ahead(connection, id)
                room = max(0, backfill.max_active - progress.unfinished - progress.taken)
                for date in self._dates_in(connection, id, DateState.WAITING, room) if room else ():
                    self._write(connection, id, replace(date, state=DateState.TAKEN), before=DateState.WAITING)
            return self._dates_in(connection, id, DateState.TAKEN)

    def make_run(self, id: int, date: BackfillDate, run: RunRecord, tasks: Sequence[TaskRecord]) -> bool:
        with self._database.writing() as connection:
            backfill = self._locked(connection, id)
            if backfill.is_cancelled:
                self._write(connection, id, replace(date, state=DateState.DROPPED))
                return False
            # Written first: that proves that the date is still taken.
            if not self._write(connection, id, replace(date, state=DateState.MADE, run_id=run.run_id)):
                return False
            if self._deployments.add(connection, run, tasks):
                return True
            other = self._deployments.other_of(connection, run)
            self._write(connection, id, replace(date, state=DateState.PASSED, run_id=other), before=DateState.MADE)
            return False

    def settle(self, id: int, date: BackfillDate) -> None:
        with self._database.writing() as connection:
            self._locked(connection, id)
            self._write(connection, id, date)

    def queued(self, id: int) -> tuple[RunRecord, ...]:
        with self._database.reading() as connection:
            rows = self._queued.run(connection, of=id)
        return tuple(decode(RunRecord, text) for (text,) in rows)

    def close(self, id: int, now: datetime) -> bool:
        with self._database.writing() as connection:
            backfill = self._locked(connection, id)
            if backfill.ended_at is None:
                if not self._ahead(connection, id).is_over:
                    return False
                self._put(connection, replace(backfill, ended_at=now))
        return True

    # how

    def _locked(self, connection: Connection, id: int) -> Backfill:
        return _decoded(id, self._lock.run(connection, this=id).scalar_one_or_none())

    def _put(self, connection: Connection, backfill: Backfill) -> None:
        row = _row(backfill)
        self._update.run(connection, this=backfill.id, **{f"new_{name}": value for name, value in row.items() if name != "flow"})

    def _progress(self, connection: Connection, id: int) -> Progress:
        rows = self._counts.run(connection, of=id)
        return counted({(DateState(date), RunState(run) if run else None): count for date, run, count in rows})

    def _ahead(self, connection: Connection, id: int) -> Progress:
        rows = [row for query in (self._dates_ahead, self._runs_ahead) for row in query.run(connection, of=id)]
        found: dict[str, int] = {state: count for state, count in rows}  # noqa: C416 - `dict` of rows is more than mypy knows
        return Progress(**found)

    def _dates_in(self, connection: Connection, id: int, state: DateState, limit: int = 1_000_000) -> tuple[BackfillDate, ...]:
        return _read_dates(self._in_state.run(connection, of=id, wanted=state.value, most=limit))

    def _write(self, connection: Connection, id: int, date: BackfillDate, before: DateState = DateState.TAKEN) -> bool:
        """False when it is in another state than `before`."""
        row = _date_row(date)
        new = {f"new_{name}": row[name] for name in ("state", "run_id", "record")}
        return bool(self._move.run(connection, of=id, at=date.place, before=before.value, **new).rowcount)


def _decoded(id: int, text: str | None) -> Backfill:
    if text is None:
        raise unknown_backfill(id)
    return decode(Backfill, text)


def _row(backfill: Backfill) -> dict[str, Any]:
    return {
        "flow": backfill.flow,
        "paused": int(backfill.paused),
        "ended": int(backfill.ended_at is not None),
        "max_active": backfill.max_active,
        "record": encode(backfill),
    }


def _date_row(date: BackfillDate) -> dict[str, Any]:
    record = encode(replace(date, state=DateState.WAITING, run_state=None))  # its state stands in the column
    return {"place": date.place, "state": date.state.value, "run_id": date.run_id, "record": record}


def _read_dates(rows: Any) -> tuple[BackfillDate, ...]:
    return tuple(
        replace(decode(BackfillDate, record), state=DateState(state), run_state=RunState(run) if run else None)
        for record, state, run in rows
    )
