# SPDX-License-Identifier: BSD-3-Clause
"""A driver in miniature: records each Step, then performs its commands, and holds the invariants after every event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from nbflow.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Cancel,
    Event,
    Expand,
    FinishRun,
    MapExpanded,
    RunStarted,
    SlotGranted,
    Step,
    Submit,
    WakeAt,
    Watch,
    Woke,
)
from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey, Token
from nbflow.core.job import ErrorInfo
from nbflow.core.machine import RunMachine
from nbflow.core.model import Edge, Flow, FlowOptions, Read, Task
from nbflow.core.options import PastCheck, TaskOptions
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.snapshot import RunSnapshot, fold
from nbflow.core.states import RUN_TRANSITIONS, TRANSITIONS, RunState, TaskState

START = datetime(2026, 1, 1, 3, tzinfo=UTC)


def flow_of(
    edges: str = "",
    *,
    alone: str = "",
    empty: Iterable[str] = (),
    mapped: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    group: str = "",
    **tasks: Any,
) -> Flow:
    """A flow from `a>b b>c`; ids stand in the order met. `alone` adds tasks without edges, keywords give a task's options.

    `mapped` names the tasks that give what a task maps over, the nearest first: {"b": "a"}; "" stands for a plain cell.
    `group` names the tasks of a group that is mapped as a whole.
    """
    groups = dict.fromkeys(group.split(), "g")
    pairs = [tuple(edge.split(">")) for edge in edges.split()]
    ids = list(dict.fromkeys([*alone.split(), *(id for pair in pairs for id in pair)]))
    return Flow(
        name=FlowName("nightly"),
        tasks=tuple(
            Task(
                id=TaskId(id),
                source="" if id in empty else "x = 1",
                options=TaskOptions(**tasks.get(id.replace(".", "__"), {})),
                reads=(mapping(*mapped[id].split()),) if mapped and id in mapped else (),
                mapped_group=groups.get(id, ""),
            )
            for id in ids
        ),
        edges=tuple(Edge(upstream=TaskId(above), downstream=TaskId(below)) for above, below in pairs),
        options=FlowOptions(**(options or {})),
    )


def mapping(*writers: str, plain: bool = False) -> Read:
    """The element x of what these tasks give; of a plain cell's value without any."""
    return Read(name="xs", writers=tuple(TaskId(writer) for writer in writers), plain=plain or not writers, element="x")


def error(ename: str = "KeyError", evalue: str = "'temp_c'", line: int = 4, **fields: Any) -> ErrorInfo:
    return ErrorInfo(ename=ename, evalue=evalue, line=line, **{"classes": (ename, f"builtins.{ename}", "Exception"), **fields})


class World:
    """A run under way. `jobs` are the attempts the executor has, `ended` says what FinishRun said last."""

    def __init__(self, flow: Flow, *, tasks: Iterable[str] = (), held: Iterable[str] = (), started: bool = True) -> None:
        self.flow = flow
        self.now = START
        self.held = {TaskId(id) for id in held}
        run = RunRecord(run_id=RunId("manual__1"), flow=flow.name, created_at=START, tasks=tuple(TaskId(id) for id in tasks))
        records = [TaskRecord(key=TaskKey(task.id)) for task in flow.tasks if not run.tasks or task.id in run.tasks]
        self.snapshot = RunSnapshot.of(run, records)
        self.machine = RunMachine(flow, run, records, held=self.held)
        self.jobs: dict[Token, TaskKey] = {}
        self.wakes: list[datetime] = []
        #: Triggers that are watched, by the token of the attempt that deferred.
        self.watched: dict[Token, TaskKey] = {}
        self.ended: FinishRun | None = None
        self.told: list[Event] = []
        #: How many elements a mapped task's sources make, from now on.
        self.sizes: dict[str, int] = {}
        #: Why they cannot be counted; "" when they can.
        self.problem = ""
        #: Tokens whose report was accepted, or that were taken away: they may never count again.
        self.spent: set[Token] = set()
        self.tokens = 0
        if started:
            self.tell(RunStarted())

    def restart(self, **fields: Any) -> None:
        """Another run record, before anything has happened."""
        run = replace(self.run, **fields)
        self.snapshot = RunSnapshot.of(run, self.machine.records.values())
        self.machine = RunMachine(self.flow, run, self.machine.records.values(), held=self.held)

    # --- the driver's part --------------------------------------------------------------------------------------------

    def tell(self, event: Event, *, crash: bool = False) -> Step:
        """Record, then act. With `crash` the driver dies between the two and another one resumes."""
        self.told.append(event)
        step = self.machine.handle(event, self.now)
        self._record(step)
        if crash:
            self.crash()
        else:
            self._act(step)
        return step

    def crash(self) -> Step:
        """Another driver builds the machine from what is recorded, and derives all commands again."""
        waiting = self.machine.waiting()
        self.machine = RunMachine(self.flow, self.snapshot.run, self.snapshot.tasks.values(), held=self.held)
        self.machine.check()
        assert self.machine.waiting() == waiting
        self.wakes.clear()
        self.watched.clear()
        step = self.machine.resume(self.now)
        self._record(step)
        self._act(step)
        return step

    def _record(self, step: Step) -> None:
        before = self.snapshot
        for number, change in enumerate(step.changes, start=1):
            self._check_edge(change.key, change.before, change.after)
            self.snapshot = fold(self.snapshot, [replace(change, cursor=before.cursor + number)])
        assert self.snapshot.run == self.machine.run, "the change log does not rebuild the run"
        assert list(self.snapshot.tasks.items()) == list(self.machine.records.items()), "the change log does not rebuild the tasks"
        for key, record in self.snapshot.tasks.items():
            old = before.tasks.get(key, TaskRecord(key=key))
            assert record.attempt >= old.attempt, "an attempt number decreased"
            if old.token and (old.token != record.token or not _in_force(record)):
                self.spent.add(old.token)
            assert not (_in_force(record) and record.token in self.spent), "a spent token counts again"
        self.machine.check()

    def _check_edge(self, key: TaskKey | None, before: str, after: str) -> None:
        if key is None:
            assert before == self.snapshot.run.state
            assert before == after or (RunState(before), RunState(after)) in RUN_TRANSITIONS
        else:
            known = self.snapshot.tasks.get(key)
            assert before == (known.state if known else TaskState.REMOVED), "a change does not start where the last one ended"
            assert (TaskState(before), TaskState(after)) in TRANSITIONS

    def _act(self, step: Step) -> None:
        for command in step.commands:
            if isinstance(command, Submit):
                record = self.machine.records[command.key]
                assert (record.state, record.token, record.attempt) == (TaskState.QUEUED, command.token, command.attempt)
                self.jobs[command.token] = command.key
            elif isinstance(command, Cancel):
                self.jobs.pop(command.token, None)
            elif isinstance(command, Watch):
                self.watched[command.token] = command.key
            elif isinstance(command, WakeAt):
                self.wakes.append(command.at)
            elif isinstance(command, Expand):
                self.tell(MapExpanded(task=command.task, count=self.sizes.get(command.task, 2), problem=self.problem))
            else:
                assert command.state is self.machine.run.state
                self.ended = command

    # --- what happens to it -------------------------------------------------------------------------------------------

    def key(self, id: str) -> TaskKey:
        """`score` or, for a copy, `score[3]`."""
        name, _, index = id.rstrip("]").partition("[")
        return TaskKey(TaskId(name), int(index) if index else -1)

    def token(self, id: str) -> Token:
        token = self.machine.records[self.key(id)].token
        assert token is not None
        return token

    def grant(self, *ids: str) -> Token:
        """Slots for these; the token of the last one."""
        for id in ids:
            self.tokens += 1
            self.tell(SlotGranted(key=self.key(id), token=Token(f"token{self.tokens}")))
        return Token(f"token{self.tokens}")

    def begin(self, *ids: str) -> None:
        """Grant and start."""
        for id in ids:
            self.grant(id)
            self.tell(AttemptStarted(key=self.key(id), token=self.token(id), at=self.now, worker="w-1"))

    def _run(self, id: str) -> Token:
        if self.state(id) == "scheduled":
            self.begin(id)
        return self.token(id)

    def succeed(self, *ids: str, decision: Any = None) -> None:
        for id in ids:
            self.tell(AttemptSucceeded(key=self.key(id), token=self._run(id), at=self.now, decision=decision))

    def fail(self, *ids: str, error: ErrorInfo = error()) -> None:  # noqa: B008 - frozen
        for id in ids:
            self.tell(AttemptFailed(key=self.key(id), token=self._run(id), at=self.now, error=error))

    def skip(self, id: str, reason: str = "") -> None:
        self.tell(AttemptSkipped(key=self.key(id), token=self._run(id), at=self.now, reason=reason))

    def lose(self, id: str, *, started: bool = True) -> None:
        token = self._run(id) if started else self.token(id)
        self.tell(AttemptLost(key=self.key(id), token=token, at=self.now, started=started, reason="worker w-1 is gone"))

    def after(self, seconds: float) -> Step:
        """Time passes, and the machine is woken."""
        self.now += timedelta(seconds=seconds)
        return self.tell(Woke())

    # --- what is seen -------------------------------------------------------------------------------------------------

    def record(self, id: str) -> TaskRecord:
        return self.machine.records[self.key(id)]

    def state(self, id: str) -> str:
        return self.record(id).state.value

    def states(self) -> dict[str, str]:
        return {str(key): record.state.value for key, record in self.machine.records.items()}

    def reason(self, id: str) -> str:
        return self.record(id).reason

    def why(self, id: str) -> str:
        return self.machine.explain(self.key(id), self.now).reason

    def waits_for_past(self) -> bool:
        """Whether a task that could run otherwise waits for how it went the last time."""
        past = {task.id for task in self.flow.tasks if task.options.depends_on_past is not PastCheck.NO}
        return any(record.state is TaskState.PENDING and key.task_id in past for key, record in self.machine.records.items())

    @property
    def run(self) -> RunRecord:
        return self.machine.run


def _in_force(record: TaskRecord) -> bool:
    return record.state in {TaskState.QUEUED, TaskState.RUNNING}
