# SPDX-License-Identifier: BSD-3-Clause
"""What happens next in one run: events in, changes and commands out. No clock, no database, no threads (semantics.md 1, 2, 3, 8)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from nbflow.core import messages, past, rules, trigger_rules, waiting_words
from nbflow.core.attempting import Attempting
from nbflow.core.ending import RunEnd
from nbflow.core.events import (
    AnswerGiven,
    AttemptDeferred,
    AttemptFailed,
    AttemptLost,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Cancel,
    CancelRequested,
    ClearRequested,
    Command,
    Event,
    Expand,
    FinishRun,
    MapExpanded,
    MarkRequested,
    PastSeen,
    ResultFound,
    RunAbandoned,
    RunStarted,
    SlotGranted,
    Step,
    Submit,
    TasksReleased,
    TriggerFired,
    WakeAt,
    Watch,
    Woke,
)
from nbflow.core.ids import TaskId, TaskKey, Token
from nbflow.core.ledger import InvalidTransition, Ledger
from nbflow.core.model import Flow
from nbflow.core.options import TaskKind, TriggerRule
from nbflow.core.past import Past
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.rules import Situation
from nbflow.core.states import OCCUPYING, SLEEPING, WATCHING, RunState, TaskState
from nbflow.core.trigger_rules import Decision, UpstreamCounts, UpstreamNames, Verdict
from nbflow.core.wishes import Wishes

__all__ = ["InvalidTransition", "RunMachine"]

S = TaskState


class RunMachine:
    """One run of one flow. `handle` is the only way to move it; the Step it returns is recorded first and performed then.

    An event that does not concern this run (an old token, an unknown task, a state nobody can be marked with) changes nothing.
    """

    def __init__(self, flow: Flow, run: RunRecord, records: Iterable[TaskRecord], *, held: Collection[TaskId] = ()) -> None:
        self._ledger = Ledger(flow, run, records, held=held)
        self._end = RunEnd(self._ledger)
        self._attempts = Attempting(self._ledger, self._end)
        wishes = Wishes(self._ledger, self._end, self._wake_at_deadline)
        self._handlers: Mapping[type, Callable[[Any, datetime], None]] = {
            RunStarted: self._run_started,
            TasksReleased: self._tasks_released,
            SlotGranted: self._attempts.slot_granted,
            MapExpanded: self._map_expanded,
            AttemptStarted: self._attempts.started,
            AttemptSucceeded: self._attempts.succeeded,
            ResultFound: self._attempts.result_found,
            AttemptFailed: self._attempts.failed,
            AttemptSkipped: self._attempts.skipped,
            AttemptDeferred: self._attempts.deferred,
            AttemptLost: self._attempts.lost,
            TriggerFired: self._attempts.fired,
            AnswerGiven: self._attempts.answered,
            PastSeen: self._past_seen,
            Woke: self._woke,
            CancelRequested: wishes.cancel,
            MarkRequested: wishes.mark,
            ClearRequested: wishes.clear,
            RunAbandoned: wishes.abandon,
        }

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def run(self) -> RunRecord:
        return self._ledger.run

    @property
    def records(self) -> dict[TaskKey, TaskRecord]:
        """In the order written. To be read only."""
        return self._ledger.records

    def waiting(self) -> tuple[TaskKey, ...]:
        """Instances that may run and wait for a slot, in dispatch order: weight, map index, then the notebook's order."""
        return self._ledger.waiting()

    @property
    def weights(self) -> Mapping[TaskId, int]:
        """How urgent each task of the flow is."""
        return self._ledger.weights

    def proposal(self, key: TaskKey, token: Token, now: datetime) -> Change:
        """What `SlotGranted` with this token will record; the instance is one that waits."""
        record = self.records[key]
        after = self._attempts.handed_over(record, token)
        return Change(at=now, key=key, before=record.state, after=after.state, reason=after.reason, task=after)

    def explain(self, key: TaskKey, now: datetime) -> Verdict:
        """Why this instance is not running. Raises KeyError for an unknown one."""
        record = self.records[key]
        if record.state is S.PENDING and not self.run.state.is_finished:
            return rules.judge(self._situation(key, names=True))
        if record.state.is_finished:
            return Verdict(Decision.DONE, record.reason)
        if record.state is S.UP_FOR_RETRY:
            return Verdict(Decision.WAIT, self._retry_sentence(record, now))
        if record.state is S.UP_FOR_RESCHEDULE and record.wake_at is not None:
            return Verdict(
                Decision.WAIT, waiting_words.looks_again(waiting_words.clock(record.wake_at, now), int(record.note.get("looks", 0)))
            )
        return Verdict(Decision.RUN if record.state is S.RUNNING else Decision.WAIT, record.reason)

    # --- moving -------------------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: datetime) -> Step:
        """What this event leads to. Raises InvalidTransition when nbflow itself is wrong."""
        self._ledger.history.append(event)
        self._handlers[type(event)](event, now)
        return self._go_on(now)

    def resume(self, now: datetime) -> Step:
        """All commands once more: they are never stored, the states say them. Changes nothing; what is due comes with the first Woke."""
        commands: list[Command] = []
        for record in self.records.values():
            if record.token and record.state is S.QUEUED:
                commands.append(Submit(key=record.key, token=record.token, attempt=record.attempt))
            elif record.token and record.state is not S.RUNNING:
                commands.append(Cancel(key=record.key, token=record.token))
            elif record.state is S.DEFERRED:
                commands.append(Watch(key=record.key, token=record.note["token"], trigger=record.note["trigger"]))
        if self.run.state is RunState.RUNNING:
            instants = {now, self._deadline(), *(record.wake_at for record in self.records.values())}
            commands += [WakeAt(at=instant) for instant in sorted(instant for instant in instants if instant)]
        if self.run.state.is_finished:
            commands.append(FinishRun(state=self.run.state, reason=self.run.reason))
        return Step(commands=tuple(commands))

    def _go_on(self, now: datetime) -> Step:
        self._wake_due(now)
        self._settle(now)
        self._end.conclude(now)
        return self._ledger.take_step()

    def _wake_due(self, now: datetime) -> None:
        deadline = self._deadline()
        if self.run.state is RunState.RUNNING and not self.run.ending and deadline and now >= deadline and self._ledger.unfinished:
            limit = self._ledger.flow.options.run_timeout
            assert limit is not None
            self._end.begin(RunState.FAILED, messages.run_timed_out(limit), now, running=S.SKIPPED, others=S.SKIPPED, cause="timed_out")
        if self.run.state is RunState.RUNNING:
            for record in self._ledger.due(now):
                self._attempts.woke(record, now)

    def _deadline(self) -> datetime | None:
        limit = self._ledger.flow.options.run_timeout
        return self.run.started_at + limit if limit is not None and self.run.started_at else None

    def _settle(self, now: datetime) -> None:
        """Judge every pending task whose dependencies changed, until nothing changes any more."""
        ledger = self._ledger
        if self.run.state is not RunState.RUNNING:
            return
        while ledger.dirty:
            id = next(iter(ledger.dirty))
            indices = ledger.dirty.pop(id)
            pending = [
                record
                for key in ledger.copies[id]
                if (indices is None or key.map_index in indices) and (record := ledger.records[key]).state is S.PENDING
            ]
            if not pending or self._surely_waits(id):
                continue
            if id in ledger.aligned or ledger.tasks[id].mapped_group:
                for record in pending:
                    self._judge([record], now)
            else:
                self._judge(pending, now)

    def _judge(self, pending: list[TaskRecord], now: datetime) -> None:
        """Decide about these instances of one task, for which the same holds."""
        ledger, key = self._ledger, pending[0].key
        situation = self._situation(key)
        verdict = rules.judge(situation)
        if verdict.decision in {Decision.SKIP, Decision.UPSTREAM_FAILED}:
            verdict = rules.judge(self._situation(key, names=True))
        elif rules.may_be_counted(situation) and key.task_id not in ledger.counting:
            ledger.counting.add(key.task_id)
            ledger.order(Expand(task=key.task_id))
        for record in pending:
            self._apply(record, verdict, now)

    def _surely_waits(self, id: TaskId) -> bool:
        """The common answer, given without a Situation: a join is asked once for each upstream task that ends."""
        ledger = self._ledger
        if ledger.is_uncounted(id) or id in ledger.aligned or id in ledger.scopes.indirect:
            return False
        found = trigger_rules.decide(ledger.tasks[id].options.trigger_rule, ledger.upstream[id])
        return found is Decision.WAIT and not ledger.is_left_out(id)

    def _situation(self, key: TaskKey, *, names: bool = False) -> Situation:
        ledger, id = self._ledger, key.task_id
        rule = ledger.tasks[id].options.trigger_rule
        uncounted = ledger.is_uncounted(id)
        counts = ledger.counts_of(key)
        # Which copies of its group a placeholder will stand with, nobody knows yet.
        asked = TriggerRule.ALWAYS if uncounted and id in ledger.aligned and key.map_index < 0 else rule
        return Situation(
            run_state=self.run.state,
            held=id in ledger.held,
            trigger_rule=asked,
            counts=counts,
            names=self._names(key, rule, counts) if names else None,
            left_out=ledger.left_out_because(key) if ledger.is_left_out(id) else "",
            map_source=ledger.map_source_verdict(id),
            is_uncounted=uncounted,
            past=ledger.past.get(id),
            past_before_skipping=ledger.tasks[id].options.wait_for_past_depends_before_skipping,
            setups=ledger.setup_verdict(key),
            work=ledger.work_verdict(key),
        )

    def _names(self, key: TaskKey, rule: TriggerRule, counts: UpstreamCounts) -> UpstreamNames:
        """Once all is done, only the setups matter to the teardown's rule."""
        return self._ledger.upstream_names(key, setups_only=rule is TriggerRule.ALL_DONE_SETUP_SUCCESS and counts.all_done)

    def _apply(self, record: TaskRecord, verdict: Verdict, now: datetime) -> None:
        task = self._ledger.tasks[record.key.task_id]
        if verdict.decision is Decision.RUN and task.is_empty and task.options.as_ is not TaskKind.APPROVAL:
            note = self._attempts.decided(record, None, now) if task.options.as_ is TaskKind.LATEST_ONLY else {}
            self._ledger.move(record, S.SUCCESS, now, messages.EMPTY_TASK, started_at=now, ended_at=now, note=note)
        elif verdict.decision is Decision.RUN:
            self._ledger.move(record, S.SCHEDULED, now, verdict.reason)
        elif verdict.decision is Decision.SKIP:
            self._ledger.move(record, S.SKIPPED, now, verdict.reason, ended_at=now)
        elif verdict.decision is Decision.UPSTREAM_FAILED:
            self._ledger.move(record, S.UPSTREAM_FAILED, now, verdict.reason, ended_at=now)

    def _retry_sentence(self, record: TaskRecord, now: datetime) -> str:
        options = self._ledger.tasks[record.key.task_id].options
        following = record.attempt + 1
        wait = (record.wake_at or now) - now
        attempts = following + options.retries - record.failures
        return messages.retry_starts(attempt=following, attempts=attempts, wait=wait, error=str(record.note.get("error", "")))

    # --- the run ------------------------------------------------------------------------------------------------------

    def _run_started(self, _: RunStarted, now: datetime) -> None:
        if self.run.state is RunState.QUEUED:
            self._ledger.change_run(RunState.RUNNING, now, "", started_at=now)
            self._wake_at_deadline()

    def _wake_at_deadline(self) -> None:
        deadline = self._deadline()
        if deadline:
            self._ledger.order(WakeAt(at=deadline))

    def _tasks_released(self, event: TasksReleased, _: datetime) -> None:
        self._ledger.held.difference_update(event.tasks)
        self._ledger.touch(id for id in event.tasks if id in self._ledger.graph)

    def _past_seen(self, event: PastSeen, _: datetime) -> None:
        self.see_past(event.facts)

    def see_past(self, facts: Mapping[TaskId, Past]) -> None:
        """Judge again what has heard something new of its past. By itself it moves nothing; `explain` knows it at once."""
        ledger = self._ledger
        for id, fact in facts.items():
            if id not in ledger.past:
                continue
            options = ledger.tasks[id].options
            found = past.objection(ledger.name(id), past.check_of(options, self.run.past, id), options, fact)
            if found != ledger.past[id]:
                ledger.past[id] = found
                ledger.touch([id])

    def _woke(self, _: Woke, now: datetime) -> None:
        """Every event looks at the time; this one only brings it."""

    def _map_expanded(self, event: MapExpanded, now: datetime) -> None:
        """The copies take the placeholder's place; after a clear, copies for which there is no element any more go."""
        ledger, id = self._ledger, event.task
        if id not in ledger.counting:
            return
        ledger.counting.discard(id)
        pending = [record for key in ledger.copies[id] if (record := self.records[key]).state is S.PENDING]
        if not pending:
            return  # it was skipped, or ended, between the question and the answer
        if event.problem:
            self._cannot_be_mapped(pending, event.problem, now)
            return
        if not event.count:
            why = messages.nothing_to_map([read.name for read in ledger.map_sources[id]])
            for record in pending:
                ledger.move(record, S.SKIPPED, now, why, ended_at=now)
            return
        for key in ledger.copies[id]:
            record = self.records[key]
            if key.map_index >= event.count and record.state is not S.REMOVED:
                self._end.take_away(record, S.REMOVED, now, messages.surplus(event.count))
        ledger.expand(id, event.count, now)

    def _cannot_be_mapped(self, pending: list[TaskRecord], problem: str, now: datetime) -> None:
        """Of a group that is mapped as a whole, its first tasks fail and the others do not run."""
        first = [self._ledger.name(id) for id in self._ledger.aligned.get(pending[0].key.task_id, ())]
        for record in pending:
            if record.state is not self.records[record.key].state:
                continue  # fail_fast ended it meanwhile
            if first:
                self._ledger.move(record, S.UPSTREAM_FAILED, now, messages.did_not_run(first, S.FAILED), ended_at=now)
            else:
                self._attempts.fail_for_good(record, now, messages.failed_to_map(problem), ended_at=now)

    # --- invariants ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """The invariants of semantics.md (P6, P8) and of the counters. Raises AssertionError."""
        self._ledger.check()
        records = self.records.values()
        tokens = [record.token for record in records if record.state in OCCUPYING]
        assert None not in tokens, "an instance was handed over without a token"
        assert len(tokens) == len(set(tokens)), "one token is in force for two instances"
        assert all(record.attempt > 0 for record in records if record.state in OCCUPYING), "an attempt without a number"
        assert all(record.wake_at for record in records if record.state in SLEEPING), "a retry or a sensor without its next instant"
        assert all(record.state in SLEEPING | WATCHING for record in records if record.wake_at), "an instant of a task that waits for none"
        if self.run.state.is_finished:
            assert not self._ledger.unfinished, "the run has ended and a task has not"
            assert self.run.ending is None, "the run has ended and is still ending"
            assert self.run.ended_at is not None, "the run has ended at no instant"
        if self.run.state is RunState.RUNNING:
            assert self._ledger.unfinished or self._ledger.dirty, "nothing is left and the run goes on"
