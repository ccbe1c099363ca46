# SPDX-License-Identifier: BSD-3-Clause
"""Who is told of what: rules over plain values.

    happenings of the change log  ->  a run ended, a task failed, is tried again, skipped itself
    moments                       ->  a run is late, has not begun, has paused its flow, is still broken

A run's end is told to the addresses of the flow, its owner and the installation; what a task does, to those of the task and to its owner.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, Final

from nbflow.core.deadlines import deadline_at, read_deadline
from nbflow.core.durations import parse_duration
from nbflow.core.errors import UserError
from nbflow.core.happenings import Happening, Kind, happenings
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.model import Flow, Task
from nbflow.core.options import NotifyOn
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState


class Topic(StrEnum):
    """What a message is about."""

    FAILURE = "failure"
    RETRY = "retry"
    SUCCESS = "success"
    #: A task skipped itself.
    SKIP = "skip"
    #: A run, or a task, was not done in time.
    DEADLINE = "deadline"
    LATE_START = "late_start"
    #: The flow paused itself, since its runs fail.
    PAUSE = "pause"
    #: A task skipped itself too often.
    SKIPS = "skips"
    #: Nobody has put it right.
    ESCALATION = "escalation"


#: Keys of [notify] -> what they are told of.
KEYS: Final[Mapping[str, Topic]] = {
    f"on_{topic.value}": topic
    for topic in (Topic.FAILURE, Topic.RETRY, Topic.SUCCESS, Topic.SKIP, Topic.DEADLINE, Topic.LATE_START, Topic.PAUSE)
}
#: What owners are told of, and the addresses of an installation that say nothing else.
TROUBLE: Final = (Topic.FAILURE, Topic.DEADLINE, Topic.LATE_START, Topic.PAUSE)
_TOPICS: Final[Mapping[Kind, Topic]] = {
    Kind.FAILURE: Topic.FAILURE,
    Kind.RETRY: Topic.RETRY,
    Kind.SUCCESS: Topic.SUCCESS,
    Kind.SKIPPED: Topic.SKIP,
}
_SKIPS: Final = re.compile(r"(\d{1,4}) in (\d{1,4}) runs")
#: Causes of a skipped task that it brought about itself.
_OWN_SKIPS: Final = frozenset({"itself", "failure"})

Addresses = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What the settings say."""

    #: Topic -> who is told, of every flow.
    notify: Mapping[Topic, Addresses] = field(default_factory=dict)
    #: Owner -> how they are reached.
    owners: Mapping[str, Addresses] = field(default_factory=dict)

    def addresses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one for found in (*self.notify.values(), *self.owners.values()) for one in found))


@dataclass(frozen=True, kw_only=True)
class Escalation:
    """Who is told when nobody has put it right."""

    after: timedelta
    to: Addresses


@dataclass(frozen=True, kw_only=True)
class SkipLimit:
    """More than `most` skips of a task in `runs` runs are too many."""

    most: int
    runs: int


@dataclass(frozen=True, kw_only=True)
class Audience:
    """Everybody who is told anything of the runs of one flow."""

    of_run: Mapping[Topic, Addresses] = field(default_factory=dict)
    #: What tasks do, to whom.
    of_tasks: Mapping[TaskId, Mapping[Topic, Addresses]] = field(default_factory=dict)
    #: As written.
    deadline: str | float = ""
    late_start: timedelta | None = None
    task_deadlines: Mapping[TaskId, str] = field(default_factory=dict)
    skips: SkipLimit | None = None
    escalation: Escalation | None = None

    @property
    def is_nobody(self) -> bool:
        return not any(self.of_run.values()) and not any(any(found.values()) for found in self.of_tasks.values())


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something to tell, and whom."""

    key: str
    topic: Topic
    to: Addresses
    at: datetime
    task: TaskKey | None = None
    attempt: int = 0
    reason: str = ""


# --- who ------------------------------------------------------------------------------------------------------------------


def read_notify(document: Mapping[str, Any]) -> dict[Topic, Addresses]:
    """The addresses of a table [notify], checked already. Who is told of failures is told of other trouble, where nobody else is named."""
    found = {topic: tuple(document[key]) for key, topic in KEYS.items() if key in document}
    for topic in TROUBLE:
        found.setdefault(topic, found.get(Topic.FAILURE, ()))
    found[Topic.SKIPS] = found.get(Topic.SKIP) or found[Topic.FAILURE]
    if "skips_over" in document:
        found.pop(Topic.SKIP, None)
    return {topic: addresses for topic, addresses in found.items() if addresses}


def read_skips(text: str) -> SkipLimit:
    """`5 in 10 runs`. Raises UserError."""
    found = _SKIPS.fullmatch(text.strip())
    if not found or not 0 < int(found[2]) <= 1000 or int(found[1]) >= int(found[2]):
        raise UserError(f'must be such as "5 in 10 runs", with fewer skips than runs, not "{text}".')
    return SkipLimit(most=int(found[1]), runs=int(found[2]))


def audience(flow: Flow, keys: Mapping[str, Any], installation: Installation) -> Audience:
    """Who is told of the runs of this flow. `keys` are those of its schedule that are in force; they hold [notify] and the deadline."""
    document = keys.get("notify") or {}
    owner = flow.options.owner
    theirs = dict.fromkeys(TROUBLE, installation.owners.get(owner, ()))
    of_run = _together(read_notify(document), theirs, installation.notify)
    escalate = document.get("escalate")
    return Audience(
        of_run=of_run,
        of_tasks={task.id: found for task in flow.tasks if (found := _of_task(task, owner, of_run, installation))},
        deadline=keys.get("deadline") or "",
        late_start=parse_duration(keys["late_start"]) if keys.get("late_start") else None,
        task_deadlines={task.id: task.options.deadline for task in flow.tasks if task.options.deadline},
        skips=read_skips(document["skips_over"]) if "skips_over" in document else None,
        escalation=Escalation(after=parse_duration(escalate["after"]), to=tuple(escalate["to"])) if escalate else None,
    )


def _of_task(task: Task, owner: str, of_run: Mapping[Topic, Addresses], installation: Installation) -> Mapping[Topic, Addresses]:
    options = task.options
    own = {_OF_OPTION[word]: options.notify for word in options.notify_on or (NotifyOn.FAILURE,)} if options.notify else {}
    if options.deadline:
        own[Topic.DEADLINE] = options.notify or of_run.get(Topic.DEADLINE, ())
    theirs = installation.owners.get(options.owner, ()) if options.owner != owner else ()
    everywhere = {topic: of_run[topic] for topic in (Topic.RETRY, Topic.SKIP) if topic in of_run}
    found = _together(own, {Topic.FAILURE: theirs}, everywhere)
    if options.deadline and theirs:
        found = _together(found, {Topic.DEADLINE: theirs})
    return found


_OF_OPTION: Final[Mapping[str, Topic]] = {
    NotifyOn.FAILURE: Topic.FAILURE,
    NotifyOn.RETRY: Topic.RETRY,
    NotifyOn.SUCCESS: Topic.SUCCESS,
    NotifyOn.SKIP: Topic.SKIP,
}


def _together(*several: Mapping[Topic, Addresses]) -> dict[Topic, Addresses]:
    """Each address once."""
    topics = dict.fromkeys(topic for one in several for topic in one)
    found = {topic: tuple(dict.fromkeys(address for one in several for address in one.get(topic, ()))) for topic in topics}
    return {topic: addresses for topic, addresses in found.items() if addresses}


# --- of what happened -----------------------------------------------------------------------------------------------------


def notices(run: RunRecord, changes: Iterable[Change], audience: Audience, tasks: Sequence[TaskRecord] = ()) -> Iterator[Notice]:
    """What these changes are to be told.

    Of the copies of a mapped task the first that fails, is tried again or skips itself stands for all; it has succeeded when all of them have.
    """
    for happening in happenings(run, changes):
        topic = _TOPICS.get(happening.kind)
        if topic is None:
            continue
        to = audience.of_run if happening.task is None else audience.of_tasks.get(happening.task.task_id, {})
        if to.get(topic) and not (topic is Topic.SUCCESS and _others_are_missing(happening.task, tasks)):
            yield Notice(
                key=_key(run, happening, topic),
                topic=topic,
                to=to[topic],
                at=happening.at,
                task=happening.task,
                attempt=happening.attempt,
                reason=happening.reason,
            )


def _others_are_missing(task: TaskKey | None, tasks: Sequence[TaskRecord]) -> bool:
    if task is None or task.map_index < 0:
        return False
    return any(record.key.task_id == task.task_id and record.state is not TaskState.SUCCESS for record in tasks)


def _key(run: RunRecord, happening: Happening, topic: Topic) -> str:
    task = happening.task
    if task is None or task.map_index < 0:
        return happening.key
    return f"{run.run_id}/{task.task_id}/{topic.value}/{run.clear_number}"


def skips_itself(record: TaskRecord) -> bool:
    return record.state is TaskState.SKIPPED and record.note.get("cause") in _OWN_SKIPS


def too_many_skips(limit: SkipLimit, skipped: Sequence[bool]) -> bool:
    """Whether it has just become too much. `skipped` says of each run whether the task skipped itself, the newest first."""
    now, before = sum(skipped[: limit.runs]), sum(skipped[1 : limit.runs + 1])
    return now > limit.most >= before


# --- of what did not ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A run at the moment it is looked at."""

    run: RunRecord
    tasks: Sequence[TaskRecord] = ()
    zone: tzinfo
    #: From when on its deployment wants runs in time: while it was paused, nobody did.
    wanted_since: datetime | None = None
    #: Why its failure paused the flow; "" when it did not.
    pause_reason: str = ""
    #: It is watched since this instant, and by then had run before.
    watched_since: datetime | None = None
    acknowledged: bool = False


def moments(standing: Standing, audience: Audience) -> Iterator[Notice]:
    """What is to be told at some instant, past or to come, unless something happens until then."""
    run = standing.run
    if standing.pause_reason and audience.of_run.get(Topic.PAUSE):
        at = run.ended_at or run.created_at
        yield Notice(key=f"{run.run_id}/pause", topic=Topic.PAUSE, to=audience.of_run[Topic.PAUSE], at=at, reason=standing.pause_reason)
    missed = tuple(_missed(standing, audience)) if run.run_type != "backfill" else ()
    yield from missed
    yield from _escalations(standing, audience, missed)


def _missed(standing: Standing, audience: Audience) -> Iterator[Notice]:
    run = standing.run
    due = max(filter(None, (run.run_after or run.created_at, standing.wanted_since)))
    if audience.late_start is not None and audience.of_run.get(Topic.LATE_START):
        at = due + audience.late_start
        if _holds(standing, at) and not (run.started_at and run.started_at <= at) and not (run.ended_at and run.ended_at <= at):
            yield Notice(key=f"{run.run_id}/late_start", topic=Topic.LATE_START, to=audience.of_run[Topic.LATE_START], at=at)
    if audience.deadline and audience.of_run.get(Topic.DEADLINE):
        at = deadline_at(read_deadline(audience.deadline), due, standing.zone)
        if _holds(standing, at) and not _is_well(run, at):
            yield Notice(key=f"{run.run_id}/deadline", topic=Topic.DEADLINE, to=audience.of_run[Topic.DEADLINE], at=at)
    for task, deadline in audience.task_deadlines.items():
        to = audience.of_tasks.get(task, {}).get(Topic.DEADLINE, ())
        at = deadline_at(read_deadline(deadline), due, standing.zone)
        of_task = [record for record in standing.tasks if record.key.task_id == task]
        if to and of_task and _holds(standing, at) and not all(_is_done(record, at) for record in of_task) and not _is_off(run, at):
            yield Notice(key=f"{run.run_id}/{task}/deadline", topic=Topic.DEADLINE, to=to, at=at, task=TaskKey(task))


def _holds(standing: Standing, at: datetime) -> bool:
    """Of a run that was put back after it had ended, only what is still to come counts."""
    return not standing.run.clear_number or standing.watched_since is None or at > standing.watched_since


def _is_off(run: RunRecord, at: datetime) -> bool:
    """Somebody has ended it, and knows."""
    return run.state is RunState.CANCELLED or (run.by_hand and run.ended_at is not None and run.ended_at <= at)


def _is_well(run: RunRecord, at: datetime) -> bool:
    return _is_off(run, at) or (run.state is RunState.SUCCESS and (run.ended_at is None or run.ended_at <= at))


def _is_done(record: TaskRecord, at: datetime) -> bool:
    return record.state in {TaskState.SUCCESS, TaskState.SKIPPED, TaskState.REMOVED} and (record.ended_at is None or record.ended_at <= at)


def _escalations(standing: Standing, audience: Audience, missed: Iterable[Notice]) -> Iterator[Notice]:
    escalation, run = audience.escalation, standing.run
    if escalation is None or standing.acknowledged:
        return
    if run.state is RunState.FAILED and not run.by_hand:
        at = (run.ended_at or run.created_at) + escalation.after
        yield Notice(key=f"{run.run_id}/escalation/{run.clear_number}", topic=Topic.ESCALATION, to=escalation.to, at=at, reason=run.reason)
    elif not run.state.is_finished:
        late = [notice.at for notice in missed if notice.task is None]
        if late:
            at = min(late) + escalation.after
            yield Notice(key=f"{run.run_id}/escalation/late", topic=Topic.ESCALATION, to=escalation.to, at=at)
