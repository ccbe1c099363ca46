# SPDX-License-Identifier: BSD-3-Clause
"""Pools, and the grant of their slots: one short part of a driver's commit, under locks taken in one order (adr/0003)."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, and_, bindparam, case, func, literal_column, select, text

from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey
from nbflow.core.limits import DEFAULT_POOL, INFINITE, THE_DEFAULT, Asks, Board, Demand, Holder, Pool, Settled, Waiter, settle
from nbflow.core.states import OCCUPYING, TaskState
from nbflow.store.codec import instant, micros
from nbflow.store.database import Database, now_micros
from nbflow.store.rows import column_text
from nbflow.store.schema import lease as lease_table
from nbflow.store.schema import pool as pool_table
from nbflow.store.schema import run as run_table
from nbflow.store.schema import task_instance
from nbflow.store.schema import waiter as waiter_table
from nbflow.store.sentences import check_deletion

#: The first number of nbflow's advisory locks on PostgreSQL; the second is made of what is locked.
_LOCKS: Final = 0x6E62
_LOCK: Final = "SELECT pg_advisory_xact_lock(CAST(:nbflow AS integer), number) FROM unnest(CAST(:numbers AS integer[])) number"
#: As text in the statement, since a list of parameters is not compiled once.
_OCCUPYING: Final = task_instance.c.state.in_([literal_column(f"'{state.value}'") for state in sorted(OCCUPYING)])
_DEFERRED: Final = task_instance.c.state == literal_column(f"'{TaskState.DEFERRED.value}'")
_WAITING: Final = waiter_table.columns.keys()
_LIMITS: Final = ("max_active_tasks", "max_active_tasks_per_run", "max_active", "max_active_per_run")


class Pools:
    """Queries on `pool` and `waiter`, and on what `task_instance` says of pools."""

    def __init__(self, database: Database) -> None:
        self._database = database
        columns, held = pool_table.c, task_instance.c
        this = waiter_table.c.run_id == bindparam("this")
        one = and_(this, waiter_table.c.task_id == bindparam("task"), waiter_table.c.map_index == bindparam("copy"))
        self._locks = None if database.is_sqlite else database.statement(text(_LOCK))
        self._all = database.statement(select(columns.name, columns.slots, columns.include_deferred, columns.description))
        self._put = database.upsert(pool_table, key=["name"], changing=["slots", "include_deferred", "description"])
        self._delete = database.statement(pool_table.delete().where(columns.name == bindparam("gone")))
        taken, slept = (func.coalesce(func.sum(case((state, held.slots), else_=0)), 0) for state in (_OCCUPYING, _DEFERRED))
        waits = select(waiter_table.c.run_id).where(waiter_table.c.pool == bindparam("asked")).exists()
        of_pool = (
            select(columns[name]).where(columns.name == bindparam("asked")).scalar_subquery() for name in ("slots", "include_deferred")
        )
        self._use = database.statement(select(*of_pool, taken, slept, case((waits, 1), else_=0)).where(held.pool == bindparam("asked")))
        self._holders = database.statement(
            select(held.run_id, run_table.c.flow, run_table.c.path, held.task_id, held.map_index, held.state, held.pool, held.slots)
            .join(run_table, run_table.c.run_id == held.run_id)
            .where(held.pool.is_not(None))
            .order_by(run_table.c.created_at, held.run_id, held.position, held.task_id, held.map_index)
        )
        self._waiters = database.statement(
            select(*waiter_table.c)
            .join(lease_table, lease_table.c.run_id == waiter_table.c.run_id)
            .where(lease_table.c.owner != "", lease_table.c.expires_at > now_micros())
        )
        self._now = database.statement(select(now_micros()))
        self._stand = database.upsert(waiter_table, key=["run_id", "task_id", "map_index"], changing=[])
        self._age = database.statement(
            waiter_table.update().where(one).values(overtaken=waiter_table.c.overtaken + bindparam("times", type_=BigInteger))
        )
        self._withdraw = database.statement(waiter_table.delete().where(one))
        self._withdraw_all = database.statement(waiter_table.delete().where(this))

    # --- pools ------------------------------------------------------------------------------------------------------------

    def all(self) -> tuple[Pool, ...]:
        with self._database.reading() as connection:
            return tuple(self._known(connection).values())

    def save(self, pool: Pool) -> None:
        with self._database.writing() as connection:
            self._lock(connection, [_pool_lock(pool.name)])
            row = {"slots": pool.slots, "include_deferred": pool.include_deferred, "description": column_text(pool.description)}
            self._put.run(connection, name=pool.name, **row)

    def delete(self, name: str) -> None:
        """Raises UserError."""
        with self._database.writing() as connection:
            self._lock(connection, [_pool_lock(name)])
            check_deletion(name, self._board(connection))
            self._delete.run(connection, gone=name)

    def board(self) -> Board:
        with self._database.reading() as connection:
            return self._board(connection)

    # --- asking -----------------------------------------------------------------------------------------------------------

    def is_plenty(self, connection: Connection, run_id: RunId, asks: Asks) -> bool:
        """The common case, seen at once: nobody waits for these pools, and they have slots for all that is asked.

        From here to the end of the transaction nobody else grants slots of them.
        """
        if self._locks is not None:
            self._lock(connection, _locks_of(asks))
        self._withdraw.run_many(connection, [_place(run_id, key) for key in asks.withdrawn])
        if asks.parallelism or any(ask.waiter.demand.is_limited for ask in asks.queue):
            return False
        wanted: Counter[str] = Counter()
        for ask in asks.queue:
            wanted[ask.waiter.demand.pool] += ask.waiter.demand.slots
        return all(self._has(connection, name, slots) for name, slots in wanted.items())

    def _has(self, connection: Connection, name: str, wanted: int) -> bool:
        slots, include_deferred, taken, slept, waits = self._use.run(connection, asked=name).one()
        if slots is None and name == DEFAULT_POOL:
            slots, include_deferred = THE_DEFAULT.slots, THE_DEFAULT.include_deferred
        if slots is None or waits:
            return False
        return bool(slots == INFINITE or taken + (slept if include_deferred else 0) + wanted <= slots)

    def settle(self, connection: Connection, run_id: RunId, asks: Asks) -> Settled:
        """Who gets a slot, where `is_plenty` said no; those who do not stand as waiting afterwards."""
        asks = _as_stored(asks)
        board = self._board(connection)
        settled = settle(run_id, asks, board)
        self._write_down(connection, run_id, asks, board, settled)
        return settled

    def withdraw_all(self, connection: Connection, run_id: str) -> None:
        """Nothing of this run waits any more: its driver is another one, or none."""
        self._withdraw_all.run(connection, this=run_id)

    def _write_down(self, connection: Connection, run_id: RunId, asks: Asks, board: Board, settled: Settled) -> None:
        standing = {waiter.key for waiter in board.waiters if waiter.run_id == run_id}
        asking = {ask.waiter.key: ask.waiter for ask in asks.queue}
        self._withdraw.run_many(connection, [_place(run_id, key) for key in standing if key in asking and key not in settled.refused])
        fresh = [asking[key] for key in settled.refused if key not in standing]
        if fresh:
            now: int = self._now.run(connection).scalar_one()
            self._stand.run_many(connection, [_waiter_row(waiter, now) for waiter in fresh])
        aged = [{**_place(run, key), "times": times} for (run, key), times in sorted(settled.overtaken.items())]
        self._age.run_many(connection, aged)

    def _lock(self, connection: Connection, numbers: Iterable[int]) -> None:
        """Nobody else grants slots of these until the transaction ends. SQLite's writer is alone by itself."""
        if self._locks is not None:
            self._locks.run(connection, nbflow=_LOCKS, numbers=sorted(set(numbers)))

    # --- reading ----------------------------------------------------------------------------------------------------------

    def _known(self, connection: Connection) -> dict[str, Pool]:
        found = {pool.name: pool for pool in map(_pool, self._all.run(connection))}
        found.setdefault(DEFAULT_POOL, THE_DEFAULT)
        return dict(sorted(found.items()))

    def _board(self, connection: Connection) -> Board:
        holders = tuple(_holder(row) for row in self._holders.run(connection))
        waiters = tuple(_waiter(dict(zip(_WAITING, row, strict=True))) for row in self._waiters.run(connection))
        return Board(pools=self._known(connection), holders=holders, waiters=waiters)


def _as_stored(asks: Asks) -> Asks:
    """The flow's file as the column of the runs has it: limits are counted by it."""
    path = asks.queue[0].waiter.path if asks.queue else ""
    stored = column_text(path)
    if stored == path:
        return asks
    return replace(asks, queue=tuple(replace(ask, waiter=replace(ask.waiter, path=stored)) for ask in asks.queue))


def _locks_of(asks: Asks) -> list[int]:
    """What no other driver may count at the same time."""
    found = {_pool_lock(ask.waiter.demand.pool) for ask in asks.queue}
    found |= {_number("flow", ask.waiter.flow, ask.waiter.path) for ask in asks.queue if ask.waiter.demand.is_limited}
    if asks.parallelism:
        found.add(_number("parallelism"))
    return list(found)


def _pool_lock(name: str) -> int:
    return _number("pool", name)


def _number(*parts: str) -> int:
    """A lock's second number. Two things with the same number share a lock, which is safe."""
    return zlib.crc32("\0".join(parts).encode("utf-8", "surrogatepass")) - 2**31


def _place(run_id: RunId, key: TaskKey) -> dict[str, Any]:
    return {"this": run_id, "task": key.task_id, "copy": key.map_index}


def _pool(row: Sequence[Any]) -> Pool:
    name, slots, include_deferred, description = row
    return Pool(name=name, slots=slots, include_deferred=bool(include_deferred), description=description)


def _holder(row: Sequence[Any]) -> Holder:
    run_id, flow, path, task_id, map_index, state, pool, slots = row
    key = TaskKey(TaskId(task_id), map_index)
    return Holder(run_id=RunId(run_id), flow=FlowName(flow), path=path, key=key, state=TaskState(state), pool=pool, slots=slots)


def _waiter(row: Mapping[str, Any]) -> Waiter:
    return Waiter(
        run_id=RunId(row["run_id"]),
        flow=FlowName(row["flow"]),
        path=row["path"],
        key=TaskKey(TaskId(row["task_id"]), row["map_index"]),
        demand=Demand(pool=row["pool"], slots=row["slots"], weight=row["weight"], **{name: row[name] for name in _LIMITS}),
        logical_date=instant(row["logical_date"]),
        comes_last=bool(row["comes_last"]),
        since=instant(row["since"]),
        overtaken=row["overtaken"],
    )


def _waiter_row(waiter: Waiter, now: int) -> dict[str, Any]:
    demand = waiter.demand
    return {
        "run_id": waiter.run_id,
        "task_id": waiter.key.task_id,
        "map_index": waiter.key.map_index,
        "flow": waiter.flow,
        "path": column_text(waiter.path),
        "pool": demand.pool,
        "slots": demand.slots,
        "weight": demand.weight,
        "logical_date": micros(waiter.logical_date),
        "comes_last": int(waiter.comes_last),
        "since": now,
        "overtaken": 0,
        **{name: getattr(demand, name) for name in _LIMITS},
    }
