# SPDX-License-Identifier: BSD-3-Clause
"""What a piece of news means to the machine: reports, starts, requests that others left, releases of tasks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nbflow.core.events import AnswerGiven, AttemptStarted, CancelRequested, ClearRequested, Event, MarkRequested, Step, TasksReleased
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import AttemptBegan, CaptureSet, ErrorInfo, Outcome, Report
from nbflow.core.machine import RunMachine
from nbflow.core.model import Flow
from nbflow.core.records import AttemptRecord, Change, Lease, Request
from nbflow.core.states import OCCUPYING, RunState, TaskState
from nbflow.engine.attempts import error_of, events_of, reported
from nbflow.engine.captures import HandedOver
from nbflow.engine.in_flight import InFlight
from nbflow.engine.last_good import LastGoods
from nbflow.engine.ongoing import Ongoing, outcome_of
from nbflow.engine.surroundings import Surroundings
from nbflow.engine.values import Values
from nbflow.engine.watchers import Watchers

_log = logging.getLogger("nbflow.driver")


@dataclass(kw_only=True)
class Batch:
    """What one commit records."""

    steps: list[Step] = field(default_factory=list)
    #: Attempts that ended.
    attempts: list[AttemptRecord] = field(default_factory=list)
    #: Requests that are done with it.
    requests: list[int] = field(default_factory=list)

    def changes(self) -> list[Change]:
        return [change for step in self.steps for change in step.changes]


class News:
    """Reads what stands in a run's inbox. What a task gave, or why it failed, is kept here for those who come later."""

    def __init__(
        self,
        *,
        machine: RunMachine,
        lease: Lease,
        surroundings: Surroundings,
        captures: HandedOver,
        values: Values,
        flow: Flow,
        attempts: InFlight,
        watchers: Watchers,
        ongoing: Ongoing,
    ) -> None:
        self._machine, self._lease, self._at = machine, lease, surroundings
        self._captures, self._values = captures, values
        self._attempts, self._watchers, self._ongoing = attempts, watchers, ongoing
        self._last_good = LastGoods(flow=flow, machine=machine, surroundings=surroundings)
        #: Why instances failed, for those who show it.
        self.errors: dict[TaskKey, ErrorInfo] = {}

    def events_of(self, item: object, batch: Batch) -> Sequence[Event]:
        """What this piece of news means to the machine; what is to be recorded besides goes into `batch`."""
        match item:
            case Report():
                return self.events_of_report(item, batch)
            case AttemptBegan():
                attempt = self._attempts.find(item.token)
                if attempt is None:
                    return ()
                attempt.began = item
                return [AttemptStarted(key=attempt.key, token=item.token, at=item.at, worker=item.worker)]
            case Request():
                batch.requests.append(item.id)
                return self._asked(item)
            case (tuple() as tasks, CaptureSet() as captures):
                return [self._released(tasks, captures)]
        return [item]  # type: ignore[list-item]  # whatever else stands in the inbox was put there by post()

    def _asked(self, request: Request) -> Sequence[Event]:
        keys, by = request.keys, request.by
        match request.kind:
            case "cancel":
                return [CancelRequested(keys=keys, by=by)]
            case "clear":
                return [ClearRequested(keys=keys, by=by)]
            case "answer":
                return [AnswerGiven(key=key, answer=str(request.arguments.get("answer", "")), by=by) for key in keys]
            case "mark":
                state = TaskState(request.arguments["state"]) if keys else RunState(request.arguments["state"])
                return [MarkRequested(state=state, keys=keys, by=by)]
        _log.warning("run %s: nobody knows the request %r; it was dropped", self._lease.run_id, request.kind)
        return ()

    def _released(self, tasks: tuple[TaskId, ...], captures: CaptureSet) -> TasksReleased:
        if self._captures.add(tasks, captures):
            self._at.store.renew(self._lease)  # a driver that was superseded writes nothing
            self._at.store.save_captures(self._lease.run_id, self._captures.encode(), self._captures.hashes())
        return TasksReleased(tasks=tasks)

    def events_of_report(self, report: Report, batch: Batch) -> Sequence[Event]:
        """As `events_of`, for the end of an attempt."""
        attempt = self._attempts.find(report.token)
        if attempt is None:
            return ()
        key = attempt.key
        record = self._machine.records.get(key)
        if record is not None and record.token == report.token and record.state not in OCCUPYING:
            return ()  # it was cancelled just now, and is archived as that: a success that is recorded would have to count
        self._attempts.take(report.token)
        if record is None or record.token != report.token:
            return ()  # it was cancelled meanwhile, and archived with that
        row = self._ongoing.joined(reported(attempt, report))
        batch.attempts.append(row)
        if row.outputs is not report.outputs:
            report = replace(report, outputs=row.outputs)
        self._watchers.reported(key, attempt.number, report)
        if report.outcome is Outcome.SUCCESS:  # forgotten again where the machine takes it for something else
            self._values.keep(key, report.values, report.left_out, report.elements)
        elif report.outcome not in {Outcome.SKIPPED, Outcome.DEFERRED}:
            self.errors[key] = error_of(report)
        return events_of(key, report, self._last_good.find(attempt, report), began=attempt.began is not None)

    def reused(self, attempt: AttemptRecord, batch: Batch) -> None:
        """An instance succeeded with what an earlier attempt gave: it is told as if it had ended now."""
        batch.attempts.append(attempt)
        self._values.keep(attempt.key, attempt.values, attempt.left_out, attempt.elements)
        assert attempt.ended_at is not None
        told = Report(
            token=attempt.token, outcome=Outcome.SUCCESS, ended_at=attempt.ended_at, values=attempt.values, outputs=attempt.outputs
        )
        self._watchers.reported(attempt.key, attempt.attempt, told)

    def taken(self, changes: Sequence[Change], attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
        """The attempts as the machine took them. What one gave does not count where it was no success: a choice there is not, a look too early."""
        ends = {change.key: change for change in changes if change.before == TaskState.RUNNING and change.after != TaskState.RUNNING}
        recorded = self._last_good.taken(changes)
        for stands in recorded:
            self._values.keep(stands.key, stands.values, stands.left_out, stands.elements)
        for attempt in attempts:
            change = ends.get(attempt.key)
            if change is None:
                recorded.append(attempt)
                continue
            if attempt.outcome == Outcome.SUCCESS.value and change.after != TaskState.SUCCESS:
                self._values.forget(attempt.key)
                if change.after == TaskState.FAILED:
                    self.errors[attempt.key] = ErrorInfo(ename="TaskError", evalue=change.reason, may_retry=False)
            recorded.append(outcome_of(attempt, change))
        return recorded
