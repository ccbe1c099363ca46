# SPDX-License-Identifier: BSD-3-Clause
"""The store over SQLite or PostgreSQL: a thin composition of the queries of each aggregate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nbflow.core.ids import RunId, Token
from nbflow.core.model import Flow
from nbflow.core.protocols import RunPage
from nbflow.core.records import AttemptRecord, Change, Lease, Request, RunRecord, TaskRecord
from nbflow.store.attempts import Attempts
from nbflow.store.cache import Cache
from nbflow.store.change_log import ChangeLog
from nbflow.store.codec import encode
from nbflow.store.database import Database
from nbflow.store.flows import Flows
from nbflow.store.leases import Leases
from nbflow.store.requests import Requests
from nbflow.store.rows import change_row, task_row
from nbflow.store.runs import Runs
from nbflow.store.sentences import unfinished


class SqlStore:
    """What has happened, in a database whose tables exist (`open_store` makes them).

    A transaction touches the tables in one order, lease, run, then the others, so that writers of one run queue up and never lock each other out.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._flows = Flows(database)
        self._runs = Runs(database)
        self._leases = Leases(database)
        self._log = ChangeLog(database)
        self._attempts = Attempts(database)
        self._requests = Requests(database)
        self._cache = Cache(database)

    # flows

    def save_flow(self, flow: Flow, *, source: bytes = b"") -> str:
        return self._flows.save(flow, source)

    def flow(self, version: str) -> Flow:
        return self._flows.load(version)

    # runs

    def create_run(self, run: RunRecord, tasks: Sequence[TaskRecord], captures: bytes | None = None, hashes: Sequence[str] = ()) -> None:
        with self._database.writing() as connection:
            self._runs.create(connection, run, tasks)
            self._leases.create(connection, run.run_id)
            if captures is not None:
                self._runs.save_captures(connection, run.run_id, captures)
                self._attempts.refer(connection, run.run_id, set(hashes))

    def run(self, run_id: str) -> RunRecord:
        return self._runs.load(run_id)

    def find_runs(self, *, flow: str = "", state: str = "", path: str = "", cursor: str = "", limit: int = 50) -> RunPage:
        return self._runs.find(flow=flow, state=state, path=path, cursor=cursor, limit=limit)

    def task_records(self, run_id: str) -> tuple[TaskRecord, ...]:
        return self._runs.tasks(run_id)

    def attempts(self, run_id: str, task_id: str = "", map_index: int | None = None) -> tuple[AttemptRecord, ...]:
        return self._attempts.of(run_id, task_id, map_index)

    def save_captures(self, run_id: str, captures: bytes, hashes: Sequence[str] = ()) -> None:
        with self._database.writing() as connection:
            self._runs.lock(connection, run_id)
            self._runs.save_captures(connection, run_id, captures)
            self._attempts.refer(connection, run_id, set(hashes))

    def captures(self, run_id: str) -> bytes | None:
        return self._runs.captures(run_id)

    def delete_run(self, run_id: str) -> tuple[str, ...]:
        with self._database.writing() as connection:
            self._leases.delete(connection, run_id)
            run = self._runs.lock(connection, run_id)
            if not run.state.is_finished:
                raise unfinished(run)
            hashes = self._attempts.delete(connection, run_id)
            self._cache.delete(connection, run_id)
            self._log.delete(connection, run_id)
            self._requests.delete(connection, run_id)
            self._runs.delete(connection, run_id)
        return hashes

    # leases

    def claim(self, run_id: str, owner: str, seconds: float, instead_of: str = "") -> Lease | None:
        return self._leases.claim(run_id, owner, seconds, instead_of)

    def holders(self) -> Mapping[RunId, str]:
        return self._leases.holders()

    def holder(self, run_id: str) -> str:
        return self._leases.holder(run_id)

    def renew(self, lease: Lease) -> None:
        self._leases.renew(lease)

    def release(self, lease: Lease) -> None:
        self._leases.release(lease)

    def lapsed_runs(self) -> tuple[RunId, ...]:
        return self._leases.lapsed()

    # the driver's writes

    def commit(
        self,
        lease: Lease,
        changes: Sequence[Change],
        attempts: Sequence[AttemptRecord] = (),
        done_requests: Sequence[int] = (),
        *,
        run: RunRecord | None = None,
        entries: Mapping[str, Token] | None = None,
    ) -> int:
        # Everything is encoded before the transaction begins: nobody waits for that.
        batch = _Batch(lease.run_id, changes, run)
        with self._database.writing() as connection:
            cursor = self._leases.advance(connection, lease, len(changes))
            self._log.append(connection, batch.changes(cursor))
            self._runs.put_tasks(connection, batch.tasks)
            if batch.run is not None:
                self._runs.put(connection, *batch.run)
            if attempts:
                self._attempts.record(connection, lease.run_id, attempts)
            if entries:
                self._cache.record(connection, lease.run_id, entries)
            if done_requests:
                self._requests.done(connection, lease.run_id, done_requests)
        return cursor

    # everyone else

    def cached(self, keys: Sequence[str]) -> Mapping[str, tuple[RunId, AttemptRecord]]:
        return self._cache.find(keys)

    def leave_request(self, run_id: str, request: Request) -> int:
        with self._database.writing() as connection:
            self._runs.lock(connection, run_id)
            return self._requests.leave(connection, run_id, request)

    def requests(self, run_id: str) -> tuple[Request, ...]:
        return self._requests.waiting(run_id)

    def changes(self, run_id: str, after: int = 0, limit: int = 10_000) -> tuple[Change, ...]:
        return self._log.after(run_id, after, limit)

    def close(self) -> None:
        self._database.close()


class _Batch:
    """The rows of one commit: each change once, and of each record only the newest."""

    def __init__(self, run_id: str, changes: Sequence[Change], run: RunRecord | None) -> None:
        self._rows: list[dict[str, Any]] = []
        tasks: dict[tuple[str, int], dict[str, Any]] = {}
        self.run: tuple[RunRecord, str] | None = None
        for change in changes:
            task_text = run_text = None
            if change.task is not None:
                task_text = encode(change.task)
                tasks[change.task.key] = task_row(run_id, change.task, task_text)
            if change.run is not None:
                run_text = encode(change.run)
                self.run = (change.run, run_text)
            self._rows.append(change_row(run_id, 0, change, task_text, run_text))
        if run is not None:
            self.run = (run, encode(run))
        self.tasks = list(tasks.values())

    def changes(self, newest: int) -> Sequence[Mapping[str, Any]]:
        """The rows of the log; the last one has the cursor `newest`."""
        for cursor, row in enumerate(self._rows, newest - len(self._rows) + 1):
            row["cursor"] = cursor
        return self._rows
