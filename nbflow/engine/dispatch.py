# SPDX-License-Identifier: BSD-3-Clause
"""From *may run* to *can run*: what a driver asks of pools and limits, and what it hears (semantics.md 7)."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from nbflow.core.backfills import BACKFILL
from nbflow.core.events import SlotGranted
from nbflow.core.ids import TaskId, TaskKey, Token
from nbflow.core.limits import Answer, Ask, Asks, Demand, Waiter
from nbflow.core.machine import RunMachine
from nbflow.core.model import Flow
from nbflow.core.records import Change
from nbflow.core.states import TaskState
from nbflow.core.waits import say
from nbflow.core.weights import demands
from nbflow.engine.inbox import monotonic

#: Seconds for which the sentences of those who wait are left as they are, though the names in them change.
_TELL_PERIOD = 1.0


class Dispatch:
    """The queue of one run: its waiting instances as asks, and those that were refused as waiters that stand in the database."""

    def __init__(self, flow: Flow, machine: RunMachine, *, ahead: int, parallelism: int) -> None:
        """`ahead`: most attempts handed over at once by this driver; `parallelism`: most in the whole installation, 0 for any number."""
        self._machine, self._ahead, self._parallelism = machine, ahead, parallelism
        self._demands = demands(flow, machine.weights)
        self._classes = {id: _class(id, demand) for id, demand in self._demands.items()}
        self._is_uniform = len(set(self._classes.values())) <= 1
        self._path = flow.path
        self._standing: set[TaskKey] = set()
        self._told: dict[TaskKey, str] = {}
        self._told_at = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether instances were refused a slot when they were last asked for."""
        return bool(self._standing)

    def asks(self, in_flight: int, now: datetime) -> Asks | None:
        """What to ask with the next commit; None when nothing waits, and nothing did."""
        room = max(0, self._ahead - in_flight)
        waiting = self._machine.waiting()
        if not waiting and not self._standing:
            return None
        chosen = self._foremost(waiting, room)
        withdrawn = tuple(sorted(self._standing.difference(chosen))) if self._standing else ()
        if not chosen and not withdrawn:
            return None
        return Asks(queue=tuple(self._ask(key, now) for key in chosen), room=room, parallelism=self._parallelism, withdrawn=withdrawn)

    def _foremost(self, waiting: Sequence[TaskKey], room: int) -> Sequence[TaskKey]:
        """Of those that want the same, as many as there is room for: no further one could be granted. One full pool hides no other."""
        if self._is_uniform or len(waiting) <= room:
            return waiting[:room]
        counts: Counter[object] = Counter()
        chosen = []
        for key in waiting:
            wants = self._classes[key.task_id]
            counts[wants] += 1
            if counts[wants] <= room:
                chosen.append(key)
        return chosen

    def _ask(self, key: TaskKey, now: datetime) -> Ask:
        run = self._machine.run
        waiter = Waiter(
            run_id=run.run_id,
            flow=run.flow,
            path=self._path,
            key=key,
            demand=self._demands[key.task_id],
            logical_date=run.logical_date or run.created_at,
            comes_last=run.run_type == BACKFILL,
        )
        return Ask(waiter=waiter, change=self._machine.proposal(key, Token(uuid.uuid4().hex), now))

    def answered(self, answer: Answer) -> list[SlotGranted]:
        """What the answer means to the machine."""
        self._standing = set(answer.refused)
        granted = []
        for ask in answer.granted:
            assert ask.change.task is not None
            assert ask.change.task.token is not None
            granted.append(SlotGranted(key=ask.waiter.key, token=ask.change.task.token))
        if not self._standing:
            self._told.clear()
        return granted

    def news(self, asks: Asks, answer: Answer, now: datetime) -> list[Change]:
        """New sentences of those who wait, as changes that are shown and not recorded."""
        if not answer.refused or answer.board is None or (self._told and monotonic() - self._told_at < _TELL_PERIOD):
            return []
        self._told_at = monotonic()
        waiters = {ask.waiter.key: ask.waiter for ask in asks.queue}
        told = {key: say(refusal, waiters[key], answer.board) for key, refusal in answer.refused.items()}
        fresh = [key for key, reason in told.items() if self._told.get(key) != reason]
        self._told = told
        return [_told_so(self._machine, key, told[key], now) for key in fresh]


def _class(id: TaskId, demand: Demand) -> object:
    """Instances that want the same of pools and limits; a limit of a task makes it a class of its own."""
    own = id if demand.max_active is not None or demand.max_active_per_run is not None else ""
    return demand.pool, demand.slots, own


def _told_so(machine: RunMachine, key: TaskKey, reason: str, now: datetime) -> Change:
    task = replace(machine.records[key], reason=reason)
    return Change(at=now, key=key, before=TaskState.SCHEDULED, after=TaskState.SCHEDULED, reason=reason, task=task)
