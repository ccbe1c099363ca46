# SPDX-License-Identifier: BSD-3-Clause
"""What chance lets happen to a run, and what must hold when it has ended: the oracle is semantics.md, read once more (P1 to P9).

The world itself holds after every event: legal moves only (P5), one token in force (P6), attempt numbers that never decrease (P7), a change log
that folds to the state, counters that agree, a terminal run without unfinished instances (P8).
"""

from __future__ import annotations

from datetime import timedelta

from nbflow.core.branching import left_out
from nbflow.core.events import (
    AnswerGiven,
    AttemptDeferred,
    AttemptFailed,
    AttemptLost,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    CancelRequested,
    ClearRequested,
    Event,
    MarkRequested,
    PastSeen,
    ResultFound,
    RunAbandoned,
    RunStarted,
    SlotGranted,
    TasksReleased,
    TriggerFired,
    Woke,
)
from nbflow.core.graph import Graph
from nbflow.core.ids import RunId, TaskId, TaskKey, Token
from nbflow.core.mapping import copies_of, is_mapped, map_sources
from nbflow.core.model import Flow
from nbflow.core.options import TaskKind, TriggerRule
from nbflow.core.past import Past
from nbflow.core.records import TaskRecord
from nbflow.core.rules import run_outcome
from nbflow.core.setups import Scopes
from nbflow.core.states import FAILED_LIKE, RunState, TaskState
from nbflow.core.trigger_rules import Decision, UpstreamCounts, decide
from tests.chance import Chance
from tests.strategies import ORDINARY, Happening, make_flow
from tests.unit.core.world import World, error

S, H = TaskState, Happening
ENDS = (H.SUCCEED, H.SUCCEED, H.FAIL, H.SKIP, H.LOSE)
REPORTS = (AttemptStarted, AttemptSucceeded, AttemptFailed, AttemptSkipped, AttemptDeferred, AttemptLost)


class Fate:
    """Draws what happens to a world, one event at a time."""

    def __init__(self, world: World, chance: Chance) -> None:
        self.world, self.chance = world, chance

    def event(self, happening: Happening) -> Event | None:
        """The event, or None when it cannot happen now."""
        world = self.world
        if happening is H.GRANT:
            waiting = world.machine.waiting()
            return self.grant(self.chance.one_of(waiting)) if waiting else None
        if happening is H.FIND:
            return self.found()
        if happening is H.PAST:
            return PastSeen(facts={task.id: self.past() for task in world.flow.tasks})
        if happening is H.TIME:
            world.now += timedelta(seconds=self.chance.integer(0, 200))
            return Woke()
        if happening is H.REPEAT:
            return self.chance.one_of(reports) if (reports := [event for event in world.told if isinstance(event, REPORTS)]) else None
        if happening is H.STALE:
            return AttemptSucceeded(key=self.chance.one_of([*world.machine.records]), token=Token("another"), at=world.now)
        return self.report(happening) or self.outside(happening) or self.wish(happening)

    def found(self) -> Event | None:
        """Another run has made the same."""
        kinds = {TaskKind.PLAIN, TaskKind.BRANCH, TaskKind.SHORT_CIRCUIT}
        waiting = [key for key in self.world.machine.waiting() if self.world.flow.task(key.task_id).options.as_ in kinds]
        if not waiting:
            return None
        key = self.chance.one_of(waiting)
        return ResultFound(key=key, run_id=RunId("an-earlier-run"), decision=self.decision(key))

    def past(self) -> Past:
        states = tuple(self.chance.one_of([*S]) for _ in range(self.chance.integer(0, 2)))
        return Past(previous=self.chance.one_of(["", "run-1"]), states=states, was_there_before=self.chance.integer(0, 1) == 1)

    def grant(self, key: TaskKey) -> SlotGranted:
        self.world.tokens += 1
        return SlotGranted(key=key, token=Token(f"token{self.world.tokens}"))

    def report(self, happening: Happening) -> Event | None:
        world = self.world
        if not world.jobs:
            return None
        token = self.chance.one_of([*world.jobs])
        job = {"key": world.jobs[token], "token": token, "at": world.now}
        return {
            H.START: lambda: AttemptStarted(**job, worker="w-1"),
            H.SUCCEED: lambda: AttemptSucceeded(**job, decision=self.decision(world.jobs[token])),
            H.FAIL: lambda: AttemptFailed(**job, error=error()),
            H.FAIL_FOR_GOOD: lambda: AttemptFailed(**job, error=error("FailTask", may_retry=False)),
            H.DEFER: lambda: AttemptDeferred(**job, trigger=self.trigger()),
            H.SKIP: lambda: AttemptSkipped(**job, reason="nothing new"),
            H.LOSE: lambda: AttemptLost(**job, started=True, reason="worker w-1 is gone"),
            H.LOSE_UNSTARTED: lambda: AttemptLost(**job, started=False, reason="worker w-1 is gone"),
        }.get(happening, lambda: None)()

    def decision(self, key: TaskKey) -> object:
        kind = self.world.flow.task(key.task_id).options.as_
        if kind in {TaskKind.SENSOR, TaskKind.SHORT_CIRCUIT}:
            return self.chance.integer(0, 1) == 1
        ids: list[object] = [task.id for task in self.world.flow.tasks]
        several = self.chance.some_of([*ids, "left", *(["nowhere"] if self.chance.integer(0, 3) == 0 else [])], 0, 3)
        return self.chance.one_of([several, several, None, *ids, 3])

    def trigger(self) -> dict[str, str]:
        at = self.world.now + timedelta(seconds=self.chance.integer(-10, 200))
        return {"kind": "run", **({"at": at.isoformat()} if self.chance.integer(0, 1) else {})}

    def outside(self, happening: Happening) -> Event | None:
        """What is waited for comes: a trigger, or the answer of a person."""
        world = self.world
        if happening is H.FIRE and world.watched:
            token = self.chance.one_of([*world.watched])
            problem = self.chance.one_of(["", "", "", "it never comes"])
            return TriggerFired(key=world.watched.pop(token), token=token, result={"run_id": "r"}, problem=problem)
        asked = [key for key, record in world.machine.records.items() if record.state is S.AWAITING_INPUT]
        if happening is H.ANSWER and asked:
            key = self.chance.one_of(asked)
            return AnswerGiven(key=key, answer=self.chance.one_of([*world.machine.records[key].note["choices"], "perhaps"]), by="Ann")
        return None

    def wish(self, happening: Happening) -> Event | None:
        keys = tuple(self.chance.some_of([*self.world.machine.records], 1, 3))
        if happening is H.RELEASE:
            tasks = tuple(key.task_id for key in keys)
            self.world.held.difference_update(tasks)
            return TasksReleased(tasks=tasks)
        return {
            H.CANCEL_TASK: lambda: CancelRequested(keys=keys, by="Ann"),
            H.CANCEL_RUN: CancelRequested,
            H.MARK_TASK: lambda: MarkRequested(state=self.chance.one_of([S.SUCCESS, S.FAILED, S.SKIPPED, S.RUNNING]), keys=keys),
            H.MARK_RUN: lambda: MarkRequested(state=self.chance.one_of([*RunState]), by="Ann"),
            H.CLEAR: lambda: ClearRequested(keys=keys, waits=self.chance.integer(0, 1) == 1),
            H.ABANDON: lambda: RunAbandoned(reason="The kernel ended."),
        }.get(happening, lambda: None)()


def happen(world: World, chance: Chance, happening: Happening, *, crash: bool = False) -> None:
    """Let it happen, if it can; the executor forgets a job whose report ends it."""
    event = Fate(world, chance).event(happening)
    if event is None:
        return
    world.tell(event, crash=crash)
    if isinstance(event, REPORTS) and not isinstance(event, AttemptStarted):
        world.jobs.pop(event.token, None)


def finish(world: World, chance: Chance) -> None:
    """Release everything, grant every slot, end every attempt, wake at every instant asked for: the run must end."""
    held = tuple(world.held)
    world.held.clear()
    world.tell(RunStarted())
    world.tell(TasksReleased(tasks=held))
    for _ in range(160 * len(world.flow.tasks) + 40):
        if world.run.state.is_finished:
            return
        if waiting := world.machine.waiting():
            world.tell(Fate(world, chance).grant(waiting[0]))
        elif world.jobs:
            happen(world, chance, chance.one_of(ENDS))
        elif any(record.state is S.AWAITING_INPUT for record in world.machine.records.values()):
            happen(world, chance, H.ANSWER)
        elif world.watched:
            happen(world, chance, H.FIRE)
        elif not world.wakes:
            assert world.waits_for_past(), "nothing runs, nothing waits, nobody is woken"
            world.tell(PastSeen(facts={task.id: Past() for task in world.flow.tasks}))
        else:
            world.now = max(world.now, min(world.wakes))
            world.wakes.remove(min(world.wakes))
            world.tell(Woke())
    raise AssertionError("the run does not end")


def beside(flow: Flow, world: World, id: TaskId, key: TaskKey) -> list[TaskRecord]:
    """The copies of `id` that are relevant for an instance: in one mapped group, those of its index."""
    copies = [record for record in copies_of(world.machine.records, id) if record.state is not S.REMOVED]
    group = flow.task(id).mapped_group
    if not group or flow.task(key.task_id).mapped_group != group:
        return copies
    return [copy for copy in copies if copy.key.map_index in {key.map_index, -1}]


def judged(flow: Flow, world: World, graph: Graph, key: TaskKey) -> Decision:
    """What the trigger rule says of a task, given how everything above it ended; a mapped task needs its elements first."""
    records = world.machine.records
    for read in map_sources(flow.task(key.task_id)):
        states = [{copy.state for copy in copies_of(records, writer)} for writer in read.writers]
        first = next((found for found in states if found != {S.SKIPPED}), None)
        if first is None:
            if states and not read.plain:
                return Decision.SKIP
        elif S.SUCCESS not in first:
            return Decision.UPSTREAM_FAILED
    setups = setup_states(world, graph, key)
    if setups & FAILED_LIKE:
        return Decision.UPSTREAM_FAILED
    if S.SKIPPED in setups:
        return Decision.SKIP
    counts = UpstreamCounts()
    for above in graph.upstream(key.task_id):
        for copy in beside(flow, world, above, key):
            counts.count(copy.state, setup=flow.task(above).options.as_ is TaskKind.SETUP)
    return decide(flow.task(key.task_id).options.trigger_rule, counts)


def setup_states(world: World, graph: Graph, key: TaskKey) -> set[TaskState]:
    """How the setups ended that an instance stands on without an edge to them."""
    indirect = scopes_of(world.flow, graph).indirect.get(key.task_id, ())
    return {copy.state for setup in indirect for copy in beside(world.flow, world, setup, key)}


def scopes_of(flow: Flow, graph: Graph) -> Scopes:
    kinds = {kind: [task.id for task in flow.tasks if task.options.as_ is kind] for kind in (TaskKind.SETUP, TaskKind.TEARDOWN)}
    return Scopes(graph, kinds[TaskKind.SETUP], kinds[TaskKind.TEARDOWN])


def is_turned_away(flow: Flow, world: World, graph: Graph, key: TaskKey) -> bool:
    """Whether a branch or its like left the instance out."""
    for task in flow.tasks:
        notes = [copy.note for copy in beside(flow, world, task.id, key) if copy.state is S.SUCCESS]
        if any("followed" in note for note in notes):
            followed = tuple(id for note in notes for id in note.get("followed", ()))
            if key.task_id in left_out(task.id, followed, graph=graph):
                return True
        decided = [set(note["skipped"]) for note in notes if "skipped" in note]
        if decided and key.task_id in set.intersection(*decided):
            return True
    return False


def draw_sizes(chance: Chance, flow: Flow, least: int = 0) -> dict[str, int]:
    """How many elements each mapped task finds; the tasks of a mapped group find the same."""
    together = chance.integer(least, 3)
    return {task.id: together if task.mapped_group else chance.integer(least, 3) for task in flow.tasks if is_mapped(task)}


def check_end(world: World) -> None:
    """How every instance ended agrees with the trigger rules, given how everything above it ended; and so does the run."""
    flow, graph = world.flow, Graph.of(world.flow)
    for key, record in world.machine.records.items():
        expected = judged(flow, world, graph, key)
        ran = record.attempt > 0 or (record.state is S.SUCCESS and flow.task(key.task_id).is_empty)
        if ran:
            assert expected is Decision.RUN, key
        elif record.state is S.UPSTREAM_FAILED:
            assert expected is Decision.UPSTREAM_FAILED, key
        else:
            away = is_turned_away(flow, world, graph, key)
            # The first verdict stays: a skipped upstream, or setup, says so before another one fails (P3).
            skipped_first = flow.task(key.task_id).options.trigger_rule is TriggerRule.ALL_SUCCESS or S.SKIPPED in setup_states(
                world, graph, key
            )
            race = skipped_first and expected is Decision.UPSTREAM_FAILED
            assert record.state is S.SKIPPED, key
            assert expected is Decision.SKIP or away or race or world.sizes.get(key.task_id) == 0, key
    states = [record.state for record in world.machine.records.values()]
    assert world.run.state in {run_outcome(states, states, "any"), RunState.SUCCESS if flow.options.fail_on == "leaf" else RunState.FAILED}


# --- whole cases --------------------------------------------------------------------------------------------------------


def stormy_case(chance: Chance) -> World:
    """Whatever happens, and whenever its driver dies, the run ends, and every instance says why it is as it is."""
    flow = make_flow(chance)
    ids = [task.id for task in flow.tasks]
    part = tuple(chance.some_of(ids, 1, len(ids))) if chance.integer(0, 1) else ()
    world = World(flow, tasks=part, held=chance.some_of(ids, 0, 2), started=False)
    world.sizes = draw_sizes(chance, flow)
    world.tell(RunStarted(), crash=chance.integer(0, 9) == 0)
    everything = [*ORDINARY, *ORDINARY, *ORDINARY, *Happening]
    for _ in range(chance.integer(0, 40)):
        if chance.integer(0, 9) == 0:  # what is mapped over is another list the next time
            world.sizes = draw_sizes(chance, flow)
        happen(world, chance, chance.one_of(everything), crash=chance.integer(0, 9) == 0)
    finish(world, chance)
    assert world.ended is not None
    assert world.ended.state is world.run.state
    assert all(record.reason for record in world.machine.records.values())
    return world


def calm_case(chance: Chance) -> World:
    """Nobody interferes: every end agrees with the trigger rules, whatever the order."""
    flow = make_flow(chance, calm=True)
    world = World(flow, started=False)
    world.sizes = draw_sizes(chance, flow)
    world.tell(RunStarted())
    for _ in range(chance.integer(0, 30)):
        happen(world, chance, chance.one_of(ORDINARY), crash=chance.integer(0, 9) == 0)
    finish(world, chance)
    check_end(world)
    return world
