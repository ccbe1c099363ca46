# SPDX-License-Identifier: BSD-3-Clause
"""Backfills go on: in each turn of a scheduler the next runs of each are made, or run again, up to its own limit; whoever takes a date makes its run.

What a scheduler that died has left half done, the next turn of any other finishes: a date stays taken until its run is written down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from nbflow.core.backfills import BACKFILL, Backfill, BackfillDate, DateState, DateVerdict
from nbflow.core.deployments import AuditEntry, Deployment
from nbflow.core.errors import NbflowError, UserError
from nbflow.core.events import ClearRequested, MarkRequested
from nbflow.core.ids import TaskKey
from nbflow.core.machine import RunMachine
from nbflow.core.planning import planned_run
from nbflow.core.protocols import Store
from nbflow.core.records import Lease, RunRecord, TaskRecord
from nbflow.core.renewing import renewed
from nbflow.core.schedule import Schedule
from nbflow.core.states import RunState, TaskState
from nbflow.core.timetable import Interval, PlannedRun

_log = logging.getLogger("nbflow.scheduler")


class Backfilling:
    """The backfills of one store, as one process advances them."""

    def __init__(self, store: Store, owner: str, seconds: float, schedule_of: Callable[[Deployment], Schedule]) -> None:
        """`owner` and `seconds` are those of the leases under which runs are changed."""
        self._store, self._owner, self._seconds, self._schedule_of = store, owner, seconds, schedule_of

    def advance(self, now: datetime) -> None:
        """One turn. What is wrong with one backfill keeps no other from going on."""
        for backfill in self._store.backfills.unfinished():
            try:
                self.advance_one(backfill, now)
            except NbflowError as error:
                _log.warning("backfill %d of %s waits: %s", backfill.id, backfill.flow, error)

    def advance_one(self, backfill: Backfill, now: datetime) -> None:
        """Make what may be made, end what was cancelled, and close it when all has ended."""
        store = self._store.backfills
        deployment = self._deployment(backfill.flow)
        if deployment is None and not backfill.is_cancelled:
            backfill = store.cancel(backfill.id, "whoever undeployed the flow")
        if backfill.is_cancelled:
            self.end_queued(backfill, now)
        ahead = store.ahead(backfill.id)
        is_held = backfill.paused or deployment is None or deployment.paused or not deployment.version
        has_room = ahead.waiting and ahead.unfinished + ahead.taken < backfill.max_active
        if ahead.taken or (has_room and not is_held):
            for date in store.take(backfill.id, more=not is_held):
                self._do(backfill, date, deployment, now)
        elif ahead.is_over and store.close(backfill.id, now):
            self._note(store.get(backfill.id), now)

    def is_running(self) -> bool:
        """Whether a run of any backfill is on its way."""
        store = self._store
        return any(
            run.run_type == BACKFILL and (run.state is RunState.RUNNING or store.holder(run.run_id))
            for backfill in store.backfills.unfinished()
            for run in store.deployments.active(backfill.flow)
        )

    def end_queued(self, backfill: Backfill, now: datetime) -> None:
        """The runs of a cancelled backfill that nobody has taken end as failed, by a person's hand: nobody is alarmed. Those that run go on."""
        for run in self._store.backfills.queued(backfill.id):
            lease = self._store.claim(run.run_id, self._owner, self._seconds)
            if lease is None:
                continue  # a scheduler has just taken it: it runs to its end
            machine = RunMachine(self._store.flow(run.version), self._store.run(run.run_id), self._store.task_records(run.run_id))
            step = machine.handle(
                MarkRequested(state=RunState.FAILED, by=f"{backfill.cancelled_by}, who cancelled backfill {backfill.id}"), now
            )
            if step.changes:
                self._store.commit(lease, step.changes)
            self._store.release(lease)

    # --- one date -------------------------------------------------------------------------------------------------------

    def _do(self, backfill: Backfill, date: BackfillDate, deployment: Deployment | None, now: datetime) -> None:
        if date.run_id:
            self._run_again(backfill, date, deployment, now)
        elif deployment is None:
            self._store.backfills.settle(backfill.id, replace(date, state=DateState.DROPPED))
        else:
            tasks = tuple(TaskRecord(key=TaskKey(task.id)) for task in self._store.flow(deployment.version).tasks)
            self._store.backfills.make_run(backfill.id, date, self._new_run(backfill, date, deployment, now), tasks)

    def _new_run(self, backfill: Backfill, date: BackfillDate, deployment: Deployment, now: datetime) -> RunRecord:
        interval = Interval(start=date.interval_start, end=date.interval_end)
        planned = PlannedRun(logical_date=date.logical_date, interval=interval, run_after=now)
        return _owned(planned_run(deployment, self._schedule_of(deployment), planned, now, BACKFILL), backfill, date, deployment, now)

    def _run_again(self, backfill: Backfill, date: BackfillDate, deployment: Deployment | None, now: datetime) -> None:
        """Clear the run of a date as a whole, and write down what came of it.

        The lease is given back first: should this process die in between, the next turn finds the date taken, and a run that anybody may take.
        """
        try:
            lease = self._store.claim(date.run_id, self._owner, self._seconds)
            run = self._store.run(date.run_id)
        except UserError:  # it was deleted meanwhile: the date has no run, so it gets one
            again = replace(date, run_id="", verdict=DateVerdict.CREATE, state=DateState.WAITING)
            self._store.backfills.settle(backfill.id, again)
            return
        state = self._cleared(backfill, date, run, deployment=deployment, lease=lease, now=now)
        if lease is not None:
            self._store.release(lease)
        if state is not None:
            self._store.backfills.settle(backfill.id, replace(date, state=state))

    def _cleared(
        self, backfill: Backfill, date: BackfillDate, run: RunRecord, *, deployment: Deployment | None, lease: Lease | None, now: datetime
    ) -> DateState | None:
        """The run is queued, for the version and the parameters in force, and the backfill's; None: the next turn sees what came of it."""
        store = self._store
        if run.backfill == backfill.id:
            return DateState.MADE
        if not run.state.is_finished:
            return DateState.PASSED
        if deployment is None or store.backfills.get(backfill.id).is_cancelled:
            return DateState.DROPPED
        if lease is None:
            return None  # somebody is about to change it
        flow = store.flow(deployment.version)
        ours = _owned(run, backfill, date, deployment, now)
        stands = renewed(ours, store.task_records(run.run_id), flow, deployment.version, now)
        machine = RunMachine(flow, stands.run, stands.records)
        keys = tuple(key for key, record in machine.records.items() if record.state is not TaskState.REMOVED)
        step = machine.handle(ClearRequested(keys=keys, by=f"backfill {backfill.id}", waits=True), now)
        store.save_captures(run.run_id, b"")  # its plain cells run again, too
        store.commit(lease, [*stands.changes, *step.changes])
        return DateState.MADE

    # --- how ------------------------------------------------------------------------------------------------------------

    def _deployment(self, name: str) -> Deployment | None:
        try:
            return self._store.deployments.get(name)
        except UserError:
            return None

    def _note(self, backfill: Backfill, now: datetime) -> None:
        progress = self._store.backfills.progress(backfill.id)
        detail = f"{backfill.id}: {progress.success} succeeded, {progress.failed} failed"
        self._store.deployments.note(AuditEntry(at=now, by="nbflow", what=f"backfill {backfill.state}", about=backfill.flow, detail=detail))


def _owned(run: RunRecord, backfill: Backfill, date: BackfillDate, deployment: Deployment, now: datetime) -> RunRecord:
    """The run as one of the backfill's. What a person gave with a run of their own stays."""
    own = run.params if run.run_type == "manual" else {}
    return replace(
        run,
        run_type=BACKFILL,
        backfill=backfill.id,
        place=date.place,
        params={**deployment.params, **own, **backfill.params},
        run_after=now,
        ignores_past=backfill.ignores_past or date.is_first,
        path=deployment.path,
    )
