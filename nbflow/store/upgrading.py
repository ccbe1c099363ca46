# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow db upgrade` and `nbflow db backup`: the database as a whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, inspect, select

from nbflow.core.errors import SetupError, UserError
from nbflow.store.database import Database, now_micros
from nbflow.store.opening import alone, is_newer, migrate, newer_schema, open_database, revision
from nbflow.store.schema import HEAD, lease, scheduler


@dataclass(frozen=True, kw_only=True)
class Upgraded:
    """From which schema to which; the same when there was nothing to do."""

    before: str
    after: str
    #: The copy that was made first; None for PostgreSQL, and where nothing was done.
    backup: Path | None = None


def upgrade(database_url: str, *, force: bool = False) -> Upgraded:
    """Bring the database to the schema of this nbflow; of an SQLite database a copy is made beside it first.

    Raises SetupError for a newer one, and, unless by force, while somebody works on it.
    """
    if database_url == "memory://":
        return Upgraded(before=HEAD, after=HEAD)
    database = open_database(database_url)
    try:
        with database.reading() as connection:
            stored = revision(connection)
            if stored is not None and stored != HEAD and is_newer(connection, stored):
                raise SetupError(newer_schema(database.place, stored))
            busy = _busy(connection) if stored is not None else ()
        if stored == HEAD:
            return Upgraded(before=HEAD, after=HEAD)
        if busy and not force:
            raise SetupError(
                f"The database {database.place} is in use by {' and '.join(busy)}: stop them first, or type nbflow db upgrade --force "
                "when they are gone for certain."
            )
        copy = _copy_beside(database, stored) if stored is not None else None
        with alone(database) as connection:
            if revision(connection) != HEAD:
                migrate(connection)
        return Upgraded(before=stored or "none", after=HEAD, backup=copy)
    finally:
        database.close()


def _busy(connection: Connection) -> tuple[str, ...]:
    """Who works on it: schedulers, and drivers by their leases."""
    tables = set(inspect(connection).get_table_names())
    owners: list[str] = []
    if scheduler.name in tables:
        owners += connection.scalars(select(scheduler.c.owner).where(scheduler.c.expires_at > now_micros()))
    if lease.name in tables:
        owners += connection.scalars(select(lease.c.owner).where(lease.c.owner != "", lease.c.expires_at > now_micros()))
    return tuple(sorted({owner.partition("/")[0] for owner in owners}))


def _copy_beside(database: Database, stored: str) -> Path | None:
    if not database.is_sqlite:
        return None
    file = Path(database.place)
    copy = file.with_name(f"{file.name}.schema-{stored}")
    _copy_sqlite(file, copy)
    return copy


def backup(database_url: str, file: Path) -> None:
    """Copy the database to a file while others work on it, as it was at one instant. Raises UserError, SetupError."""
    if database_url == "memory://":
        raise UserError("memory:// keeps nothing: there is nothing to back up.")
    if file.exists():
        raise UserError(f"{file} is there already: choose another name, or move it away.")
    if not file.absolute().parent.is_dir():
        raise UserError(f"The folder {file.absolute().parent} is not there: make it, or choose another one.")
    database = open_database(database_url)
    try:
        with database.reading() as connection:
            if revision(connection) is None:
                raise UserError(f"The database {database.place} is empty: there is nothing to back up.")
        if database.is_sqlite:
            _copy_sqlite(Path(database.place), file)
        else:
            _dump(database, file)
    finally:
        database.close()


def _copy_sqlite(source: Path, target: Path) -> None:
    """By SQLite's own backup: whole, whatever is being written. It appears under its name when it is complete."""
    aside = target.with_name(f".{target.name}.partial")
    try:
        aside.unlink(missing_ok=True)
        with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(aside)) as there:
            here.backup(there, pages=4096)
            there.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        aside.replace(target)
    except (OSError, sqlite3.Error) as error:
        aside.unlink(missing_ok=True)
        raise SetupError(f"The database {source} cannot be copied to {target}: {error}.") from None


def _dump(database: Database, file: Path) -> None:
    url = database.url.set(drivername="postgresql")
    shown = url.render_as_string(hide_password=True)
    program = shutil.which("pg_dump")
    if program is None:
        raise SetupError(f"pg_dump is not installed here. Where it is, type: pg_dump --format=custom --file={file} {shown!r}")
    aside = file.with_name(f".{file.name}.partial")
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, url.query)
    command = [program, "--format=custom", f"--file={aside}", f"--dbname={bare.render_as_string()}"]
    secret = {"PGPASSWORD": url.password} if url.password else {}  # a command line is seen by everybody on the machine
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **secret})  # noqa: S603 - a program of PostgreSQL, found by its name
    if done.returncode:
        aside.unlink(missing_ok=True)
        said = next((line for line in done.stderr.splitlines() if "error" in line.lower()), done.stderr.strip())
        raise SetupError(f"pg_dump could not copy {shown}: {said}")
    aside.replace(file)
