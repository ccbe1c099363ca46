# SPDX-License-Identifier: BSD-3-Clause
"""Connections and variables as the doors ask for them: set, read, opened with the key of the home."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from nbflow.app.rooms import person
from nbflow.core.connections import (
    Connection,
    SecretStore,
    StoredConnection,
    StoredVariable,
    check_name,
    check_url,
    is_sensitive,
    secret_texts,
    shown_url,
)
from nbflow.core.deployments import AuditEntry
from nbflow.core.errors import UserError
from nbflow.core.masking import Mask
from nbflow.core.protocols import Clock, Store


class Seals(Protocol):
    """What opens and closes secrets: store/sealing.py."""

    @property
    def where(self) -> str: ...

    def has_key(self) -> bool: ...

    def make_key(self) -> None: ...

    def seal(self, document: Any) -> str: ...

    def open(self, sealed: str) -> Any: ...


class Secrets:
    """Connections and variables of one database, with the key that opens them."""

    def __init__(self, store: Store, seals: Seals, clock: Clock) -> None:
        self._all, self._seals, self._clock = store, seals, clock

    @property
    def stored(self) -> SecretStore:
        """What anybody may see of them."""
        return self._all.secrets

    # --- connections --------------------------------------------------------------------------------------------------

    def connection(self, name: str) -> Connection:
        """With its secrets. Raises UserError when there is none, SetupError when the key does not open it."""
        stored = self.stored.connection(name)
        opened = self._seals.open(stored.sealed)
        return Connection(name=name, url=opened["url"], more=opened["extra"], description=stored.description)

    def set_connection(
        self, name: str, url: str, *, extra: Mapping[str, Any] | None = None, description: str | None = None
    ) -> StoredConnection:
        """Make the connection, or replace it; without a description that stays. Raises UserError, SetupError."""
        check_name(name, "connection")
        check_url(name, url)
        more = dict(extra or {})
        sealed = self._seal({"url": url, "extra": more})
        if description is None:
            description = next((one.description for one in self.stored.connections() if one.name == name), "")
        stored = StoredConnection(name=name, shown=shown_url(url), extra=tuple(more), description=description, sealed=sealed)
        self.stored.save_connection(stored)
        self._note("set", f"connection {name}", stored.shown)
        return stored

    def delete_connection(self, name: str) -> None:
        self.stored.delete_connection(name)
        self._note("delete", f"connection {name}")

    def try_connection(self, name: str) -> str:
        """Reach what it names, now; returns what is to be said of it. Raises UserError, SetupError when it is not reached."""
        from nbflow.operators.reaching import can_be_tried, tried  # noqa: PLC0415 - SQLAlchemy, fsspec: for those who try

        connection = self.connection(name)
        if can_be_tried(connection):
            mask = Mask(secret_texts(connection))
            try:
                return f"Connection {name} works: {tried(connection)}."
            except UserError as error:
                raise UserError(mask.text(str(error))) from None
        return ""

    # --- variables ----------------------------------------------------------------------------------------------------

    def variable(self, name: str) -> str:
        """Its value. Raises UserError when there is none, SetupError when the key does not open it."""
        stored = self.stored.variable(name)
        return str(self._seals.open(stored.sealed)["value"]) if stored.is_secret else stored.value

    def set_variable(self, name: str, value: str, *, secret: bool | None = None, description: str | None = None) -> StoredVariable:
        """Make the variable, or replace it; one with a name such as `api_token` is a secret unless said otherwise."""
        check_name(name, "variable")
        secret = is_sensitive(name) if secret is None else secret
        sealed = self._seal({"value": value}) if secret else ""
        if description is None:
            description = next((one.description for one in self.stored.variables() if one.name == name), "")
        stored = StoredVariable(name=name, value="" if secret else value, is_secret=secret, description=description, sealed=sealed)
        self.stored.save_variable(stored)
        self._note("set", f"variable {name}")
        return stored

    def delete_variable(self, name: str) -> None:
        self.stored.delete_variable(name)
        self._note("delete", f"variable {name}")

    # --- the key ------------------------------------------------------------------------------------------------------

    def check_key(self) -> str:
        """What is to be said of the key. Raises SetupError when it does not open what is there."""
        sealed = self._any_sealed()
        if sealed:
            self._seals.open(sealed)
            return f"{self._seals.where} opens the secrets of this database"
        return f"{self._seals.where} is there" if self._seals.has_key() else "none yet: it is made with the first connection"

    def _seal(self, document: Mapping[str, Any]) -> str:
        """With the one key of this database: a second one would leave secrets that no machine opens all of."""
        sealed = self._any_sealed()
        if sealed:
            self._seals.open(sealed)
        else:
            self._seals.make_key()
        return self._seals.seal(document)

    def _any_sealed(self) -> str:
        sealed = [connection.sealed for connection in self.stored.connections()]
        sealed += [variable.sealed for variable in self.stored.variables() if variable.is_secret]
        return sealed[0] if sealed else ""

    def _note(self, what: str, about: str, detail: str = "") -> None:
        at: datetime = self._clock.now()
        self._all.deployments.note(AuditEntry(at=at, by=person(), what=what, about=about, detail=detail))
