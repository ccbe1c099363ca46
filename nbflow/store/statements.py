# SPDX-License-Identifier: BSD-3-Clause
"""The fixed statements of the store: compiled once, when first used, and run on the driver's own cursor.

A step of a run is half a dozen of them, and what SQLAlchemy does around each (a context, a result with its columns, a cursor's life) costs several
times what SQLite takes for it. The connection and its transaction are SQLAlchemy's, and so are the errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

Row = tuple[Any, ...]
#: The first PostgreSQL that ends a transaction which takes too long, whatever its client does.
LIMITS_TRANSACTIONS: Final = 17


class Rows:
    """What a statement gave, all of it; `rowcount` says how many rows it touched."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: Sequence[Row], rowcount: int) -> None:
        self._rows, self.rowcount = rows, rowcount

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def one(self) -> Row:
        (row,) = self._rows
        return row

    def one_or_none(self) -> Row | None:
        return self.one() if self._rows else None

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        return self.one()[0] if self._rows else None


class Statement:
    """One statement as text, from its first use on: a process needs a few of the many there are. Parameters are given by name."""

    def __init__(self, statement: Executable, dialect: Dialect, names: Sequence[str] | None = None) -> None:
        self._statement: Any = statement
        self._dialect, self._names = dialect, names

    @cached_property
    def _compiled(self) -> Any:
        return self._statement.compile(dialect=self._dialect, column_keys=self._names)

    @cached_property
    def _text(self) -> str:
        return str(self._compiled)

    @cached_property
    def _in_order(self) -> Callable[[Mapping[str, Any]], Any] | None:
        """Takes the parameters in the order of the text; None where they go by name."""
        return _taker(self._compiled.positiontup) if self._compiled.positional else None

    @cached_property
    def _constants(self) -> Mapping[str, Any]:
        return {name: value for name, value in self._compiled.params.items() if value is not None}

    def run(self, connection: Connection, **parameters: Any) -> Rows:
        return execute(connection, self._text, self._bound(parameters))

    def run_many(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Once for each row; none is fine."""
        bound = [self._bound(row) for row in rows]
        if len(bound) == 1 or not _may_send_many(connection.dialect):
            for parameters in bound:
                execute(connection, self._text, parameters)
        elif bound:
            try:
                connection.connection.cursor().executemany(self._text, bound)
            except connection.dialect.loaded_dbapi.Error as error:
                raise _as_sqlalchemy(error, connection, self._text) from error

    def _bound(self, parameters: Mapping[str, Any]) -> Any:
        if self._constants:
            parameters = {**self._constants, **parameters}
        return parameters if self._in_order is None else self._in_order(parameters)


def limits_transactions(dialect: Dialect) -> bool:
    """Whether it is a server that ends a transaction which takes too long; known once there was a connection."""
    return dialect.name == "postgresql" and (dialect.server_version_info or ())[:1] >= (LIMITS_TRANSACTIONS,)


def _may_send_many(dialect: Dialect) -> bool:
    """psycopg sends many rows in one round trip. A PostgreSQL that does not limit transactions would wait for ever for a process that is stopped meanwhile,
    or right afterwards, with all that it has locked.
    """
    return dialect.name != "postgresql" or limits_transactions(dialect)


def execute(connection: Connection, text: str, parameters: Any = ()) -> Rows:
    """Run `text`, within the transaction that has begun. Raises DBAPIError, as SQLAlchemy does."""
    try:
        cursor = connection.connection.cursor()
        cursor.execute(text, parameters)
        # All at once: SQLite commits nothing while a statement that returns rows is under way.
        return Rows(() if cursor.description is None else cursor.fetchall(), cursor.rowcount)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _as_sqlalchemy(error, connection, text) from error


def _as_sqlalchemy(error: Exception, connection: Connection, text: str) -> BaseException:
    """The error with which SQLAlchemy would tell of this one; a connection that was lost is given up."""
    dialect = connection.dialect
    errors: Any = dialect.loaded_dbapi.Error
    is_lost = dialect.is_disconnect(error, connection.connection, None)  # type: ignore[arg-type]
    if is_lost:
        connection.invalidate(error)
    return DBAPIError.instance(text, None, error, errors, connection_invalidated=is_lost, dialect=dialect)


def _taker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Any]:
    if len(names) > 1:
        return itemgetter(*names)  # a tuple, in a fifth of the time of a loop: it is called for each row
    return lambda parameters: tuple(parameters[name] for name in names)
