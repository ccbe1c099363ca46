# SPDX-License-Identifier: BSD-3-Clause
"""What each deployment has to do with, so that who waits for an asset is found without reading all of them."""

from __future__ import annotations

from sqlalchemy import BindParameter, Connection, bindparam

from nbflow.core.deployments import Deployment
from nbflow.core.watching import Watch
from nbflow.store.codec import encode, micros
from nbflow.store.database import Database
from nbflow.store.referring import is_same, references
from nbflow.store.schema import file_watch as watch_table
from nbflow.store.schema import occasion as occasion_table
from nbflow.store.schema import reference as reference_table


class References:
    """Queries on `reference`, and what follows for `occasion` and `watch` when a deployment changes."""

    def __init__(self, database: Database) -> None:
        columns, occasion, watch = reference_table.c, occasion_table.c, watch_table.c
        name: BindParameter[str] = bindparam("this")
        self._insert = database.insert(reference_table)
        self._delete = database.statement(
            reference_table.delete().where(columns.name == name, columns.role == bindparam("was"), columns.subject == bindparam("about"))
        )
        self._forget = database.statement(
            occasion_table.delete().where(occasion.name == name, occasion.kind == bindparam("was"), occasion.subject == bindparam("about"))
        )
        self._look_again = database.statement(occasion_table.update().where(occasion.name == name).values(fresh=1))
        self._watch = database.insert(watch_table)
        self._unwatch = database.statement(watch_table.delete().where(watch.name == name, watch.url == bindparam("about")))

    def change(self, connection: Connection, before: Deployment | None, after: Deployment | None) -> None:
        """As the deployment now says. What happened counts no more where it waits for it no more; other expressions are looked at anew."""
        if is_same(before, after):
            return
        old, new = references(before), references(after)
        name = (after or before).name  # type: ignore[union-attr]  # one of them refers to something
        for role, subject in sorted(old - new):
            self._delete.run(connection, this=name, was=role, about=subject)
            self._forget.run(connection, this=name, was=role, about=subject)
            if role == "file":
                self._unwatch.run(connection, this=name, about=subject)
        for role, subject in sorted(new - old):
            self._insert.run(connection, name=name, role=role, subject=subject)
            if role == "file" and after is not None:
                record = Watch(name=name, url=subject, due=after.since)
                self._watch.run(connection, name=name, url=subject, due_at=micros(after.since), revision=0, record=encode(record))
        self._look_again.run(connection, this=name)
