# SPDX-License-Identifier: BSD-3-Clause
"""What happens next in one run: events in, changes and commands out. No clock, no database, no threads (semantics.md 1, 2, 3, 8)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from nbflow.core import branching, messages, retry, rules, trigger_rules
from nbflow.core.ending import RunEnd
from nbflow.core.errors import UserError
from nbflow.core.events import (
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
    ResultFound,
    RunAbandoned,
    RunStarted,
    SlotGranted,
    Step,
    Submit,
    TasksReleased,
    WakeAt,
    Woke,
)
from nbflow.core.ids import TaskId, TaskKey, Token
from nbflow.core.job import ErrorInfo
from nbflow.core.ledger import InvalidTransition, Ledger, changed
from nbflow.core.model import Flow
from nbflow.core.options import TriggerRule
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.rules import Situation
from nbflow.core.states import OCCUPYING, RunState, TaskState
from nbflow.core.trigger_rules import Decision, UpstreamNames, Verdict

__all__ = ["InvalidTransition", "RunMachine"]

S = TaskState
_MARKS = frozenset({S.SUCCESS, S.FAILED, S.SKIPPED})


class RunMachine:
    """One run of one flow. `handle` is the only way to move it; the Step it returns is recorded first and performed then.

    An event that does not concern this run (an old token, an unknown task, a state nobody can be marked with) changes nothing.
    """

    def __init__(self, flow: Flow, run: RunRecord, records: Iterable[TaskRecord], *, held: Collection[TaskId] = ()) -> None:
        self._ledger = Ledger(flow, run, records, held=held)
        self._end = RunEnd(self._ledger)
        self._handlers: Mapping[type, Callable[[Any, datetime], None]] = {
            RunStarted: self._run_started,
            TasksReleased: self._tasks_released,
            SlotGranted: self._slot_granted,
            MapExpanded: self._map_expanded,
            AttemptStarted: self._attempt_started,
            AttemptSucceeded: self._attempt_succeeded,
            ResultFound: self._result_found,
            AttemptFailed: self._attempt_failed,
            AttemptSkipped: self._attempt_skipped,
            AttemptLost: self._attempt_lost,
            Woke: self._woke,
            CancelRequested: self._cancel_requested,
            MarkRequested: self._mark_requested,
            ClearRequested: self._clear_requested,
            RunAbandoned: self._run_abandoned,
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
        after = self._handed_over(record, token)
        return Change(at=now, key=key, before=record.state, after=after.state, reason=after.reason, task=after)

    def explain(self, key: TaskKey, now: datetime) -> Verdict:
        """Why this instance is not running. Raises KeyError for an unknown one."""
        record = self.records[key]
        if record.state is S.PENDING and not self.run.state.is_finished:
            return rules.judge(self._situation(key.task_id, names=True))
        if record.state.is_finished:
            return Verdict(Decision.DONE, record.reason)
        if record.state is S.UP_FOR_RETRY:
            return Verdict(Decision.WAIT, self._retry_sentence(record, now))
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
            self._end.begin(RunState.FAILED, messages.run_timed_out(limit), now, running=S.SKIPPED, others=S.SKIPPED)
        if self.run.state is RunState.RUNNING:
            for record in self._ledger.due(now):
                self._ledger.move(record, S.SCHEDULED, now, messages.MAY_RUN, wake_at=None)

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
            del ledger.dirty[id]
            pending = [record for key in ledger.copies[id] if (record := ledger.records[key]).state is S.PENDING]
            if not pending or self._surely_waits(id):
                continue
            situation = self._situation(id)
            verdict = rules.judge(situation)
            if verdict.decision in {Decision.SKIP, Decision.UPSTREAM_FAILED}:
                verdict = rules.judge(self._situation(id, names=True))
            elif rules.may_be_counted(situation) and id not in ledger.counting:
                ledger.counting.add(id)
                ledger.order(Expand(task=id))
            for record in pending:
                self._apply(record, verdict, now)

    def _surely_waits(self, id: TaskId) -> bool:
        """The common answer, given without a Situation: a join is asked once for each upstream task that ends."""
        ledger = self._ledger
        if ledger.is_uncounted(id):
            return False
        found = trigger_rules.decide(ledger.tasks[id].options.trigger_rule, ledger.upstream[id])
        return found is Decision.WAIT and not ledger.not_chosen.get(id)

    def _situation(self, id: TaskId, *, names: bool = False) -> Situation:
        ledger = self._ledger
        rule = ledger.tasks[id].options.trigger_rule
        return Situation(
            run_state=self.run.state,
            held=id in ledger.held,
            trigger_rule=rule,
            counts=ledger.upstream[id],
            names=self._names(id, rule) if names else None,
            not_chosen_by=ledger.choice_against(id),
            map_source=ledger.map_source_verdict(id),
            is_uncounted=ledger.is_uncounted(id),
        )

    def _names(self, id: TaskId, rule: TriggerRule) -> UpstreamNames:
        """Once all is done, only the setups matter to the teardown's rule."""
        blame_setups = rule is TriggerRule.ALL_DONE_SETUP_SUCCESS and self._ledger.upstream[id].all_done
        return self._ledger.upstream_names(id, setups_only=blame_setups)

    def _apply(self, record: TaskRecord, verdict: Verdict, now: datetime) -> None:
        if verdict.decision is Decision.RUN and self._ledger.tasks[record.key.task_id].is_empty:
            self._ledger.move(record, S.SUCCESS, now, messages.EMPTY_TASK, started_at=now, ended_at=now)
        elif verdict.decision is Decision.RUN:
            self._ledger.move(record, S.SCHEDULED, now, verdict.reason)
        elif verdict.decision is Decision.SKIP:
            self._ledger.move(record, S.SKIPPED, now, verdict.reason, ended_at=now)
        elif verdict.decision is Decision.UPSTREAM_FAILED:
            self._ledger.move(record, S.UPSTREAM_FAILED, now, verdict.reason, ended_at=now)

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
            for record in pending:
                if record.state is self.records[record.key].state:  # fail_fast may have ended it meanwhile
                    self._failed(record, now, messages.failed_to_map(event.problem), ended_at=now)
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

    # --- attempts -----------------------------------------------------------------------------------------------------

    def _slot_granted(self, event: SlotGranted, now: datetime) -> None:
        record = self.records.get(event.key)
        if record is None or record.state is not S.SCHEDULED:
            return
        after = self._handed_over(record, event.token)
        self._ledger.move_to(record, after, now)
        self._ledger.order(Submit(key=event.key, token=event.token, attempt=after.attempt))

    @staticmethod
    def _handed_over(record: TaskRecord, token: Token) -> TaskRecord:
        """The record of a waiting instance once it has its slot."""
        # A hand-over after a loss before the start is the same attempt once more.
        attempt = record.attempt + (0 if record.note.get("again") else 1)
        fresh: dict[str, Any] = {"started_at": None, "ended_at": None, "worker": "", "note": {}}
        return changed(record, {"state": S.QUEUED, "reason": messages.QUEUED, "token": token, "attempt": attempt, **fresh})

    def _in_force(self, key: TaskKey, token: Token) -> TaskRecord | None:
        """The record a report speaks of, if its token still counts."""
        record = self.records.get(key)
        return record if record and record.token == token and record.state in OCCUPYING else None

    def _attempt_started(self, event: AttemptStarted, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record:
            self._begin(record, event.at, now, event.worker)

    def _begin(self, record: TaskRecord, at: datetime, now: datetime, worker: str = "") -> TaskRecord:
        """The running record; the start is made up for when its report was lost or comes later."""
        if record.state is S.RUNNING:
            return record
        options = self._ledger.tasks[record.key.task_id].options
        if record.losses:
            reason = messages.restarted(losses=record.losses, allowed=options.infra_retries)
        else:
            attempts = record.attempt + max(0, options.retries - record.failures)
            reason = messages.running(attempt=record.attempt, attempts=attempts, worker=worker)
        return self._ledger.move(record, S.RUNNING, now, reason, started_at=at, worker=worker)

    def _attempt_succeeded(self, event: AttemptSucceeded, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record is None:
            return
        record = self._begin(record, event.at, now)
        if event.already:
            why, note = messages.already_there(event.already), {"already": event.already}
            self._ledger.move(record, S.SUCCESS, now, why, token=None, ended_at=event.at, note=note)
            return
        try:
            note = self._decided(event.key, event.decision)
        except UserError as problem:
            # The same code would choose the same again, so no retry.
            self._fail(record, ErrorInfo(ename="UserError", evalue=str(problem), may_retry=False), event.at, now)
            return
        self._ledger.move(record, S.SUCCESS, now, messages.SUCCEEDED, token=None, ended_at=event.at, note=note)

    def _decided(self, key: TaskKey, decision: Any) -> dict[str, Any]:
        """What is noted of a decision. Raises UserError for one that cannot be followed."""
        if not rules.is_branch(self._ledger.tasks[key.task_id]):
            return {}
        return {"followed": list(branching.read_choice(decision, branch=self._ledger.key_name(key), graph=self._ledger.whole))}

    def _result_found(self, event: ResultFound, now: datetime) -> None:
        """It takes no slot. A decision that cannot be followed any more is no result: the body decides anew."""
        record = self.records.get(event.key)
        if record is None or record.state is not S.SCHEDULED:
            return
        try:
            note = self._decided(event.key, event.decision)
        except UserError:
            return
        fields = {"attempt": record.attempt + 1, "started_at": None, "ended_at": now, "worker": ""}
        self._ledger.move(record, S.SUCCESS, now, messages.from_cache(event.run_id), note={**note, "from_cache": event.run_id}, **fields)

    def _attempt_failed(self, event: AttemptFailed, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record:
            self._fail(self._begin(record, event.at, now), event.error, event.at, now)

    def _fail(self, record: TaskRecord, error: ErrorInfo, at: datetime, now: datetime) -> None:
        options = self._ledger.tasks[record.key.task_id].options
        failures = record.failures + 1
        name = self._ledger.key_name(record.key)
        if not retry.may_retry(options, failures, error):
            reason = messages.failed(attempts=failures, name=name, error=error)
            self._failed(record, now, reason, failures=failures, ended_at=at)
            return
        wake_at = at + retry.retry_delay(options, failures, retry.retry_seed(self.run, record.key, record.attempt))
        note = {"error": messages.first_line(error.sentence)}
        fields = {"failures": failures, "ended_at": at, "wake_at": wake_at, "note": note, "token": None}
        reason = messages.retry_starts(
            attempt=record.attempt + 1, attempts=record.attempt + 1 + options.retries - failures, wait=wake_at - now, error=note["error"]
        )
        self._ledger.move(record, S.UP_FOR_RETRY, now, reason, **fields)
        self._ledger.order(WakeAt(at=wake_at))

    def _failed(self, record: TaskRecord, now: datetime, reason: str, **fields: Any) -> None:
        self._ledger.move(record, S.FAILED, now, reason, token=None, **fields)
        counts = record.key.task_id not in self._ledger.teardowns
        if self._ledger.flow.options.fail_fast and counts and self.run.ending is None:
            why = messages.fail_fast(self._ledger.key_name(record.key))
            self._end.begin(RunState.FAILED, why, now, running=S.FAILED, others=S.SKIPPED)

    def _retry_sentence(self, record: TaskRecord, now: datetime) -> str:
        options = self._ledger.tasks[record.key.task_id].options
        following = record.attempt + 1
        wait = (record.wake_at or now) - now
        attempts = following + options.retries - record.failures
        return messages.retry_starts(attempt=following, attempts=attempts, wait=wait, error=str(record.note.get("error", "")))

    def _attempt_skipped(self, event: AttemptSkipped, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record:
            record = self._begin(record, event.at, now)
            reason = messages.skipped_itself(event.reason)
            self._ledger.move(record, S.SKIPPED, now, reason, token=None, ended_at=event.at, note={"cause": "itself"})

    def _attempt_lost(self, event: AttemptLost, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record is None:
            return
        if record.state is S.QUEUED and not event.started:
            self._ledger.move(record, S.SCHEDULED, now, messages.lost_before_start(event.reason), token=None, note={"again": True})
            return
        record = self._begin(record, event.at, now)
        losses = record.losses + 1
        allowed = self._ledger.tasks[event.key.task_id].options.infra_retries
        if losses > allowed:
            self._failed(record, now, messages.failed_lost(losses=losses, reason=event.reason), losses=losses, ended_at=event.at)
            return
        reason = messages.restarted(losses=losses, allowed=allowed)
        self._ledger.move(record, S.SCHEDULED, now, reason, token=None, losses=losses, ended_at=event.at)

    # --- what people ask ----------------------------------------------------------------------------------------------

    def _known(self, keys: Iterable[TaskKey]) -> list[TaskRecord]:
        """The records of these instances; a mapped task without an index means all its copies."""
        every = [key for asked in keys for key in ((asked,) if asked in self.records else self._ledger.copies_asked(asked))]
        return [self.records[key] for key in dict.fromkeys(every)]

    def _cancel_requested(self, event: CancelRequested, now: datetime) -> None:
        if not event.keys:
            if not self.run.state.is_finished:
                self._end.begin(RunState.CANCELLED, messages.cancelled_phrase(event.by), now, running=S.CANCELLED, others=S.CANCELLED)
            return
        for record in self._known(event.keys):
            if not record.state.is_finished:
                self._end.take_away(record, S.CANCELLED, now, messages.cancelled(event.by))

    def _mark_requested(self, event: MarkRequested, now: datetime) -> None:
        if not event.keys:
            state = RunState(event.state) if event.state in set(RunState) else RunState.QUEUED
            if state.is_finished:
                self._mark_run(state, event.by, now)
            return
        if event.state not in _MARKS:
            return
        state_of_task = TaskState(event.state)
        before = self._end.outcome()
        for record in self._known(event.keys):
            if record.state is not state_of_task:
                self._end.take_away(record, state_of_task, now, messages.marked(state_of_task, event.by), note={"cause": "mark"})
        # A finished run that followed its leaves follows them on; one that was ended, or marked itself, keeps its state.
        if self.run.state is before and not self.run.by_hand and self._end.outcome() is not before:
            self._end.finish(self._end.outcome(), now, ended_at=self.run.ended_at)

    def _mark_run(self, state: RunState, by: str, now: datetime) -> None:
        if self.run.state.is_finished:
            self._end.finish_as(state, now, messages.marked(state, by), by_hand=True, ended_at=self.run.ended_at)
            return
        running = {RunState.FAILED: S.FAILED, RunState.CANCELLED: S.CANCELLED}.get(state, S.SKIPPED)
        others = S.CANCELLED if state is RunState.CANCELLED else S.SKIPPED
        self._end.begin(state, messages.run_marked(state, by), now, running=running, others=others, by_hand=True)

    def _clear_requested(self, event: ClearRequested, now: datetime) -> None:
        known = self._known(event.keys)
        if not known:
            return
        reset = {"failures": 0, "losses": 0, "started_at": None, "ended_at": None, "worker": ""}
        for record in known:
            if record.state is not S.PENDING:
                self._end.take_away(record, S.PENDING, now, messages.cleared(event.by), **reset)
        if self.run.state.is_finished or (self.run.state is RunState.RUNNING and self.run.ending):
            # Who clears wants these tasks to run: that also takes back an ending that was under way.
            number = self.run.clear_number + self.run.state.is_finished
            fields = {"ended_at": None, "ending": None, "by_hand": False, "clear_number": number}
            if event.waits and self.run.state.is_finished:
                self._ledger.change_run(RunState.QUEUED, now, messages.run_cleared(event.by), started_at=None, **fields)
                return
            self._ledger.change_run(RunState.RUNNING, now, "", started_at=now, **fields)
            self._wake_at_deadline()

    def _run_abandoned(self, event: RunAbandoned, now: datetime) -> None:
        if self.run.state.is_finished:
            return
        for record in tuple(self.records.values()):
            if record.state is S.PENDING:
                self._end.take_away(record, S.UPSTREAM_FAILED, now, messages.not_reached(event.reason))
            elif not record.state.is_finished:
                self._end.take_away(record, S.CANCELLED, now, messages.sentence(event.reason))
        self._end.finish_as(RunState.FAILED, now, event.reason)

    # --- invariants ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """The invariants of semantics.md (P6, P8) and of the counters. Raises AssertionError."""
        self._ledger.check()
        records = self.records.values()
        tokens = [record.token for record in records if record.state in OCCUPYING]
        assert None not in tokens, "an instance was handed over without a token"
        assert len(tokens) == len(set(tokens)), "one token is in force for two instances"
        assert all(record.attempt > 0 for record in records if record.state in OCCUPYING), "an attempt without a number"
        assert all((record.state is S.UP_FOR_RETRY) == bool(record.wake_at) for record in records), (
            "only a retry has an instant, and each has"
        )
        if self.run.state.is_finished:
            assert not self._ledger.unfinished, "the run has ended and a task has not"
            assert self.run.ending is None, "the run has ended and is still ending"
            assert self.run.ended_at is not None, "the run has ended at no instant"
        if self.run.state is RunState.RUNNING:
            assert self._ledger.unfinished or self._ledger.dirty, "nothing is left and the run goes on"
