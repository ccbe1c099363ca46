# SPDX-License-Identifier: BSD-3-Clause
"""Running tasks of a run again ("Retry"): they are cleared, with what depends on them, and somebody drives the run on."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from nbflow.app.rooms import RunHandle, person
from nbflow.app.running import Running
from nbflow.core.errors import NbflowError, UserError
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskKey
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.core.protocols import RunObserver
from nbflow.core.records import Request, RunRecord
from nbflow.engine.owner import is_dead
from nbflow.engine.resume import GoingOn

#: Seconds to wait for a driver of this process that is about to let go of its run.
_PATIENCE = 10.0


class Retrying(Running):
    """Clearing, in a run that goes on or in one that has ended."""

    def retry_run(
        self,
        run_id: str,
        tasks: Sequence[str] = (),
        *,
        flow: Flow | None = None,
        captures: CaptureSet | None = None,
        observers: Sequence[RunObserver] = (),
        by: str = "",
    ) -> RunHandle | None:
        """Run these tasks of a run again, and everything that depends on them; without any, what failed and what could not run because of it.

        `tasks` are names, or copies of a mapped task (`score[3]`). They run as the run has them: its version of the flow, its parameters, and
        what its kernel handed over then; with `flow` and `captures`, as that flow has them. Tasks that are running among them are ended first;
        all others keep what they gave.
        A run that goes on is asked: its driver, which may be another process, clears them, and this returns its handle if it is one of ours,
        else None. One that has ended, or whose process died, is driven on in a thread of this process, watched by `observers`.
        Raises UserError for a task the run does not have and when there is nothing to run again, SetupError when the database or the
        cluster is in the way.
        """
        run = self.run(run_id)
        if self.ask_to_clear(run.run_id, tasks, by):
            return self._handles.get(run.run_id)
        if self.run(run.run_id).state.is_finished:
            self.tasks_to_run_again(run, tasks)
        return self.resume_run(run.run_id, captures, tasks=tasks, flow=flow, observers=observers)

    def ask_to_clear(self, run_id: str, tasks: Sequence[str] = (), by: str = "") -> bool:
        """As `retry_run`, where somebody drives the run; False, and nothing was done, when nobody does."""
        run = self.run(run_id)
        self.keys_of(run, tasks)
        handle = self._handles.get(run.run_id)
        if handle is not None:
            if not handle.is_over and handle.clear(self.tasks_to_run_again(run, tasks), by or person()):
                return True
            self.wait_until_let_go(handle)
        holder = self.store.holder(run.run_id)
        if not holder or is_dead(holder):
            return False
        keys = self.tasks_to_run_again(run, tasks)
        return self.store.ask_holder(run.run_id, Request(kind="clear", keys=keys, by=by or person(), at=self.clock.now()))

    @staticmethod
    def wait_until_let_go(handle: RunHandle) -> None:
        """Of a run that has ended here, whose driver is about to give it back."""
        with contextlib.suppress(NbflowError):  # what ended its driver was told to those who waited for it
            handle.wait(_PATIENCE)

    def tasks_to_run_again(self, run: RunRecord, tasks: Sequence[str] = ()) -> tuple[TaskKey, ...]:
        """What `retry_run` would clear now. Raises UserError when that is nothing, or a task is not of the run."""
        records = {record.key: record for record in self.store.task_records(run.run_id)}
        again = GoingOn(tasks=self.keys_of(run, tasks)).again(Graph.of(self.flow_of(run), run.tasks), records)
        if not again:
            raise UserError(f"No task of run {run.run_id} has failed: name the task that is to run again.")
        return again

    def with_upstream(self, run: RunRecord, tasks: Sequence[str]) -> tuple[str, ...]:
        """These tasks and everything they depend on. Raises UserError for one the run does not have."""
        keys = self.keys_of(run, tasks)
        graph = Graph.of(self.flow_of(run), run.tasks)
        above = graph.ancestors(*(key.task_id for key in keys))
        return (*(id for id in graph.ids if id in above), *tasks)
