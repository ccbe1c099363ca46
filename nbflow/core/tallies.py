# SPDX-License-Identifier: BSD-3-Clause
"""What is counted when a run has ended: how many there were, and how long they took, in buckets. Counts only grow, whatever is deleted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final

from nbflow.core.ids import TaskKey
from nbflow.core.records import Change
from nbflow.core.states import RunState, TaskState

#: Upper bounds of the buckets in seconds; above the last one is one more.
BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
#: Values of the states in which a run has ended.
_ENDS: Final = frozenset(state.value for state in RunState if state.is_finished)

#: What is counted.
RUNS: Final = "runs"
RUN_DELAYS: Final = "run_delays"
TASKS: Final = "tasks"
TASK_DELAYS: Final = "task_delays"


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many of `what` ended in this state in this flow, how many of them took a measured time, and which."""

    what: str
    flow: str
    #: "" for delays, which have none.
    state: str = ""
    count: int = 0
    #: Of those that took a measured time, in microseconds.
    micros: int = 0
    #: How many took at most each of BOUNDS but more than the one before, and how many took more than all.
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.what, self.flow, self.state

    @property
    def cumulative(self) -> tuple[int, ...]:
        """How many took at most each of BOUNDS, and all."""
        return tuple(accumulate(self.buckets))

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        buckets = tuple(mine + its for mine, its in zip(self.buckets, other.buckets, strict=True))
        return replace(self, count=self.count + other.count, micros=self.micros + other.micros, buckets=buckets)

    def with_one(self, took: timedelta | None) -> Tally:
        """One more."""
        if took is None:
            return replace(self, count=self.count + 1)
        took = max(took, timedelta())
        place = bisect_left(BOUNDS, took.total_seconds())
        buckets = tuple(number + (index == place) for index, number in enumerate(self.buckets))
        return replace(self, count=self.count + 1, micros=self.micros + took // timedelta(microseconds=1), buckets=buckets)


def is_end(change: Change) -> bool:
    """Whether the run ended with this change."""
    return change.key is None and change.after in _ENDS and change.before not in _ENDS


def tallies_of(changes: Sequence[Change]) -> tuple[Tally, ...]:
    """What one end of a run adds. `changes` are its log up to there; what it did before an earlier end was counted then."""
    changes = _since_the_last_end(changes)
    run = changes[-1].run if changes else None
    if run is None:
        return ()
    found: dict[tuple[str, str, str], Tally] = {}

    def add(what: str, state: str, took: timedelta | None) -> None:
        one = Tally(what=what, flow=run.flow, state=state)
        found[one.key] = found.get(one.key, one).with_one(took)

    add(RUNS, run.state.value, _between(run.started_at, run.ended_at))
    if run.started_at is not None and run.clear_number == 0:
        add(RUN_DELAYS, "", _between(run.run_after or run.created_at, run.started_at))
    tasks = {change.key: change.task for change in changes if change.task is not None}
    for task in tasks.values():
        if task.state.is_finished and task.state is not TaskState.REMOVED:
            add(TASKS, task.state.value, _between(task.started_at, task.ended_at) if task.attempt else None)
    for delay in _delays(changes):
        add(TASK_DELAYS, "", delay)
    return tuple(found.values())


def _since_the_last_end(changes: Sequence[Change]) -> Sequence[Change]:
    ends = [place for place, change in enumerate(changes[:-1]) if is_end(change)]
    return changes[ends[-1] + 1 :] if ends else changes


def _delays(changes: Iterable[Change]) -> Iterable[timedelta]:
    """From "may run" to "runs", for each attempt that did."""
    waiting: dict[TaskKey, datetime] = {}
    for change in changes:
        if change.key is None:
            continue
        if change.after == TaskState.SCHEDULED.value:
            waiting[change.key] = change.at
        elif change.after == TaskState.RUNNING.value and change.key in waiting:
            yield change.at - waiting.pop(change.key)


def _between(start: datetime | None, end: datetime | None) -> timedelta | None:
    return end - start if start is not None and end is not None else None
