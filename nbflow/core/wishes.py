# SPDX-License-Identifier: BSD-3-Clause
"""What people ask of a run: cancel, mark, clear (semantics.md 2, 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from nbflow.core import messages
from nbflow.core.ending import RunEnd
from nbflow.core.events import CancelRequested, ClearRequested, MarkRequested, RunAbandoned
from nbflow.core.ids import TaskKey
from nbflow.core.ledger import Ledger
from nbflow.core.records import TaskRecord
from nbflow.core.states import RunState, TaskState

S = TaskState
_MARKS = frozenset({S.SUCCESS, S.FAILED, S.SKIPPED})


class Wishes:
    """Does what is asked, where it can be done; a wish that does not concern this run changes nothing."""

    def __init__(self, ledger: Ledger, end: RunEnd, restarted: Callable[[], None]) -> None:
        """`restarted` is called when a run that had ended, or was ending, goes on."""
        self._ledger, self._end, self._restarted = ledger, end, restarted

    def _known(self, keys: Iterable[TaskKey]) -> list[TaskRecord]:
        """The records of these instances; a mapped task without an index means all its copies."""
        records = self._ledger.records
        every = [key for asked in keys for key in ((asked,) if asked in records else self._ledger.copies_asked(asked))]
        return [records[key] for key in dict.fromkeys(every)]

    def cancel(self, event: CancelRequested, now: datetime) -> None:
        if not event.keys:
            if not self._ledger.run.state.is_finished:
                self._end.begin(RunState.CANCELLED, messages.cancelled_phrase(event.by), now, running=S.CANCELLED, others=S.CANCELLED)
            return
        for record in self._known(event.keys):
            if not record.state.is_finished:
                self._end.take_away(record, S.CANCELLED, now, messages.cancelled(event.by))

    def mark(self, event: MarkRequested, now: datetime) -> None:
        ledger = self._ledger
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
        if ledger.run.state is before and not ledger.run.by_hand and self._end.outcome() is not before:
            self._end.finish(self._end.outcome(), now, ended_at=ledger.run.ended_at)

    def _mark_run(self, state: RunState, by: str, now: datetime) -> None:
        run = self._ledger.run
        if run.state.is_finished:
            self._end.finish_as(state, now, messages.marked(state, by), by_hand=True, ended_at=run.ended_at)
            return
        running = {RunState.FAILED: S.FAILED, RunState.CANCELLED: S.CANCELLED}.get(state, S.SKIPPED)
        others = S.CANCELLED if state is RunState.CANCELLED else S.SKIPPED
        self._end.begin(state, messages.run_marked(state, by), now, running=running, others=others, by_hand=True)

    def clear(self, event: ClearRequested, now: datetime) -> None:
        """Put these back to pending, with the setups they stand on and the teardowns of those."""
        asked = self._known(event.keys)
        if not asked:
            return
        ledger = self._ledger
        keys = dict.fromkeys(record.key for record in asked)
        for record in asked:
            for id in ledger.scopes.with_scope([record.key.task_id])[1:]:
                keys.update(dict.fromkeys(ledger.beside(id, record.key)))
        reset = {"failures": 0, "losses": 0, "started_at": None, "ended_at": None, "worker": ""}
        for key in keys:
            record = ledger.records[key]
            if record.state is not S.PENDING:
                self._end.take_away(record, S.PENDING, now, messages.cleared(event.by), **reset)
        if ledger.run.state.is_finished or (ledger.run.state is RunState.RUNNING and ledger.run.ending):
            # Who clears wants these tasks to run: that also takes back an ending that was under way.
            fields: dict[str, Any] = {"ended_at": None, "ending": None, "by_hand": False, "hosts": 0}
            fields["clear_number"] = ledger.run.clear_number + ledger.run.state.is_finished
            if event.waits and ledger.run.state.is_finished:
                ledger.change_run(RunState.QUEUED, now, messages.run_cleared(event.by), started_at=None, **fields)
                return
            ledger.change_run(RunState.RUNNING, now, "", started_at=now, **fields)
            self._restarted()

    def abandon(self, event: RunAbandoned, now: datetime) -> None:
        if self._ledger.run.state.is_finished:
            return
        for record in tuple(self._ledger.records.values()):
            if record.state is S.PENDING:
                self._end.take_away(record, S.UPSTREAM_FAILED, now, messages.not_reached(event.reason))
            elif not record.state.is_finished:
                self._end.take_away(record, S.CANCELLED, now, messages.sentence(event.reason))
        self._end.finish_as(RunState.FAILED, now, event.reason, cause="abandoned")
