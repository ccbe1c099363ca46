# SPDX-License-Identifier: BSD-3-Clause
"""Backfills in this process: what `backfills.py` promises, over the runs of a MemoryStore."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from nbflow.core.backfills import Backfill, BackfillDate, DateState, Progress, counted
from nbflow.core.ids import RunId
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import RunState
from nbflow.store.sentences import backfill_taken, unknown_backfill

if TYPE_CHECKING:
    from nbflow.store.memory import MemoryStore


class MemoryBackfills:
    """Every method takes the lock of the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._found: dict[int, Backfill] = {}
        self._dates: dict[int, list[BackfillDate]] = {}
        self._last = 0

    def create(self, backfill: Backfill, dates: Sequence[BackfillDate]) -> Backfill:
        with self._store.lock:
            self._store.deployments.get(backfill.flow)
            for other in self._found.values():
                if other.flow == backfill.flow and other.ended_at is None:
                    raise backfill_taken(backfill.flow, other.id)
            self._last += 1
            made = self._found[self._last] = self._store.kept(replace(backfill, id=self._last))
            self._dates[made.id] = [self._store.kept(replace(date, run_state=None)) for date in dates]
            return made

    def get(self, id: int) -> Backfill:
        with self._store.lock:
            return self._get(id)

    def find(self, flow: str = "", *, before: int = 0, limit: int = 50) -> tuple[Backfill, ...]:
        with self._store.lock:
            found = [one for one in self._found.values() if flow in ("", one.flow) and (not before or one.id < before)]
        return tuple(sorted(found, key=lambda one: one.id, reverse=True)[:limit])

    def unfinished(self) -> tuple[Backfill, ...]:
        with self._store.lock:
            return tuple(one for _, one in sorted(self._found.items()) if one.ended_at is None)

    def change(self, id: int, change: Callable[[Backfill], Backfill]) -> Backfill:
        with self._store.lock:
            self._found[id] = self._store.kept(change(self._get(id)))
            return self._found[id]

    def cancel(self, id: int, by: str) -> Backfill:
        with self._store.lock:
            backfill = self._get(id)
            if backfill.ended_at is not None or backfill.is_cancelled:
                return backfill
            dropped = [replace(date, state=DateState.DROPPED) if date.state is DateState.WAITING else date for date in self._dates[id]]
            self._dates[id] = dropped
            self._found[id] = replace(backfill, paused=True, cancelled_by=by)
            return self._found[id]

    def delete_of(self, flow: str) -> None:
        with self._store.lock:
            for id in [one.id for one in self._found.values() if one.flow == flow and one.ended_at is not None]:
                del self._found[id], self._dates[id]

    # dates

    def dates(self, id: int, *, after: int = -1, limit: int = 1000) -> tuple[BackfillDate, ...]:
        with self._store.lock:
            return tuple(self._read(date) for date in self._dates.get(id, ())[after + 1 : after + 1 + limit])

    def progress(self, id: int) -> Progress:
        with self._store.lock:
            found = Counter((date.state, self._read(date).run_state) for date in self._dates.get(id, ()))
        return counted(found)

    def ahead(self, id: int) -> Progress:
        return replace(self.progress(id), passed=0, dropped=0, success=0, failed=0, gone=0)

    def runs_at(self, flow: str, start: datetime, until: datetime) -> Mapping[datetime, tuple[RunId, RunState]]:
        with self._store.lock:
            runs = self._store.records_of(flow)
        return {run.logical_date: (run.run_id, run.state) for run in runs if run.logical_date and start <= run.logical_date <= until}

    # what schedulers do

    def take(self, id: int, *, more: bool = True) -> tuple[BackfillDate, ...]:
        with self._store.lock:
            backfill, dates = self._get(id), self._dates[id]
            if more and not backfill.paused and backfill.ended_at is None:
                progress = self.progress(id)
                room = max(0, backfill.max_active - progress.unfinished - progress.taken)
                for date in [date for date in dates if date.state is DateState.WAITING][:room]:
                    dates[date.place] = replace(date, state=DateState.TAKEN)
            return tuple(self._read(date) for date in dates if date.state is DateState.TAKEN)

    def make_run(self, id: int, date: BackfillDate, run: RunRecord, tasks: Sequence[TaskRecord]) -> bool:
        with self._store.lock:
            if self._dates[id][date.place].state is not DateState.TAKEN:
                return False
            if self._get(id).is_cancelled:
                self._write(id, replace(date, state=DateState.DROPPED))
                return False
            other = self._store.other_of(run)
            if other is not None:
                self._write(id, replace(date, state=DateState.PASSED, run_id=other.run_id))
                return False
            self._store.add(run, tasks)
            self._write(id, replace(date, state=DateState.MADE, run_id=run.run_id))
            return True

    def settle(self, id: int, date: BackfillDate) -> None:
        with self._store.lock:
            if self._dates[id][date.place].state is DateState.TAKEN:
                self._write(id, date)

    def queued(self, id: int) -> tuple[RunRecord, ...]:
        with self._store.lock:
            runs = [run for run in self._store.records() if run.backfill == id and run.state is RunState.QUEUED]
            return tuple(run for run in runs if not self._store.owner_of(run.run_id))

    def close(self, id: int, now: datetime) -> bool:
        with self._store.lock:
            backfill = self._get(id)
            if backfill.ended_at is None and self.progress(id).is_over:
                self._found[id] = self._store.kept(replace(backfill, ended_at=now))
            return self._found[id].ended_at is not None

    # under the lock

    def limit_of(self, run: RunRecord) -> int | None:
        """How many runs of its backfill may be taken now; None: it is of none, or that is gone."""
        backfill = self._found.get(run.backfill)
        if backfill is None:
            return None
        return 0 if backfill.paused and backfill.ended_at is None else backfill.max_active

    def _get(self, id: int) -> Backfill:
        if id not in self._found:
            raise unknown_backfill(id)
        return self._found[id]

    def _read(self, date: BackfillDate) -> BackfillDate:
        run = self._store.record_of(date.run_id)
        return replace(date, run_state=run.state if run else None)

    def _write(self, id: int, date: BackfillDate) -> None:
        self._dates[id][date.place] = self._store.kept(replace(date, run_state=None))
