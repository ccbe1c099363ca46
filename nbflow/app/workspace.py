# SPDX-License-Identifier: BSD-3-Clause
"""One home, with everything the doors may ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from nbflow.app.reaping import reap, waits_for_somebody
from nbflow.app.rooms import person
from nbflow.app.taking_up import TakingUp
from nbflow.core import waiting_words
from nbflow.core.errors import UserError, nearest
from nbflow.core.events import CancelRequested
from nbflow.core.ids import RunId, task_key
from nbflow.core.records import Request
from nbflow.core.states import RunState, TaskState
from nbflow.core.waiting import read_answer
from nbflow.settings import Settings, load_settings


class Workspace(TakingUp):
    """One home: its database, its artifacts and its cluster."""

    @classmethod
    def open(cls, settings: Settings | None = None, **overrides: Any) -> Self:
        """The workspace of the settings in force. Runs whose process died are ended with a true reason. Raises SetupError."""
        workspace = cls(settings or load_settings(overrides))
        workspace.reap()
        return workspace

    # --- asking -----------------------------------------------------------------------------------------------------

    def cancel(self, run_id: str, tasks: Sequence[str] = (), by: str = "") -> None:
        """Cancel a run, or tasks of it, whoever drives it. Raises UserError when it has ended already."""
        run = self.store.run(run_id)
        if run.state.is_finished:
            raise UserError(f"Run {run_id} has ended already: {run.state.value}.")
        keys = tuple(task_key(task) for task in tasks)
        handle = self._handles.get(run.run_id)
        if waits_for_somebody(run) or (run.deployment and run.state is RunState.QUEUED and not self.store.holder(run_id)):
            self.apply(run.run_id, CancelRequested(keys=keys, by=by or person()))
        elif handle is not None and not handle.is_over:  # else another process may have gone on with it
            handle.cancel(keys, by or person())
        else:
            self.store.leave_request(run_id, Request(kind="cancel", keys=keys, by=by or person(), at=self.clock.now()))
            self.reap()

    def answer(self, run_id: str, task: str, answer: str, by: str = "") -> str:
        """Answer an approval, whoever drives its run; returns the answer as it was understood. Raises UserError, also when it was answered before."""
        run, by = self.store.run(run_id), by or person()
        records = {record.key: record for record in self.store.task_records(run.run_id)}
        key = task_key(task)
        record = records.get(key)
        if record is None:
            raise UserError(f'Run {run.run_id} has no task "{task}".{nearest(task, [str(known) for known in records])}')
        earlier = record.note.get("resumed", record.note)
        if "answer" in earlier:
            raise UserError(waiting_words.answered_already(task, run.run_id, earlier["answer"], earlier["by"]))
        if record.state is not TaskState.AWAITING_INPUT:
            raise UserError(waiting_words.asks_nothing(task, run.run_id, record.state.value.replace("_", " ")))
        choices = tuple(record.note["choices"])
        understood = read_answer(answer, choices)
        if understood is None:
            raise UserError(waiting_words.not_an_answer(answer, task, choices))
        for request in self.store.requests(run.run_id):
            if request.kind == "answer" and key in request.keys:
                raise UserError(waiting_words.answered_already(task, run.run_id, str(request.arguments["answer"]), request.by))
        asked = Request(kind="answer", keys=(key,), by=by, at=self.clock.now(), arguments={"answer": understood})
        self.store.leave_request(run.run_id, asked)
        return understood

    def reap(self) -> tuple[RunId, ...]:
        """End the runs whose process died, with a true reason and the way on; those of deployments are gone on with. Returns their ids."""
        return reap(self)
