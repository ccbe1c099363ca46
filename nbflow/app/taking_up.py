# SPDX-License-Identifier: BSD-3-Clause
"""Driving runs of deployments: a scheduler has taken them, and whoever hosts one takes it over, for the first time or after its host died."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from nbflow.app.clearing import Clearing
from nbflow.app.rooms import RunHandle
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.core.protocols import Executor, RunObserver
from nbflow.core.records import Change, Lease, RunRecord
from nbflow.core.renewing import Renewed, renewed
from nbflow.engine.attempts import values_of
from nbflow.engine.captures import HandedOver
from nbflow.engine.driver import Driver
from nbflow.engine.owner import me
from nbflow.engine.reaping import abandon
from nbflow.engine.resume import GoingOn
from nbflow.engine.values import Values


class TakingUp(Clearing):
    """Going on with runs that nobody attends."""

    def take_over(self, run_id: str, scheduler: str, output: str) -> tuple[RunRecord, Lease]:
        """The run that a scheduler has taken becomes this process's, and its executed notebook will be at `output`.

        Raises UserError when the scheduler has lost it: somebody else goes on with it.
        """
        lease = self.store.claim(run_id, me(), self.settings.lease, scheduler)
        if lease is None:
            raise UserError(f"Run {run_id} is not ours any more: another scheduler goes on with it.")
        run = self.store.run(run_id)
        if not run.state.is_finished:
            run = replace(run, output=output, hosts=run.hosts + 1)
            self.store.commit(lease, [], run=run)
        return run, lease

    def give_back(self, taken: RunRecord, lease: Lease) -> None:
        """The run that this process took is free for another host at once, as if it had had none here. Raises Superseded, StoreError."""
        run = self.store.run(taken.run_id)
        if not run.state.is_finished:
            self.store.commit(lease, [], run=replace(run, hosts=taken.hosts - 1))  # which renews the lease: nobody else takes it meanwhile
            self.store.claim(taken.run_id, lease.owner, 0.0, lease.owner)

    def take_up(
        self,
        lease: Lease,
        *,
        held: Collection[TaskId] = (),
        executor: Executor | None = None,
        observers: Sequence[RunObserver] = (),
    ) -> RunHandle:
        """Go on with a run under this lease, in a thread of this process: what has ended stays, attempts of a dead driver are settled first."""
        run = self.store.run(lease.run_id)
        flow = self.flow_of(run)
        handed = HandedOver.decode(self.store.captures(run.run_id))
        free = [task.id for task in flow.tasks if task.id not in set(held)]
        if free:
            handed.add(free, CaptureSet())
        standing = Renewed(run=run, records=self.store.task_records(run.run_id), changes=())
        return self._take_up(lease, standing, flow, handed, held=held, executor=executor, observers=observers)

    def take_up_as(self, lease: Lease, run: RunRecord, flow: Flow, captures: CaptureSet) -> RunHandle:
        """As `take_up`, of a run whose flow was traced with its parameters: it may have other tasks than with those of its deployment.

        What has run already stays as it ran. `run` is the run's record with what was found out about it.
        """
        source, files = self.store.source(run.version), self.store.files(run.version)
        version = self.store.save_flow(flow, source=source, files=files)
        records = self.store.task_records(run.run_id)
        if version == run.version:
            change = Change(at=self.clock.now(), key=None, before=run.state, after=run.state, reason=run.reason, run=run)
            standing = Renewed(run=run, records=records, changes=(change,))
        else:
            standing = renewed(run, records, flow, version, self.clock.now())
        handed = HandedOver.decode(self.store.captures(run.run_id))
        if handed.add([task.id for task in flow.tasks], captures):
            self.store.save_captures(run.run_id, handed.encode(), handed.hashes())
        return self._take_up(lease, standing, flow, handed)

    def _take_up(
        self,
        lease: Lease,
        standing: Renewed,
        flow: Flow,
        handed: HandedOver,
        *,
        held: Collection[TaskId] = (),
        executor: Executor | None = None,
        observers: Sequence[RunObserver] = (),
    ) -> RunHandle:
        surroundings = self._surroundings(flow, executor)
        values, own = Values(), values_of(self.store, lease.run_id)
        for task in own.tasks():
            values.adopt(task, own)
        handle = Driver(
            flow=flow,
            run=standing.run,
            records=standing.records,
            lease=lease,
            surroundings=surroundings,
            captures=handed,
            values=values,
            held=held,
            observers=observers,
            goes_on=GoingOn(unattended=True),
            changes=standing.changes,
        )
        return self._begin(handle)

    def give_up(self, lease: Lease, why: str) -> None:
        """The run cannot be hosted: it ends failed, with this sentence."""
        abandon(self.store, self.artifacts, lease, self.clock.now(), why)
