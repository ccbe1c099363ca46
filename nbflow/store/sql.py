# SPDX-License-Identifier: BSD-3-Clause
"""The store over SQLite or PostgreSQL: a thin composition of the queries of each aggregate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from nbflow.core.callbacks import CallbackRecord
from nbflow.core.ids import RunId, TaskKey, Token
from nbflow.core.limits import Answer, Asks, Board, Pool
from nbflow.core.model import Flow
from nbflow.core.notifications import begins_again
from nbflow.core.protocols import RunPage
from nbflow.core.records import AttemptRecord, Change, Lease, Request, RunRecord, TaskRecord
from nbflow.core.states import TaskState
from nbflow.core.tallies import is_end
from nbflow.store.attempts import Attempts
from nbflow.store.backfills import Backfills
from nbflow.store.cache import Cache
from nbflow.store.callbacks import Callbacks
from nbflow.store.change_log import ChangeLog
from nbflow.store.codec import encode
from nbflow.store.database import Database
from nbflow.store.deployments import Deployments
from nbflow.store.flows import Flows
from nbflow.store.house import House
from nbflow.store.leases import Leases
from nbflow.store.notifications import Notifications
from nbflow.store.occasions import Occasions
from nbflow.store.pools import Pools
from nbflow.store.requests import Requests
from nbflow.store.rows import artifact_hashes, attempt_row, change_row, task_row
from nbflow.store.runs import Runs
from nbflow.store.secrets import Secrets
from nbflow.store.sentences import unfinished
from nbflow.store.troubles import once_more


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
        self._pools = Pools(database)
        self._callbacks = Callbacks(database)
        #: What is deployed, and how runs come from it.
        #: Messages that are to be sent, and the runs watched for them.
        self.notifications = Notifications(database)
        self.deployments = Deployments(database, self._runs, self._leases, self.notifications)
        #: Connections and variables.
        self.secrets = Secrets(database)
        #: Runs for ranges of past dates.
        self.backfills = Backfills(database, self.deployments)
        #: Old runs, figures, and what does not fit together.
        self.house = House(database)
        #: What happened that deployments wait for.
        self.occasions = Occasions(database, self._runs, self.deployments.add)

    # flows

    def save_flow(self, flow: Flow, *, source: bytes = b"", files: Mapping[str, bytes] = MappingProxyType({})) -> str:
        return self._flows.save(flow, source, files)

    def source(self, version: str) -> bytes:
        return self._flows.source(version)

    def files(self, version: str) -> Mapping[str, bytes]:
        return self._flows.files(version)

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

    def earlier_runs(self, run: RunRecord, *, manual: bool, limit: int) -> tuple[RunRecord, ...]:
        return self._runs.earlier(run, manual=manual, limit=limit)

    def task_records(self, run_id: str) -> tuple[TaskRecord, ...]:
        return self._runs.tasks(run_id)

    def attempts(self, run_id: str, task_id: str = "", map_index: int | None = None) -> tuple[AttemptRecord, ...]:
        return self._attempts.of(run_id, task_id, map_index)

    @once_more
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
            self._pools.withdraw_all(connection, run_id)
            self._callbacks.delete(connection, run_id)
            self.notifications.delete(connection, run_id)
            self.house.delete(connection, run_id)
            self._runs.delete(connection, run_id)
        return hashes

    # leases

    def claim(self, run_id: str, owner: str, seconds: float, instead_of: str = "") -> Lease | None:
        with self._database.writing() as connection:
            lease = self._leases.claim(connection, run_id, owner, seconds, instead_of)
            if lease is not None:
                self._pools.withdraw_all(connection, run_id)
        return lease

    def holders(self) -> Mapping[RunId, str]:
        return self._leases.holders()

    def holder(self, run_id: str) -> str:
        return self._leases.holder(run_id)

    def renew(self, lease: Lease) -> None:
        self._leases.renew(lease)

    def release(self, lease: Lease) -> None:
        with self._database.writing() as connection:
            if self._leases.release(connection, lease):
                self._pools.withdraw_all(connection, lease.run_id)

    def release_unless_asked(self, lease: Lease) -> bool:
        with self._database.writing() as connection:
            self._runs.lock(connection, lease.run_id)  # whoever asks does so before this, and is seen, or after it, and sees that
            if self._requests.waiting_in(connection, lease.run_id):
                return False
            if self._leases.release(connection, lease):
                self._pools.withdraw_all(connection, lease.run_id)
        return True

    def lapsed_runs(self) -> tuple[RunId, ...]:
        return self._leases.lapsed()

    # the driver's writes

    @once_more
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
        batch = _Batch(lease.run_id, changes, run, attempts)
        with self._database.writing() as connection:
            cursor = self._leases.advance(connection, lease, len(changes))
            self._log.append(connection, batch.changes(cursor))
            self._runs.put_tasks(connection, list(batch.tasks.values()))
            self._put_rest(connection, lease, batch, done_requests, entries=entries)
            self._watch_again(connection, batch, cursor - len(changes))
        return cursor

    @once_more
    def commit_asking(
        self,
        lease: Lease,
        asks: Asks,
        changes: Sequence[Change],
        attempts: Sequence[AttemptRecord] = (),
        done_requests: Sequence[int] = (),
        *,
        entries: Mapping[str, Token] | None = None,
    ) -> Answer:
        batch = _Batch(lease.run_id, changes, None, attempts)
        wishes = {ask.waiter.key: _Batch(lease.run_id, (ask.change,), None) for ask in asks.queue}
        with self._database.writing() as connection:
            hoped = min(asks.room, len(asks.queue))
            cursor = self._leases.advance(connection, lease, len(changes) + hoped)
            settled, chosen, written = None, asks.queue[:hoped], frozenset[TaskKey]()
            if not self._pools.is_plenty(connection, lease.run_id, asks):
                # What these changes free is free for what is asked.
                written = frozenset(key for key in batch.tasks if key not in wishes)
                self._runs.put_tasks(connection, [batch.tasks[key] for key in written])
                settled = self._pools.settle(connection, lease.run_id, asks)
                chosen = settled.granted
                if len(chosen) < hoped:
                    cursor = self._leases.advance(connection, lease, len(chosen) - hoped)
            granted = {ask.waiter.key: ask.waiter.demand for ask in chosen}
            rows = [*batch.rows, *(row for key in granted for row in wishes[key].rows)]
            self._log.append(connection, _numbered(rows, cursor))
            tasks = [row for key, row in batch.tasks.items() if key not in granted and key not in written]
            tasks += [{**wishes[key].tasks[key], "pool": demand.pool, "slots": demand.slots} for key, demand in granted.items()]
            self._runs.put_tasks(connection, tasks)
            self._put_rest(connection, lease, batch, done_requests, entries=entries)
            self._watch_again(connection, batch, cursor - len(rows))
        if settled is None:
            return Answer(cursor=cursor, granted=tuple(chosen))
        return Answer(cursor=cursor, granted=settled.granted, refused=settled.refused, board=settled.board)

    def _put_rest(
        self,
        connection: Connection,
        lease: Lease,
        batch: _Batch,
        done_requests: Sequence[int],
        *,
        entries: Mapping[str, Token] | None,
    ) -> None:
        if batch.run is not None:
            self._runs.put(connection, *batch.run)
        for place in batch.ends:
            self.house.note_end(connection, lease.run_id, batch.rows[place]["cursor"])
        if batch.attempts:
            self._attempts.record(connection, lease.run_id, batch.attempts, batch.hashes)
        if entries:
            self._cache.record(connection, lease.run_id, entries)
        if done_requests:
            self._requests.done(connection, lease.run_id, done_requests)
        if batch.news:
            self.occasions.record(connection, lease.run_id, batch.news)

    def _watch_again(self, connection: Connection, batch: _Batch, before: int) -> None:
        """A run of a deployment that had ended and goes on has something to tell again."""
        if batch.begins_again and batch.run is not None:
            run, _ = batch.run
            self.notifications.begin(connection, run.run_id, before, batch.begins_again)

    def note_callback(self, run_id: str, record: CallbackRecord) -> None:
        self._callbacks.note(run_id, record)

    def callbacks(self, run_id: str) -> tuple[CallbackRecord, ...]:
        return self._callbacks.of(run_id)

    # pools

    def pools(self) -> tuple[Pool, ...]:
        return self._pools.all()

    def save_pool(self, pool: Pool) -> None:
        self._pools.save(pool)

    def delete_pool(self, name: str) -> None:
        self._pools.delete(name)

    def board(self) -> Board:
        return self._pools.board()

    def unfinished_tasks(self, states: Sequence[TaskState]) -> tuple[tuple[RunRecord, TaskRecord], ...]:
        return self._runs.unfinished_tasks(states)

    # everyone else

    def cached(self, keys: Sequence[str]) -> Mapping[str, tuple[RunId, AttemptRecord]]:
        return self._cache.find(keys)

    def cached_by(self, run_id: str) -> Mapping[str, tuple[RunId, AttemptRecord]]:
        return self._cache.made_by(run_id)

    def leave_request(self, run_id: str, request: Request) -> int:
        with self._database.writing() as connection:
            self._runs.lock(connection, run_id)
            return self._requests.leave(connection, run_id, request)

    def ask_holder(self, run_id: str, request: Request) -> bool:
        with self._database.writing() as connection:
            self._runs.lock(connection, run_id)
            if not self._leases.holder_in(connection, run_id):
                return False
            self._requests.leave(connection, run_id, request)
        return True

    def requests(self, run_id: str) -> tuple[Request, ...]:
        return self._requests.waiting(run_id)

    def changes(self, run_id: str, after: int = 0, limit: int = 10_000) -> tuple[Change, ...]:
        return self._log.after(run_id, after, limit)

    def close(self) -> None:
        self._database.close()


class _Batch:
    """The rows of one commit: each change once, and of each record only the newest."""

    def __init__(self, run_id: str, changes: Sequence[Change], run: RunRecord | None, attempts: Sequence[AttemptRecord] = ()) -> None:
        #: Of the change log; their cursors are still to be given.
        self.rows: list[dict[str, Any]] = []
        self.tasks: dict[TaskKey, dict[str, Any]] = {}
        self.run: tuple[RunRecord, str] | None = None
        #: When a run of a deployment that had ended was put back; None when none was.
        self.begins_again = next((change.at for change in changes if begins_again(change)), None)
        #: The attempts, and the artifacts they refer to.
        self.attempts = [attempt_row(run_id, attempt) for attempt in attempts]
        self.hashes = artifact_hashes(attempts)
        #: Changes that others may wait for.
        self.news = [change for change in changes if change.updates or change.run is not None]
        #: The places of the changes with which the run ends.
        self.ends = [place for place, change in enumerate(changes) if is_end(change)]
        for change in changes:
            task_text = run_text = None
            if change.task is not None:
                task_text = encode(change.task)
                self.tasks[change.task.key] = task_row(run_id, change.task, task_text)
            if change.run is not None:
                run_text = encode(change.run)
                self.run = (change.run, run_text)
            self.rows.append(change_row(run_id, 0, change, task_text, run_text))
        if run is not None:
            self.run = (run, encode(run))

    def changes(self, newest: int) -> Sequence[Mapping[str, Any]]:
        """The rows of the log; the last one has the cursor `newest`."""
        return _numbered(self.rows, newest)


def _numbered(rows: Sequence[dict[str, Any]], newest: int) -> Sequence[Mapping[str, Any]]:
    for cursor, row in enumerate(rows, newest - len(rows) + 1):
        row["cursor"] = cursor
    return rows
