# SPDX-License-Identifier: BSD-3-Clause
"""Who is to be told what: `tick(now)` reads the logs of the runs that are watched and writes the messages into the outbox.

How far a log has been told, and the messages, are written together, so that any number of processes may do this, and die at any instant, and
still each message is there once. Deadlines and late starts are looked at here too: nothing but the clock says that they have passed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any, Final

from nbflow.core.addresses import address_hash, shown
from nbflow.core.deployments import Deployment
from nbflow.core.errors import NbflowError, UserError
from nbflow.core.ids import TaskKey
from nbflow.core.model import Flow
from nbflow.core.notice_texts import MOST_FAILURES, Facts, Failure, Message, failure_of, message
from nbflow.core.notices import (
    Audience,
    Installation,
    Notice,
    SkipLimit,
    Standing,
    Topic,
    audience,
    moments,
    notices,
    skips_itself,
    too_many_skips,
)
from nbflow.core.notifications import Notification, Watched
from nbflow.core.protocols import Store
from nbflow.core.records import AttemptRecord, Change, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState

_log = logging.getLogger("nbflow.scheduler")
#: Runs looked at in one query.
_PAGE: Final = 100
#: Changes read at once.
_LONG: Final = 10_000
#: Audiences that are remembered (most are nobody), and flows, which are large.
_MOST: Final = 20_000
_MOST_FLOWS: Final = 20
_NOBODY: Final = Audience()
#: After so long a run that could not be told of is tried again.
_PAUSE: Final = timedelta(minutes=1)
_FAILED: Final = frozenset({TaskState.FAILED, TaskState.SKIPPED})


@dataclass
class Noticing:
    """Looks after the watched runs of one home."""

    store: Store
    #: What the settings say.
    installation: Installation
    #: The zone that keys of a schedule name.
    zone_of: Callable[[Mapping[str, Any]], tzinfo]
    base_url: str = ""
    #: Runs that could not be told of, and until when they are left alone.
    _failing: dict[str, datetime] = field(default_factory=dict)
    _audiences: dict[tuple[str, str], Audience] = field(default_factory=dict)
    _flows: dict[str, Flow] = field(default_factory=dict)

    def tick(self, now: datetime) -> int:
        """One turn; returns how many messages were written. A run that cannot be told of keeps no other waiting, and is tried again later."""
        written = 0
        self._failing = {run_id: until for run_id, until in self._failing.items() if until > now}
        while found := self.store.notifications.watched(now, _PAGE, without=tuple(self._failing)):
            for seen in found:
                try:
                    written += self.look(seen, now)
                except Exception as error:  # noqa: BLE001 - a mistake of ours about one run silences none of the others
                    self._failing[seen.run_id] = now + _PAUSE
                    if not isinstance(error, NbflowError):
                        _log.exception("run %s", seen.run_id)
                    _log.warning("what there is to tell of run %s could not be found out: %s", seen.run_id, error)
        return written

    def look(self, seen: Watched, now: datetime) -> int:
        """Find out what is to be told of one run now, and when to look again."""
        run = self.store.run(seen.run_id)
        deployment = self._deployment(run)
        keys = self._keys(run, deployment)
        to = self._audience(run, keys)
        if to is _NOBODY:
            self.store.notifications.forget(seen)
            return 0
        changes = self.store.changes(run.run_id, seen.cursor, _LONG)
        cursor = changes[-1].cursor if changes else seen.cursor
        run = next((change.run for change in reversed(changes) if change.run is not None), run)
        records = self.store.task_records(run.run_id)
        here = _Look(run=run, records=records, zone=self.zone_of(keys), now=now, skips=to.skips)
        standing = _standing(here, seen, deployment)
        timed = sorted(moments(standing, to), key=lambda notice: notice.at)
        due = [*notices(run, changes, to, records), *self._skips(here, changes, to), *(one for one in timed if one.at <= now)]
        coming = next((notice.at for notice in timed if notice.at > now), None)
        made = [one for notice in due for one in self._notifications(notice, here)]
        is_over = run.state.is_finished and coming is None and len(changes) < _LONG
        done = self.store.notifications.settle(seen, cursor=cursor, look_at=coming, is_over=is_over, notifications=made)
        return len(made) if done else 0

    # --- who ----------------------------------------------------------------------------------------------------------

    def _deployment(self, run: RunRecord) -> Deployment | None:
        try:
            return self.store.deployments.get(run.deployment) if run.deployment else None
        except UserError:
            return None  # undeployed meanwhile

    def _keys(self, run: RunRecord, deployment: Deployment | None) -> Mapping[str, Any]:
        return deployment.schedule if deployment is not None else self._flow(run).options.schedule

    def _audience(self, run: RunRecord, keys: Mapping[str, Any]) -> Audience:
        """Worked out once for all runs of a version."""
        said = json.dumps([keys.get(key) for key in ("notify", "deadline", "late_start")], default=str)
        found = self._audiences.get((run.version, said))
        if found is None:
            _make_room(self._audiences, _MOST)
            found = audience(self._flow(run), keys, self.installation)
            found = _NOBODY if found.is_nobody and found.escalation is None else found
            self._audiences[run.version, said] = found
        return found

    def _flow(self, run: RunRecord) -> Flow:
        found = self._flows.get(run.version)
        if found is None:
            _make_room(self._flows, _MOST_FLOWS)
            found = self._flows[run.version] = self.store.flow(run.version)
        return found

    # --- what ---------------------------------------------------------------------------------------------------------

    def _skips(self, here: _Look, changes: Sequence[Change], to: Audience) -> Iterator[Notice]:
        """Of a run that has just ended: tasks that have skipped themselves too often by now."""
        run, limit = here.run, to.skips
        ended = next((change for change in changes if change.key is None and change.run is not None and change.run.state.is_finished), None)
        skipped = dict.fromkeys(record.key.task_id for record in here.records if skips_itself(record))
        if limit is None or ended is None or not skipped or not to.of_run.get(Topic.SKIPS):
            return
        earlier = [run, *self.store.earlier_runs(run, manual=True, limit=limit.runs)]
        by_run = [{record.key.task_id for record in self.store.task_records(one.run_id) if skips_itself(record)} for one in earlier]
        for task in skipped:
            if too_many_skips(limit, [task in found for found in by_run]):
                key = f"{run.run_id}/{task}/skips"
                yield Notice(key=key, topic=Topic.SKIPS, to=to.of_run[Topic.SKIPS], at=ended.at, task=TaskKey(task))

    def _notifications(self, notice: Notice, here: _Look) -> Iterator[Notification]:
        said = self._message(notice, here)
        own = {address_hash(address) for address in self.installation.addresses()}
        for address in notice.to:
            hash = address_hash(address)
            yield Notification(
                key=notice.key,
                topic=notice.topic.value,
                flow=here.run.flow,
                run_id=here.run.run_id,
                task=str(notice.task or ""),
                address="" if hash in own else address,
                address_hash=hash,
                shown=shown(address),
                subject=said.subject,
                text=said.text,
                markdown=said.markdown,
                at=notice.at,
                created_at=here.now,
                next_at=here.now,
            )

    def _message(self, notice: Notice, here: _Look) -> Message:
        run, flow = here.run, self._flow(here.run)
        failed = self._failed(notice, here)
        facts = Facts(
            run=run,
            zone=here.zone,
            now=here.now,
            failures=tuple(islice(self._failures(run, flow, failed), MOST_FAILURES)),
            failed=len(failed),
            attempts=flow.task(notice.task.task_id).options.retries + 1 if notice.topic is Topic.RETRY and notice.task else 0,
            limit=f"more than {here.skips.most} times in {here.skips.runs} runs" if here.skips is not None else "",
            file=_file(run),
            base_url=self.base_url,
        )
        return message(notice, facts)

    @staticmethod
    def _failed(notice: Notice, here: _Look) -> list[TaskKey]:
        """The tasks whose failures belong in the message."""
        if notice.topic in {Topic.FAILURE, Topic.RETRY} and notice.task is not None:
            return [notice.task]
        if notice.topic in {Topic.FAILURE, Topic.ESCALATION, Topic.PAUSE} and here.run.state is RunState.FAILED:
            return [record.key for record in here.records if record.state is TaskState.FAILED]
        return []

    def _failures(self, run: RunRecord, flow: Flow, keys: Sequence[TaskKey]) -> Iterator[Failure]:
        cells = {task.id: task.cell.number for task in flow.tasks}
        for key in keys:
            attempts: tuple[AttemptRecord, ...] = self.store.attempts(run.run_id, key.task_id, key.map_index)
            ended = [attempt for attempt in attempts if attempt.outcome != "running"]
            if ended:
                yield failure_of(ended[-1], cells.get(key.task_id, 0))


@dataclass(frozen=True, kw_only=True)
class _Look:
    """One look at one run."""

    run: RunRecord
    records: Sequence[TaskRecord]
    zone: tzinfo
    now: datetime
    skips: SkipLimit | None


def _standing(here: _Look, seen: Watched, deployment: Deployment | None) -> Standing:
    standing = Standing(run=here.run, tasks=here.records, zone=here.zone, watched_since=seen.since, acknowledged=bool(seen.acknowledged))
    if deployment is None:
        return standing
    is_cause = deployment.paused and deployment.paused_by == here.run.run_id
    since = max(filter(None, (deployment.since, deployment.counted_from)))
    return replace(standing, wanted_since=since, pause_reason=deployment.pause_reason if is_cause else "")


def _file(run: RunRecord) -> str:
    """The web page of the executed notebook where there is one, else the notebook."""
    if run.output and Path(run.output).with_suffix(".html").exists():
        return str(Path(run.output).with_suffix(".html"))
    return run.output or run.path


def _make_room(kept: dict[Any, Any], most: int) -> None:
    if len(kept) >= most:
        kept.clear()
