# SPDX-License-Identifier: BSD-3-Clause
"""Keeping house in this process: what `house.py` promises, over the runs of a MemoryStore."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from nbflow.core.house import Figures, RunEnd
from nbflow.core.ids import RunId
from nbflow.core.protocols import RunPage
from nbflow.core.records import RunRecord
from nbflow.core.states import RunState
from nbflow.core.tallies import Tally
from nbflow.store.codec import micros
from nbflow.store.paging import as_page, following, read_page_cursor
from nbflow.store.rows import artifact_hashes
from nbflow.store.thinning import without

if TYPE_CHECKING:
    from nbflow.store.memory import MemoryStore, StoredRun


class MemoryHouse:
    """Every method takes the lock of the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._identity = uuid.uuid4().hex
        self._ends: dict[int, RunEnd] = {}
        self._last_end = 0
        self._tallies: dict[tuple[str, str, str], Tally] = {}
        self._without_values: set[str] = set()
        self._without_outputs: set[str] = set()

    def identity(self) -> str:
        return self._identity

    # under the lock, for the store

    def note_end(self, run_id: RunId, cursor: int) -> None:
        self._last_end += 1
        self._ends[self._last_end] = RunEnd(number=self._last_end, run_id=run_id, cursor=cursor)

    def forget(self, run_id: str) -> None:
        self._ends = {number: ended for number, ended in self._ends.items() if ended.run_id != run_id}
        self._without_values.discard(run_id)
        self._without_outputs.discard(run_id)

    # what may go

    def old(
        self, before: datetime, *, flow: str = "", has_values: bool = False, has_outputs: bool = False, cursor: str = "", limit: int = 100
    ) -> RunPage:
        after, limit = read_page_cursor(cursor) if cursor else None, max(limit, 1)
        with self._store.lock:
            records = [each.record for each in self._store.everything()]
            wanted = [
                run
                for run in records
                if run.state.is_finished
                and run.created_at < before
                and flow in ("", run.flow)
                and (after is None or (micros(run.created_at), run.run_id) > after)
                and (not (has_values or has_outputs) or self._has_left(run.run_id, values=has_values, outputs=has_outputs))
            ]
        return as_page(sorted(wanted, key=lambda run: (micros(run.created_at), run.run_id))[: limit + 1], limit)

    def _has_left(self, run_id: str, *, values: bool, outputs: bool) -> bool:
        return (values and run_id not in self._without_values) or (outputs and run_id not in self._without_outputs)

    def following(self, run: RunRecord, *, manual: bool) -> RunRecord | None:
        with self._store.lock:
            return following(run, [each.record for each in self._store.everything()], manual=manual)

    def thin(self, run_id: str, *, values: bool, outputs: bool) -> tuple[str, ...]:
        with self._store.lock:
            each = self._store.found(run_id)
            if each is None or not each.record.state.is_finished:
                return ()
            before = set(each.hashes)
            gone = artifact_hashes(each.attempts.values())
            each.attempts.update({token: without(one, values=values, outputs=outputs) for token, one in each.attempts.items()})
            if values:
                each.captures, gone = None, before
                self._without_values.add(run_id)
            elif each.captures:
                gone = {hash for hash in gone if hash.encode() not in each.captures}
            if outputs:
                self._without_outputs.add(run_id)
            gone -= artifact_hashes(each.attempts.values())
            each.hashes -= gone
            return self.unreferenced(sorted(gone))

    def unreferenced(self, hashes: Sequence[str]) -> tuple[str, ...]:
        with self._store.lock:
            referred = self._referred()
        return tuple(hash for hash in hashes if hash not in referred)

    def referenced(self, after: str = "", limit: int = 1000) -> tuple[str, ...]:
        with self._store.lock:
            return tuple(sorted(hash for hash in self._referred() if hash > after))[:limit]

    def _referred(self) -> set[str]:
        return set().union(*(each.hashes for each in self._store.everything()))

    def known(self, run_ids: Sequence[str]) -> frozenset[RunId]:
        with self._store.lock:
            return frozenset(RunId(run_id) for run_id in run_ids if self._store.found(run_id) is not None)

    def versions_in_use(self) -> frozenset[str]:
        with self._store.lock:
            return frozenset(each.record.version for each in self._store.everything() if not each.record.state.is_finished)

    def running_since(self) -> datetime | None:
        with self._store.lock:
            records = [each.record for each in self._store.everything()]
        return min((run.created_at for run in records if run.state is RunState.RUNNING), default=None)

    # how things stand

    def figures(self, now: datetime) -> Figures:
        deployments = self._store.deployments.find(limit=1_000_000)
        paused: set[str] = {one.name for one in deployments if one.paused}
        with self._store.lock:
            active = [each for each in self._store.everything() if not each.record.state.is_finished]
            left = [self._store.seconds_left(each) for each in active if each.owner]
            queued = [each for each in active if each.record.state is RunState.QUEUED and not each.owner and self._is_waiting(each, paused)]
            return Figures(
                active_runs=Counter((each.record.flow, each.record.state.value) for each in active),
                active_tasks=Counter(task.state.value for each in active for _, task in each.tasks.values()),
                oldest_queued=min((each.record.run_after or each.record.created_at for each in queued), default=None),
                oldest_due=min(
                    (one.next_run for one in deployments if one.next_run and one.next_run <= now and not one.paused), default=None
                ),
                held_leases=sum(seconds > 0 for seconds in left),
                lapsed_leases=sum(seconds <= 0 for seconds in left),
                first_lapse=min((seconds for seconds in left if seconds > 0), default=None),
                flows=len(deployments),
                paused_flows=len(paused),
            )

    def _is_waiting(self, each: StoredRun, paused: set[str]) -> bool:
        return bool(each.record.deployment) and each.record.deployment not in paused

    def ended(self, limit: int = 100) -> tuple[RunEnd, ...]:
        with self._store.lock:
            return tuple(self._ends[number] for number in sorted(self._ends))[:limit]

    def count(self, number: int, tallies: Iterable[Tally]) -> bool:
        with self._store.lock:
            if self._ends.pop(number, None) is None:
                return False
            for one in tallies:
                known = self._tallies.get(one.key)
                self._tallies[one.key] = known.plus(one) if known is not None else one
            return True

    def tallies(self) -> tuple[Tally, ...]:
        with self._store.lock:
            return tuple(self._tallies[key] for key in sorted(self._tallies))

    # what does not fit

    def complaints(self) -> tuple[str, ...]:
        return ()
