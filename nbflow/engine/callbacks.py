# SPDX-License-Identifier: BSD-3-Clause
"""Calls a flow's callbacks where its tasks run: a hanging or crashing one does no harm, and none of them changes a state.

Each is called at least once: which ones were is recorded after the call, and a driver that goes on with the run calls the others, with the same
key. The driver's thread calls everything here but `_hear`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from nbflow.core.callbacks import EVENT, THE_FLOW, CallbackRecord, callback_name
from nbflow.core.calls import CALL
from nbflow.core.errors import NbflowError
from nbflow.core.happenings import Happening, happenings
from nbflow.core.ids import RunId, TaskId, TaskKey, Token
from nbflow.core.job import CaptureSet, ExecutorEvent, Job, JobContext, Outcome, Report, ValueRef
from nbflow.core.model import Flow
from nbflow.core.records import Change, RunRecord
from nbflow.engine.captures import HandedOver
from nbflow.engine.inbox import monotonic
from nbflow.engine.jobs import closure
from nbflow.engine.surroundings import Surroundings

_log = logging.getLogger("nbflow.driver")
#: How long one call may take.
LIMIT: Final = timedelta(seconds=60)
#: Seconds the end of a run waits for its last calls.
_PATIENCE: Final = LIMIT.total_seconds() + 30


@dataclass(frozen=True, kw_only=True)
class _Called:
    """A call under way."""

    happening: Happening
    place: int
    name: str


class Callbacks:
    """The callbacks of one run."""

    def __init__(self, *, flow: Flow, run: RunRecord, surroundings: Surroundings, captures: HandedOver) -> None:
        self._flow, self._run, self._at, self._captures = flow, run, surroundings, captures
        self._names: dict[TaskId, Mapping[str, Sequence[str]]] = {task.id: task.callbacks for task in flow.tasks if task.callbacks}
        if flow.callbacks:
            self._names[THE_FLOW] = flow.callbacks
        self._under_way: dict[Token, _Called] = {}
        self._ended: queue.SimpleQueue[Report] = queue.SimpleQueue()

    @property
    def is_wanted(self) -> bool:
        """Whether this flow has any."""
        return bool(self._names)

    def happened(self, changes: Sequence[Change]) -> None:
        """These changes were committed."""
        if self._names and changes:
            self._call(happenings(self._run, changes))
        self.note()

    def catch_up(self) -> None:
        """What happened before this driver came, and nobody was told for certain."""
        if not self._names:
            return
        store, run_id = self._at.store, self._run.run_id
        known = {(record.happening, record.place) for record in store.callbacks(run_id)}
        cursor = 0
        while changes := store.changes(run_id, cursor):
            cursor = changes[-1].cursor
            self._call(happenings(self._run, changes), known)

    def note(self) -> None:
        """Record the calls that have ended."""
        while self._under_way:
            try:
                report = self._ended.get_nowait()
            except queue.Empty:
                return
            self._record(report)

    def wait(self) -> None:
        """Until the last call has ended."""
        until = monotonic() + _PATIENCE
        while self._under_way and (left := until - monotonic()) > 0:
            try:
                self._record(self._ended.get(timeout=left))
            except queue.Empty:
                break
        for called in self._under_way.values():
            self._tell(called, "failed", f"no answer within {_PATIENCE:g} s")
        self._at.switchboard.disconnect(list(self._under_way))

    def _call(self, happened: Iterable[Happening], known: Iterable[tuple[str, int]] = ()) -> None:
        done = set(known)
        jobs = []
        for happening in happened:
            id = happening.task.task_id if happening.task is not None else THE_FLOW
            for place, name in enumerate(self._names.get(id, {}).get(happening.kind.value, ())):
                if (happening.key, place) not in done:
                    called = _Called(happening=happening, place=place, name=name)
                    job = self._job(id, called)
                    self._under_way[job.token] = called
                    jobs.append(job)
        if not jobs:
            return
        self._at.switchboard.connect([job.token for job in jobs], self._hear)
        try:
            self._at.executor.submit(jobs)
        except NbflowError as error:  # the run itself hears of that when it hands over its next attempt
            for job in jobs:
                self._tell(self._under_way.pop(job.token), "failed", str(error))

    def _job(self, id: TaskId, called: _Called) -> Job:
        run, happening = self._run, called.happening
        captures = self._captures.of(id) if id in self._captures else self._captures.newest()
        own = captures.early.get(id, {})
        call = own.get(callback_name(happening.kind.value, called.place))
        named = {**captures.names, **own, **({CALL: replace(call, name=CALL)} if call is not None else {})}
        return Job(
            token=Token(uuid.uuid4().hex),
            context=JobContext(
                flow=run.flow,
                run_id=RunId(run.run_id),
                key=happening.task or TaskKey(THE_FLOW),
                attempt=happening.attempt,
                logical_date=run.logical_date,
                interval_start=run.interval_start,
                interval_end=run.interval_end,
                run_type=run.run_type,
                params=run.params,
                events=run.events,
            ),
            operator="python",
            source="",
            inputs={EVENT: _as_value(happening)},
            captures=closure([CALL], named, {}),
            process=captures.process if captures is not None else CaptureSet().process,
            timeout=LIMIT,
            artifacts_url=self._at.artifacts_url,
            keep_limit=self._at.keep_limit,
        )

    def _hear(self, event: ExecutorEvent) -> None:
        if isinstance(event, Report):
            self._ended.put(event)

    def _record(self, report: Report) -> None:
        called = self._under_way.pop(report.token, None)
        self._at.switchboard.disconnect([report.token])
        if called is None:
            return
        if report.outcome is Outcome.SUCCESS:
            self._tell(called, "success", "")
        else:
            self._tell(called, "failed", report.error.sentence if report.error is not None else report.reason)

    def _tell(self, called: _Called, state: str, reason: str) -> None:
        happening = called.happening
        about = f"on_{happening.kind.value} of {happening.task or self._run.flow}"
        if state == "failed":
            _log.warning("run %s: %s, %s, failed: %s", self._run.run_id, called.name, about, reason)
        record = CallbackRecord(
            happening=happening.key,
            place=called.place,
            name=called.name,
            about=about,
            state=state,
            reason=reason,
            at=self._at.clock.now(),
        )
        try:
            self._at.store.note_callback(self._run.run_id, record)
        except NbflowError as error:
            _log.warning("run %s: a callback could not be recorded, and may be called again: %s", self._run.run_id, error)


def _as_value(happening: Happening) -> ValueRef:
    data = json.dumps(happening.document()).encode()
    return ValueRef(hash=hashlib.sha256(data).hexdigest(), format="json", size=len(data), inline=data, shown="what happened")
