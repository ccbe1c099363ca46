# SPDX-License-Identifier: BSD-3-Clause
"""Pools and limits as the doors ask for them: what a flow may not ask for, why what waits does wait, and what all runs are doing now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from nbflow.core import limit_messages, messages
from nbflow.core.errors import Problem, UserError, nearest
from nbflow.core.ids import TaskId
from nbflow.core.limits import DEFAULT_POOL, INFINITE, Place, Pool, rank, used_slots
from nbflow.core.model import Flow, Task
from nbflow.core.protocols import Store
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.resources import Offers, refusal, requested
from nbflow.core.snapshot import RunSnapshot, reasons
from nbflow.core.states import OCCUPYING, TaskState
from nbflow.core.waits import reasons_of
from nbflow.engine.past import PastRuns

_log = logging.getLogger("nbflow")
#: What `nbflow tasks list` shows: everything that is under way.
UNDER_WAY: Final = (
    TaskState.RUNNING,
    TaskState.QUEUED,
    TaskState.SCHEDULED,
    TaskState.UP_FOR_RETRY,
    TaskState.UP_FOR_RESCHEDULE,
    TaskState.DEFERRED,
    TaskState.AWAITING_INPUT,
)


_WAITING: Final = frozenset({TaskState.PENDING, TaskState.SCHEDULED, TaskState.QUEUED, TaskState.UP_FOR_RETRY})


# --- before a run -------------------------------------------------------------------------------------------------------


def asks_for_pools(flow: Flow) -> bool:
    """Whether a task says anything of pools: for any other flow nobody needs to look."""
    return any(task.options.pool != DEFAULT_POOL or task.options.slots > 1 for task in flow.tasks)


def pool_problems(store: Store, flow: Flow) -> tuple[Problem, ...]:
    """Tasks whose pool is not there, or has fewer slots than they take: they could never run."""
    pools = {pool.name: pool for pool in store.pools()}
    found = []
    for task in flow.tasks:
        wrong = _wrong_with(task.id, task.options.pool, task.options.slots, pools)
        if wrong:
            found.append(_problem(task, wrong, "pool"))
    return tuple(found)


def _wrong_with(task: TaskId, name: str, slots: int, pools: Mapping[str, Pool]) -> str:
    pool = pools.get(name)
    if pool is None:
        hint = nearest(name, pools) or f" Make it with nbflow pools set {name} SLOTS."
        return f'Task {task} is in the pool "{name}", which does not exist.{hint}'
    if pool.slots != INFINITE and slots > pool.slots:
        has = messages.plural(pool.slots, "slot")
        return f"Task {task} takes {slots} slots of pool {name}, which has {has}: it could never run. Write --slots {pool.slots} or fewer."
    return ""


def resource_problems(flow: Flow, ask: Callable[[], Offers | None]) -> tuple[Problem, ...]:
    """Requests that cannot be read, or that no worker could meet; where other workers may come that is a warning."""
    found = []
    for task in flow.tasks:
        if not task.options.resources and not task.options.escalate:
            continue
        try:
            request = requested(task.options)
        except UserError as error:
            found.append(_problem(task, f"Task {task.id}: {error}", "resources"))
            continue
        offers = ask()
        wrong = refusal(task.id, request, offers) if offers is not None else ""
        if wrong and offers is not None:
            found.append(_problem(task, wrong, "resources", severity="warning" if offers.may_grow else "error"))
    return tuple(found)


def _problem(task: Task, message: str, code: str, *, severity: str = "error") -> Problem:
    """At the `%%task` line, where there is one."""
    return Problem(cell=task.cell.number, line=1 if task.cell.number else 0, message=message, code=code, severity=severity)


def refuse(problems: Iterable[Problem]) -> None:
    """Raises UserError for the first that is no warning; those are logged."""
    for problem in problems:
        if problem.severity == "error":
            raise UserError(problem.message)
        _log.warning("%s", problem.message)


# --- pools --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PoolUse:
    """One pool, and what is going on in it."""

    pool: Pool
    used: int
    waiting: int


def pool_uses(store: Store) -> tuple[PoolUse, ...]:
    """Every pool, by name."""
    board = store.board()
    used = used_slots(board.pools, board.holders)
    waiting = [waiter.demand.pool for waiter in board.waiters]
    return tuple(PoolUse(pool=pool, used=used[name], waiting=waiting.count(name)) for name, pool in board.pools.items())


def pool_use(store: Store, name: str) -> PoolUse:
    """Raises UserError naming the nearest pool when there is none."""
    uses = {use.pool.name: use for use in pool_uses(store)}
    if name not in uses:
        raise UserError(f'There is no pool "{name}".{nearest(name, uses)} `nbflow pools list` shows them.')
    return uses[name]


# --- during runs --------------------------------------------------------------------------------------------------------


def explained(store: Store, snapshot: RunSnapshot, now: datetime, slots: int | None = None) -> RunSnapshot:
    """The snapshot with the reason of each task that waits as it is now: a record has the one of its last change of state.

    `slots`: attempts that the cluster runs at once, where that is known.
    """
    waits = {record.state for record in snapshot.tasks.values()} & _WAITING
    if snapshot.run.state.is_finished or not waits:
        return snapshot
    flow = store.flow(snapshot.run.version)
    told = reasons(flow, snapshot, now, past=PastRuns(store, flow, snapshot.run).facts())
    if waits & {TaskState.SCHEDULED, TaskState.QUEUED}:
        board = store.board()
        told |= {key: reason for (run_id, key), reason in reasons_of(board).items() if run_id == snapshot.run.run_id}
        if slots and sum(holder.state is TaskState.RUNNING for holder in board.holders) >= slots:
            told |= {key: limit_messages.all_are_busy(slots) for key, record in snapshot.tasks.items() if record.state is TaskState.QUEUED}
    tasks = {key: _told(record, told.get(key, "")) for key, record in snapshot.tasks.items()}
    return replace(snapshot, tasks=tasks)


def _told(record: TaskRecord, reason: str) -> TaskRecord:
    if record.state is TaskState.PENDING and reason == messages.MAY_RUN:
        reason = messages.HELD  # only its own driver knows which cells have run
    return replace(record, reason=reason) if reason else record


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """One task instance that runs or waits."""

    run: RunRecord
    task: TaskRecord
    pool: str = ""
    slots: int = 0
    weight: int | None = None
    since: datetime | None = None


def tasks_under_way(store: Store, states: Iterable[TaskState]) -> tuple[UnderWay, ...]:
    """Task instances of all runs: what has a worker or is handed over, what waits for a slot in the order it will get one, then the rest."""
    board = store.board()
    told = reasons_of(board)
    holders = {(holder.run_id, holder.key): holder for holder in board.holders}
    waiters = {(waiter.run_id, waiter.key): waiter for waiter in board.waiters}
    found = []
    for run, task in store.unfinished_tasks(tuple(states)):
        place = (run.run_id, task.key)
        one = UnderWay(run=run, task=replace(task, reason=told.get(place, task.reason)))
        if holder := holders.get(place):
            one = replace(one, pool=holder.pool, slots=holder.slots)
        elif waiter := waiters.get(place):
            demand = waiter.demand
            one = replace(one, pool=demand.pool, slots=demand.slots, weight=demand.weight, since=waiter.since)
        found.append(one)
    places = {(waiter.run_id, waiter.key): place for place, waiter in enumerate(sorted(board.waiters, key=rank))}
    return tuple(sorted(found, key=lambda one: _place(one, places)))


def _place(one: UnderWay, places: Mapping[Place, int]) -> tuple[int, int]:
    if one.task.state in OCCUPYING:
        return (0 if one.task.state is TaskState.RUNNING else 1, 0)
    if one.task.state is TaskState.SCHEDULED:
        return 2, places.get((one.run.run_id, one.task.key), len(places))
    return 3, UNDER_WAY.index(one.task.state) if one.task.state in UNDER_WAY else len(UNDER_WAY)


def states_asked(words: Sequence[str]) -> tuple[TaskState, ...]:
    """`queued,running` as states; `queued` also means those that wait for a slot. Raises UserError."""
    known = {state.value: (state,) for state in UNDER_WAY} | {"queued": (TaskState.QUEUED, TaskState.SCHEDULED)}
    found: list[TaskState] = []
    for word in words:
        if word not in known:
            raise UserError(f'"{word}" is not a state of a task under way: write {", ".join(known)}.{nearest(word, known)}')
        found += known[word]
    return tuple(dict.fromkeys(found)) or UNDER_WAY
