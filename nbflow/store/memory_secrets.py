# SPDX-License-Identifier: BSD-3-Clause
"""Connections and variables of the memory store."""

from __future__ import annotations

import threading
from typing import TypeVar

from nbflow.core.connections import StoredConnection, StoredVariable
from nbflow.store.codec import decode, encode
from nbflow.store.sentences import unknown_named

T = TypeVar("T", StoredConnection, StoredVariable)


class MemorySecrets:
    """A SecretStore in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: As a database would keep them.
        self._connections: dict[str, str] = {}
        self._variables: dict[str, str] = {}

    def connections(self) -> tuple[StoredConnection, ...]:
        return self._all(self._connections, StoredConnection)

    def connection(self, name: str) -> StoredConnection:
        return self._get(self._connections, StoredConnection, name, "connection")

    def save_connection(self, connection: StoredConnection) -> None:
        with self._lock:
            self._connections[connection.name] = encode(connection)

    def delete_connection(self, name: str) -> None:
        self._delete(self._connections, name, "connection")

    def variables(self) -> tuple[StoredVariable, ...]:
        return self._all(self._variables, StoredVariable)

    def variable(self, name: str) -> StoredVariable:
        return self._get(self._variables, StoredVariable, name, "variable")

    def save_variable(self, variable: StoredVariable) -> None:
        with self._lock:
            self._variables[variable.name] = encode(variable)

    def delete_variable(self, name: str) -> None:
        self._delete(self._variables, name, "variable")

    def _all(self, kept: dict[str, str], cls: type[T]) -> tuple[T, ...]:
        with self._lock:
            return tuple(decode(cls, kept[name]) for name in sorted(kept))

    def _get(self, kept: dict[str, str], cls: type[T], name: str, what: str) -> T:
        with self._lock:
            if name not in kept:
                raise unknown_named(what, name, list(kept))
            return decode(cls, kept[name])

    def _delete(self, kept: dict[str, str], name: str, what: str) -> None:
        with self._lock:
            if kept.pop(name, None) is None:
                raise unknown_named(what, name, list(kept))
