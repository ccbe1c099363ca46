# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow db ...` and `nbflow runs delete`, as typed, on a real SQLite file."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine

from nbflow.cli.main import cli
from nbflow.core.ids import RunId, TaskId, TaskKey
from nbflow.core.model import Flow
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import RunState
from nbflow.store.artifacts import open_artifacts
from nbflow.store.opening import migrations, open_store
from nbflow.store.schema import HEAD

pytest_plugins = ["tests.unit.store.databases"]

DAYS_AGO = datetime.now(UTC) - timedelta(days=100)


@pytest.fixture
def home(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    return tmp_path


def typed(*words: object) -> Result:
    result = CliRunner().invoke(cli, [str(word) for word in words], input="n\n")
    if isinstance(result.exception, SystemExit | None):
        return result
    result.stdout_bytes = str(result.exception).encode()
    return result


def a_run(home: Path, run_id: str, *, days: float = 100, flow: str = "sales", state: RunState = RunState.SUCCESS) -> RunRecord:
    """A run that ended so many days ago, recorded as drivers do."""
    store = open_store(f"sqlite:///{home / 'nbflow.db'}")
    at = datetime.now(UTC) - timedelta(days=days)
    version = store.save_flow(Flow(name=flow))
    run = RunRecord(run_id=RunId(run_id), flow=flow, version=version, created_at=at, path=f"/{flow}.ipynb")
    store.create_run(run, [])
    lease = store.claim(run_id, "driver", 60)
    begun = replace(run, state=RunState.RUNNING, started_at=at)
    ended = replace(begun, state=state, ended_at=at)
    store.commit(lease, [Change(at=at, key=None, before="queued", after="running", run=begun)])
    store.commit(lease, [Change(at=at, key=None, before="running", after=state.value, run=ended)])
    store.release(lease)
    (home / "runs" / run_id).mkdir(parents=True)
    (home / "runs" / run_id / f"{flow}.ipynb").write_text("{}")
    store.close()
    return ended


def runs(home: Path) -> list[str]:
    return sorted(run["run_id"] for run in json.loads(typed("runs", "list", "--json").stdout)["runs"])


def older(home: Path) -> None:
    """Take the newest migration back."""
    engine = create_engine(f"sqlite:///{home / 'nbflow.db'}")
    from alembic import command

    with engine.begin() as connection:
        command.downgrade(migrations(connection), "0006")
    engine.dispose()


class TestClean:
    def test_old_runs_go_with_their_folders_and_the_last_good_one_stays(self, home):
        for number in (3, 2, 1):
            a_run(home, f"r{number}", days=100 * number)
        a_run(home, "other", days=300, flow="other", state=RunState.FAILED)
        said = typed("db", "clean", "--before", "90d", "--dry-run").stdout
        assert said == "This would delete 3 runs (2 of sales, 1 of other).\nKept 1 run: it is the last one that went well.\n"
        assert len(runs(home)) == 4
        said = typed("db", "clean", "--before", "90d", "--yes", "--flow", "sales").stdout
        assert said.startswith("Deleted 2 runs (2 of sales), 0 stored values and 0 other files or folders.\n")
        assert runs(home) == ["other", "r1"]
        assert sorted(path.name for path in (home / "runs").iterdir()) == ["other", "r1"]

    def test_a_date_is_understood_and_a_person_is_asked(self, home):
        a_run(home, "r2", days=200)
        a_run(home, "r1", days=1)
        before = (datetime.now(UTC) - timedelta(days=50)).date().isoformat()
        assert "Everything was left as it is." in typed("db", "clean", "--before", before).stdout
        assert runs(home) == ["r1", "r2"]
        row = json.loads(typed("db", "clean", "--before", before, "--yes", "--json").stdout)
        assert (row["runs"], row["dry_run"]) == (["r2"], False)

    def test_without_a_date_the_setting_holds(self, home, monkeypatch):
        a_run(home, "r2", days=200)
        a_run(home, "r1", days=150)
        assert typed("db", "clean", "--yes").stdout.startswith("Deleted 0 runs, 0 stored values")
        monkeypatch.setenv("NBFLOW_RETENTION", '{"runs": "120d", "keep_last": 1}')
        assert typed("db", "clean", "--yes").stdout.startswith("Deleted 1 run (1 of sales)")

    @pytest.mark.parametrize("word", ["yesterday", "-3", "90x"])
    def test_another_word_is_refused(self, home, word):
        said = typed("db", "clean", f"--before={word}").stdout
        assert said == f'--before is "{word}", but takes a date such as 2026-01-31, or a duration such as 90d.'

    def test_a_date_to_come_is_refused(self, home):
        assert typed("db", "clean", "--before", "2999-01-01").stdout == "--before is 2999-01-01, which is still to come."


class TestDelete:
    def test_a_run_is_deleted_with_its_folder(self, home):
        a_run(home, "r1")
        a_run(home, "r2")
        assert typed("runs", "delete", "r1", "r1", "--yes").stdout == "Deleted 1 run.\n"
        assert runs(home) == ["r2"]
        assert not (home / "runs" / "r1").exists()

    def test_an_unknown_one_and_one_that_goes_on_are_refused_and_nothing_is_deleted(self, home):
        a_run(home, "r1")
        assert typed("runs", "delete", "r1", "r9", "--yes").stdout.startswith('There is no run "r9".')
        store = open_store(f"sqlite:///{home / 'nbflow.db'}")
        store.create_run(RunRecord(run_id=RunId("on"), flow="f", created_at=datetime.now(UTC)), [])
        store.close()
        said = typed("runs", "delete", "r1", "on", "--yes").stdout
        assert said == "Run on is queued: cancel it, or wait for its end, before you delete it."
        assert runs(home) == ["on", "r1"]
        assert typed("runs", "delete", "r1").stdout.endswith("Everything was left as it is.")

    def test_dots_as_a_run_id_delete_no_other_folder(self, home):
        store = open_store(f"sqlite:///{home / 'nbflow.db'}")
        store.close()
        (home / "runs").mkdir()
        a_run(home, "r1")
        with sqlite3.connect(home / "nbflow.db") as connection:
            for table in ("run", "lease", "change"):
                connection.execute(f"UPDATE \"{table}\" SET run_id = '..'")
            connection.execute("UPDATE run SET record = replace(record, '\"r1\"', '\"..\"')")
        assert typed("runs", "delete", "..", "--yes").stdout == "Deleted 1 run.\n"
        assert (home / "nbflow.db").exists()
        assert (home / "runs" / "r1").exists()


class TestUpgrade:
    def test_an_older_database_is_refused_in_a_sentence_and_upgraded_with_a_copy_beside_it(self, home):
        a_run(home, "r1")
        older(home)
        said = typed("runs", "list").stdout
        assert said == (
            f"The database {home}/nbflow.db is of an older nbflow (schema 0006, this one needs {HEAD}): "
            "stop what still runs on it, and type nbflow db upgrade."
        )
        said = typed("db", "upgrade").stdout
        assert said == f"The database went from schema 0006 to {HEAD}. As it was before, it is {home}/nbflow.db.schema-0006.\n"
        assert runs(home) == ["r1"]
        with sqlite3.connect(home / "nbflow.db.schema-0006") as connection:
            assert connection.execute("SELECT run_id FROM run").fetchall() == [("r1",)]
        assert typed("db", "upgrade").stdout == f"The database is at schema {HEAD} already.\n"

    def test_not_while_somebody_works_on_it_unless_by_force(self, home):
        store = open_store(f"sqlite:///{home / 'nbflow.db'}")
        store.create_run(RunRecord(run_id=RunId("on"), flow="f", created_at=datetime.now(UTC)), [])
        assert store.claim("on", "host:17/x@y", 6000)
        store.close()
        older(home)
        assert typed("db", "upgrade").stdout == (
            f"The database {home}/nbflow.db is in use by host:17: stop them first, or type nbflow db upgrade --force "
            "when they are gone for certain."
        )
        assert typed("db", "upgrade", "--force").exit_code == 0
        assert runs(home) == ["on"]

    def test_a_newer_one_is_left_alone(self, home):
        with sqlite3.connect(home / "nbflow.db") as connection:
            connection.execute("UPDATE nbflow_version SET version_num = '9999'")
        for words in (("db", "upgrade", "--force"), ("runs", "list")):
            assert "was made by a newer nbflow (schema 9999, this one knows" in typed(*words).stdout

    def test_a_new_home_needs_none(self, home):
        (home / "nbflow.db").unlink()
        assert typed("db", "upgrade").stdout == f"The database went from schema none to {HEAD}.\n"


class TestBackup:
    def test_the_copy_is_whole_while_somebody_writes(self, home, tmp_path):
        a_run(home, "r1")
        writer = sqlite3.connect(home / "nbflow.db", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM run")
        said = typed("db", "backup", tmp_path / "copy.db").stdout
        writer.close()
        assert said.startswith(
            f"Copied the database to {tmp_path}/copy.db. It holds runs, states, logs and small values; larger ones lie in"
        )
        assert sorted(path.name for path in tmp_path.glob("*copy*")) == ["copy.db"]
        store = open_store(f"sqlite:///{tmp_path / 'copy.db'}")
        assert store.run("r1").flow == "sales"
        store.close()

    def test_a_file_that_is_there_and_a_folder_that_is_not_are_refused(self, home, tmp_path):
        (tmp_path / "copy.db").write_text("mine")
        assert (
            typed("db", "backup", tmp_path / "copy.db").stdout
            == f"{tmp_path}/copy.db is there already: choose another name, or move it away."
        )
        assert (tmp_path / "copy.db").read_text() == "mine"
        assert "is not there: make it, or choose another one." in typed("db", "backup", tmp_path / "no" / "copy.db").stdout


class TestCheck:
    def test_what_fits_together(self, home):
        a_run(home, "r1")
        assert typed("db", "check", "--deep").stdout == "Everything fits together.\n"
        assert json.loads(typed("db", "check", "--json").stdout) == {"findings": []}

    @pytest.mark.parametrize(
        ("harm", "sentence"),
        [
            ("UPDATE change SET cursor = 7 WHERE cursor = 2", "The change log of run r1 has no change 2: restore the database"),
            ("DELETE FROM lease", "Run r1 has no lease, so that nobody can go on with it"),
            ("INSERT INTO callback VALUES ('gone', 'h', 0, 0, '{}')", "1 callbacks belong to runs that are not there, such as gone"),
            ("UPDATE run SET record = replace(record, 'success', 'failed')", "Run r1 is failed, but its change log says success"),
            ("UPDATE change SET record = replace(record, 'success', 'queued')", "is impossible: The run cannot go from running to queued"),
        ],
    )
    def test_what_does_not_is_a_sentence_with_what_to_do(self, home, harm, sentence):
        a_run(home, "r1")
        with sqlite3.connect(home / "nbflow.db") as connection:
            connection.execute(harm)
        result = typed("db", "check")
        assert sentence in result.stdout
        assert result.exit_code == 3

    def test_a_task_that_goes_on_in_a_run_that_ended(self, home):
        a_run(home, "r1")
        store = open_store(f"sqlite:///{home / 'nbflow.db'}")
        lease = store.claim("r1", "driver", 60)
        record = TaskRecord(key=TaskKey(TaskId("a")))
        store.commit(lease, [Change(at=DAYS_AGO, key=record.key, before="pending", after="pending", task=record)])
        store.close()
        assert "Run r1 has ended (success), but its task a is pending: type nbflow runs clear r1" in typed("db", "check").stdout

    def test_a_run_whose_process_is_gone(self, home):
        store = open_store(f"sqlite:///{home / 'nbflow.db'}")
        store.create_run(RunRecord(run_id=RunId("r1"), flow="f", created_at=DAYS_AGO), [])
        store.claim("r1", "elsewhere:17/x@y", 0)
        store.close()
        said = typed("db", "check").stdout
        assert said == "Run r1 has not ended, but whoever drove it (elsewhere:17) is gone: type nbflow run --resume r1.\n"

    def test_artifacts_that_are_missing_or_damaged(self, home):
        from nbflow.core.ids import Token
        from nbflow.core.job import ValueRef
        from nbflow.core.records import AttemptRecord

        artifacts = open_artifacts(str(home / "artifacts"))
        there, gone = artifacts.put(b"there"), "0" * 64
        a_run(home, "r1")
        store = open_store(f"sqlite:///{home / 'nbflow.db'}")
        refs = {name: ValueRef(hash=hash, format="bytes", size=5) for name, hash in (("x", there), ("y", gone))}
        attempt = AttemptRecord(key=TaskKey(TaskId("a")), attempt=1, token=Token("t"), outcome="success", values=refs)
        store.commit(store.claim("r1", "driver", 60), [], [attempt])
        store.close()
        missing = f"The stored value {gone[:12]} is missing from {home}/artifacts: run the task that gave it again"
        assert missing in typed("db", "check").stdout
        (home / "artifacts" / there[:2] / there).write_bytes(b"other")
        assert len(typed("db", "check").stdout.splitlines()) == 1
        assert f"The stored value {there[:12]} in {home}/artifacts is damaged" in typed("db", "check", "--deep").stdout
