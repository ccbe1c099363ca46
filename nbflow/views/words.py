# SPDX-License-Identifier: BSD-3-Clause
"""The few words every view shares: how long something took, a node's second line, what a task waits for, reads and gives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from nbflow.core import messages
from nbflow.core.durations import say_duration
from nbflow.core.ids import TaskKey
from nbflow.core.mapping import copies_of, map_sources
from nbflow.core.model import Flow, Task
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.snapshot import RunSnapshot
from nbflow.core.states import TaskState
from nbflow.views.glyphs import is_cached, record_view

S = TaskState
#: States in which an attempt's start and end mean a duration.
_TIMED: Final = frozenset({S.RUNNING, S.SUCCESS, S.FAILED, S.CANCELLED, S.SKIPPED, S.UP_FOR_RETRY})
_STARTS: Final = re.compile(r"starts (now|in \d[^A-Z]*?)\.(?:\s|$)")
_LOOKS: Final = re.compile(r"(looks again at [^(]*?) UTC")
_BRANCH: Final = re.compile(r"^Skipped: \S+ chose ")


def seconds_of(record: TaskRecord, now: datetime) -> float | None:
    """How long its newest attempt has taken, until `now` while it runs; None when it has not started."""
    if record.started_at is None or record.state not in _TIMED or is_cached(record):
        return None
    end = now if record.state is S.RUNNING else record.ended_at
    return None if end is None else max(0.0, (end - record.started_at).total_seconds())


def took(record: TaskRecord, now: datetime) -> str:
    """`12.4 s`, or nothing."""
    seconds = seconds_of(record, now)
    return "" if seconds is None else say_duration(seconds)


def attempt_words(task: Task, record: TaskRecord) -> str:
    """`attempt 3 of 3` where there was more than one, else nothing; the copies of a mapped task have attempts of their own."""
    if copies_in(record):
        return ""
    allowed = max(task.options.retries + 1, record.attempt)
    return f"attempt {record.attempt} of {allowed}" if record.attempt > 1 else ""


def copies_in(record: TaskRecord | None) -> int:
    """How many copies the record of a mapped task stands for; 0 for any other record."""
    return int(record.note.get("copies", 0)) if record is not None else 0


def times(record: TaskRecord | None) -> str:
    """`x 12` for a mapped task whose elements were counted, else nothing."""
    return f"x {copies}" if (copies := copies_in(record)) else ""


def copies_line(record: TaskRecord) -> str:
    """`10 succeeded, 2 failed`: how the copies of a mapped task stand."""
    return messages.tally({TaskState(state): count for state, count in record.note.get("states", {}).items()})


def reads_of(task: Task) -> list[str]:
    """The names a task reads, each once."""
    return list(dict.fromkeys(read.name for read in task.reads))


def node_line(task: Task, record: TaskRecord | None, now: datetime) -> str:
    """The second line of a node: a duration, then what matters; a few words, never the whole sentence."""
    if record is None:
        return _understood(task)
    if is_cached(record):
        return "from cache"
    if record.note.get("already"):
        return "already there"
    if copies_in(record):  # what went well last: a node has little room
        return ", ".join(reversed(copies_line(record).split(", "))) if record.state.is_finished else copies_line(record)
    if record.state in _TIMED - {S.SKIPPED, S.UP_FOR_RETRY}:
        return _timed(task, record, now)
    match record.state:
        case S.SKIPPED:
            return "not chosen" if _BRANCH.match(record.reason) else _after_colon(record.reason, "Skipped: ") or "skipped"
        case S.UPSTREAM_FAILED:
            return _after_colon(record.reason, "Did not run: ") or "not run"
        case S.UP_FOR_RETRY:
            starts = _STARTS.search(record.reason)
            coming = f"{record.attempt + 1} of {max(task.options.retries, record.attempt) + 1}"
            return f"{coming} {starts[1]}" if starts else f"attempt {coming} to come"
        case S.PENDING:
            return _waits(record.reason) or "not started"
        case _:
            looks = _LOOKS.search(record.reason) if record.state is S.UP_FOR_RESCHEDULE else None
            return looks[1] if looks else record_view(record).word


def _timed(task: Task, record: TaskRecord, now: datetime) -> str:
    time, many = took(record, now), f"{record.attempt} attempts" if record.attempt > 1 else ""
    match record.state:
        case S.FAILED:
            return _joined(time, many or "failed")
        case S.RUNNING:
            return _joined(time or "running", attempt_words(task, record))
        case S.CANCELLED:
            return _joined(time, "cancelled")
        case _:
            return _joined(time or "succeeded", many)


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _understood(task: Task) -> str:
    """Before any run: what the task gives, since that is what the edges carry."""
    return f"gives {', '.join(task.demands)}" if task.demands else "not started"


def _after_colon(reason: str, start: str) -> str:
    return reason.removeprefix(start).rstrip(".") if reason.startswith(start) else ""


def _waits(reason: str) -> str:
    """`waits for train`, `waits for 5 of 9`."""
    if not reason.startswith("Waiting for "):
        return ""
    return "waits for " + reason.removeprefix("Waiting for ").partition(":")[0].rstrip(".").removesuffix(" upstream tasks")


def waits_for(flow: Flow, task: Task) -> str:
    """`Waits for train.`; nothing for a task that waits for no other. A whole group is named by its name."""
    names = _named(flow, flow.upstream(task.id))
    return f"Waits for {messages.name_list(names)}." if names else ""


def _named(flow: Flow, ids: Sequence[str]) -> list[str]:
    members: dict[str, list[str]] = {}
    for task in flow.tasks:
        if task.group:
            members.setdefault(task.group, []).append(task.id)
    whole = {group for group, inside in members.items() if len(inside) > 1 and set(inside) <= set(ids)}
    return list(dict.fromkeys(id.rpartition(".")[0] if id.rpartition(".")[0] in whole else id for id in ids))


def understood(flow: Flow, task: Task) -> str:
    """What was understood of a cell: `Waits for train. Reads model, features. Gives score.`"""
    reads, gives = reads_of(task), gives_of(task)
    parts = [waits_for(flow, task) or "Waits for nothing."]
    if sources := map_sources(task):
        each = messages.name_list([f"{read.element} of {read.name}" for read in sources])
        parts.append(f"One copy for each {each}.")
    if reads:
        parts.append(f"Reads {listed(reads)}.")
    if gives:
        parts.append(f"Gives {listed(gives)}.")
    if task.options.outlets:
        parts.append(f"Updates {listed(task.options.outlets)}.")
    return " ".join(parts)


def gives_of(task: Task) -> list[str]:
    """The names a task gives, those it must give first."""
    return list(dict.fromkeys([*task.demands, *task.writes]))


def listed(names: Sequence[str], shown: int = messages.NAMES_SHOWN) -> str:
    """`a, b`, or the first few `and 3 more`."""
    return ", ".join(names) if len(names) <= shown else f"{', '.join(names[:shown])} and {len(names) - shown} more"


def states_of(flow: Flow, records: Mapping[TaskKey, TaskRecord]) -> Counter[TaskState]:
    """How many task instances of the flow stand in which state; a task without a record has not started."""
    counts: Counter[TaskState] = Counter()
    for task in flow.tasks:
        counts.update([copy.state for copy in copies_of(records, task.id)] or [S.PENDING])
    return counts


def flow_sentence(flow: Flow) -> str:
    """`8 tasks. Day-ahead load per substation.`: what is known of a flow without running it."""
    parts = [f"{messages.plural(len(flow.tasks), 'task')}.", messages.sentence(flow.options.description)]
    if flow.parameters:
        parts.append(f"Parameters: {listed([parameter.name for parameter in flow.parameters])}.")
    return " ".join(part for part in parts if part)


def graph_sentence(flow: Flow, records: Mapping[TaskKey, TaskRecord], run: RunRecord | None, now: datetime) -> str:
    """The graph in one sentence: how the run ended or stands; before any run, what the flow is."""
    if run is None:
        if not records:
            return f"{flow.name}: {flow_sentence(flow)}"
        return f"{flow.name}: {messages.tally(states_of(flow, records))}."
    return RunSnapshot(run=run, tasks=records).sentence(now)
