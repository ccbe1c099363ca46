# SPDX-License-Identifier: BSD-3-Clause
"""Attempts in flight, and the records they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nbflow.core.events import (
    AttemptDeferred,
    AttemptFailed,
    AttemptLost,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    LastGood,
)
from nbflow.core.ids import TaskKey, Token
from nbflow.core.job import LOST, AttemptBegan, ErrorInfo, Job, Outcome, Report, ValueRef
from nbflow.core.mapping import without_items
from nbflow.core.protocols import Store
from nbflow.core.records import AttemptRecord, Change
from nbflow.core.states import TaskState
from nbflow.engine.outputs import LiveOutputs
from nbflow.engine.values import Values


class Attempt:
    """An attempt in flight: its job's inputs, and what was heard of it."""

    def __init__(self, key: TaskKey, number: int, job: Job, row: str = "") -> None:
        """`row`: the token under which the attempt stands in the history, where it went on under another one."""
        self.key, self.number, self.job = key, number, job
        self.row = Token(row) if row else job.token
        self.heard = LiveOutputs()
        self.began: AttemptBegan | None = None


def reported(attempt: Attempt, report: Report) -> AttemptRecord:
    """The record of an attempt that reported its end."""
    record = recorded(attempt.key, attempt.number, report, attempt.job.inputs, row=attempt.row)
    lost = report.outcome is Outcome.LOST
    return replace(record, outputs=attempt.heard.ref()) if lost and not report.outputs.size else record


def recorded(
    key: TaskKey, number: int, report: Report, inputs: Mapping[str, ValueRef] | None = None, row: Token | None = None
) -> AttemptRecord:
    """The record of an attempt of which there is only the report. `row`: the token under which it stands in the history, if that is another."""
    return AttemptRecord(
        key=key,
        attempt=number,
        token=row or report.token,
        outcome=report.outcome.value,
        reason=report.reason or (report.error.sentence if report.error else ""),
        started_at=report.started_at,
        ended_at=report.ended_at,
        worker=report.worker,
        error=report.error,
        values=report.values,
        elements=report.elements,
        inputs=without_items(inputs or {}),
        outputs=report.outputs,
        decision=report.decision,
        already=report.already,
        left_out=report.left_out,
        warnings=report.warnings,
        peak_bytes=report.peak_bytes,
        cpu_seconds=report.cpu_seconds,
    )


def events_of(key: TaskKey, report: Report, last_good: LastGood | None = None, *, began: bool = False) -> list[Event]:
    """What the end of an attempt means to the machine. `began`: that user code had begun was told before."""
    token, at = report.token, report.ended_at
    if report.outcome in {Outcome.LOST, Outcome.CANCELLED}:
        return [AttemptLost(key=key, token=token, at=at, started=report.started_at is not None, reason=report.reason, last_good=last_good)]
    events: list[Event] = []
    if report.started_at is not None and not began:
        events.append(AttemptStarted(key=key, token=token, at=report.started_at, worker=report.worker))
    match report.outcome:
        case Outcome.SUCCESS:
            events.append(AttemptSucceeded(key=key, token=token, at=at, decision=report.decision, already=report.already))
        case Outcome.DEFERRED:
            events.append(AttemptDeferred(key=key, token=token, at=at, trigger=report.trigger))
        case Outcome.SKIPPED:
            events.append(AttemptSkipped(key=key, token=token, at=at, reason=report.reason))
        case _:
            events.append(AttemptFailed(key=key, token=token, at=at, error=error_of(report), last_good=last_good))
    return events


def error_of(report: Report) -> ErrorInfo:
    """Why it did not succeed, for those who show it."""
    if report.outcome in {Outcome.LOST, Outcome.CANCELLED}:
        return ErrorInfo(ename=LOST, evalue=report.reason)
    return report.error or ErrorInfo(ename="TaskError", evalue=report.reason)


def ended_from_outside(attempt: Attempt, change: Change) -> AttemptRecord:
    """The record of an attempt that was cancelled, marked or cleared while it ran: what was heard of it is kept."""
    return AttemptRecord(
        key=attempt.key,
        attempt=attempt.number,
        token=attempt.row,
        outcome=Outcome.CANCELLED.value,
        reason=change.reason,
        started_at=attempt.began.at if attempt.began else None,
        ended_at=change.at,
        worker=attempt.began.worker if attempt.began else "",
        inputs=without_items(attempt.job.inputs),
        outputs=attempt.heard.ref(),
    )


def values_of(store: Store, run_id: str) -> Values:
    """What the succeeded tasks of a recorded run gave: the newest successful attempt of each whose task still stands as succeeded."""
    succeeded = {record.key: record.attempt for record in store.task_records(run_id) if record.state is TaskState.SUCCESS}
    values = Values()
    for attempt in store.attempts(run_id):
        if attempt.outcome == Outcome.SUCCESS.value and succeeded.get(attempt.key) == attempt.attempt:
            values.keep(attempt.key, attempt.values, attempt.left_out, attempt.elements)
    return values
