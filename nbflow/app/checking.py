# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow db check`: does what is recorded fit together? Each finding is one sentence with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from nbflow.app.rooms import Opened
from nbflow.core.errors import SetupError
from nbflow.core.ids import TaskKey
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.snapshot import RunSnapshot, fold
from nbflow.core.states import RUN_TRANSITIONS, TRANSITIONS, RunState, TaskState
from nbflow.engine.owner import say_owner

_PAGE: Final = 200
_ALL: Final = 1_000_000
#: Findings of one kind that are said one by one.
MOST: Final = 20


def findings(rooms: Opened, *, deep: bool = False) -> Iterator[str]:
    """Everything that is wrong; with `deep` every artifact is read and its hash compared."""
    yield from rooms.store.house.complaints()
    yield from _forsaken(rooms)
    for run in _runs(rooms):
        yield from run_findings(rooms, run)
    yield from _missing_artifacts(rooms, deep=deep)


def run_findings(rooms: Opened, run: RunRecord) -> Iterator[str]:
    """What is wrong with one run: its states, and what its change log says of them."""
    tasks = rooms.store.task_records(run.run_id)
    changes = rooms.store.changes(run.run_id, 0, _ALL)
    now = rooms.store.run(run.run_id)
    if now != run or tasks != rooms.store.task_records(run.run_id):
        return  # it goes on while we look
    yield from contradictions(run, tasks)
    yield from illegal(run, changes)
    yield from unlike_the_log(run, tasks, changes)


def contradictions(run: RunRecord, tasks: Sequence[TaskRecord]) -> Iterator[str]:
    """States of a run and of its tasks that cannot be true together."""
    if run.state.is_finished:
        for task in tasks:
            if not task.state.is_finished:
                yield (
                    f"Run {run.run_id} has ended ({run.state.value}), but its task {task.key} is {task.state.value}: "
                    f"type nbflow runs clear {run.run_id} and nbflow run --resume {run.run_id}, or delete the run."
                )
        if run.ended_at is None:
            yield f"Run {run.run_id} has ended ({run.state.value}), but not at any time: delete it with nbflow runs delete {run.run_id}."
    elif run.ended_at is not None and run.state is RunState.RUNNING:
        yield f"Run {run.run_id} is {run.state.value}, but has an end: type nbflow runs cancel {run.run_id}."


def illegal(run: RunRecord, changes: Sequence[Change]) -> Iterator[str]:
    """Moves in the change log that no state machine makes, and cursors with gaps."""
    # The copies of a mapped task come into being where its elements are counted.
    of_keys = {change.key: TaskState.PENDING if change.key.map_index < 0 else TaskState.REMOVED for change in changes if change.key}
    states: dict[TaskKey | None, str] = {None: RunState.QUEUED.value, **{key: state.value for key, state in of_keys.items()}}
    what = f"restore the database from a backup, or delete the run with nbflow runs delete {run.run_id}"
    for number, change in enumerate(changes, 1):
        who = f"Task {change.key}" if change.key else "The run"
        if change.cursor != number:
            yield f"The change log of run {run.run_id} has no change {number}: {what}."
            return
        if states[change.key] != change.before:
            yield f"Change {number} of run {run.run_id} contradicts those before: {who} was {states[change.key]}, not {change.before}: {what}."
        states[change.key] = change.after
        if change.key is None:
            is_legal = change.before == change.after or (RunState(change.before), RunState(change.after)) in RUN_TRANSITIONS
        else:
            is_legal = (TaskState(change.before), TaskState(change.after)) in TRANSITIONS
        if not is_legal:
            yield f"Change {number} of run {run.run_id} is impossible: {who} cannot go from {change.before} to {change.after}: {what}."


def unlike_the_log(run: RunRecord, tasks: Sequence[TaskRecord], changes: Sequence[Change]) -> Iterator[str]:
    """Records that differ from what the change log says they are."""
    folded = fold(RunSnapshot.of(run, (TaskRecord(key=task.key) for task in tasks)), changes)
    what = f"restore the database from a backup, or delete the run with nbflow runs delete {run.run_id}"
    if folded.run.state is not run.state:
        yield f"Run {run.run_id} is {run.state.value}, but its change log says {folded.run.state.value}: {what}."
    recorded = {task.key: task for task in tasks}
    for key, task in folded.tasks.items():
        if key not in recorded:
            yield f"Run {run.run_id} has no task {key}, but its change log has: {what}."
        elif recorded[key] != task:
            said = f"is {recorded[key].state.value} there and {task.state.value} in the change log"
            yield f"Task {key} of run {run.run_id} {said if recorded[key].state is not task.state else 'differs from the change log'}: {what}."


def _runs(rooms: Opened) -> Iterator[RunRecord]:
    cursor, more = "", True
    while more:
        page = rooms.store.find_runs(cursor=cursor, limit=_PAGE)
        yield from page.runs
        cursor, more = page.next, bool(page.next)


def _forsaken(rooms: Opened) -> Iterator[str]:
    """Unfinished runs whose lease has lapsed and that nobody goes on with by himself."""
    owners = rooms.store.holders()
    is_scheduled = bool(rooms.store.deployments.schedulers())
    for run_id in rooms.store.lapsed_runs():
        owner = owners.get(run_id)
        if owner is None:
            continue  # nobody has taken it yet, or it waits to be gone on with
        run = rooms.store.run(run_id)
        if not run.deployment:
            yield f"Run {run_id} has not ended, but whoever drove it ({say_owner(owner)}) is gone: type nbflow run --resume {run_id}."
        elif not is_scheduled:
            yield f"Run {run_id} has not ended, but whoever drove it ({say_owner(owner)}) is gone: nbflow scheduler goes on with it."


def _missing_artifacts(rooms: Opened, *, deep: bool) -> Iterator[str]:
    after, count = "", 0
    while hashes := rooms.store.house.referenced(after, 1000):
        after = hashes[-1]
        for hash in hashes:
            why = _wrong_with(rooms, hash, deep=deep)
            if why and rooms.store.house.unreferenced((hash,)):
                continue  # its run was deleted meanwhile
            if why:
                count += 1
                if count <= MOST:
                    yield why
    if count > MOST:
        yield f"So are {count - MOST} more stored values: restore {rooms.settings.artifacts.rpartition('@')[2]} from a backup."


def _wrong_with(rooms: Opened, hash: str, *, deep: bool) -> str:
    try:
        if deep:
            rooms.artifacts.get(hash)
        elif not rooms.artifacts.has(hash):
            where = rooms.settings.artifacts.rpartition("@")[2]
            return f"The stored value {hash[:12]} is missing from {where}: run the task that gave it again, or restore the folder from a backup."
    except SetupError as error:
        return str(error)
    return ""
