# SPDX-License-Identifier: BSD-3-Clause
"""Ending a run whose process died, by whoever comes by: what had ended is kept, the rest says why it did not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from nbflow.core.events import Event, RunAbandoned
from nbflow.core.ids import RunId, TaskKey, Token
from nbflow.core.job import Outcome, Report
from nbflow.core.machine import RunMachine
from nbflow.core.messages import sentence
from nbflow.core.protocols import ArtifactStore, Store
from nbflow.core.records import AttemptRecord, Change, Lease
from nbflow.core.states import OCCUPYING
from nbflow.engine.attempts import events_of, recorded
from nbflow.engine.ongoing import Ongoing
from nbflow.engine.resume import DRIVER_GONE, manifest

#: Who drove it, by the run's trigger.
_WHO: Final = {"live": "kernel"}


def abandon(store: Store, artifacts: ArtifactStore, lease: Lease, now: datetime, why: str = "") -> None:
    """End the run under this lease and give the lease back. Attempts that left their manifest are adopted; their user code never runs again.

    `why` is a sentence; without one, the process that drove the run has died.
    """
    run = store.run(lease.run_id)
    if not run.state.is_finished:
        machine = RunMachine(store.flow(run.version), run, store.task_records(run.run_id))
        why = why or f"The {_WHO.get(run.trigger, 'process')} that drove this run ended."
        ongoing = Ongoing(store, run.run_id, machine.records.values())
        changes, attempts = _end(machine, artifacts, why, now)
        attempts += ongoing.noted(changes, attempts)
        store.commit(lease, changes, attempts)
    store.release(lease)


def way_on(why: str, run_id: RunId) -> str:
    """The reason of an abandoned run, with what to type."""
    return f"{sentence(why)} Go on with nbflow run --resume {run_id}."


def _end(machine: RunMachine, artifacts: ArtifactStore, why: str, now: datetime) -> tuple[list[Change], list[AttemptRecord]]:
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
        row = Token(str(record.note.get("row") or record.token))
        attempts[record.key] = replace(recorded(record.key, record.attempt, report), token=row)
    events.append(RunAbandoned(reason=way_on(why, machine.run.run_id)))
    changes = [change for event in events for change in machine.handle(event, now).changes]
    return changes, list(attempts.values())
