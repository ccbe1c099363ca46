# SPDX-License-Identifier: BSD-3-Clause
"""Attempts in flight, and the records they become."""

from __future__ import annotations

from nbflow.core.ids import TaskKey
from nbflow.core.job import AttemptBegan, Job, Outcome, Report
from nbflow.core.protocols import Store
from nbflow.core.records import AttemptRecord, Change
from nbflow.core.states import TaskState
from nbflow.engine.jobs import Values
from nbflow.engine.outputs import LiveOutputs


class Attempt:
    """An attempt in flight: its job's inputs, and what was heard of it."""

    def __init__(self, key: TaskKey, number: int, job: Job) -> None:
        self.key, self.number, self.job = key, number, job
        self.heard = LiveOutputs()
        self.began: AttemptBegan | None = None


def reported(attempt: Attempt, report: Report) -> AttemptRecord:
    """The record of an attempt that reported its end."""
    lost = report.outcome is Outcome.LOST
    return AttemptRecord(
        key=attempt.key,
        attempt=attempt.number,
        token=report.token,
        outcome=report.outcome.value,
        reason=report.reason or (report.error.sentence if report.error else ""),
        started_at=report.started_at,
        ended_at=report.ended_at,
        worker=report.worker,
        error=report.error,
        values=report.values,
        inputs=attempt.job.inputs,
        outputs=attempt.heard.ref() if lost and not report.outputs.size else report.outputs,
        left_out=report.left_out,
        warnings=report.warnings,
        peak_bytes=report.peak_bytes,
        cpu_seconds=report.cpu_seconds,
    )


def ended_from_outside(attempt: Attempt, change: Change) -> AttemptRecord:
    """The record of an attempt that was cancelled, marked or cleared while it ran: what was heard of it is kept."""
    return AttemptRecord(
        key=attempt.key,
        attempt=attempt.number,
        token=attempt.job.token,
        outcome=Outcome.CANCELLED.value,
        reason=change.reason,
        started_at=attempt.began.at if attempt.began else None,
        ended_at=change.at,
        worker=attempt.began.worker if attempt.began else "",
        inputs=attempt.job.inputs,
        outputs=attempt.heard.ref(),
    )


def values_of(store: Store, run_id: str) -> Values:
    """What the succeeded tasks of a recorded run gave: the newest successful attempt of each whose task still stands as succeeded."""
    succeeded = {record.key: record.attempt for record in store.task_records(run_id) if record.state is TaskState.SUCCESS}
    values = Values()
    for attempt in store.attempts(run_id):
        if attempt.outcome == Outcome.SUCCESS.value and succeeded.get(attempt.key) == attempt.attempt:
            values.keep(attempt.key.task_id, attempt.values, attempt.left_out)
    return values
