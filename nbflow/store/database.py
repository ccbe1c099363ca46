# SPDX-License-Identifier: BSD-3-Clause
"""How the queries reach SQLite or PostgreSQL, in short transactions.

What the two databases say differently stands here and nowhere else: their clocks, their upserts, how a writer takes its lock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from sqlalchemy import URL, BigInteger, Connection, Executable, Table, event, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from nbflow.store import statements
from nbflow.store.connecting import Connections, OfThreads, Shared
from nbflow.store.statements import Statement, execute, limits_transactions
from nbflow.store.troubles import explained

#: Seconds a writer waits for another one (`?timeout=` in the URL). Transactions are short: a longer wait means that somebody holds the file.
BUSY_SECONDS: Final = 15.0
#: Seconds for which PostgreSQL waits for the next statement of a transaction before it ends it. They follow each other in milliseconds.
STOPPED_SECONDS: Final = 10.0
#: Seconds after which PostgreSQL ends a transaction at the latest. It does not count the seconds above while its client may have more to send in a
#: pipeline, nor after one, since psycopg says a last word behind it.
LONGEST_SECONDS: Final = 30.0
#: Seconds SQLite itself waits at a time; then a writer says that it waits.
_SILENCE: Final = 4.0
#: Pages (of 4 kB) in SQLite's log before a writer copies them into the file and waits for the disk. SQLite's own thousand would have a run wait
#: every hundred steps; up to four thousand, a reader finds a page in the log in one look.
_LOG_PAGES: Final = 4000
_log = logging.getLogger("nbflow.store")


class now_micros(FunctionElement[int]):  # noqa: N801 - a function of SQL
    """The database's own clock, in microseconds since 1970 UTC: leases do not depend on the clocks of the machines that hold them."""

    inherit_cache = True
    type = BigInteger()


@compiles(now_micros, "sqlite")
def _sqlite_now(element: now_micros, compiler: Any, **options: Any) -> str:  # noqa: ARG001 - SQLAlchemy's signature
    return "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"


@compiles(now_micros, "postgresql")
def _postgresql_now(element: now_micros, compiler: Any, **options: Any) -> str:  # noqa: ARG001 - SQLAlchemy's signature
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


class Database:
    """An engine and its connections. Raises SetupError, in a sentence, for what the database cannot do."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.place = place(url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        #: `insert` with `on_conflict_...`, which both have and both spell in the same way.
        self._insert: Callable[[Table], Any] = sqlite.insert
        if self.is_sqlite:
            self._busy = float(str(url.query.get("timeout", BUSY_SECONDS)))
            arguments: dict[str, Any] = {"timeout": min(self._busy, _SILENCE), "check_same_thread": False}
            own = OfThreads(url, arguments)
            self._connections: Connections = own
            self.dialect: Dialect = own.engine.dialect
            event.listen(own.engine, "connect", partial(_set_up_sqlite, self.place, self._busy))
        else:
            from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - 15 ms that SQLite need not pay

            shared = Shared(url, {"connect_timeout": 10})
            event.listen(shared.engine, "connect", _set_up_postgresql)
            self._connections, self.dialect = shared, shared.engine.dialect
            self._insert = postgresql.insert

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries; each sees what was committed before it."""
        with explained(self.place), self._taken() as connection:
            try:
                connection.begin()
                yield connection
            finally:
                _roll_back(connection)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back when anything is raised."""
        with explained(self.place), self._taken() as connection:
            try:
                connection.begin()
                if self.is_sqlite:
                    self._begin(connection)
                with explained(self.place, before_commit=True):
                    yield connection
                connection.commit()
            except BaseException:
                _roll_back(connection)
                raise

    @contextmanager
    def _taken(self) -> Iterator[Connection]:
        connection = self._connections.take()
        try:
            yield connection
        finally:
            self._connections.give_back(connection)

    def _begin(self, connection: Connection) -> None:
        """Takes SQLite's write lock up front, so that no writer fails half way. A person hears of it when that takes long."""
        wait = _Wait(self.place, self._busy)
        while True:
            try:
                execute(connection, "BEGIN IMMEDIATE")
            except DBAPIError as error:
                if "locked" not in str(error.orig) or wait.is_over():
                    raise
            else:
                return

    def statement(self, statement: Executable, names: Sequence[str] | None = None) -> Statement:
        return Statement(statement, self.dialect, names)

    def insert(self, table: Table, *, names: Sequence[str] = ()) -> Statement:
        """A plain insert of the named columns, all when none is named."""
        return self.statement(table.insert(), names or table.columns.keys())

    def upsert(
        self,
        table: Table,
        *,
        key: Sequence[str],
        changing: Sequence[str],
        names: Sequence[str] = (),
        setting: Mapping[str, Any] | None = None,
    ) -> Statement:
        """An insert that, where the key exists, sets the columns `changing`, and those in `setting` to these expressions (none: leaves the row)."""
        insert = self._insert(table)
        if not changing and not setting:
            return self.statement(insert.on_conflict_do_nothing(index_elements=key), names or table.columns.keys())
        values = {**{name: insert.excluded[name] for name in changing}, **(setting or {})}
        return self.statement(insert.on_conflict_do_update(index_elements=key, set_=values), names or table.columns.keys())

    def excluded(self, table: Table, name: str) -> Any:
        """In `setting` of an upsert: the value that would have been inserted."""
        return self._insert(table).excluded[name]

    def insert_new(self, table: Table, *, names: Sequence[str] = ()) -> Statement:
        """An insert of the named columns, all when none is named, that does nothing where any unique key of the row exists."""
        return self.statement(self._insert(table).on_conflict_do_nothing(), names or table.columns.keys())

    def close(self) -> None:
        """Close all connections. May be called twice."""
        self._connections.close()


def _roll_back(connection: Connection) -> None:
    """A connection that was lost (PostgreSQL restarted) is given up; the next transaction opens another."""
    try:
        connection.rollback()
    except DBAPIError:
        connection.invalidate()


def place(url: URL) -> str:
    """The database as a sentence names it, without the password."""
    return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


class _Wait:
    """For a lock that somebody else has; after a few seconds a person hears of it, once."""

    def __init__(self, place: str, seconds: float) -> None:
        self._place, self._since, self._seconds = place, time.monotonic(), seconds
        self._has_said = False

    def is_over(self) -> bool:
        waited = time.monotonic() - self._since
        if waited >= _SILENCE and not self._has_said:
            self._has_said = True
            left = max(0.0, self._seconds - waited)
            _log.warning("The database %s is locked by another program; waiting %.0f s more.", self._place, left)
        return waited >= self._seconds


def _set_up_sqlite(place: str, busy: float, connection: Any, record: Any) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    connection.isolation_level = None  # the driver must not open transactions by itself
    connection.execute(f"PRAGMA busy_timeout={int(min(busy, _SILENCE) * 1000)}")
    _use_write_ahead_log(connection, _Wait(place, busy))
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")


def _set_up_postgresql(connection: Any, record: Any) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    """A process that is stopped, or asleep, amid a transaction must not keep what it has locked from whoever goes on with its run."""
    connection.execute(f"SET idle_in_transaction_session_timeout = {int(STOPPED_SECONDS * 1000)}")
    if connection.info.server_version // 10_000 >= statements.LIMITS_TRANSACTIONS:
        connection.execute(f"SET transaction_timeout = {int(LONGEST_SECONDS * 1000)}")
    connection.commit()


def may_take_long(connection: Connection) -> None:
    """The transaction that has begun takes as long as it takes: a migration of many rows."""
    if limits_transactions(connection.dialect):
        connection.execute(text("SET LOCAL transaction_timeout = 0"))


def _use_write_ahead_log(connection: Any, wait: _Wait) -> None:
    """SQLite does not wait by itself when two processes switch a new file at the same instant."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except connection.OperationalError as error:
            if "locked" not in str(error) or wait.is_over():
                raise
            time.sleep(0.01)
        else:
            return
