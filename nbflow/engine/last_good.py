# SPDX-License-Identifier: BSD-3-Clause
"""What a task gave in the last run in which it went well, for tasks that go on with that when they fail (`--on-failure last-good`)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from nbflow.core import retry
from nbflow.core.events import LastGood
from nbflow.core.ids import RunId, TaskKey, Token
from nbflow.core.job import Job, Outcome, Report
from nbflow.core.machine import RunMachine
from nbflow.core.model import Flow
from nbflow.core.options import OnFailure
from nbflow.core.records import AttemptRecord, Change
from nbflow.core.states import TaskState
from nbflow.engine.attempts import Attempt, error_of
from nbflow.engine.reuse import still_gives
from nbflow.engine.surroundings import Surroundings

#: How many earlier runs of the flow are looked at.
_LOOK_BACK: Final = 100


class LastGoods:
    """Looks for earlier values when an attempt fails that no other follows, and keeps what was found until it is recorded."""

    def __init__(self, *, flow: Flow, machine: RunMachine, surroundings: Surroundings) -> None:
        self._machine, self._at = machine, surroundings
        self._falling_back = {task.id: task for task in flow.tasks if task.options.on_failure is OnFailure.LAST_GOOD}
        self._found: dict[TaskKey, AttemptRecord] = {}

    def find(self, attempt: Attempt, report: Report) -> LastGood | None:
        """What there is to go on with after this report; None where another attempt follows, nothing is there, or nothing is wanted."""
        task = self._falling_back.get(attempt.key.task_id)
        if task is None or report.outcome not in {Outcome.FAILED, Outcome.LOST, Outcome.CANCELLED}:
            return None
        failures = self._machine.records[attempt.key].failures + 1
        if report.outcome is Outcome.FAILED and retry.may_retry(task.options, failures, error_of(report)):
            return None
        run, store = self._machine.run, self._at.store
        for earlier in store.find_runs(flow=run.flow, path=run.path, limit=_LOOK_BACK).runs:
            if earlier.run_id == run.run_id:
                continue
            good = self._good(earlier.run_id, attempt.key, attempt.job)
            if good is not None:
                self._found[attempt.key] = good
                return LastGood(run_id=earlier.run_id, decision=good.decision)
        return None

    def _good(self, run_id: RunId, key: TaskKey, job: Job) -> AttemptRecord | None:
        """Its success there, unless that was itself the value of another run, or does not give what is asked for now."""
        record = next((task for task in self._at.store.task_records(run_id) if task.key == key), None)
        if record is None or record.state is not TaskState.SUCCESS or record.note.get("last_good"):
            return None
        attempts = self._at.store.attempts(run_id, key.task_id, key.map_index)
        good = next((one for one in reversed(attempts) if (one.outcome, one.attempt) == (Outcome.SUCCESS.value, record.attempt)), None)
        return good if good is not None and still_gives(good, job, self._at.artifacts) else None

    def taken(self, changes: Iterable[Change]) -> list[AttemptRecord]:
        """The values that stand for those of tasks that failed with these changes, as attempts of this run."""
        taken = []
        for change in changes if self._found else ():
            if change.task is not None and change.task.note.get("last_good"):
                good = self._found.pop(change.task.key)
                own = replace(good, attempt=change.task.attempt, token=Token(uuid.uuid4().hex), reason=change.reason, ended_at=change.at)
                taken.append(replace(own, started_at=None, worker="", peak_bytes=0, cpu_seconds=0.0))
        return taken
