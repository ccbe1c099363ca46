# SPDX-License-Identifier: BSD-3-Clause
"""Who gets a slot: pools, limits, and the order of those who wait, over all runs of one database (semantics.md 7).

Pure: the store reads pools, holders and waiters under its locks, asks `decide`, and writes down what it says, all in one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from nbflow.core.ids import FlowName, RunId, TaskKey
from nbflow.core.records import Change
from nbflow.core.states import ACTIVE, OCCUPYING, TaskState

DEFAULT_POOL: Final = "default_pool"
DEFAULT_SLOTS: Final = 128
#: As the number of slots of a pool: as many as anybody asks for.
INFINITE: Final = -1
#: A waiter that so many later ones were preferred to is *overdue*: it goes first, and while it does not fit nobody takes its pool's slots.
#: Without that, a task of three slots would wait for ever for a pool of three that small tasks keep busy.
PATIENCE: Final = 32


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A number of slots that tasks of any flow share."""

    name: str
    #: -1: infinite.
    slots: int
    #: Whether a deferred task keeps its slots.
    include_deferred: bool = False
    description: str = ""


#: There without anybody having made it.
THE_DEFAULT: Final = Pool(name=DEFAULT_POOL, slots=DEFAULT_SLOTS, description="of every task that names no other")


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What an instance of a task takes of pools and limits."""

    pool: str = DEFAULT_POOL
    slots: int = 1
    weight: int = 1
    #: Most tasks of the flow at once, over all its runs.
    max_active_tasks: int | None = None
    #: Most tasks of one run at once.
    max_active_tasks_per_run: int | None = None
    #: Most instances of this task at once, over all runs of the flow.
    max_active: int | None = None
    #: Most instances of this task at once in one run.
    max_active_per_run: int | None = None

    @property
    def is_limited(self) -> bool:
        """Whether anything besides its pool limits it."""
        return not (
            self.max_active_tasks is None
            and self.max_active_tasks_per_run is None
            and self.max_active is None
            and self.max_active_per_run is None
        )


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """A scheduled instance that asks for a slot."""

    run_id: RunId
    flow: FlowName
    #: The file of the flow: flows of one name in two files are two flows.
    path: str = ""
    key: TaskKey
    demand: Demand
    #: Of its run; when the run was created, where it has none.
    logical_date: datetime
    #: Its run is one of a backfill.
    comes_last: bool = False
    #: When it was refused first; None: it asks for the first time.
    since: datetime | None = None
    #: How many that came later were preferred to it.
    overtaken: int = 0

    @property
    def is_overdue(self) -> bool:
        return self.overtaken >= PATIENCE


@dataclass(frozen=True, kw_only=True)
class Holder:
    """An instance that takes slots of a pool, or counts against a limit."""

    run_id: RunId
    flow: FlowName
    path: str = ""
    key: TaskKey
    state: TaskState
    pool: str = DEFAULT_POOL
    slots: int = 1


@dataclass(frozen=True, kw_only=True)
class Board:
    """All that decides who gets a slot, as of one moment."""

    pools: Mapping[str, Pool]
    holders: Sequence[Holder] = ()
    #: Those whose driver lives.
    waiters: Sequence[Waiter] = ()


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One instance of a driver that may run; `change` is what is recorded when it gets its slot."""

    waiter: Waiter
    change: Change


@dataclass(frozen=True, kw_only=True)
class Asks:
    """What a driver asks for with one commit."""

    #: In dispatch order.
    queue: tuple[Ask, ...] = ()
    #: It takes at most so many.
    room: int = 0
    #: Most instances at once in the whole installation; 0: no limit.
    parallelism: int = 0
    #: Instances that were refused before and do not wait any more.
    withdrawn: tuple[TaskKey, ...] = ()


class Bar(StrEnum):
    """What keeps a waiter from its slot, in the order asked."""

    NO_POOL = "no pool"
    TOO_BIG = "too big"
    POOL = "pool"
    FLOW = "max_active_tasks"
    RUN = "max_active_tasks_per_run"
    TASK = "max_active"
    TASK_IN_RUN = "max_active_per_run"
    PARALLELISM = "parallelism"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a waiter did not get its slot. `first`: who is preferred to it, where its slots are free."""

    bar: Bar
    limit: int = 0
    first: Waiter | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a commit that asked for slots led to."""

    #: The newest cursor of the run.
    cursor: int
    #: In the order asked; their changes are recorded, in this order, after the others of the commit.
    granted: tuple[Ask, ...] = ()
    #: Why the others wait, and who held slots then.
    refused: Mapping[TaskKey, Refusal] = field(default_factory=dict)
    board: Board | None = None


def rank(waiter: Waiter) -> tuple[int | float | str, ...]:
    """Place in the queue: the overdue first, the longest waiting of them ahead; else backfills last, weight, logical date, map index, who waits longest."""
    since = waiter.since.timestamp() if waiter.since else float("inf")
    date = waiter.logical_date.timestamp()
    if waiter.is_overdue:
        return (0, since, -waiter.demand.weight, date, waiter.key.map_index, waiter.run_id)
    return (1 + waiter.comes_last, -waiter.demand.weight, date, waiter.key.map_index, since, waiter.run_id)


class Room:
    """What is free, while waiters are looked at one after the other."""

    def __init__(self, pools: Mapping[str, Pool], used: Mapping[str, int], holders: Iterable[Holder] = (), parallelism: int = 0) -> None:
        """`used`: occupied slots by pool. `holders` may be left out where nobody has a limit besides the pool."""
        self._pools = pools
        self._parallelism = parallelism
        self._used = Counter(used)
        #: Of that, what was taken or kept while looking.
        self._kept: Counter[str] = Counter()
        self._keepers: dict[str, Waiter] = {}
        self._closed: dict[str, Waiter] = {}
        self._counts: Counter[tuple[str, ...]] = Counter()
        for holder in holders:
            self._counts.update(_counted(holder))

    def refusal(self, waiter: Waiter) -> Refusal | None:
        """The first bar in its way; None when it fits."""
        demand = waiter.demand
        pool = self._pools.get(demand.pool)
        if pool is None:
            return Refusal(bar=Bar.NO_POOL)
        if pool.slots != INFINITE:
            if demand.slots > pool.slots:
                return Refusal(bar=Bar.TOO_BIG, limit=pool.slots)
            if demand.pool in self._closed:
                return self._shortage(pool, demand, self._closed[demand.pool])
            if demand.slots > pool.slots - self._used[demand.pool] - self._kept[demand.pool]:
                return self._shortage(pool, demand, self._keepers.get(demand.pool))
        return self._limit(waiter)

    def _shortage(self, pool: Pool, demand: Demand, first: Waiter | None) -> Refusal:
        is_free = demand.slots <= pool.slots - self._used[pool.name]
        return Refusal(bar=Bar.POOL, limit=pool.slots, first=first if is_free else None)

    def _limit(self, waiter: Waiter) -> Refusal | None:
        demand, counts = waiter.demand, self._counts
        if demand.is_limited:
            flow, run = (waiter.flow, waiter.path), (waiter.run_id,)
            task = str(waiter.key.task_id)
            for bar, limit, counted in (
                (Bar.FLOW, demand.max_active_tasks, ("flow", *flow)),
                (Bar.RUN, demand.max_active_tasks_per_run, ("run", *run)),
                (Bar.TASK, demand.max_active, ("task", *flow, task)),
                (Bar.TASK_IN_RUN, demand.max_active_per_run, ("task in run", *run, task)),
            ):
                if limit is not None and counts[counted] >= limit:
                    return Refusal(bar=bar, limit=limit)
        if self._parallelism and counts["all",] >= self._parallelism:
            return Refusal(bar=Bar.PARALLELISM, limit=self._parallelism)
        return None

    def take(self, waiter: Waiter) -> None:
        """From here on these slots are this waiter's: it gets them now, or its own driver fetches them."""
        demand = waiter.demand
        self._kept[demand.pool] += demand.slots
        self._keepers[demand.pool] = waiter
        self._counts.update(_counted(_holding(waiter)))

    def keep_for(self, waiter: Waiter) -> None:
        """An overdue waiter that only lacks slots: nobody else takes slots of its pool."""
        if self._limit(waiter) is None:
            self._closed.setdefault(waiter.demand.pool, waiter)


def _holding(waiter: Waiter) -> Holder:
    """The waiter once it has its slots."""
    holder = Holder(run_id=waiter.run_id, flow=waiter.flow, path=waiter.path, key=waiter.key, state=TaskState.QUEUED)
    return replace(holder, pool=waiter.demand.pool, slots=waiter.demand.slots)


def _counted(holder: Holder) -> list[tuple[str, ...]]:
    """What the holder counts against."""
    flow, run, task = (holder.flow, holder.path), (holder.run_id,), str(holder.key.task_id)
    counted: list[tuple[str, ...]] = [("task", *flow, task), ("task in run", *run, task)] if holder.state in ACTIVE else []
    if holder.state in OCCUPYING:
        counted += [("flow", *flow), ("run", *run), ("all",)]
    return counted


def used_slots(pools: Mapping[str, Pool], holders: Iterable[Holder]) -> Counter[str]:
    """Occupied slots by pool."""
    used: Counter[str] = Counter()
    for holder in holders:
        pool = pools.get(holder.pool)
        if holder.state in OCCUPYING or (holder.state is TaskState.DEFERRED and pool is not None and pool.include_deferred):
            used[holder.pool] += holder.slots
    return used


#: An instance among those of all runs.
Place = tuple[RunId, TaskKey]


def decide(waiters: Iterable[Waiter], room: Room, *, mine: RunId | None, most: int) -> tuple[list[TaskKey], dict[Place, Refusal]]:
    """Which of the waiters of run `mine` get a slot, at most `most` of them, and why others do not.

    Waiters are looked at in the order of their rank. What a higher-ranked waiter of another run could take is left for it: its own driver comes
    for it, and when that driver dies its waiters are not among these any more.
    """
    granted: list[TaskKey] = []
    refused: dict[Place, Refusal] = {}
    for waiter in sorted(waiters, key=rank):
        is_mine = waiter.run_id == mine
        if is_mine and len(granted) >= most:
            continue
        refusal = room.refusal(waiter)
        if refusal is None:
            room.take(waiter)
            if is_mine:
                granted.append(waiter.key)
            continue
        refused[waiter.run_id, waiter.key] = refusal
        if refusal.bar is Bar.POOL and waiter.is_overdue:
            room.keep_for(waiter)
    return granted, refused


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What becomes of the asks of one driver."""

    granted: tuple[Ask, ...]
    refused: Mapping[TaskKey, Refusal]
    #: Waiters, of this run and of others, and how many times one that came later was preferred to each.
    overtaken: Mapping[Place, int]
    #: Who holds slots then.
    board: Board


def settle(mine: RunId, asks: Asks, board: Board) -> Settled:
    """Who of the asking driver gets a slot. Those of its waiters that stand on the board keep their age."""
    standing = {waiter.key: waiter for waiter in board.waiters if waiter.run_id == mine}
    asking = {ask.waiter.key: _aged(ask.waiter, standing.get(ask.waiter.key)) for ask in asks.queue}
    others = [waiter for waiter in board.waiters if waiter.run_id != mine]
    room = Room(board.pools, used_slots(board.pools, board.holders), board.holders, asks.parallelism)
    keys, refused = decide([*others, *asking.values()], room, mine=mine, most=asks.room)
    chosen = set(keys)
    overtaken: Counter[Place] = Counter()
    left = [*others, *(waiter for waiter in asking.values() if waiter.key not in chosen)]
    for key in keys:
        overtaken.update((waiter.run_id, waiter.key) for waiter in left if _came_before(waiter, asking[key]))
    granted = tuple(ask for ask in asks.queue if ask.waiter.key in chosen)
    holders = (*board.holders, *(_holding(ask.waiter) for ask in granted))
    return Settled(
        board=replace(board, holders=holders),
        granted=granted,
        refused={key: refusal for (run_id, key), refusal in refused.items() if run_id == mine},
        overtaken=overtaken,
    )


def _aged(waiter: Waiter, standing: Waiter | None) -> Waiter:
    return waiter if standing is None else replace(waiter, since=standing.since, overtaken=standing.overtaken)


def _came_before(waiter: Waiter, granted: Waiter) -> bool:
    """Whether this waiter of the same pool had waited longer."""
    is_older = waiter.since is not None and (granted.since is None or waiter.since < granted.since)
    return is_older and waiter.demand.pool == granted.demand.pool
