# SPDX-License-Identifier: BSD-3-Clause
"""Connections and variables: two tables of named records."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from sqlalchemy import Table, bindparam, select

from nbflow.core.connections import StoredConnection, StoredVariable
from nbflow.store.codec import decode, encode
from nbflow.store.database import Database
from nbflow.store.schema import connection as connection_table
from nbflow.store.schema import variable as variable_table
from nbflow.store.sentences import unknown_named

T = TypeVar("T", StoredConnection, StoredVariable)


class _Named(Generic[T]):
    """Queries on one of the two tables."""

    def __init__(self, database: Database, table: Table, cls: type[T], what: str) -> None:
        self._database, self._what = database, what
        self._cls: type[T] = cls
        this: Any = table.c.name == bindparam("this")
        self._put = database.upsert(table, key=["name"], changing=["record"])
        self._get = database.statement(select(table.c.record).where(this))
        self._all = database.statement(select(table.c.record).order_by(table.c.name))
        self._names = database.statement(select(table.c.name))
        self._delete = database.statement(table.delete().where(this))

    def all(self) -> tuple[T, ...]:
        with self._database.reading() as connection:
            return tuple(decode(self._cls, row[0]) for row in self._all.run(connection))

    def get(self, name: str) -> T:
        with self._database.reading() as connection:
            text = self._get.run(connection, this=name).scalar_one_or_none()
            if text is None:
                raise unknown_named(self._what, name, [row[0] for row in self._names.run(connection)])
        return decode(self._cls, text)

    def save(self, record: T) -> None:
        with self._database.writing() as connection:
            self._put.run(connection, name=record.name, record=encode(record))

    def delete(self, name: str) -> None:
        with self._database.writing() as connection:
            if not self._delete.run(connection, this=name).rowcount:
                raise unknown_named(self._what, name, [row[0] for row in self._names.run(connection)])


class Secrets:
    """A SecretStore over `connection` and `variable`."""

    def __init__(self, database: Database) -> None:
        self._connections = _Named(database, connection_table, StoredConnection, "connection")
        self._variables = _Named(database, variable_table, StoredVariable, "variable")

    def connections(self) -> tuple[StoredConnection, ...]:
        return self._connections.all()

    def connection(self, name: str) -> StoredConnection:
        return self._connections.get(name)

    def save_connection(self, connection: StoredConnection) -> None:
        self._connections.save(connection)

    def delete_connection(self, name: str) -> None:
        self._connections.delete(name)

    def variables(self) -> tuple[StoredVariable, ...]:
        return self._variables.all()

    def variable(self, name: str) -> StoredVariable:
        return self._variables.get(name)

    def save_variable(self, variable: StoredVariable) -> None:
        self._variables.save(variable)

    def delete_variable(self, name: str) -> None:
        self._variables.delete(name)
