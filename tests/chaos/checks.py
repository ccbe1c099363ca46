# SPDX-License-Identifier: BSD-3-Clause
"""What must be true of a run, however its processes died."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from nbflow.app import Workspace
from nbflow.app.checking import illegal, run_findings
from nbflow.core.ids import TaskKey
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.snapshot import RunSnapshot, fold
from nbflow.core.states import OCCUPYING, RunState, TaskState
from tests.chaos import processes
from tests.chaos.flows import POOL, SLOTS, Plan

#: Seconds within which a process that was killed is gone, also on a busy machine.
_DYING = 30.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the journal."""

    what: str
    task: str
    attempt: int
    pid: int
    at: float


def journal(path: Path) -> list[Line]:
    """The complete lines, in the order written."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    words = (line.split() for line in text.splitlines(keepends=True) if line.endswith("\n"))
    return [Line(what=what, task=task, attempt=int(attempt), pid=int(pid), at=float(at)) for what, task, attempt, pid, at in words]


def problems(workspace: Workspace, run_id: str, lines: list[Line], plan: Plan | None, mark: str) -> Iterator[str]:
    """Everything that is wrong with this run, as sentences. Without a plan it is the one task of a plain notebook."""
    changes = workspace.store.changes(run_id, 0, 1_000_000)
    run = workspace.store.run(run_id)
    yield from history_problems(run, changes, lines, {task.id for task in plan.tasks if task.looks} if plan is not None else set())
    yield from run_findings(workspace, run)  # what `nbflow db check` tells people
    yield from _unexplained(workspace, run_id, lines)
    yield from _survivors(workspace, run_id, lines, mark)
    yield from _unlike_the_log(workspace, run_id, changes)
    if plan is not None:
        yield from _crowded(changes, plan)
        yield from _wrong_end(workspace, run_id, plan)


def history_problems(run: RunRecord, changes: tuple[Change, ...], lines: list[Line], looking: Collection[str] = ()) -> Iterator[str]:
    """What is wrong with a run's history, and with what its tasks wrote down; those `looking` start anew within an attempt."""
    yield from illegal(run, changes)
    yield from _ran_again(changes, lines)
    yield from _two_at_once(lines, looking)


def _ran_again(changes: tuple[Change, ...], lines: list[Line]) -> Iterator[str]:
    succeeded: dict[str, Change] = {}
    for change in changes:
        if change.key is None or change.task is None:
            continue
        if change.before == TaskState.SUCCESS.value:
            yield f"{change.key} left success for {change.after}: {change.reason}"
        if change.after == TaskState.SUCCESS.value:
            succeeded[str(change.key)] = change
    for line in lines:
        recorded = succeeded.get(line.task)
        if recorded is None or recorded.task is None:
            continue
        if line.attempt > recorded.task.attempt:
            yield f"{line.task} ran again (attempt {line.attempt}) after attempt {recorded.task.attempt} was recorded as its success"
        if line.at > recorded.at.timestamp():
            yield f"{line.task} ran at {line.at:.3f}, after its success was recorded at {recorded.at.timestamp():.3f}"


def _two_at_once(lines: list[Line], looking: Collection[str]) -> Iterator[str]:
    newest: dict[str, int] = {}
    started: set[tuple[str, int]] = set()
    for line in lines:
        if line.what == "start":
            if (line.task, line.attempt) in started and line.task not in looking:
                yield f"attempt {line.attempt} of {line.task} started twice"
            started.add((line.task, line.attempt))
        if line.attempt < newest.get(line.task, 0):
            yield f"attempt {line.attempt} of {line.task} was still running after attempt {newest[line.task]} had started"
        newest[line.task] = max(line.attempt, newest.get(line.task, 0))


def _crowded(changes: tuple[Change, ...], plan: Plan) -> Iterator[str]:
    slots = {task.id: task.slots for task in plan.tasks if task.slots}
    taken: dict[TaskKey, int] = {}
    for number, change in enumerate(changes, 1):
        if change.key is None or change.key.task_id not in slots:
            continue
        taken[change.key] = slots[change.key.task_id] if TaskState(change.after) in OCCUPYING else 0
        if sum(taken.values()) > SLOTS:
            yield f"change {number}: {sum(taken.values())} of {SLOTS} slots of pool {POOL} are taken"


def _unexplained(workspace: Workspace, run_id: str, lines: list[Line]) -> Iterator[str]:
    attempts = workspace.attempts(run_id)
    for attempt in attempts:
        if attempt.outcome == "lost" and not attempt.reason:
            yield f"attempt {attempt.attempt} of {attempt.key} is lost and nobody says why"
    known = {(str(attempt.key), attempt.attempt) for attempt in attempts}
    for task, attempt in {(line.task, line.attempt) for line in lines} - known:
        yield f"attempt {attempt} of {task} ran and is not in the history"
    for record in workspace.snapshot(run_id).tasks.values():
        if record.state in {TaskState.FAILED, TaskState.SKIPPED, TaskState.UPSTREAM_FAILED} and not record.reason:
            yield f"{record.key} ended {record.state} and nobody says why"


def _survivors(workspace: Workspace, run_id: str, lines: list[Line], mark: str) -> Iterator[str]:
    ended = {(line.task, line.attempt) for line in lines if line.what == "end"}
    killed = {(line.task, line.attempt): line.pid for line in lines if (line.task, line.attempt) not in ended}
    until = time.monotonic() + _DYING
    while (living := processes.marked(mark).keys() & set(killed.values())) and time.monotonic() < until:
        time.sleep(0.05)
    for (task, attempt), pid in killed.items():
        if pid in living:
            yield f"process {pid} of attempt {attempt} of {task}, which never ended, is still there"


def _unlike_the_log(workspace: Workspace, run_id: str, changes: tuple[Change, ...]) -> Iterator[str]:
    recorded = workspace.snapshot(run_id)
    start = RunSnapshot.of(recorded.run, (TaskRecord(key=key) for key in recorded.tasks))
    folded = fold(start, changes)
    if folded.run != recorded.run:
        yield f"the log says of the run {folded.run}, the record {recorded.run}"
    for key, record in recorded.tasks.items():
        if folded.tasks[key] != record:
            yield f"the log says of {key} {folded.tasks[key]}, the record {record}"


def is_as_planned(snapshot: RunSnapshot, plan: Plan | None) -> bool:
    """Whether the run came to the end that its flow has: nothing was cut short."""
    if plan is None:
        return snapshot.run.state is RunState.SUCCESS
    wanted = RunState.SUCCESS if plan.ends_well else RunState.FAILED
    states = {str(key): record.state for key, record in snapshot.tasks.items()}
    return snapshot.run.state is wanted and all(states.get(str(key)) is task.expected for task in plan.tasks for key in task.keys)


def _wrong_end(workspace: Workspace, run_id: str, plan: Plan) -> Iterator[str]:
    snapshot = workspace.snapshot(run_id)
    if not is_as_planned(snapshot, plan):
        yield f"the run ended {snapshot.run.state}: {snapshot.run.reason}"
    for task in plan.tasks:
        for key in task.keys:
            record = snapshot.tasks.get(key)
            if record is None or record.state is not task.expected:
                yield f"{key} ended {record.state if record else 'without a record'}, not {task.expected}"
        if task.shown and snapshot.tasks[TaskKey(task.id)].state is TaskState.SUCCESS:
            given = workspace.given(run_id, task.id)
            value = given.get(f"x_{task.id}") or given.get(f"{task.id}()")  # in cells, in Python
            if value is None or value.shown != task.shown:
                yield f"{task.id} gave {value.shown if value else list(given)}, not {task.shown}"
