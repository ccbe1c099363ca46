# SPDX-License-Identifier: BSD-3-Clause
"""Pools of the memory store: what the columns and tables of a database say, in dictionaries. The store calls it under its lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from nbflow.core.ids import RunId, TaskKey
from nbflow.core.limits import DEFAULT_POOL, THE_DEFAULT, Asks, Board, Demand, Holder, Place, Pool, Settled, Waiter, settle
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import ACTIVE
from nbflow.store.sentences import check_deletion


class MemoryPools:
    """Which pools there are, who holds their slots and who waits for one."""

    def __init__(self, lives: Callable[[RunId], bool], holders: Callable[[], Iterable[tuple[RunRecord, TaskRecord]]]) -> None:
        """`lives` says whether the run has a living driver; `holders` gives every instance of every run."""
        self._lives, self._instances = lives, holders
        self._pools: dict[str, Pool] = {DEFAULT_POOL: THE_DEFAULT}
        self._taken: dict[Place, Demand] = {}
        self._waiters: dict[Place, Waiter] = {}

    def all(self) -> tuple[Pool, ...]:
        return tuple(self._pools[name] for name in sorted(self._pools))

    def save(self, pool: Pool) -> None:
        self._pools[pool.name] = pool

    def delete(self, name: str) -> None:
        """Raises UserError."""
        check_deletion(name, self.board())
        del self._pools[name]

    def board(self) -> Board:
        waiters = tuple(waiter for waiter in self._waiters.values() if self._lives(waiter.run_id))
        return Board(pools={pool.name: pool for pool in self.all()}, holders=self._holders(), waiters=waiters)

    def _holders(self) -> tuple[Holder, ...]:
        found = []
        for run, task in self._instances():
            demand = self._taken.get((run.run_id, task.key))
            if demand is not None:
                place = Holder(run_id=run.run_id, flow=run.flow, path=run.path, key=task.key, state=task.state)
                found.append(replace(place, pool=demand.pool, slots=demand.slots))
        return tuple(found)

    def changed(self, run_id: RunId, changes: Iterable[Change]) -> None:
        """What holds a slot goes on holding it as long as it is active."""
        for change in changes:
            if change.task is not None and change.task.state not in ACTIVE:
                self._taken.pop((run_id, change.task.key), None)

    def settle(self, run_id: RunId, asks: Asks, now: datetime) -> Settled:
        """Who gets a slot; those who do not stand as waiting afterwards."""
        self._withdraw(run_id, asks.withdrawn)
        settled = settle(run_id, asks, self.board())
        for ask in asks.queue:
            key = ask.waiter.key
            if key in settled.refused:
                self._waiters.setdefault((run_id, key), replace(ask.waiter, since=now))
            else:
                self._waiters.pop((run_id, key), None)
        for place, times in settled.overtaken.items():
            waiter = self._waiters.get(place)
            if waiter is not None:
                self._waiters[place] = replace(waiter, overtaken=waiter.overtaken + times)
        self._taken.update(((run_id, ask.waiter.key), ask.waiter.demand) for ask in settled.granted)
        return settled

    def withdraw_all(self, run_id: str) -> None:
        self._withdraw(RunId(run_id), [key for run, key in self._waiters if run == run_id])

    def forget(self, run_id: str) -> None:
        """The run is gone."""
        self.withdraw_all(run_id)
        self._taken = {place: demand for place, demand in self._taken.items() if place[0] != run_id}

    def _withdraw(self, run_id: RunId, keys: Sequence[TaskKey]) -> None:
        for key in keys:
            self._waiters.pop((run_id, key), None)
