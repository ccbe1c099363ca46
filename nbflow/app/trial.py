# SPDX-License-Identifier: BSD-3-Clause
"""Trying one task of a flow, here and now: with the values of the last run, or with those of tasks above it that run on the spot.

Nothing is recorded: the run lives in memory, in a workspace that takes values from the real one and shares its artifacts.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbflow.app.rooms import Rooms, RunHandle
from nbflow.app.workspace import Workspace
from nbflow.core.errors import UserError, nearest
from nbflow.core.ids import TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.core.records import RunRecord
from nbflow.engine.values import Values
from nbflow.executors.inline import InlineExecutor
from nbflow.store.memory import MemoryStore

if TYPE_CHECKING:
    from nbflow.app.secrets import Secrets
    from nbflow.core.job import ExecutorEvent, Job, Report


class Trial(Workspace):
    """A workspace in which every run is a trial of one task."""

    stops_when_done = True

    def __init__(self, real: Workspace, task: str, logical_date: datetime | None = None) -> None:
        self._real, self._task, self._date = real, TaskId(task), logical_date
        store = MemoryStore(real.clock)
        for pool in real.store.pools():
            store.save_pool(pool)
        rooms = Rooms(store=store, artifacts=real.artifacts, executor=InlineExecutor(self._run_job), clock=real.clock)
        super().__init__(real.settings, rooms)
        #: The run, once it has begun.
        self.handle: RunHandle | None = None

    def _run_job(self, job: Job, tell: Any) -> Report:
        from nbflow.operators.entry import run_job  # noqa: PLC0415 - IPython is loaded when a task is to run

        def told(event: ExecutorEvent) -> None:
            tell(event)

        return run_job(job, self.artifacts, told, worker="here")

    @property
    def secrets(self) -> Secrets:
        """Those of the real workspace."""
        return self._real.secrets

    def start_run(self, flow: Flow, captures: CaptureSet, **how: Any) -> RunHandle:
        """Run the task, and those above it whose values nobody has. It asks neither its past nor the cache."""
        how |= {"tasks": self.to_run(flow), "logical_date": self._date or how.get("logical_date"), "ignore_past": True, "fresh": True}
        self.handle = super().start_run(flow, captures, **how)
        return self.handle

    def to_run(self, flow: Flow) -> tuple[TaskId, ...]:
        """The task, and what must run for it. Raises UserError for a task that the flow does not have."""
        known = {task.id: task for task in flow.tasks}
        if self._task not in known:
            raise UserError(f'Flow {flow.name} has no task "{self._task}".{nearest(self._task, known)}')
        chosen = [self._task]
        values = self._values_from_last_run(flow, list(known), needed=set(known))
        for id in chosen:  # grows while it is gone through
            for read in known[id].reads:
                if read.writers and not any(writer in values or writer in chosen for writer in read.writers):
                    chosen.append(read.writers[0])
        return tuple(id for id in known if id in chosen)

    def _values_from_last_run(
        self, flow: Flow, chosen: Collection[TaskId], *, before: RunRecord | None = None, needed: set[TaskId] | None = None
    ) -> Values:
        return self._real._values_from_last_run(flow, chosen, before=before, needed=needed)  # noqa: SLF001 - it stands in for this one
