# SPDX-License-Identifier: BSD-3-Clause
"""Opening the store: the folder, the file system, the schema. An up-to-date database is opened without Alembic."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import URL, Connection, inspect, make_url, text
from sqlalchemy.exc import ArgumentError

from nbflow.core.errors import SetupError
from nbflow.core.protocols import Store
from nbflow.store.database import Database, may_take_long
from nbflow.store.schema import HEAD, VERSION_TABLE, metadata, tell_postgresql, version_table
from nbflow.store.sql import SqlStore

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
#: File systems whose locks SQLite cannot rely on.
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "fuse.sshfs", "fuse.s3fs", "9p", "afs", "ceph", "fuse.ceph"}
)
#: Any number, the same for every nbflow: who migrates a PostgreSQL database holds this advisory lock.
_MIGRATION_LOCK: Final = 0x6E62666C
#: Alembic keeps the migration that runs in module variables.
_migrating: Final = threading.Lock()


def open_store(database_url: str) -> Store:
    """The store at `database_url`: `sqlite:///PATH`, `postgresql://...`, or `memory://`, which forgets everything when it is closed.

    Makes the folder and the tables where there are none; processes that do so at the same instant wait for each other. Raises SetupError, in
    one sentence, when the database cannot be used, also when it is of an older or newer nbflow.
    """
    if database_url == "memory://":
        from nbflow.store.memory import MemoryStore  # noqa: PLC0415 - a database need not pay for it

        return MemoryStore()
    database = open_database(database_url)
    try:
        _make_tables(database)
    except BaseException:
        database.close()
        raise
    return SqlStore(database)


def open_database(database_url: str) -> Database:
    """The database, whatever is in it. Raises SetupError."""
    url = _parsed(database_url)
    if url.get_backend_name() == "sqlite":
        _prepare_folder(url)
    return Database(url)


def _parsed(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise SetupError("database_url cannot be read: write sqlite:////path/to/nbflow.db or postgresql://user@host/name.") from None
    if url.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        _need_psycopg()
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise SetupError(f'database_url names "{url.drivername}": nbflow keeps its history in sqlite or postgresql.')
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise SetupError("database_url names no file: write sqlite:////path/to/nbflow.db (or memory:// to keep nothing).")
    return url


def _need_psycopg() -> None:
    try:
        import psycopg  # noqa: F401, PLC0415 - an extra; asked for here to say how it is installed
    except ImportError:
        raise SetupError('PostgreSQL needs the package psycopg: pip install "psycopg[binary]".') from None


def _prepare_folder(url: URL) -> None:
    file = Path(url.database or "")
    try:
        file.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise SetupError(f"There is no space left for the database {file}: free some, or choose another home.") from error
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise SetupError(
                f"The database {file} cannot be made: a file stands where its folder should be. Choose another home."
            ) from error
        raise SetupError(f"The folder of the database {file} cannot be made ({error.strerror}): choose another home.") from error
    if not os.access(file.absolute().parent, os.W_OK) or (file.exists() and not os.access(file, os.W_OK)):
        raise SetupError(
            f"The database {file} cannot be written: change the permissions of the file and of its folder, or choose another home."
        )
    kind = network_file_system(file.absolute(), _mounts())
    if kind:
        raise SetupError(
            f"The database {file} would stand on a network file system ({kind}), where SQLite loses data: "
            "choose a home on a local disk, or set database_url to PostgreSQL."
        )


def network_file_system(file: Path, mounts: str) -> str:
    """The kind of the network file system `file` stands on, "" on a local one. `mounts` is the text of /proc/mounts."""
    target = os.path.realpath(file)
    best, found = "", ""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        # The kernel writes blanks and backslashes of a name as octal numbers.
        point = words[1].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        is_above = target == point or target.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= len(best):
            best, found = point, words[2]
    return found if found in _NETWORK else ""


def _mounts() -> str:
    """Empty where the system has no /proc (macOS, Windows): then nothing can be said."""
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _make_tables(database: Database) -> None:
    with database.reading() as connection:
        if revision(connection) == HEAD:
            return
    with alone(database) as connection:
        stored = revision(connection)
        if stored is None:
            _refuse_a_foreign_one(connection, database)
            _create(connection)
        elif stored != HEAD:
            raise SetupError(_other_schema(connection, database, stored))


@contextmanager
def alone(database: Database) -> Iterator[Connection]:
    """A transaction in which nobody else makes or migrates tables."""
    with database.writing() as connection:
        may_take_long(connection)
        if not database.is_sqlite:  # SQLite's writer is alone by itself
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATION_LOCK})
        yield connection


def revision(connection: Connection) -> str | None:
    """The migration the database is at, None for an empty one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608 - a constant
    return found


def _create(connection: Connection) -> None:
    """The tables as the migrations make them. An empty database has nothing to migrate, for which Alembic would take five times as long."""
    if connection.dialect.name == "postgresql":
        tell_postgresql()
    metadata.create_all(connection, checkfirst=False)
    version_table.create(connection)
    connection.execute(version_table.insert().values(version_num=HEAD))


def migrate(connection: Connection) -> None:
    """Bring the tables to those of this nbflow."""
    from alembic import command  # noqa: PLC0415 - only an older database pays for it

    with _migrating:
        command.upgrade(migrations(connection), "head")


def is_newer(connection: Connection, stored: str) -> bool:
    """Whether this nbflow does not know that schema."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    return stored not in {script.revision for script in ScriptDirectory.from_config(migrations(connection)).walk_revisions()}


def _other_schema(connection: Connection, database: Database, stored: str) -> str:
    if is_newer(connection, stored):
        return newer_schema(database.place, stored)
    return (
        f"The database {database.place} is of an older nbflow (schema {stored}, this one needs {HEAD}): "
        "stop what still runs on it, and type nbflow db upgrade."
    )


def newer_schema(place: str, stored: str) -> str:
    return f"The database {place} was made by a newer nbflow (schema {stored}, this one knows {HEAD}): install that version here too."


def migrations(connection: Connection) -> Config:
    """What Alembic's commands need to work in the transaction of `connection`."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _refuse_a_foreign_one(connection: Connection, database: Database) -> None:
    """A SQLite file with any table belongs to another program. A PostgreSQL database may be shared, but not the names of our tables."""
    found = set(inspect(connection).get_table_names())
    if not (found if database.is_sqlite else found & metadata.tables.keys()):
        return
    if database.is_sqlite:
        raise SetupError(f"{database.place} is not a database of nbflow: move that file away, or set database_url to another one.")
    raise SetupError(
        f"{database.place} holds tables of another program that are called as nbflow's: set database_url to a database of its own."
    )
