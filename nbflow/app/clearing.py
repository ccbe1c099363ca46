# SPDX-License-Identifier: BSD-3-Clause
"""Clearing and marking (semantics.md 12): which instances of which runs are meant, what would happen, and making it happen.

A run that somebody drives is asked; any other is changed here. A run that had ended and was cleared is queued: it waits for whoever drives it,
the scheduler or `nbflow run --resume`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from nbflow.app.retrying import Retrying
from nbflow.app.rooms import person
from nbflow.core.errors import UserError
from nbflow.core.events import ClearRequested, Event, MarkRequested
from nbflow.core.graph import Graph
from nbflow.core.ids import RunId, TaskKey
from nbflow.core.machine import RunMachine
from nbflow.core.messages import name_list, plural
from nbflow.core.records import Request, RunRecord, TaskRecord
from nbflow.core.rules import is_setup, is_teardown
from nbflow.core.selection import Selection, names_of
from nbflow.core.states import OCCUPYING, RunState, TaskState
from nbflow.engine.owner import is_dead, me

#: What a task can be marked as; a run cannot be marked as skipped.
MARKS = ("success", "failed", "skipped")
_PAGE = 200


@dataclass(frozen=True, kw_only=True)
class Meant:
    """The instances of one run that would be changed, as they stand now."""

    run: RunRecord
    records: tuple[TaskRecord, ...]

    @property
    def keys(self) -> tuple[TaskKey, ...]:
        return tuple(record.key for record in self.records)


class Clearing(Retrying):
    """Clearing and marking tasks, in one run or in several of a flow."""

    def meant(self, run_id: str, selection: Selection) -> tuple[Meant, ...]:
        """Which instances of which runs a selection means, the oldest run first. Raises UserError when there are none."""
        run = self.run(run_id)
        self.keys_of(run, names_of(selection.keys))
        found = [self._meant_in(one, selection) for one in self._runs_meant(run, selection)]
        chosen = tuple(meant for meant in found if meant.records)
        if not chosen:
            raise UserError(_nothing(run, selection))
        return chosen

    def clear(self, run_id: str, selection: Selection, *, prevent_running: bool = False, by: str = "") -> tuple[Meant, ...]:
        """Put these instances back to pending; what runs is cancelled first, unless `prevent_running` refuses that.

        Returns what was cleared, as it stood before. Raises UserError when nothing is meant, then nothing has changed.
        """
        chosen = self.meant(run_id, selection)
        running = [str(record.key) for meant in chosen for record in meant.records if record.state in OCCUPYING]
        if prevent_running and running:
            raise UserError(
                f"{name_list(running)} {'is' if len(running) == 1 else 'are'} running: cancel first, or leave out --prevent-running."
            )
        for meant in chosen:
            self._tell(meant.run, ClearRequested(keys=meant.keys, by=by or person(), waits=True))
        return chosen

    def mark(self, run_id: str, state: str, selection: Selection, *, by: str = "") -> tuple[Meant, ...]:
        """Give these instances this state without running anything. Raises UserError when that cannot be."""
        if state not in MARKS:
            raise UserError(f'Tasks cannot be marked "{state}": write {name_list(MARKS[:-1]).replace(" and ", ", ")} or {MARKS[-1]}.')
        chosen = self.meant(run_id, selection)
        for meant in chosen:
            self._tell(meant.run, MarkRequested(state=TaskState(state), keys=meant.keys, by=by or person()))
        return chosen

    def mark_run(self, run_id: str, state: str, *, by: str = "") -> RunRecord:
        """Give the run itself this state, which stays until a task of it is cleared. Raises UserError."""
        if state not in {"success", "failed"}:
            raise UserError(f'A run cannot be marked "{state}": write success or failed, or name the tasks.')
        run = self.run(run_id)
        self._tell(run, MarkRequested(state=RunState(state), by=by or person()))
        return self.run(run.run_id)

    # --- how ---------------------------------------------------------------------------------------------------------

    def _runs_meant(self, run: RunRecord, selection: Selection) -> list[RunRecord]:
        others: list[RunRecord] = []
        if selection.past or selection.future:
            here = _place(run)
            for other in self._runs_of_flow(run):
                earlier = _place(other) < here
                if other.run_id != run.run_id and (selection.past if earlier else selection.future):
                    others.append(other)
        return sorted([*others, run], key=_place)

    def _runs_of_flow(self, run: RunRecord) -> Iterator[RunRecord]:
        cursor = ""
        while True:
            page = self.store.find_runs(flow=run.flow, path=run.path, cursor=cursor, limit=_PAGE)
            yield from page.runs
            cursor = page.next
            if not cursor:
                return

    def _meant_in(self, run: RunRecord, selection: Selection) -> Meant:
        flow = self.flow_of(run)
        records = {record.key: record for record in self.snapshot(run.run_id).tasks.values()}
        keys = selection.of(
            Graph.of(flow, run.tasks),
            records,
            setups={task.id for task in flow.tasks if is_setup(task)},
            teardowns={task.id for task in flow.tasks if is_teardown(task)},
        )
        return Meant(run=run, records=tuple(records[key] for key in keys))

    def _tell(self, run: RunRecord, event: ClearRequested | MarkRequested) -> None:
        """Tell whoever drives the run; when nobody does, do it here."""
        handle = self._handles.get(run.run_id)
        if handle is not None and not handle.is_over:
            if handle.ask(replace(event, waits=False) if isinstance(event, ClearRequested) else event):
                return
            self.wait_until_let_go(handle)  # too late to ask it
        holder = self.store.holder(run.run_id)
        if holder and not is_dead(holder):
            kind = "clear" if isinstance(event, ClearRequested) else "mark"
            arguments = {} if isinstance(event, ClearRequested) else {"state": str(event.state)}
            asked = Request(kind=kind, keys=event.keys, by=event.by, at=self.clock.now(), arguments=arguments)
            if self.store.ask_holder(run.run_id, asked):
                return
        self.apply(run.run_id, event)

    def apply(self, run_id: RunId, event: Event) -> None:
        """Change a run that nobody drives. Raises UserError when somebody begins to at this moment."""
        lease = self.store.claim(run_id, me(), self.settings.lease, self._dead_holder(run_id))
        if lease is None:
            raise self._held_by(run_id)
        run = self.store.run(run_id)
        machine = RunMachine(self.flow_of(run), run, self.store.task_records(run_id))
        step = machine.handle(event, self.clock.now())
        if step.changes:
            self.store.commit(lease, step.changes)
        self.store.release(lease)


def said(workspace: Clearing, chosen: Sequence[Meant], state: str, *, dry_run: bool) -> list[str]:
    """What was done, or would be, in lines."""
    lines = []
    for meant in chosen:
        told = name_list([f"{record.key} ({record.state.value.replace('_', ' ')})" for record in meant.records])
        verb = (
            ("Would clear" if dry_run else "Cleared") if state == "pending" else f"Would mark {state}:" if dry_run else f"Marked {state}:"
        )
        lines.append(f"{verb} {told} of run {meant.run.run_id}.")
        run = workspace.run(meant.run.run_id)
        if not dry_run and run.state is RunState.QUEUED and run.clear_number:
            by_itself = "A scheduler goes on with it."
            lines.append(by_itself if run.deployment else f"It waits for somebody to go on with it: nbflow run --resume {run.run_id}.")
    return lines


def _place(run: RunRecord) -> tuple[datetime, datetime]:
    """Where a run stands among those of its flow."""
    return (run.logical_date or run.created_at, run.created_at)


def _nothing(run: RunRecord, selection: Selection) -> str:
    which = name_list(names_of(selection.keys)) or "no task"
    if selection.only_failed:
        told = f"None of {which}" if selection.keys else "No task"
        return f"{told} of run {run.run_id} has failed: say --all to mean those that have not, too."
    if selection.only_running:
        return f"{'None of ' + which if selection.keys else 'No task'} of run {run.run_id} is running."
    return f"Run {run.run_id} has {plural(0, 'task')} to change."
