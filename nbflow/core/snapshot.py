# SPDX-License-Identifier: BSD-3-Clause
"""One run as every face shows it: folded from the change log, so panel, terminal, files and API agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from nbflow.core import messages
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.mapping import in_place
from nbflow.core.model import Flow
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState

if TYPE_CHECKING:  # as RunMachine below
    from nbflow.core.past import Past


@dataclass(frozen=True, kw_only=True)
class RunSnapshot:
    """The run and its task instances, in the order written, as of change `cursor` (0: before the first)."""

    run: RunRecord
    tasks: Mapping[TaskKey, TaskRecord]
    cursor: int = 0

    @classmethod
    def of(cls, run: RunRecord, records: Iterable[TaskRecord], cursor: int = 0) -> RunSnapshot:
        return cls(run=run, tasks=in_place(records), cursor=cursor)

    @property
    def is_finished(self) -> bool:
        return self.run.state.is_finished

    def counts(self) -> dict[TaskState, int]:
        """How many instances stand in each state that has any."""
        return dict(Counter(record.state for record in self.tasks.values()))

    def seconds(self, now: datetime) -> float:
        """How long the run took, or has taken so far; 0 before it starts."""
        return ((self.run.ended_at or now) - self.run.started_at).total_seconds() if self.run.started_at else 0.0

    def sentence(self, now: datetime) -> str:
        """The run in one line: how it ended, or how far it is."""
        run, state = self.run, self.run.state
        if state is RunState.QUEUED:
            return run.reason or messages.run_queued(run.flow)
        if state is RunState.RUNNING:
            return messages.run_running(run.flow, self.seconds(now), self.counts())
        if run.reason:
            return run.reason
        failed = [str(key) for key, record in self.tasks.items() if record.state is TaskState.FAILED]
        return messages.run_ended(run.flow, state, self.seconds(now), self.counts(), failed=failed, why="")


def fold(snapshot: RunSnapshot, changes: Iterable[Change]) -> RunSnapshot:
    """The snapshot after these changes. A change it already holds (by its cursor) is passed over, so reading twice does no harm."""
    run, cursor = snapshot.run, snapshot.cursor
    tasks = dict(snapshot.tasks)
    known = len(tasks)
    for change in changes:
        if change.cursor and change.cursor <= cursor:
            continue
        cursor = max(cursor, change.cursor)
        if change.run is not None:
            run = change.run
        if change.task is not None:
            tasks[change.task.key] = change.task
    if len(tasks) > known:
        tasks = in_place(tasks.values())
    return replace(snapshot, run=run, tasks=tasks, cursor=cursor)


def reasons(
    flow: Flow, snapshot: RunSnapshot, now: datetime, *, held: Collection[TaskId] = (), past: Mapping[TaskId, Past] | None = None
) -> dict[TaskKey, str]:
    """The sentence of every instance as of `now`.

    A record keeps the sentence of its last change of state. What a pending task still waits for, and how soon a retry starts, goes on
    changing after that, so those sentences are made here.
    """
    from nbflow.core.machine import RunMachine  # noqa: PLC0415 - faces that only show what was recorded start without it

    machine = RunMachine(flow, snapshot.run, snapshot.tasks.values(), held=held)
    if past:
        machine.see_past(past)
    return {key: machine.explain(key, now).reason for key in machine.records}
