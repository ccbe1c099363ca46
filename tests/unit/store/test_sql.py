# SPDX-License-Identifier: BSD-3-Clause
"""What only a real database can show: several processes on it, a failure inside a transaction, a lost connection."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psutil
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from nbflow.core.errors import SetupError, Superseded
from nbflow.core.ids import RunId, TaskId, TaskKey
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import TaskState
from nbflow.store import database, statements
from nbflow.store.connecting import MOST
from nbflow.store.database import Database
from nbflow.store.opening import alone, open_store
from nbflow.store.schema import artifact_reference

pytest_plugins = ["tests.unit.store.databases"]

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY = TaskKey(TaskId("a"))
RUNS = tuple(f"run-{number}" for number in range(12))
COMMITS = 10


def a_run(run_id):
    return RunRecord(run_id=RunId(run_id), flow="f", created_at=NOW)


def moved(reason=""):
    state = TaskState.SCHEDULED
    return Change(at=NOW, key=KEY, before="pending", after=state, reason=reason, task=TaskRecord(key=KEY, state=state))


@pytest.fixture
def opened(database_url):
    store = open_store(database_url)
    yield store
    store.close()


def drive(url, owner, together, won):
    """A process that takes every run it can get and commits to it."""
    store = open_store(url)
    together.wait(60)
    mine = [lease for run_id in RUNS if (lease := store.claim(run_id, owner, 60))]
    for _ in range(COMMITS):
        for lease in mine:
            store.commit(lease, [moved(owner), moved(owner)])
    won.put((owner, [lease.run_id for lease in mine]))
    store.close()


def test_two_processes_share_the_runs_of_one_database(opened, database_url):
    for run_id in RUNS:
        opened.create_run(a_run(run_id), [TaskRecord(key=KEY)])
    context = multiprocessing.get_context("spawn")
    together, won = context.Barrier(2), context.Queue()
    processes = [context.Process(target=drive, args=(database_url, owner, together, won)) for owner in ("one", "two")]
    for process in processes:
        process.start()
    shares = dict(won.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(shares["one"] + shares["two"]) == sorted(RUNS)
    for owner, run_ids in shares.items():
        for run_id in run_ids:
            changes = opened.changes(run_id)
            assert [change.cursor for change in changes] == list(range(1, 2 * COMMITS + 1))
            assert {change.reason for change in changes} == {owner}


def open_and_tell(url, together, told):
    together.wait(60)
    try:
        open_store(url).close()
    except SetupError as error:
        told.put(str(error))
    else:
        told.put("opened")


def test_processes_that_open_a_new_database_at_one_instant_do_not_collide(tmp_path):
    context = multiprocessing.get_context("spawn")
    together, told = context.Barrier(3), context.Queue()
    url = f"sqlite:///{tmp_path / 'home' / 'nbflow.db'}"
    processes = [context.Process(target=open_and_tell, args=(url, together, told)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [told.get(timeout=60) for _ in processes] == ["opened"] * 3
    for process in processes:
        process.join()


def test_threads_that_open_a_new_postgresql_database_at_one_instant_do_not_collide(postgresql_server):
    server = create_engine(postgresql_server.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE together"))
    server.dispose()
    together = threading.Barrier(3)

    def open_it(_):
        together.wait()
        store = open_store(postgresql_server.replace("/postgres?", "/together?"))
        found = store.lapsed_runs()
        store.close()
        return found

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(open_it, range(3))) == [()] * 3


def test_a_failure_inside_the_transaction_takes_everything_back(opened):
    opened.create_run(a_run("r"), [TaskRecord(key=KEY)])
    lease = opened.claim("r", "me", 60)
    with pytest.raises(DBAPIError):
        opened.commit(lease, [moved()], done_requests=[object()])
    assert opened.changes("r") == ()
    assert opened.task_records("r")[0].state is TaskState.PENDING
    assert opened.commit(lease, [moved()]) == 1


def test_the_connection_to_sqlite_of_a_thread_that_ended_is_closed(sqlite_url):
    store = open_store(sqlite_url)
    for _ in range(20):
        thread = threading.Thread(target=store.lapsed_runs)
        thread.start()
        thread.join()
    file = sqlite_url.removeprefix("sqlite:///")
    assert sum(opened.path == file for opened in psutil.Process().open_files()) < 10  # SQLite keeps some a little longer
    store.close()


def test_sqlite_is_not_closed_under_a_query_of_another_thread(sqlite_url):
    """Python's module crashes the process for that: whoever closes waits for what is under way, and no longer."""
    database = Database(make_url(sqlite_url))
    reads, goes_on, seen = threading.Event(), threading.Event(), []

    def look():
        with database.reading() as connection:
            reads.set()
            goes_on.wait(60)
            seen.append(connection.scalar(text("SELECT 1")))

    looking, closing = threading.Thread(target=look), threading.Thread(target=database.close)
    looking.start()
    assert reads.wait(60)
    closing.start()
    closing.join(0.2)  # had it not waited, it would have ended within that time
    is_waiting = closing.is_alive()
    goes_on.set()
    closing.join(60)
    looking.join(60)
    assert (is_waiting, closing.is_alive(), seen) == (True, False, [1])
    file = sqlite_url.removeprefix("sqlite:///")
    assert file not in {opened.path for opened in psutil.Process().open_files()}


def test_any_number_of_threads_share_a_few_connections_to_postgresql(postgresql_url):
    store = open_store(postgresql_url)
    together = threading.Barrier(40)

    def look(_):
        together.wait()
        return [store.lapsed_runs() for _ in range(5)]

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(look, range(40))) == [[()] * 5] * 40
        server = create_engine(postgresql_url.replace("postgresql://", "postgresql+psycopg://"))
        with server.connect() as connection:
            open_now = connection.scalar(
                text("SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
            )
        server.dispose()
    assert 1 <= open_now <= MOST
    store.close()


ROWS = [{"run_id": "r", "hash": "a"}, {"run_id": "r", "hash": "b"}]


@pytest.mark.parametrize("rows", [[], ROWS], ids=["", "after_many_rows"])
@pytest.mark.parametrize("newest", [True, False], ids=["", "on_an_older_server"])
def test_who_is_stopped_amid_a_transaction_keeps_nobody_from_going_on(postgresql_url, monkeypatch, rows, newest):
    if not newest:
        monkeypatch.setattr(statements, "LIMITS_TRANSACTIONS", 1000)
    url = make_url(postgresql_url).set(drivername="postgresql+psycopg")
    stopped, other = Database(url), Database(url)
    with monkeypatch.context() as soon:
        soon.setattr(database, "STOPPED_SECONDS", 0.2)
        soon.setattr(database, "LONGEST_SECONDS", 0.4)
        with stopped.reading():  # connects
            pass

    def work() -> None:
        with stopped.writing() as connection:
            connection.execute(text("LOCK TABLE run IN ACCESS EXCLUSIVE MODE"))
            stopped.insert(artifact_reference).run_many(connection, rows)
            with other.writing() as free:  # returns when the server has ended the transaction of the one that says nothing
                free.execute(text("SET LOCAL lock_timeout = '20s'; LOCK TABLE run IN ACCESS EXCLUSIVE MODE"))
            connection.execute(text("SELECT 1"))

    with pytest.raises(SetupError, match="has ended a transaction that took too long"):
        work()
    stopped.close()
    other.close()


@pytest.fixture(params=["asleep", "asleep amid many rows", "cut off"])
def asleep(postgresql_url, monkeypatch, request):
    """A store with a lease of run `r`. What it commits sleeps amid its transaction, once, until the server has ended that, as `meanwhile` finds out."""
    store, other = open_store(postgresql_url), open_store(postgresql_url)
    store.create_run(a_run("r"), [])
    lease, put, slept = store.claim("r", "me", 60), store._runs.put_tasks, []
    server = create_engine(postgresql_url.replace("postgresql://", "postgresql+psycopg://"))

    def fall_asleep(meanwhile):
        def put_tasks(connection, rows):
            if not slept:
                if request.param == "cut off":
                    with server.connect() as administrator:
                        pid = connection.scalar(text("SELECT pg_backend_pid()"))
                        administrator.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
                else:
                    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '100ms'"))
                slept.append(meanwhile(other, lease))  # waits for the row that the sleeper has locked
                if request.param == "asleep amid many rows":  # sent at once: psycopg does not tell what the server said
                    store._database.insert(artifact_reference).run_many(connection, ROWS)
            put(connection, rows)

        monkeypatch.setattr(store._runs, "put_tasks", put_tasks)
        return store, lease

    yield fall_asleep
    assert slept
    server.dispose()
    store.close()
    other.close()


def test_what_a_sleep_has_undone_is_written_again_once(asleep, caplog):
    store, lease = asleep(lambda other, lease: other.renew(lease))
    assert store.commit(lease, [moved("first"), moved("second")]) == 2
    assert [(change.cursor, change.reason) for change in store.changes("r")] == [(1, "first"), (2, "second")]
    assert caplog.text.count("is written again") == 1


def test_what_a_sleep_has_undone_is_refused_when_another_took_over_meanwhile(asleep):
    store, lease = asleep(lambda other, _: other.claim("r", "other", 60, "me"))
    with pytest.raises(Superseded):
        store.commit(lease, [moved()])
    assert store.changes("r") == ()
    assert store.holder("r") == "other"


def test_who_waits_for_his_turn_to_make_tables_may_wait_for_long(postgresql_url, monkeypatch):
    monkeypatch.setattr(database, "LONGEST_SECONDS", 0.1)
    waits = Database(make_url(postgresql_url).set(drivername="postgresql+psycopg"))
    with alone(waits) as connection:
        assert connection.execute(text("SELECT pg_sleep(0.3)::text")).scalar_one() == ""
    waits.close()


def test_a_store_may_be_closed_twice_and_used_again(opened):
    opened.close()
    opened.close()
    assert opened.lapsed_runs() == ()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_opens_its_own_connection(opened):
    opened.create_run(a_run("r"), [])
    child = multiprocessing.get_context("fork").Process(target=opened.claim, args=("r", "child", 60))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert opened.claim("r", "parent", 60) is None


def test_an_idle_connection_that_was_lost_is_replaced_unnoticed(postgresql_url):
    store = open_store(postgresql_url)
    store.create_run(a_run("r"), [])
    server = create_engine(postgresql_url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    with server.connect() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend(pid, 10000) {others}"))  # returns when they are gone
        assert connection.scalar(text(f"SELECT count(*) {others}")) == 0
    server.dispose()
    assert store.run("r").run_id == "r"
    store.close()
