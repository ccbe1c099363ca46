# SPDX-License-Identifier: BSD-3-Clause
"""Attempts that go on: between two looks of a sensor, while a trigger is watched, while a person is asked. Each is one row of the history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nbflow.core.ids import TaskKey
from nbflow.core.job import Outcome, ValueRef
from nbflow.core.protocols import Store
from nbflow.core.records import AttemptRecord, Change, TaskRecord
from nbflow.core.states import OCCUPYING, TaskState

S = TaskState
#: What an attempt's row says until the attempt has ended.
GOES_ON: Final = "running"
_WAITING: Final = frozenset({S.UP_FOR_RESCHEDULE, S.DEFERRED, S.AWAITING_INPUT})
#: How an attempt ended that was between two of its hand-overs.
_OUTCOMES: Final = {S.SUCCESS: Outcome.SUCCESS, S.FAILED: Outcome.FAILED, S.SKIPPED: Outcome.SKIPPED}


class Ongoing:
    """The rows of the attempts of one run that go on."""

    def __init__(self, store: Store, run_id: str, records: Iterable[TaskRecord]) -> None:
        self._store, self._run_id = store, run_id
        self._tokens = {record.key: str(record.note["row"]) for record in records if record.note.get("row")}
        self._rows: dict[TaskKey, AttemptRecord] = {}

    def find(self, key: TaskKey, token: str) -> AttemptRecord | None:
        """The row of that token, as recorded; None when there is none."""
        row = self._rows.get(key)
        if row is None or row.token != token:
            rows = self._store.attempts(self._run_id, key.task_id, key.map_index)
            row = next((one for one in rows if one.token == token), None)
        return row

    def given(self, record: TaskRecord) -> Mapping[str, ValueRef] | None:
        """What the body of an approval gave before it was answered; None for an attempt that runs its body."""
        resumed = record.note.get("resumed", {})
        if "answer" not in resumed:
            return None
        row = self.find(record.key, str(resumed["row"]))
        return row.values if row is not None else {}

    def joined(self, attempt: AttemptRecord) -> AttemptRecord:
        """An attempt that reported, with what its row said before: when it began, and what it showed unless it shows something now."""
        before = self.find(attempt.key, attempt.token) if self._tokens.get(attempt.key) == attempt.token else None
        if before is None:
            return attempt
        outputs = attempt.outputs if attempt.outputs.inline or attempt.outputs.hash else before.outputs
        return replace(attempt, started_at=before.started_at or attempt.started_at, outputs=outputs)

    def noted(self, changes: Sequence[Change], attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
        """Remember the rows that go on with these changes. Returns those that ended with them although nothing was reported."""
        rows = {(attempt.key, attempt.token): attempt for attempt in attempts}
        ended = []
        for change in changes:
            if change.key is None or change.task is None:
                continue
            key, token = change.key, change.task.note.get("row")
            if token:
                self._tokens[key] = str(token)
                if (row := rows.get((key, token))) is not None:
                    self._rows[key] = row
            elif key in self._tokens and change.after not in OCCUPYING:
                known = self._tokens.pop(key)
                if change.before not in OCCUPYING and (row := self.find(key, known)) is not None:
                    outcome = _OUTCOMES.get(S(change.after), Outcome.CANCELLED)
                    ended.append(replace(row, outcome=outcome.value, reason=change.reason, ended_at=change.at))
                self._rows.pop(key, None)
        return ended


def outcome_of(attempt: AttemptRecord, change: Change) -> AttemptRecord:
    """The attempt as the machine took it: what its body reported may have meant something else."""
    after = S(change.after)
    if after in _WAITING:
        return replace(attempt, outcome=GOES_ON, reason=change.reason)
    if change.task is not None and change.task.note.get("cause") == "failure":
        return attempt
    if after in {S.FAILED, S.SKIPPED} and attempt.outcome not in {_OUTCOMES[after].value, Outcome.LOST.value, Outcome.CANCELLED.value}:
        return replace(attempt, outcome=_OUTCOMES[after].value, reason=change.reason)
    return attempt


__all__ = ["GOES_ON", "Ongoing", "outcome_of"]
