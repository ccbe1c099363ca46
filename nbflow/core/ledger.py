# SPDX-License-Identifier: BSD-3-Clause
"""The states of one run with everything counted that deciding needs, so that one move costs its neighbours, not the flow."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from nbflow.core import choices, messages, past
from nbflow.core.assets import updated_by
from nbflow.core.events import Command, Event, Step
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.mapping import in_place, map_sources
from nbflow.core.model import Flow, Read
from nbflow.core.options import PastCheck
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.rules import is_setup, is_teardown
from nbflow.core.setups import Scopes
from nbflow.core.states import FAILED_LIKE, FINISHED, RUN_TRANSITIONS, TRANSITIONS, RunState, TaskState
from nbflow.core.trigger_rules import Decision, UpstreamCounts, UpstreamNames, Verdict
from nbflow.core.weights import priority_weights

#: Place in the dispatch order: -weight, map index, order written.
Rank = tuple[int, int, int]


class InvalidTransition(RuntimeError):
    """A move that is not in the table: a bug in nbflow, told with its history."""

    def __init__(self, run: RunRecord, task: TaskRecord | None, after: str, history: Iterable[Event]) -> None:
        before = task.state if task else run.state
        who = f"task {task.key}, attempt {task.attempt}" if task else "the run itself"
        told = "".join(f"\n  {event!r}" for event in history)
        super().__init__(f"run {run.run_id}, {who}: no move leads from {before} to {after}. The last events:{told}")


def changed(record: TaskRecord, fields: Mapping[str, Any]) -> TaskRecord:
    """As `dataclasses.replace`, in a fifth of its time: it is called four times for each task of a run."""
    after = object.__new__(TaskRecord)
    after.__dict__.update(record.__dict__, **fields)
    return after


class Ledger:
    """Records and counters of a run. `move` and `change_run` are the only ways to change them, and each leaves a Change."""

    def __init__(self, flow: Flow, run: RunRecord, records: Iterable[TaskRecord], *, held: Iterable[TaskId] = ()) -> None:
        self.flow = flow
        self.run = run
        #: Tasks that wait for the cells above them.
        self.held = set(held)
        #: The tasks that take part; an edge to any other task counts as not there.
        self.graph = Graph.of(flow, run.tasks)
        self.whole = self.graph if len(self.graph.ids) == len(flow.tasks) else Graph.of(flow)
        self.tasks = {task.id: task for task in flow.tasks if task.id in self.graph}
        self.weights = priority_weights(self.whole, {task.id: task.options for task in flow.tasks})
        #: What their past says against tasks that depend on it; never stored, since the driver looks again.
        self.past: dict[TaskId, Verdict | None] = {
            id: past.UNKNOWN for id, task in self.tasks.items() if past.check_of(task.options, run.past, id) is not PastCheck.NO
        }
        self.setups = frozenset(id for id, task in self.tasks.items() if is_setup(task))
        self.teardowns = frozenset(id for id, task in self.tasks.items() if is_teardown(task))
        self.scopes = Scopes(self.graph, self.setups, self.teardowns)
        self._deciders = frozenset(id for id, task in self.tasks.items() if choices.is_deciding(task))
        #: Upstream tasks in the same mapped group: of those, the copy with the same index counts.
        self.aligned = {id: above for id in self.graph.ids if (above := self._aligned_of(id))}
        #: Deciders in the same mapped group, above a task.
        self._beside = {id: above for id in self.tasks if (above := self._deciders_beside(id))}
        #: What mapped tasks map over.
        self.map_sources = {id: found for id, task in self.tasks.items() if (found := map_sources(task))}
        #: Mapped tasks by the tasks that give what they map over.
        self._mapped_over: dict[TaskId, list[TaskId]] = {}
        for id, reads in self.map_sources.items():
            for writer in {writer for read in reads for writer in read.writers}:
                self._mapped_over.setdefault(writer, []).append(id)
        #: Mapped tasks whose elements are being counted, and those whose elements were: never stored, since counting again changes nothing.
        self.counting: set[TaskId] = set()
        self._counted: set[TaskId] = set()
        self.copies: dict[TaskId, tuple[TaskKey, ...]] = {}
        self.records = self._in_order(records)
        #: The last events, for the story of an impossible move.
        self.history: deque[Event] = deque(maxlen=10)
        self.changes: list[Change] = []
        self.commands: list[Command] = []
        self.counts: Counter[TaskState] = Counter(record.state for record in self.records.values())
        self.unfinished = sum(count for state, count in self.counts.items() if state not in FINISHED)
        self.upstream = {id: self._count_upstream(id) for id in self.graph.ids}
        #: Tasks whose dependencies changed since they were last judged, in the order found; with which of their copies, where not all are meant.
        self.dirty: dict[TaskId, set[int] | None] = dict.fromkeys(self.graph.order)
        #: What each decider left out, and the deciders that left out a task.
        self._left_out: dict[TaskId, frozenset[TaskId]] = {}
        self._against: dict[TaskId, set[TaskId]] = {}
        for id in self._deciders:
            self._note_choice(id)
        self._ranks: list[Rank] = []
        self._waiting: list[TaskKey] = []
        #: Instants of next attempts; an entry counts while its record still says the same.
        self._wakes: list[tuple[datetime, Rank, TaskKey]] = []
        for record in self.records.values():
            self._enter(record)
        labels = Counter(task.label for task in flow.tasks)
        self._names = {task.id: task.label if labels[task.label] == 1 else task.id for task in flow.tasks}

    # --- reading ------------------------------------------------------------------------------------------------------

    def waiting(self) -> tuple[TaskKey, ...]:
        """Scheduled instances in dispatch order."""
        return tuple(self._waiting)

    def name(self, id: TaskId) -> str:
        """How sentences call a task: without its group where that is clear."""
        return self._names.get(id, id)

    def key_name(self, key: TaskKey) -> str:
        return self.name(key.task_id) if key.map_index < 0 else f"{self.name(key.task_id)}[{key.map_index}]"

    def counts_of(self, key: TaskKey) -> UpstreamCounts:
        """The upstream instances that are relevant for this one."""
        counts = self.upstream[key.task_id]
        if key.task_id not in self.aligned:
            return counts
        counts = replace(counts)
        for above in self.aligned[key.task_id]:
            for other in self.beside(above, key):
                counts.count(self.records[other].state, setup=above in self.setups)
        return counts

    def beside(self, id: TaskId, key: TaskKey) -> tuple[TaskKey, ...]:
        """The instances of `id` that `key` stands with: in one mapped group those of its index, else all."""
        if not self._is_aligned(id, key.task_id):
            return self.copies[id]
        return tuple(other for other in self.copies[id] if other.map_index in {key.map_index, -1})

    def upstream_names(self, key: TaskKey, *, setups_only: bool = False) -> UpstreamNames:
        """Who the relevant upstream instances are; looks at each of them."""
        above = self.graph.upstream(key.task_id)
        return self._names_of(key, [id for id in above if not setups_only or id in self.setups])

    def _names_of(self, key: TaskKey, ids: Iterable[TaskId]) -> UpstreamNames:
        unfinished: list[str] = []
        ended: dict[TaskState, list[str]] = {}
        for id in ids:
            for other in self.beside(id, key):
                state = self.records[other].state
                (ended.setdefault(state, []) if state in FINISHED else unfinished).append(self.key_name(other))
        return UpstreamNames(unfinished=tuple(unfinished), ended={state: tuple(names) for state, names in ended.items()})

    def left_out_because(self, key: TaskKey) -> str:
        """Why a decider left out this instance, the one written first; "" when none did."""
        beside = [id for id in self._beside.get(key.task_id, ()) if key.task_id in self._left_out_beside(id, key)]
        against = [*self._against.get(key.task_id, ()), *beside]
        if not against:
            return ""
        decider = min(against, key=self.graph.position.__getitem__)
        notes = [self.records[other].note for other in self.beside(decider, key) if self.records[other].state is TaskState.SUCCESS]
        return choices.sentence(self.name(decider), self.tasks[decider].options.as_, notes, self._names)

    def is_left_out(self, id: TaskId) -> bool:
        """Whether a decider may have left out a copy of this task."""
        return bool(self._against.get(id)) or id in self._beside

    def setup_verdict(self, key: TaskKey) -> Verdict | None:
        """What the setups say that this instance stands on without an edge to them; None when they are all done well."""
        indirect = self.scopes.indirect.get(key.task_id)
        if indirect is None:
            return None
        names = self._names_of(key, indirect)
        bad, state = names.first(TaskState.FAILED, TaskState.CANCELLED, TaskState.UPSTREAM_FAILED)
        if state:
            return Verdict(Decision.UPSTREAM_FAILED, messages.did_not_run(bad, state))
        if skipped := names.ended.get(TaskState.SKIPPED):
            return Verdict(Decision.SKIP, messages.skipped_because(skipped, TaskState.SKIPPED))
        if names.unfinished:
            total = sum(len(self.beside(id, key)) for id in indirect)
            return Verdict(Decision.WAIT, messages.setup_not_done(names.unfinished, total))
        return None

    def work_verdict(self, key: TaskKey) -> Verdict | None:
        """A teardown waits until everything between its setups and itself has ended."""
        between = self.scopes.between.get(key.task_id)
        names = self._names_of(key, between) if between else None
        return Verdict(Decision.WAIT, messages.work_not_done(names.unfinished)) if names and names.unfinished else None

    def leaf_states(self) -> list[TaskState]:
        """States of the instances that decide the run: those below which nothing counts. A teardown counts only where it says so."""
        aside = {id for id in self.teardowns if not self.tasks[id].options.on_failure_fail_run}
        leaves = [id for id in self.graph.ids if id not in aside and all(below in aside for below in self.graph.downstream(id))]
        leaves = leaves or [id for id in self.graph.ids if not self.graph.downstream(id)]
        return [state for id in leaves for key in self.copies[id] if (state := self.records[key].state) is not TaskState.REMOVED]

    def waits_for_past(self) -> bool:
        """Whether a task that has not run yet waits for how it went the last time."""
        waiting = (key for id, verdict in self.past.items() if verdict is not None for key in self.copies[id])
        return any(self.records[key].state is TaskState.PENDING for key in waiting)

    def holds_pending(self) -> bool:
        """Whether a task that has not run yet is held back."""
        held = (key for id in self.held if id in self.graph for key in self.copies[id])
        return any(self.records[key].state is TaskState.PENDING for key in held)

    def due(self, now: datetime) -> list[TaskRecord]:
        """Records whose next attempt's instant has come; each is given once."""
        found: dict[TaskKey, TaskRecord] = {}
        while self._wakes and self._wakes[0][0] <= now:
            at, _, key = heapq.heappop(self._wakes)
            if key in self.records and self.records[key].wake_at == at:
                found[key] = self.records[key]  # once, though it may have waited for this very instant before
        return list(found.values())

    def is_uncounted(self, id: TaskId) -> bool:
        """A mapped task whose elements must be counted before any copy of it may run."""
        return id in self.map_sources and id not in self._counted

    def copies_asked(self, key: TaskKey) -> tuple[TaskKey, ...]:
        """The copies a person means by the name of a mapped task."""
        return self.copies.get(key.task_id, ()) if key.map_index < 0 else ()

    def map_source_verdict(self, id: TaskId) -> Verdict | None:
        """Why the elements of a mapped task are not there; None when they are, or when it is not mapped or has them."""
        if not self.is_uncounted(id):
            return None
        for read in self.map_sources[id]:
            found = self._source_verdict(read)
            if found is not None:
                return found
        return None

    def _source_verdict(self, read: Read) -> Verdict | None:
        skipped: list[str] = []
        for writer in read.writers:
            if writer not in self.graph:
                return None  # from an earlier run: whoever counts knows it
            states = {self.records[key].state for key in self.copies[writer]} - {TaskState.REMOVED}
            if states - FINISHED:
                return Verdict(Decision.WAIT, messages.waiting_for([self.name(writer)], 1))
            if TaskState.SUCCESS in states:
                return None
            if bad := states & FAILED_LIKE:
                return Verdict(Decision.UPSTREAM_FAILED, messages.did_not_run([self.name(writer)], min(bad)))
            skipped.append(self.name(writer))
        return None if read.plain or not skipped else Verdict(Decision.SKIP, messages.skipped_because(skipped, TaskState.SKIPPED))

    # --- changing -----------------------------------------------------------------------------------------------------

    def move(self, record: TaskRecord, state: TaskState, now: datetime, reason: str, **fields: Any) -> TaskRecord:
        """Give the instance a new state and return its new record. Raises InvalidTransition."""
        return self.move_to(record, changed(record, {"state": state, "reason": reason, **fields}), now)

    def move_to(self, record: TaskRecord, after: TaskRecord, now: datetime) -> TaskRecord:
        """As `move`, where the new record is there already."""
        before, state, key = record.state, after.state, record.key
        if (before, state) not in TRANSITIONS:
            raise InvalidTransition(self.run, record, state, self.history)
        self.records[key] = after
        updates = updated_by(self.tasks[key.task_id].options, after.note) if state is TaskState.SUCCESS else ()
        self.changes.append(Change(at=now, key=key, before=before, after=state, reason=after.reason, task=after, updates=updates))
        self._recount(key, before, state)
        if before is TaskState.SCHEDULED:
            self._leave_waiting(key)
        self._enter(after)
        return after

    def expand(self, id: TaskId, count: int, now: datetime) -> None:
        """Give a mapped task the copies 0 to `count` - 1; those it has stay as they are, removed ones come back."""
        for key in self.copies[id]:
            record = self.records[key]
            if key.map_index < 0:
                self.move(record, TaskState.REMOVED, now, messages.expanded(count), ended_at=now)
                self.counts[TaskState.REMOVED] -= 1
                del self.records[key]
            elif key.map_index < count and record.state is TaskState.REMOVED:
                self.move(record, TaskState.PENDING, now, "", token=None, started_at=None, ended_at=None, failures=0, losses=0)
        known = set(self.copies[id])
        fresh = [TaskRecord(key=TaskKey(id, index)) for index in range(count) if TaskKey(id, index) not in known]
        self.copies[id] = tuple(sorted([*(key for key in known if key.map_index >= 0), *(record.key for record in fresh)]))
        placed = {record.key: record for record in fresh}
        for key in self.copies[id]:
            if key in placed:
                self.changes.append(Change(at=now, key=key, before=TaskState.REMOVED, after=TaskState.PENDING, task=placed[key]))
                self.counts[TaskState.REMOVED] += 1
        self._insert(id, placed)
        for key in placed:
            self._recount(key, TaskState.REMOVED, TaskState.PENDING)
        self._counted.add(id)
        self.touch([id])

    def _insert(self, id: TaskId, fresh: Mapping[TaskKey, TaskRecord]) -> None:
        """Every record in the order written, the copies of `id` with the fresh ones among them."""
        records = self.records
        ordered: dict[TaskKey, TaskRecord] = {}
        for task in self.graph.ids:
            for key in self.copies[task]:
                ordered[key] = fresh[key] if task == id and key in fresh else records[key]
        self.records = ordered

    def change_run(self, state: RunState, now: datetime, reason: str, **fields: Any) -> None:
        """Give the run a new state, or other fields in the same state. Raises InvalidTransition."""
        before = self.run.state
        if before is not state and (before, state) not in RUN_TRANSITIONS:
            raise InvalidTransition(self.run, None, state, self.history)
        self.run = replace(self.run, state=state, reason=reason, **fields)
        self.changes.append(Change(at=now, key=None, before=before, after=state, reason=reason, run=self.run))

    def order(self, command: Command) -> None:
        """Add a command to the step under way."""
        self.commands.append(command)

    def take_step(self) -> Step:
        """Everything since the last call."""
        step = Step(changes=tuple(self.changes), commands=tuple(self.commands))
        self.changes.clear()
        self.commands.clear()
        return step

    def touch(self, ids: Iterable[TaskId], index: int | None = None) -> None:
        """Judge these tasks again, or only their copies of this index."""
        for id in ids:
            known = self.dirty.setdefault(id, set() if index is not None else None)
            if index is None:
                self.dirty[id] = None
            elif known is not None:
                known.update((index, -1))

    def _recount(self, key: TaskKey, before: TaskState, after: TaskState) -> None:
        id = key.task_id
        self.counts[before] -= 1
        self.counts[after] += 1
        was_finished, is_finished = before in FINISHED, after in FINISHED
        self.unfinished += was_finished - is_finished
        if after is TaskState.PENDING:
            self.touch([id])
            self._counted.discard(id)
        if not was_finished and not is_finished:
            return
        mapped_over = self._mapped_over.get(id, ())
        if was_finished and not is_finished:
            self._counted.difference_update(mapped_over)
        self.touch(mapped_over)
        if id in self._deciders:
            self._note_choice(id)
            self._touch_beside(key)
        setup = id in self.setups
        for below in self.graph.downstream(id):
            if self._is_aligned(id, below):
                self.touch([below], key.map_index if key.map_index >= 0 else None)
                continue
            counts = self.upstream[below]
            counts.count(before, setup=setup, times=-1)
            counts.count(after, setup=setup)
            self.dirty[below] = None
        self.touch(self.scopes.concerned.get(id, ()))

    def _enter(self, record: TaskRecord) -> None:
        if record.state is TaskState.SCHEDULED:
            rank = self._rank(record.key)
            place = bisect_left(self._ranks, rank)
            self._ranks.insert(place, rank)
            self._waiting.insert(place, record.key)
        elif record.wake_at:
            heapq.heappush(self._wakes, (record.wake_at, self._rank(record.key), record.key))

    def _leave_waiting(self, key: TaskKey) -> None:
        place = bisect_left(self._ranks, self._rank(key))
        del self._ranks[place], self._waiting[place]

    def _rank(self, key: TaskKey) -> Rank:
        return (-self.weights[key.task_id], key.map_index, self.graph.position[key.task_id])

    def _note_choice(self, id: TaskId) -> None:
        for other in self._left_out.pop(id, ()):
            self._against.get(other, set()).discard(id)
        if any(self.records[key].state not in FINISHED for key in self.copies[id]):
            return  # a copy that still runs may go where the others did not
        notes = [self.records[key].note for key in self.copies[id] if self.records[key].state is TaskState.SUCCESS]
        out = choices.left_out_together(id, notes, graph=self.whole)
        out = frozenset(other for other in out if other in self.graph and not self._is_aligned(id, other))
        self._left_out[id] = out
        for other in out:
            self._against.setdefault(other, set()).add(id)
        self.touch(sorted(out, key=self.graph.position.__getitem__))

    def _touch_beside(self, key: TaskKey) -> None:
        """Copies of the same index that this one's decision leaves out."""
        if key.map_index >= 0 and self.tasks[key.task_id].mapped_group:
            self.touch([id for id, deciders in self._beside.items() if key.task_id in deciders], key.map_index)

    def _left_out_beside(self, decider: TaskId, key: TaskKey) -> frozenset[TaskId]:
        record = self.records.get(TaskKey(decider, key.map_index))
        if record is None or record.state is not TaskState.SUCCESS:
            return frozenset()
        return choices.left_out(decider, record.note, graph=self.whole) or frozenset()

    def _is_aligned(self, one: TaskId, other: TaskId) -> bool:
        group = self.tasks[one].mapped_group
        return bool(group) and self.tasks[other].mapped_group == group

    def _aligned_of(self, id: TaskId) -> tuple[TaskId, ...]:
        return tuple(above for above in self.graph.upstream(id) if self._is_aligned(above, id))

    def _deciders_beside(self, id: TaskId) -> tuple[TaskId, ...]:
        if not self._deciders or not self.tasks[id].mapped_group:
            return ()
        above = self.graph.ancestors(id)
        return tuple(other for other in self.graph.ids if other in self._deciders and other in above and self._is_aligned(other, id))

    def _in_order(self, records: Iterable[TaskRecord]) -> dict[TaskKey, TaskRecord]:
        """Records of the tasks that take part, in the order written; a task without any gets a pending one."""
        found: dict[TaskId, list[TaskRecord]] = {}
        for record in in_place(records).values():
            found.setdefault(record.key.task_id, []).append(record)
        ordered: dict[TaskKey, TaskRecord] = {}
        for id in self.graph.ids:
            copies = sorted(found.get(id) or [TaskRecord(key=TaskKey(id))], key=lambda record: record.key.map_index)
            self.copies[id] = tuple(record.key for record in copies)
            ordered.update((record.key, record) for record in copies)
        return ordered

    def _count_upstream(self, id: TaskId) -> UpstreamCounts:
        counts = UpstreamCounts()
        for above in self.graph.upstream(id):
            for key in () if self._is_aligned(above, id) else self.copies[above]:
                counts.count(self.records[key].state, setup=above in self.setups)
        return counts

    def check(self) -> None:
        """Counters and lists agree with the records. Raises AssertionError."""
        states = [record.state for record in self.records.values()]
        known = TaskRecord.__dataclass_fields__.keys()
        assert all(record.__dict__.keys() == known for record in self.records.values()), "a record has a field that records do not have"
        assert +self.counts == Counter(states), "the counts of states are off"
        assert self.unfinished == sum(state not in FINISHED for state in states), "the number of unfinished instances is off"
        assert all(self.upstream[id] == self._count_upstream(id) for id in self.graph.ids), "the upstream counts are off"
        scheduled = [key for key, record in self.records.items() if record.state is TaskState.SCHEDULED]
        assert sorted(scheduled, key=self._rank) == self._waiting, "the waiting list is off"
        assert [self._rank(key) for key in self._waiting] == self._ranks, "the ranks of the waiting list are off"
