# SPDX-License-Identifier: BSD-3-Clause
"""Starting runs and going on with them, in a thread of this process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from nbflow.app.history import History
from nbflow.app.lending import lender, secret_problems
from nbflow.app.limits import refuse
from nbflow.app.reaping import reap
from nbflow.app.rooms import RunHandle, person
from nbflow.core.errors import Superseded, UserError, nearest
from nbflow.core.graph import Graph
from nbflow.core.ids import RunId, TaskId, TaskKey, manual_run_id, task_key
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.core.protocols import Executor, RunObserver
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.renewing import Renewed, renewed
from nbflow.core.sendable import refuse_unsendable
from nbflow.core.states import RunState, TaskState
from nbflow.engine.attempts import values_of
from nbflow.engine.captures import HandedOver
from nbflow.engine.driver import Driver
from nbflow.engine.inbox import Switchboard
from nbflow.engine.owner import is_dead, me, say_owner
from nbflow.engine.resume import GoingOn, to_run_again
from nbflow.engine.surroundings import Surroundings
from nbflow.engine.values import Values
from nbflow.engine.versions import environment_of


class Running(History):
    """Driving runs in this process."""

    #: A notebook whose run has ended is not executed any further.
    stops_when_done = False

    # --- running ----------------------------------------------------------------------------------------------------

    def start_run(
        self,
        flow: Flow,
        captures: CaptureSet,
        *,
        tasks: Sequence[TaskId] | None = None,
        held: Collection[TaskId] = (),
        params: Mapping[str, Any] | None = None,
        trigger: str = "live",
        output: str = "",
        run_id: RunId | None = None,
        fresh: bool = False,
        logical_date: datetime | None = None,
        past: Mapping[TaskId, str] | None = None,
        ignore_past: bool = False,
        executor: Executor | None = None,
        observers: Sequence[RunObserver] = (),
    ) -> RunHandle:
        """Create a run and start driving it in a thread of this process.

        `tasks` restricts the run to these; what they read of others comes from the last run of the flow. `held` tasks wait until they are
        released. A `fresh` run uses no results of earlier ones. `past` is what callables said about depending on the past; `ignore_past`: no
        task does. Raises UserError for a name that cannot travel, SetupError when the database or the cluster is in the way: then no run exists.
        """
        chosen = self._chosen(flow, tasks)
        refuse_unsendable(flow, captures, chosen)
        surroundings = self._surroundings(flow, executor)
        refuse(self.limit_problems(flow, surroundings.executor.offers))
        refuse(secret_problems(lambda: self.secrets.stored, flow, captures))
        values = self._values_from_last_run(flow, chosen)
        now = self.clock.now()
        run = RunRecord(
            run_id=run_id or manual_run_id(now),
            flow=flow.name,
            version=self.store.save_flow(flow),
            created_at=now,
            logical_date=logical_date or now,
            params=dict(params or {}),
            trigger=trigger,
            path=flow.path,
            output=output,
            fresh=fresh,
            past=dict(past or {}),
            environment=environment_of(flow, captures),
            ignores_past=ignore_past,
            tasks=chosen if tasks is not None else (),
        )
        records = tuple(TaskRecord(key=TaskKey(task)) for task in chosen)
        waiting = set(held)
        handed = HandedOver(captures, [task for task in chosen if task not in waiting])
        self.store.create_run(run, records, handed.encode(), handed.hashes())
        lease = self.store.claim(run.run_id, me(), self.settings.lease)
        if lease is None:
            raise Superseded(f"Run {run.run_id} was taken by another process before it began.")
        handle = Driver(
            flow=flow,
            run=run,
            records=records,
            lease=lease,
            surroundings=surroundings,
            captures=handed,
            values=values,
            held=held,
            observers=observers,
        )
        return self._begin(handle)

    def _begin(self, handle: RunHandle) -> RunHandle:
        self._handles = {known: other for known, other in self._handles.items() if not other.is_over} | {handle.run_id: handle}
        handle.start()
        return handle

    def resume_run(
        self,
        run_id: str,
        captures: CaptureSet | None = None,
        *,
        tasks: Sequence[str] = (),
        flow: Flow | None = None,
        held: Collection[TaskId] = (),
        executor: Executor | None = None,
        observers: Sequence[RunObserver] = (),
    ) -> RunHandle:
        """Go on with a run whose process died, or that ended failed or cancelled, in a thread of this process; `latest` is the newest run.

        What succeeded is loaded; what failed, and what depends on it, runs again, with the flow, the parameters and the captures of the first time.
        `tasks` run again instead, with what depends on them, whatever became of them; then the run may also have succeeded.
        `captures` are for tasks that were never reached then; without any the run must not have such tasks.
        With `flow`, what runs again does so with the code as it is now, and with these captures; the run belongs to that version from then on.
        Raises UserError when it succeeded or is driven by a living process, SetupError when the database or the cluster is in the way.
        """
        run = self.run(run_id)
        self.refuse_to_resume(run, tasks)
        stands = self._stands(run, flow)
        flow, chosen = flow or self.flow_of(run), stands.run.tasks
        chosen = chosen or tuple(task.id for task in flow.tasks)
        goes_on = GoingOn(by=person(), tasks=self.keys_of(run, tasks), is_cleared=run.state is RunState.QUEUED and run.clear_number > 0)
        handed = HandedOver.decode(self.store.captures(run.run_id))
        if stands.run.version != run.version:
            records = {record.key: record for record in stands.records}
            again = {key.task_id for key in goes_on.again(Graph.of(flow, chosen), records)}
            handed.forget(again | {record.key.task_id for record in stands.records if record.state is TaskState.PENDING})
        if captures is not None:
            refuse_unsendable(flow, captures, [task for task in chosen if task not in handed])
            handed.add([task for task in chosen if task not in set(held)], captures)
        missing = [task for task in chosen if task not in handed and task not in set(held)]
        if missing:
            raise UserError(
                f"Run {run.run_id} ended before the cells above task {missing[0]} had run: go on with nbflow run --resume {run.run_id}."
            )
        surroundings = self._surroundings(flow, executor)
        lease = self.store.claim(run.run_id, me(), self.settings.lease, self._dead_holder(run.run_id))
        if lease is None:
            raise self._held_by(run.run_id)
        run = self.store.run(run.run_id)
        stands = self._stands(run, flow if stands.run.version != run.version else None)
        values = self._values_from_last_run(flow, chosen, before=run)
        own = values_of(self.store, run.run_id)
        for task in own.tasks():
            values.adopt(task, own)
        if captures is not None:
            self.store.save_captures(run.run_id, handed.encode(), handed.hashes())
        handle = Driver(
            flow=flow,
            run=stands.run,
            records=stands.records,
            lease=lease,
            surroundings=surroundings,
            captures=handed,
            values=values,
            held=held,
            observers=observers,
            goes_on=goes_on,
            changes=stands.changes,
        )
        return self._begin(handle)

    def _stands(self, run: RunRecord, flow: Flow | None) -> Renewed:
        """The run as it stands, under this version of its flow or under its own. Raises UserError for another flow."""
        records = self.store.task_records(run.run_id)
        if flow is None:
            return Renewed(run=run, records=records, changes=())
        if flow.name != run.flow:
            raise UserError(f"Run {run.run_id} is one of {run.flow}, and this flow is called {flow.name}: start a new run.")
        kept = (self.store.source(run.version), self.store.files(run.version)) if run.deployment else (b"", {})
        return renewed(run, records, flow, self.store.save_flow(flow, source=kept[0], files=kept[1]), self.clock.now())

    def refuse_to_resume(self, run: RunRecord, tasks: Sequence[str] = ()) -> None:
        """Raises UserError, with the reason, when there is nothing to go on with, or a living process drives the run."""
        holder = self.store.holder(run.run_id)
        if holder and not is_dead(holder):
            raise self._held_by(run.run_id)
        if self.keys_of(run, tasks):
            return
        if run.state is RunState.SUCCESS:
            raise UserError(f"Run {run.run_id} succeeded: there is nothing to go on with.")
        if not run.state.is_finished:
            return
        records = {record.key: record for record in self.store.task_records(run.run_id)}
        if not to_run_again(Graph.of(self.flow_of(run), run.tasks), records):
            raise UserError(f"Run {run.run_id} has no task left to run: there is nothing to go on with.")

    def keys_of(self, run: RunRecord, tasks: Sequence[str]) -> tuple[TaskKey, ...]:
        """The instances a person means by these names. Raises UserError for one the run does not have."""
        if not tasks:
            return ()
        keys = {record.key for record in self.store.task_records(run.run_id)}
        known = {str(key) for key in keys} | {key.task_id for key in keys}
        for task in tasks:
            if task not in known:
                raise UserError(f'Run {run.run_id} has no task "{task}".{nearest(task, known)}')
        return tuple(task_key(task) for task in tasks)

    def _dead_holder(self, run_id: RunId) -> str:
        """The process that holds the run's lease, when it is known to have died."""
        holder = self.store.holder(run_id)
        return holder if holder and is_dead(holder) else ""

    def _held_by(self, run_id: RunId) -> UserError:
        holder = say_owner(self.store.holder(run_id)) or "another process"
        return UserError(f"Run {run_id} is being driven by {holder}: wait for its end, or type nbflow runs cancel {run_id}.")

    def _surroundings(self, flow: Flow, executor: Executor | None) -> Surroundings:
        if executor is None:
            executor, switchboard = self.executor_of(flow)
        else:
            switchboard = Switchboard()
            executor.start(switchboard.tell)
        return Surroundings(
            store=self.store,
            executor=executor,
            switchboard=switchboard,
            clock=self.clock,
            artifacts=self.artifacts,
            artifacts_url=self.settings.artifacts,
            keep_limit=self.settings.keep_limit,
            ahead=16 * (executor.slots() or 4),
            parallelism=self.settings.parallelism,
            reap=lambda: reap(self),
            as_python=as_python,
            lend=lender(lambda: self.secrets),
        )

    @staticmethod
    def _chosen(flow: Flow, tasks: Sequence[TaskId] | None) -> tuple[TaskId, ...]:
        known = dict.fromkeys(task.id for task in flow.tasks)
        if tasks is None:
            return tuple(known)
        for task in tasks:
            if task not in known:
                raise UserError(f'Flow {flow.name} has no task "{task}".{nearest(task, known)}')
        wanted = set(tasks)
        return tuple(task for task in known if task in wanted)

    def _values_from_last_run(
        self, flow: Flow, chosen: Collection[TaskId], *, before: RunRecord | None = None, needed: set[TaskId] | None = None
    ) -> Values:
        if needed is None:
            runs = set(chosen)
            needed = {writer for task in flow.tasks if task.id in runs for read in task.reads for writer in read.writers} - runs
        values = Values()
        if not needed:
            return values
        for run in self.store.find_runs(flow=flow.name, path=flow.path, limit=20).runs:
            if before is not None and (run.run_id == before.run_id or run.created_at > before.created_at):
                continue
            found = values_of(self.store, run.run_id)
            for task in needed & found.tasks():
                values.adopt(task, found)
            needed -= found.tasks()
            if not needed:
                break
        return values


def as_python(cell: str) -> str:
    """A cell as plain Python that means the same. Raises SyntaxError when it is neither Python nor IPython."""
    from nbflow.authoring.magics import plain_cell  # noqa: PLC0415 - IPython's transformer is loaded for cells with magics only

    found = plain_cell(cell)
    if found.magics and not found.source.strip():
        return repr(cell)  # another language: every letter counts
    lines = [line.strip() for line in cell.splitlines() if line.lstrip().startswith("%%")]
    return "\n".join([*map(repr, lines[: len(found.magics)]), found.source])
