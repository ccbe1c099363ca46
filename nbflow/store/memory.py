# SPDX-License-Identifier: BSD-3-Clause
"""The store that forgets: for tests, our users' and our own. It keeps every promise of the Protocol within one process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TypeVar

from nbflow.core.callbacks import CallbackRecord
from nbflow.core.ids import RunId, TaskKey, Token
from nbflow.core.limits import Answer, Asks, Board, Pool
from nbflow.core.model import Flow
from nbflow.core.notifications import begins_again
from nbflow.core.protocols import Clock, RunPage
from nbflow.core.records import AttemptRecord, Change, Lease, Request, RunRecord, TaskRecord
from nbflow.core.states import TaskState
from nbflow.core.tallies import is_end
from nbflow.store.codec import decode, encode, micros
from nbflow.store.flow_hash import content_hash
from nbflow.store.memory_backfills import MemoryBackfills
from nbflow.store.memory_deployments import MemoryDeployments
from nbflow.store.memory_house import MemoryHouse
from nbflow.store.memory_notifications import MemoryNotifications
from nbflow.store.memory_occasions import MemoryOccasions
from nbflow.store.memory_pools import MemoryPools
from nbflow.store.memory_secrets import MemorySecrets
from nbflow.store.paging import as_page, earlier, read_page_cursor
from nbflow.store.rows import LATER, artifact_hashes, in_order
from nbflow.store.sentences import superseded, taken, unfinished, unknown

T = TypeVar("T")


class _SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(kw_only=True)
class StoredRun:
    """One run and all that belongs to it."""

    record: RunRecord
    tasks: dict[TaskKey, tuple[int, TaskRecord]]
    owner: str = ""
    epoch: int = 0
    #: None: never claimed, or given back.
    expires_at: datetime | None = None
    changes: list[Change] = field(default_factory=list)
    attempts: dict[Token, AttemptRecord] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    callbacks: dict[tuple[str, int], CallbackRecord] = field(default_factory=dict)
    captures: bytes | None = None
    hashes: set[str] = field(default_factory=set)


class MemoryStore:
    """A Store in this process. `clock` plays the part of the database's clock for leases."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or _SystemClock()
        #: Taken by `deployments` too, around what it asks of the methods under "for the deployments".
        self.lock = threading.RLock()
        self._flows: dict[str, Flow] = {}
        self._runs: dict[str, StoredRun] = {}
        self._entries: dict[str, tuple[RunId, Token]] = {}
        self._by_deployment: dict[str, dict[str, StoredRun]] = {}
        #: (deployment, idempotency key) and (deployment, logical date) -> the run.
        self._unique: dict[tuple[str, str | datetime], str] = {}
        self._sources: dict[str, tuple[bytes, Mapping[str, bytes]]] = {}
        self._last_request = 0
        self._pools = MemoryPools(
            lives=lambda run_id: run_id in self._runs and bool(self._runs[run_id].owner) and not self._has_lapsed(self._runs[run_id]),
            holders=lambda: ((each.record, task) for each in self._by_age() for _, task in each.tasks.values()),
        )
        #: Messages that are to be sent, and the runs watched for them.
        self.notifications = MemoryNotifications(self)
        #: What is deployed, and how runs come from it.
        self.deployments = MemoryDeployments(self)
        #: Connections and variables.
        self.secrets = MemorySecrets()
        #: Runs for ranges of past dates.
        self.backfills = MemoryBackfills(self)
        #: Old runs, figures, and what does not fit together.
        self.house = MemoryHouse(self)
        #: What happened that deployments wait for.
        self.occasions = MemoryOccasions(self)

    # flows

    def save_flow(self, flow: Flow, *, source: bytes = b"", files: Mapping[str, bytes] = MappingProxyType({})) -> str:
        version = content_hash(flow, source, files)
        with self.lock:
            self._flows[version] = kept(flow)
            self._sources[version] = (source or self._sources.get(version, (b"", {}))[0], dict(files))
        return version

    def source(self, version: str) -> bytes:
        with self.lock:
            return self._sources[version][0]

    def files(self, version: str) -> Mapping[str, bytes]:
        with self.lock:
            return self._sources[version][1] if version in self._sources else {}

    def flow(self, version: str) -> Flow:
        with self.lock:
            return self._flows[version]

    # runs

    def create_run(self, run: RunRecord, tasks: Sequence[TaskRecord], captures: bytes | None = None, hashes: Sequence[str] = ()) -> None:
        with self.lock:
            if run.run_id in self._runs:
                raise taken(run.run_id)
            each = self.add(run, tasks)
            each.captures = captures
            each.hashes.update(hashes)

    def run(self, run_id: str) -> RunRecord:
        with self.lock:
            return self._found(run_id).record

    def find_runs(self, *, flow: str = "", state: str = "", path: str = "", cursor: str = "", limit: int = 50) -> RunPage:
        before, limit = read_page_cursor(cursor) if cursor else None, max(limit, 1)
        with self.lock:
            records = [each.record for each in self._runs.values()]
        wanted = [
            run
            for run in records
            if flow in ("", run.flow) and state in ("", run.state) and path in ("", run.path) and (before is None or _age(run) < before)
        ]
        return as_page(sorted(wanted, key=_age, reverse=True)[: limit + 1], limit)

    def earlier_runs(self, run: RunRecord, *, manual: bool, limit: int) -> tuple[RunRecord, ...]:
        with self.lock:
            records = [each.record for each in self._runs.values()]
        return earlier(run, records, manual=manual)[:limit]

    def task_records(self, run_id: str) -> tuple[TaskRecord, ...]:
        with self.lock:
            each = self._runs.get(run_id)
            return in_order(each.tasks.values()) if each else ()

    def attempts(self, run_id: str, task_id: str = "", map_index: int | None = None) -> tuple[AttemptRecord, ...]:
        with self.lock:
            each = self._runs.get(run_id)
            found = tuple(each.attempts.values()) if each else ()
        return tuple(attempt for attempt in found if task_id in ("", attempt.key.task_id) and map_index in (None, attempt.key.map_index))

    def save_captures(self, run_id: str, captures: bytes, hashes: Sequence[str] = ()) -> None:
        with self.lock:
            each = self._found(run_id)
            each.captures = captures
            each.hashes.update(hashes)

    def captures(self, run_id: str) -> bytes | None:
        with self.lock:
            each = self._runs.get(run_id)
            return each.captures if each else None

    def delete_run(self, run_id: str) -> tuple[str, ...]:
        with self.lock:
            each = self._found(run_id)
            if not each.record.state.is_finished:
                raise unfinished(each.record)
            del self._runs[run_id]
            self._entries = {key: entry for key, entry in self._entries.items() if entry[0] != run_id}
            self._pools.forget(run_id)
            self.notifications.delete(run_id)
            self.house.forget(run_id)
            self._by_deployment.get(each.record.deployment, {}).pop(run_id, None)
            for unique in _uniques(each.record):
                self._unique.pop(unique, None)
            return tuple(sorted(each.hashes.difference(*(other.hashes for other in self._runs.values()))))

    # leases

    def claim(self, run_id: str, owner: str, seconds: float, instead_of: str = "") -> Lease | None:
        with self.lock:
            each = self._runs.get(run_id)
            if each is None or (each.owner and each.owner != instead_of and not self._has_lapsed(each)):
                return None
            each.owner, each.epoch = owner, each.epoch + 1
            each.expires_at = self.after(seconds)
            self._pools.withdraw_all(run_id)
            return Lease(run_id=RunId(run_id), owner=owner, epoch=each.epoch, seconds=seconds)

    def renew(self, lease: Lease) -> None:
        with self.lock:
            self._held(lease).expires_at = self.after(lease.seconds)

    def release(self, lease: Lease) -> None:
        with self.lock:
            each = self._runs.get(lease.run_id)
            if each and _holds(each, lease):
                each.owner, each.expires_at = "", None
                self._pools.withdraw_all(lease.run_id)

    def release_unless_asked(self, lease: Lease) -> bool:
        with self.lock:
            if self.requests(lease.run_id):
                return False
            self.release(lease)
            return True

    def holders(self) -> Mapping[RunId, str]:
        with self.lock:
            return {each.record.run_id: each.owner for each in self._runs.values() if each.owner and not each.record.state.is_finished}

    def holder(self, run_id: str) -> str:
        with self.lock:
            each = self._runs.get(run_id)
            return each.owner if each and each.owner and not self._has_lapsed(each) else ""

    def lapsed_runs(self) -> tuple[RunId, ...]:
        with self.lock:
            lapsed = [each.record for each in self._runs.values() if not each.record.state.is_finished and self._has_lapsed(each)]
        return tuple(run.run_id for run in sorted(lapsed, key=_age))

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
        changes = [kept(change) for change in changes]
        attempts = [kept(attempt) for attempt in attempts]
        run = kept(run) if run else None
        with self.lock:
            each = self._held(lease)
            each.expires_at = self.after(lease.seconds)
            self._write(each, changes, attempts, done_requests, run=run, entries=entries)
            return len(each.changes)

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
        changes = [kept(change) for change in changes]
        attempts = [kept(attempt) for attempt in attempts]
        with self.lock:
            each = self._held(lease)
            each.expires_at = self.after(lease.seconds)
            self._write(each, changes, attempts, done_requests, run=None, entries=entries)
            settled = self._pools.settle(each.record.run_id, asks, self._clock.now())
            self._append(each, [kept(ask.change) for ask in settled.granted], None)
            return Answer(cursor=len(each.changes), granted=settled.granted, refused=settled.refused, board=settled.board)

    def _write(
        self,
        each: StoredRun,
        changes: Sequence[Change],
        attempts: Sequence[AttemptRecord],
        done_requests: Sequence[int],
        *,
        run: RunRecord | None,
        entries: Mapping[str, Token] | None,
    ) -> None:
        self._append(each, changes, run)
        for cursor, change in enumerate(changes, len(each.changes) - len(changes) + 1):
            if is_end(change):
                self.house.note_end(each.record.run_id, cursor)
        self._pools.changed(each.record.run_id, changes)
        each.attempts.update({attempt.token: attempt for attempt in attempts})
        each.hashes |= artifact_hashes(attempts)
        self._entries.update({key: (each.record.run_id, token) for key, token in (entries or {}).items()})
        for id in done_requests:
            each.requests.pop(id, None)

    def _append(self, each: StoredRun, changes: Sequence[Change], run: RunRecord | None) -> None:
        for change in changes:
            if begins_again(change):
                self.notifications.begin(each.record.run_id, len(each.changes), change.at)
            each.changes.append(replace(change, cursor=len(each.changes) + 1))
        self._keep(each, changes, run)
        self.occasions.record(each.record.run_id, changes)

    def _keep(self, each: StoredRun, changes: Iterable[Change], run: RunRecord | None) -> None:
        for change in changes:
            if change.task is not None:
                position, _ = each.tasks.get(change.task.key, (LATER, None))
                each.tasks[change.task.key] = (position, change.task)
            if change.run is not None:
                each.record = change.run
        if run is not None:
            each.record = run

    def note_callback(self, run_id: str, record: CallbackRecord) -> None:
        with self.lock:
            self._found(run_id).callbacks[record.happening, record.place] = kept(record)

    def callbacks(self, run_id: str) -> tuple[CallbackRecord, ...]:
        with self.lock:
            each = self._runs.get(run_id)
            return tuple(sorted(each.callbacks.values(), key=lambda one: (one.at, one.happening, one.place))) if each else ()

    # pools

    def pools(self) -> tuple[Pool, ...]:
        with self.lock:
            return self._pools.all()

    def save_pool(self, pool: Pool) -> None:
        with self.lock:
            self._pools.save(pool)

    def delete_pool(self, name: str) -> None:
        with self.lock:
            self._pools.delete(name)

    def board(self) -> Board:
        with self.lock:
            return self._pools.board()

    def unfinished_tasks(self, states: Sequence[TaskState]) -> tuple[tuple[RunRecord, TaskRecord], ...]:
        with self.lock:
            unfinished = [each for each in self._by_age() if not each.record.state.is_finished]
            return tuple((each.record, task) for each in unfinished for task in in_order(each.tasks.values()) if task.state in states)

    # everyone else

    def cached(self, keys: Sequence[str]) -> Mapping[str, tuple[RunId, AttemptRecord]]:
        with self.lock:
            found = {key: self._entries[key] for key in keys if key in self._entries}
            attempts = {key: self._runs[run_id].attempts.get(token) for key, (run_id, token) in found.items()}
        return {key: (found[key][0], attempt) for key, attempt in attempts.items() if attempt is not None}

    def cached_by(self, run_id: str) -> Mapping[str, tuple[RunId, AttemptRecord]]:
        with self.lock:
            keys = [key for key, entry in self._entries.items() if entry[0] == run_id]
        return self.cached(keys)

    def leave_request(self, run_id: str, request: Request) -> int:
        with self.lock:
            each = self._found(run_id)
            self._last_request += 1
            each.requests[self._last_request] = replace(kept(request), id=self._last_request)
            return self._last_request

    def ask_holder(self, run_id: str, request: Request) -> bool:
        with self.lock:
            return bool(self.holder(run_id)) and bool(self.leave_request(run_id, request))

    def requests(self, run_id: str) -> tuple[Request, ...]:
        with self.lock:
            each = self._runs.get(run_id)
            return tuple(each.requests.values()) if each else ()

    def changes(self, run_id: str, after: int = 0, limit: int = 10_000) -> tuple[Change, ...]:
        with self.lock:
            each = self._runs.get(run_id)
            return tuple(each.changes[after : after + limit]) if each else ()

    def close(self) -> None:
        """Nothing is held."""

    # for the deployments, under the lock

    def kept(self, record: T) -> T:
        return kept(record)

    def add(self, run: RunRecord, tasks: Sequence[TaskRecord]) -> StoredRun:
        """A new run; nobody has taken it."""
        each = StoredRun(record=kept(run), tasks={task.key: (position, kept(task)) for position, task in enumerate(tasks)})
        self._runs[run.run_id] = each
        if run.deployment:
            self._by_deployment.setdefault(run.deployment, {})[run.run_id] = each
            self._unique |= dict.fromkeys(_uniques(run), run.run_id)
            self.notifications.begin(run.run_id, 0, run.created_at)
        return each

    def record_of(self, run_id: str) -> RunRecord | None:
        each = self._runs.get(run_id)
        return each.record if each else None

    def owner_of(self, run_id: str) -> str:
        """Who has its lease, lapsed or not; "" when nobody has."""
        return self._runs[run_id].owner if run_id in self._runs else ""

    def cursor_of(self, run_id: str) -> int | None:
        """How long its change log is; None when there is no such run."""
        return len(self._runs[run_id].changes) if run_id in self._runs else None

    def other_of(self, run: RunRecord) -> RunRecord | None:
        """The run that has this one's key, id or logical date."""
        found = [self._unique.get(unique) for unique in _uniques(run)]
        return next((self._runs[one].record for one in (*found, run.run_id) if one is not None and one in self._runs), None)

    def records(self) -> list[RunRecord]:
        return [each.record for runs in self._by_deployment.values() for each in runs.values()]

    def records_of(self, deployment: str) -> list[RunRecord]:
        return [each.record for each in self._by_deployment.get(deployment, {}).values()]

    # for the house, under the lock

    def everything(self) -> list[StoredRun]:
        return list(self._runs.values())

    def found(self, run_id: str) -> StoredRun | None:
        return self._runs.get(run_id)

    def seconds_left(self, each: StoredRun) -> float:
        """Until its lease lapses."""
        return (each.expires_at - self._clock.now()).total_seconds() if each.expires_at is not None else 0.0

    # under the lock

    def _by_age(self) -> list[StoredRun]:
        return sorted(self._runs.values(), key=lambda each: _age(each.record))

    def _found(self, run_id: str) -> StoredRun:
        if run_id not in self._runs:
            raise unknown(run_id, tuple(self._runs))
        return self._runs[run_id]

    def _held(self, lease: Lease) -> StoredRun:
        each = self._runs.get(lease.run_id)
        if each is None or not _holds(each, lease):
            raise superseded(lease)
        return each

    def _has_lapsed(self, each: StoredRun) -> bool:
        return each.expires_at is None or each.expires_at <= self._clock.now()

    def after(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)


def _uniques(run: RunRecord) -> list[tuple[str, str | datetime]]:
    """What no other run of the deployment may have: its key first."""
    return [(run.deployment, one) for one in (run.idempotency_key, run.logical_date) if one and run.deployment]


def kept(record: T) -> T:
    """A private copy, as a database would give it back: what it would refuse is refused here too."""
    return decode(type(record), encode(record))


def _holds(each: StoredRun, lease: Lease) -> bool:
    return (each.owner, each.epoch) == (lease.owner, lease.epoch)


def _age(run: RunRecord) -> tuple[int, str]:
    return micros(run.created_at), run.run_id
