# SPDX-License-Identifier: BSD-3-Clause
"""Opening the store, and the sentences of everything that can be in the way."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from nbflow.core.errors import SetupError
from nbflow.core.ids import RunId
from nbflow.core.records import RunRecord
from nbflow.store import database
from nbflow.store.memory import MemoryStore
from nbflow.store.opening import migrate, migrations, network_file_system, open_store, revision
from nbflow.store.schema import HEAD, VERSION_TABLE, metadata

pytest_plugins = ["tests.unit.store.databases"]

NOW = datetime(2026, 1, 2, tzinfo=UTC)
MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /home nfs4 rw 0 0
/dev/sdb1 /home/ann/local\\040disk xfs rw 0 0
sshfs#host: /mnt/remote fuse.sshfs rw 0 0
broken
"""


def refusal(url):
    with pytest.raises(SetupError) as caught:
        open_store(url)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_a_new_database_gets_its_folder_and_its_tables(tmp_path):
    url = f"sqlite:///{tmp_path / 'deep' / 'home' / 'nbflow.db'}"
    store = open_store(url)
    store.create_run(RunRecord(run_id=RunId("r"), flow="f", created_at=NOW), [])
    store.close()
    assert open_store(url).run("r").flow == "f"


def test_memory_forgets():
    assert isinstance(open_store("memory://"), MemoryStore)


@pytest.mark.parametrize("is_new", [True, False], ids=["a new one", "one that is there"])
def test_a_database_is_opened_without_alembic(sqlite_url, tmp_path, is_new):
    url = f"sqlite:///{tmp_path / 'new.db'}" if is_new else sqlite_url
    code = "import sys; from nbflow.store.opening import open_store; open_store(sys.argv[1]); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_sqlite_database_loads_nothing_of_another(tmp_path):
    code = "import sys; from nbflow.store.opening import open_store; open_store(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, f"sqlite:///{tmp_path / 'new.db'}"], capture_output=True, text=True, check=True)
    assert not {"sqlalchemy.dialects.postgresql", "nbflow.store.memory"} & set(done.stdout.split())


def test_the_write_ahead_log_is_on(sqlite_url):
    open_store(sqlite_url).close()
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


#: Indexes over some rows, which Alembic does not compare.
_PARTIAL = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'",
    "postgresql": "SELECT indexname FROM pg_indexes WHERE indexdef LIKE '% WHERE %' AND schemaname = current_schema()",
}


@pytest.mark.parametrize("by_migrations", [True, False], ids=["migrated", "made at once"])
def test_the_tables_are_those_of_the_schema(database_url, by_migrations):
    open_store(database_url).close()
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        if by_migrations:
            command.downgrade(migrations(connection), "base")
            migrate(connection)
        assert revision(connection) == HEAD
        assert compare_metadata(MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}), metadata) == []
        assert set(connection.scalars(text(_PARTIAL[engine.name]))) == {
            "ix_run_backfill_state",
            "ix_task_instance_pool_state_slots",
            "uq_backfill_flow",
            "ix_occasion_fresh",
        }
    engine.dispose()


def test_the_migrations_can_be_taken_back(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'nbflow.db'}")
    open_store(str(engine.url)).close()
    with engine.begin() as connection:
        command.downgrade(migrations(connection), "base")
        assert inspect(connection).get_table_names() == [VERSION_TABLE]
    engine.dispose()


def test_the_known_head_is_that_of_the_migrations():
    import nbflow.store.migrations

    assert ScriptDirectory(str(Path(nbflow.store.migrations.__file__).parent)).get_current_head() == HEAD


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite//x", "/home/ann/nbflow.db"])
def test_a_url_that_is_none_is_refused(url):
    assert refusal(url).startswith("database_url cannot be read: write sqlite:////path")


def test_another_kind_of_database_is_refused():
    assert refusal("mysql://h/x") == 'database_url names "mysql": nbflow keeps its history in sqlite or postgresql.'


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_sqlite_without_a_file_is_refused(url):
    assert refusal(url).startswith("database_url names no file")


def test_a_newer_schema_is_refused_and_left_alone(sqlite_url):
    file = sqlite_url.removeprefix("sqlite:///")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE nbflow_version SET version_num = '9999'")
    assert "was made by a newer nbflow (schema 9999, this one knows" in refusal(sqlite_url)
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT version_num FROM nbflow_version").fetchone() == ("9999",)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "nbflow.db"
    file.write_bytes(b"hello, I am a diary" * 100)
    assert refusal(f"sqlite:///{file}") == f"{file} is not a database of nbflow: move that file away, or set database_url to another one."
    assert file.read_bytes() == b"hello, I am a diary" * 100


def test_a_damaged_database_is_refused(sqlite_url):
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 60_000)
    assert "is damaged: restore it from a backup" in refusal(sqlite_url)


def test_somebody_elses_database_gets_no_tables_of_ours(tmp_path):
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE diary (x)")
    assert refusal(f"sqlite:///{file}") == f"{file} is not a database of nbflow: move that file away, or set database_url to another one."


def test_tables_of_another_program_in_postgresql_are_left_alone(postgresql_server):
    url = postgresql_server.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE shared"))
    engine.dispose()
    engine = create_engine(url.replace("/postgres?", "/shared?"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num text)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
    open_store(url.replace("/postgres?", "/shared?")).close()
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "theirs"
        connection.execute(text("DROP TABLE nbflow_version"))
    engine.dispose()
    assert "holds tables of another program" in refusal(url.replace("/postgres?", "/shared?"))


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    assert "cannot be opened: check that its folder exists" in refusal(f"sqlite:///{tmp_path}")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "home").write_text("")
    assert "cannot be made" in refusal(f"sqlite:///{tmp_path / 'home' / 'nbflow.db'}")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("part", ["", "nbflow.db"])
def test_a_home_or_file_that_may_not_be_written_is_refused(tmp_path, sqlite_url, part):
    mode = (tmp_path / part).stat().st_mode
    (tmp_path / part).chmod(0o555)
    assert "cannot be written: change the permissions" in refusal(sqlite_url)
    (tmp_path / part).chmod(mode)


def test_a_file_system_that_takes_no_files_is_refused():
    if not Path("/proc/self").exists():
        pytest.skip("no /proc on this system")
    assert "cannot be" in refusal("sqlite:////proc/nbflow/nbflow.db")


def test_a_locked_database_is_said_to_be_locked(sqlite_url):
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = open_store(f"{sqlite_url}?timeout=0.01")
    with pytest.raises(SetupError, match="is locked by another program: close whatever else has it open"):
        store.create_run(RunRecord(run_id=RunId("r"), flow="f", created_at=NOW), [])
    other.close()
    store.create_run(RunRecord(run_id=RunId("r"), flow="f", created_at=NOW), [])


def test_a_writer_that_waits_long_says_so_once(sqlite_url, monkeypatch, caplog):
    monkeypatch.setattr(database, "_SILENCE", 0.01)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    store = open_store(f"{sqlite_url}?timeout=0.1")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SetupError, match="is locked by another program"):
        store.create_run(RunRecord(run_id=RunId("r"), flow="f", created_at=NOW), [])
    other.close()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == f"The database {sqlite_url.removeprefix('sqlite:///')} is locked by another program; waiting 0 s more."


def test_a_new_database_that_is_locked_is_said_to_be_locked(tmp_path):
    file = tmp_path / "nbflow.db"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert "is locked by another program" in refusal(f"sqlite:///{file}?timeout=0.01")
    other.close()


def test_a_full_disk_is_said_to_be_full_and_nothing_is_half_written(sqlite_url):
    store = open_store(sqlite_url)
    with store._database.reading() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))  # as full as a disk can be
    with pytest.raises(SetupError, match="There is no space left for the database"):
        store.create_run(RunRecord(run_id=RunId("r"), flow="f", created_at=NOW, reason="x" * 100_000), [])
    assert store.find_runs().runs == ()


def test_a_database_that_became_read_only_is_said_to_be(sqlite_url):
    store = open_store(sqlite_url)
    with store._database.reading() as connection:
        connection.execute(text("PRAGMA query_only = ON"))
    with pytest.raises(SetupError, match="cannot be written: change the permissions"):
        store.create_run(RunRecord(run_id=RunId("r"), flow="f", created_at=NOW), [])


def test_a_server_that_is_not_there_is_said_not_to_be_reached():
    pytest.importorskip("psycopg")
    sentence = refusal("postgresql://ann:secret@127.0.0.1:1/nbflow")
    assert sentence.startswith("PostgreSQL cannot be reached at postgresql+psycopg://ann:***@127.0.0.1:1/nbflow: start it")
    assert "secret" not in sentence


def test_a_database_the_server_does_not_know_is_named(postgresql_server):
    url = postgresql_server.replace("/postgres?", "/nowhere?")
    assert 'database "nowhere" does not exist' in refusal(url)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/var/nbflow.db", ""),
        ("/home/ann/nbflow.db", "nfs4"),
        ("/home/ann/local disk/nbflow.db", ""),
        ("/homework/nbflow.db", ""),
        ("/mnt/remote/nbflow.db", "fuse.sshfs"),
    ],
)
def test_the_kind_of_a_network_file_system_is_found(file, kind):
    assert network_file_system(Path(file), MOUNTS) == kind


def test_without_a_list_of_mounts_nothing_is_refused():
    assert network_file_system(Path("/home/ann/nbflow.db"), "") == ""
