# SPDX-License-Identifier: BSD-3-Clause
"""Ending a run whose process died, by whoever comes by: what had ended is kept, the rest says why it did not."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from nbflow.core.events import Event, RunAbandoned
from nbflow.core.ids import TaskKey
from nbflow.core.job import Outcome, Report
from nbflow.core.machine import RunMachine
from nbflow.core.protocols import ArtifactStore, Store
from nbflow.core.records import AttemptRecord, Lease, RunRecord
from nbflow.core.states import OCCUPYING
from nbflow.engine.attempts import events_of, recorded
from nbflow.engine.resume import DRIVER_GONE, manifest

#: Who drove it, by the run's trigger.
_WHO: Final = {"live": "kernel"}


def abandon(store: Store, artifacts: ArtifactStore, lease: Lease, now: datetime) -> None:
    """End the run under this lease and give the lease back. Attempts that left their manifest are adopted; their user code never runs again."""
    run = store.run(lease.run_id)
    if not run.state.is_finished:
        _end(store, artifacts, lease, run, now)
    store.release(lease)


def _end(store: Store, artifacts: ArtifactStore, lease: Lease, run: RunRecord, now: datetime) -> None:
    machine = RunMachine(store.flow(run.version), run, store.task_records(run.run_id))
    events: list[Event] = []
    attempts: dict[TaskKey, AttemptRecord] = {}
    for record in machine.records.values():
        if record.token is None or record.state not in OCCUPYING:
            continue
        report = manifest(artifacts, record.token)
        if report is None:  # whoever goes on with the run makes sure that it has ended
            report = Report(
                token=record.token,
                outcome=Outcome.LOST,
                worker=record.worker,
                started_at=record.started_at,
                ended_at=now,
                reason=DRIVER_GONE,
            )
        else:
            events += events_of(record.key, report)
        attempts[record.key] = recorded(record.key, record.attempt, report)
    who = _WHO.get(run.trigger, "process")
    events.append(RunAbandoned(reason=f"The {who} that drove this run ended. Go on with nbflow run --resume {run.run_id}."))
    changes = [change for event in events for change in machine.handle(event, now).changes]
    store.commit(lease, changes, list(attempts.values()))
