# SPDX-License-Identifier: BSD-3-Clause
"""How a run comes to its end: by itself, or because somebody or something ends it (semantics.md 2 "Runs")."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from nbflow.core import messages, rules
from nbflow.core.events import Cancel, FinishRun
from nbflow.core.ledger import Ledger
from nbflow.core.records import TaskRecord
from nbflow.core.states import OCCUPYING, RunState, TaskState

S = TaskState


#: Why a run ended in this state, where nothing else is known.
_CAUSES: Final = {RunState.SUCCESS: "success", RunState.FAILED: "task_failure"}


class RunEnd:
    """Ends a run, all at once or step by step: a run that is being ended goes on until its teardowns are done."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def begin(self, state: RunState, why: str, now: datetime, *, running: TaskState, others: TaskState, **fields: Any) -> None:
        """End everything but the teardowns; the run takes `state` when those are done, whatever its leaves say.

        What runs ends as `running`, all else as `others`. A run that is being ended already, or never started, loses its teardowns too.
        """
        ledger, run = self._ledger, self._ledger.run
        teardowns_too = run.ending is not None or run.state is RunState.QUEUED
        for record in tuple(ledger.records.values()):
            if record.state.is_finished or (record.key.task_id in ledger.teardowns and not teardowns_too):
                continue
            after = running if record.state is S.RUNNING else others
            self.take_away(record, after, now, messages.ended_with_run(after, why), note={"cause": "run"})
        if run.ending is None:
            ledger.change_run(run.state, now, messages.capital(why), ending=state, **fields)

    def take_away(self, record: TaskRecord, state: TaskState, now: datetime, reason: str, **fields: Any) -> None:
        """End an instance from outside. A token in force stays in the record, so that a resume cancels it again."""
        if record.token and record.state in OCCUPYING:
            self._ledger.order(Cancel(key=record.key, token=record.token))
        self._ledger.move(record, state, now, reason, **{"ended_at": now, "wake_at": None, "note": {}, **fields})

    def conclude(self, now: datetime) -> None:
        """End the run when nothing is unfinished any more, or when nothing unfinished can ever run."""
        ledger, run = self._ledger, self._ledger.run
        if run.state.is_finished:
            return
        if run.state is RunState.QUEUED and run.ending is None:
            if run.clear_number and not ledger.unfinished:  # it was cleared, and a person has marked what was
                self.finish(self.outcome(), now)
            return
        if not ledger.unfinished:
            self.finish(run.ending or self.outcome(), now, run.reason)
        elif (
            ledger.unfinished == ledger.counts[S.PENDING]
            and not ledger.holds_pending()
            and not ledger.counting
            and not ledger.waits_for_past()
        ):
            for record in tuple(ledger.records.values()):
                if record.state is S.PENDING:
                    ledger.move(record, S.UPSTREAM_FAILED, now, messages.DEADLOCK, ended_at=now)
            self.finish(run.ending or RunState.FAILED, now, messages.DEADLOCK, cause="all_tasks_deadlocked")

    def outcome(self) -> RunState:
        """What the states of its tasks say of the run."""
        ledger = self._ledger
        every = (record.state for record in ledger.records.values())
        return rules.run_outcome(ledger.leaf_states(), every, ledger.flow.options.fail_on)

    def finish(self, state: RunState, now: datetime, why: str = "", *, ended_at: datetime | None = None, cause: str = "") -> None:
        """Give the run its final state; `why` is a sentence that follows the usual one. `ended_at`: it had ended before, at that instant."""
        ledger, run, ended = self._ledger, self._ledger.run, ended_at or now
        seconds = (ended - run.started_at).total_seconds() if run.started_at else 0.0
        failed = [ledger.key_name(key) for key, record in ledger.records.items() if record.state is S.FAILED]
        reason = messages.run_ended(run.flow, state, seconds, ledger.counts, failed=failed, why=why)
        self.finish_as(state, now, reason, ended_at=ended, cause=run.cause or cause or _CAUSES.get(state, ""))

    def finish_as(self, state: RunState, now: datetime, reason: str, **fields: Any) -> None:
        """Give the run its final state, in these words."""
        self._ledger.change_run(state, now, reason, **{"ending": None, "ended_at": now, **fields})
        self._ledger.order(FinishRun(state=state, reason=reason))
