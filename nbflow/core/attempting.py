# SPDX-License-Identifier: BSD-3-Clause
"""The life of an attempt: handed over, begun, ended, and everything that may follow (semantics.md 2, 3, 11)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nbflow.core import branching, choices, messages, retry, waiting, waiting_words
from nbflow.core.ending import RunEnd
from nbflow.core.errors import UserError
from nbflow.core.events import (
    AnswerGiven,
    AttemptDeferred,
    AttemptFailed,
    AttemptLost,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    LastGood,
    ResultFound,
    SlotGranted,
    Submit,
    TriggerFired,
    WakeAt,
    Watch,
)
from nbflow.core.ids import TaskId, TaskKey, Token
from nbflow.core.job import ErrorInfo
from nbflow.core.ledger import Ledger, changed
from nbflow.core.options import OnFailure, TaskKind, TaskOptions
from nbflow.core.records import TaskRecord
from nbflow.core.states import OCCUPYING, RunState, TaskState

S = TaskState


class Attempting:
    """Moves instances from a slot to their end. A report whose token is not in force changes nothing."""

    def __init__(self, ledger: Ledger, end: RunEnd) -> None:
        self._ledger, self._end = ledger, end

    def _options(self, key: TaskKey) -> TaskOptions:
        return self._ledger.tasks[key.task_id].options

    # --- handing over -------------------------------------------------------------------------------------------------

    def slot_granted(self, event: SlotGranted, now: datetime) -> None:
        record = self._ledger.records.get(event.key)
        if record is None or record.state is not S.SCHEDULED:
            return
        after = self.handed_over(record, event.token)
        self._ledger.move_to(record, after, now)
        self._ledger.order(Submit(key=event.key, token=event.token, attempt=after.attempt))

    @staticmethod
    def handed_over(record: TaskRecord, token: Token) -> TaskRecord:
        """The record of a waiting instance once it has its slot."""
        # A look, a resumed deferral, or a hand-over after a loss before the start is the same attempt once more.
        again = bool(record.note.get("again"))
        note = waiting.kept(record.note, waiting.OF_ATTEMPT if again else waiting.OF_TASK | {"resumed"}) if record.note else {}
        attempt = record.attempt + (0 if again else 1)
        fresh: dict[str, Any] = {"started_at": None, "ended_at": None, "worker": "", "note": note}
        return changed(record, {"state": S.QUEUED, "reason": messages.QUEUED, "token": token, "attempt": attempt, **fresh})

    def _in_force(self, key: TaskKey, token: Token) -> TaskRecord | None:
        """The record a report speaks of, if its token still counts."""
        record = self._ledger.records.get(key)
        return record if record and record.token == token and record.state in OCCUPYING else None

    def started(self, event: AttemptStarted, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record:
            self._begin(record, event.at, now, event.worker)

    def _begin(self, record: TaskRecord, at: datetime, now: datetime, worker: str = "") -> TaskRecord:
        """The running record; the start is made up for when its report was lost or comes later."""
        if record.state is S.RUNNING:
            return record
        options = self._options(record.key)
        if record.losses:
            reason = messages.restarted(losses=record.losses, allowed=options.infra_retries)
        else:
            attempts = record.attempt + max(0, options.retries - record.failures)
            reason = messages.running(attempt=record.attempt, attempts=attempts, worker=worker)
        note = record.note
        if options.as_ is TaskKind.SENSOR and "since" not in note:
            note = {**note, "since": at.isoformat()}
        return self._ledger.move(record, S.RUNNING, now, reason, started_at=at, worker=worker, note=note)

    # --- how it ended -------------------------------------------------------------------------------------------------

    def succeeded(self, event: AttemptSucceeded, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record is None:
            return
        record = self._begin(record, event.at, now)
        if event.already:
            why, note = messages.already_there(event.already), {"already": event.already}
            self._ledger.move(record, S.SUCCESS, now, why, token=None, ended_at=event.at, note=note)
            return
        kind = self._options(record.key).as_
        if kind is TaskKind.SENSOR and not event.decision:
            self._look_again(record, event.at, now)
            return
        if kind is TaskKind.APPROVAL and "answer" not in record.note.get("resumed", {}):
            self._ask(record, event, now)
            return
        try:
            note = self.decided(record, event.decision, now)
        except UserError as problem:
            # The same code would choose the same again, so no retry.
            self._fail(record, ErrorInfo(ename="UserError", evalue=str(problem), may_retry=False), event.at, now)
            return
        reason = waiting_words.answered(note["answer"], note["by"]) if "answer" in note else messages.SUCCEEDED
        self._ledger.move(record, S.SUCCESS, now, reason, token=None, ended_at=event.at, note=note)

    def result_found(self, event: ResultFound, now: datetime) -> None:
        """It takes no slot. A decision that cannot be followed any more is no result: the body decides anew."""
        record = self._ledger.records.get(event.key)
        if record is None or record.state is not S.SCHEDULED:
            return
        try:
            note = self.decided(record, event.decision, now)
        except UserError:
            return
        fields = {"attempt": record.attempt + 1, "started_at": None, "ended_at": now, "worker": ""}
        self._ledger.move(record, S.SUCCESS, now, messages.from_cache(event.run_id), note={**note, "from_cache": event.run_id}, **fields)

    def decided(self, record: TaskRecord, decision: Any, now: datetime) -> dict[str, Any]:
        """What a success is recorded with: what it follows, or what stops with it. Raises UserError for a choice there is not."""
        ledger, id, options = self._ledger, record.key.task_id, self._options(record.key)
        if options.as_ is TaskKind.BRANCH:
            followed = branching.read_choice(decision, branch=ledger.key_name(record.key), graph=ledger.whole)
            return {"followed": list(followed)}
        if options.as_ is TaskKind.SHORT_CIRCUIT:
            return {"skipped": [] if decision else self._below(id, deep=options.ignore_downstream_trigger_rules)}
        if options.as_ is TaskKind.LATEST_ONLY:
            return {"skipped": [] if choices.is_latest(ledger.run, now) else self._below(id, deep=False)}
        if options.as_ is TaskKind.APPROVAL:
            return self._answered(record)
        return {}

    def _below(self, id: TaskId, *, deep: bool) -> list[TaskId]:
        return choices.below(id, graph=self._ledger.whole, teardowns=self._ledger.teardowns, deep=deep)

    def failed(self, event: AttemptFailed, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record is None:
            return
        record = self._begin(record, event.at, now)
        if self._options(record.key).as_ is TaskKind.SENSOR and self._sensor_failed(record, event, now):
            return
        self._fail(record, event.error, event.at, now, event.last_good)

    def _fail(self, record: TaskRecord, error: ErrorInfo, at: datetime, now: datetime, last_good: LastGood | None = None) -> None:
        options = self._options(record.key)
        failures = record.failures + 1
        name = self._ledger.key_name(record.key)
        if not retry.may_retry(options, failures, error):
            reason = messages.failed(attempts=failures, name=name, error=error)
            self._fall_back(record, now, reason, last_good, failures=failures, ended_at=at)
            return
        wake_at = at + retry.retry_delay(options, failures, retry.retry_seed(self._ledger.run, record.key, record.attempt))
        note = {"error": messages.first_line(error.sentence), **waiting.kept(record.note, waiting.OF_TASK)}
        fields = {"failures": failures, "ended_at": at, "wake_at": wake_at, "note": note, "token": None}
        reason = messages.retry_starts(
            attempt=record.attempt + 1, attempts=record.attempt + 1 + options.retries - failures, wait=wake_at - now, error=note["error"]
        )
        self._ledger.move(record, S.UP_FOR_RETRY, now, reason, **fields)
        self._ledger.order(WakeAt(at=wake_at))

    def _fall_back(self, record: TaskRecord, now: datetime, reason: str, last_good: LastGood | None, **fields: Any) -> None:
        """The last attempt has failed: what that means is the task's own choice."""
        meaning, fields = self._options(record.key).on_failure, {"token": None, "wake_at": None, **fields}
        if meaning is OnFailure.SKIP:
            self._ledger.move(record, S.SKIPPED, now, messages.skipped_failed(reason), **fields, note={"cause": "failure"})
            return
        if meaning is OnFailure.LAST_GOOD:
            note = self._decided_before(record, last_good, now)
            if note is not None and last_good is not None:
                why = messages.last_good(last_good.run_id, reason)
                self._ledger.move(record, S.SUCCESS, now, why, **fields, note={**note, "last_good": last_good.run_id})
                return
            reason = messages.no_last_good(reason)
        self.fail_for_good(record, now, reason, **fields)

    def _decided_before(self, record: TaskRecord, last_good: LastGood | None, now: datetime) -> dict[str, Any] | None:
        """What the success of an earlier run is recorded with here; None where there is none to go on with."""
        if last_good is None or self._options(record.key).as_ is TaskKind.APPROVAL:
            return None
        try:
            return self.decided(record, last_good.decision, now)
        except UserError:
            return None

    def fail_for_good(self, record: TaskRecord, now: datetime, reason: str, **fields: Any) -> None:
        """No attempt follows; a flow with fail_fast ends with it."""
        self._ledger.move(record, S.FAILED, now, reason, **{"token": None, "wake_at": None, **fields})
        counts = record.key.task_id not in self._ledger.teardowns
        if self._ledger.flow.options.fail_fast and counts and self._ledger.run.ending is None:
            why = messages.fail_fast(self._ledger.key_name(record.key))
            self._end.begin(RunState.FAILED, why, now, running=S.FAILED, others=S.SKIPPED)

    def skipped(self, event: AttemptSkipped, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record:
            self._skip(self._begin(record, event.at, now), event.at, now, messages.skipped_itself(event.reason))

    def _skip(self, record: TaskRecord, at: datetime, now: datetime, reason: str) -> None:
        self._ledger.move(record, S.SKIPPED, now, reason, token=None, wake_at=None, ended_at=at, note={"cause": "itself"})

    def lost(self, event: AttemptLost, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record is None:
            return
        if record.state is S.QUEUED and not event.started:
            note = {**record.note, "again": True}
            self._ledger.move(record, S.SCHEDULED, now, messages.lost_before_start(event.reason), token=None, note=note)
            return
        record = self._begin(record, event.at, now)
        losses = record.losses + 1
        allowed = self._options(record.key).infra_retries
        if losses > allowed:
            reason = messages.failed_lost(losses=losses, reason=event.reason)
            self._fall_back(record, now, reason, event.last_good, losses=losses, ended_at=event.at)
            return
        note = waiting.kept(record.note, waiting.OF_TASK | {"resumed"})
        reason = messages.restarted(losses=losses, allowed=allowed)
        self._ledger.move(record, S.SCHEDULED, now, reason, token=None, losses=losses, ended_at=event.at, note=note)

    # --- sensors and deferral -----------------------------------------------------------------------------------------

    def _look_again(self, record: TaskRecord, at: datetime, now: datetime, why: str = "") -> None:
        """What a sensor waits for is not there yet: it gives its worker back until the next look."""
        options, looks = self._options(record.key), int(record.note.get("looks", 0)) + 1
        note = {**waiting.kept(record.note, waiting.OF_TASK), "looks": looks, "again": True, "row": self._row(record)}
        until = waiting.deadline(options, note, at)
        seed = f"{retry.retry_seed(self._ledger.run, record.key, record.attempt)}#{looks}"
        wake_at = waiting.next_look(options, looks, at, until, seed)
        if wake_at is None:
            self._time_is_up({**note}, record, at, now)
            return
        reason = waiting_words.looks_again(waiting_words.clock(wake_at, now), looks, why)
        self._ledger.move(record, S.UP_FOR_RESCHEDULE, now, reason, token=None, wake_at=wake_at, ended_at=at, note=note)
        self._ledger.order(WakeAt(at=wake_at))

    def _time_is_up(self, note: Mapping[str, Any], record: TaskRecord, at: datetime, now: datetime) -> None:
        """A sensor's whole wait is over: it never retries."""
        since = datetime.fromisoformat(note["since"]) if "since" in note else at
        phrase = waiting_words.sensor_timed_out((at - since).total_seconds(), int(note.get("looks", 0)))
        self._give_up(record, at, now, phrase)

    def _give_up(self, record: TaskRecord, at: datetime, now: datetime, phrase: str) -> None:
        options = self._options(record.key)
        if options.soft_fail or options.never_fail:
            self._skip(record, at, now, waiting_words.skipped_waiting(phrase))
        else:
            self.fail_for_good(record, now, waiting_words.failed_waiting(phrase), failures=record.failures + 1, ended_at=at, note={})

    def _sensor_failed(self, record: TaskRecord, event: AttemptFailed, now: datetime) -> bool:
        """What an error means to a sensor; False: what it means to any other task."""
        options, error = self._options(record.key), event.error
        if error.timed_out:
            self._time_is_up({**record.note, "looks": int(record.note.get("looks", 0)) + 1}, record, event.at, now)
        elif options.never_fail or (options.soft_fail and not error.may_retry):
            self._skip(record, event.at, now, waiting_words.skipped_waiting(messages.first_line(error.sentence)))
        elif options.silent_fail and error.may_retry:
            self._look_again(record, event.at, now, messages.first_line(error.sentence))
        else:
            return False
        return True

    @staticmethod
    def _row(record: TaskRecord) -> str:
        """The row of an attempt that goes on under another token."""
        return str(record.note.get("row") or record.token or "")

    def deferred(self, event: AttemptDeferred, now: datetime) -> None:
        record = self._in_force(event.key, event.token)
        if record is None:
            return
        record, trigger = self._begin(record, event.at, now), dict(event.trigger)
        options = self._options(record.key)
        note = {**waiting.kept(record.note, waiting.OF_TASK), "trigger": trigger, "row": self._row(record), "token": event.token}
        instants = [waiting.fires_at(trigger), waiting.deadline(options, note, event.at) if options.as_ is TaskKind.SENSOR else None]
        wake_at = min((instant for instant in instants if instant), default=None)
        reason = waiting_words.deferred(str(trigger.get("shown", "")))
        self._ledger.move(record, S.DEFERRED, now, reason, token=None, wake_at=wake_at, ended_at=event.at, note=note)
        self._ledger.order(Watch(key=event.key, token=event.token, trigger=trigger))
        if wake_at is not None:
            self._ledger.order(WakeAt(at=wake_at))

    def fired(self, event: TriggerFired, now: datetime) -> None:
        record = self._ledger.records.get(event.key)
        if record is None or record.state is not S.DEFERRED or record.note.get("token") != event.token:
            return
        if event.problem:
            self._give_up(record, now, now, event.problem)
        else:
            self._resume(record, {"event": event.result}, now, waiting_words.trigger_fired())

    def _resume(self, record: TaskRecord, resumed: Mapping[str, Any], now: datetime, reason: str) -> None:
        note = {**waiting.kept(record.note, waiting.OF_ATTEMPT), "resumed": dict(resumed), "again": True}
        self._ledger.move(record, S.SCHEDULED, now, reason, wake_at=None, note=note)

    # --- approvals ----------------------------------------------------------------------------------------------------

    def _ask(self, record: TaskRecord, event: AttemptSucceeded, now: datetime) -> None:
        task = self._ledger.tasks[record.key.task_id]
        try:
            question = waiting.read_question(
                event.decision, task=self._ledger.key_name(record.key), doc=task.doc, default=task.options.default
            )
        except UserError as problem:
            self._fail(record, ErrorInfo(ename="UserError", evalue=str(problem), may_retry=False), event.at, now)
            return
        note = {"question": question.text, "choices": list(question.answers), "own": bool(question.choices), "row": self._row(record)}
        wake_at = event.at + task.options.timeout if task.options.timeout is not None else None
        reason = waiting_words.waits_for_answer(question.text, question.answers)
        self._ledger.move(record, S.AWAITING_INPUT, now, reason, token=None, wake_at=wake_at, ended_at=event.at, note=note)
        if wake_at is not None:
            self._ledger.order(WakeAt(at=wake_at))

    def answered(self, event: AnswerGiven, now: datetime) -> None:
        record = self._ledger.records.get(event.key)
        if record is None or record.state is not S.AWAITING_INPUT:
            return  # somebody was quicker: whoever asked hears it where they asked
        answer = waiting.read_answer(event.answer, tuple(record.note["choices"]))
        if answer is not None:
            self._go_on(record, answer, event.by, now, waiting_words.answered(answer, event.by))

    def _go_on(self, record: TaskRecord, answer: str, by: str, now: datetime, reason: str) -> None:
        kept = waiting.kept(record.note, frozenset({"own", "choices", "row"}))
        self._resume(record, {"answer": answer, "by": by, **kept}, now, reason)

    def _answered(self, record: TaskRecord) -> dict[str, Any]:
        """The answer, and what follows from it: the tasks it names, or, after a plain no, nothing."""
        ledger, resumed = self._ledger, record.note["resumed"]
        note: dict[str, Any] = {"answer": resumed["answer"], "by": resumed["by"]}
        if resumed["own"] and waiting.follows(tuple(resumed["choices"]), ledger.whole):
            followed = branching.read_choice(resumed["answer"], branch=ledger.key_name(record.key), graph=ledger.whole)
            return {**note, "followed": list(followed)}
        stops = not resumed["own"] and resumed["answer"] == waiting.NO
        return {**note, "skipped": self._below(record.key.task_id, deep=True) if stops else []}

    # --- time ---------------------------------------------------------------------------------------------------------

    def woke(self, record: TaskRecord, now: datetime) -> None:
        """The instant a waiting instance named has come."""
        options = self._options(record.key)
        if record.state is S.DEFERRED:
            at = waiting.fires_at(record.note["trigger"])
            if at is not None and at <= now:
                self._resume(record, {"event": {"at": at.isoformat()}}, now, waiting_words.trigger_fired())
            else:
                self._time_is_up(record.note, record, now, now)
        elif record.state is S.AWAITING_INPUT:
            assert options.timeout is not None
            answer = waiting.read_answer(options.default, tuple(record.note["choices"])) if options.default else None
            if answer is None:
                self._give_up(record, now, now, waiting_words.nobody_answered(options.timeout))
            else:
                self._go_on(record, answer, "default", now, waiting_words.answered_by_default(answer, options.timeout))
        else:
            self._ledger.move(record, S.SCHEDULED, now, messages.MAY_RUN, wake_at=None)
