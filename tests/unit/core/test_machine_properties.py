# SPDX-License-Identifier: BSD-3-Clause
"""Random flows, random orders, random crashes: every run ends, and the properties of semantics.md hold at each step."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

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
from nbflow.core.ids import TaskKey, Token
from nbflow.core.mapping import copies_of, is_mapped, map_sources
from nbflow.core.model import Flow, FlowOptions
from nbflow.core.options import TaskKind, TriggerRule
from nbflow.core.past import Past
from nbflow.core.rules import run_outcome
from nbflow.core.setups import Scopes
from nbflow.core.states import FAILED_LIKE, RunState, TaskState
from nbflow.core.trigger_rules import Decision, UpstreamCounts, decide
from tests.strategies import ORDINARY, Happening, flows
from tests.unit.core.world import World, error

S, H = TaskState, Happening
REPORTS = (AttemptStarted, AttemptSucceeded, AttemptFailed, AttemptSkipped, AttemptDeferred, AttemptLost)


class Fate:
    """Draws what happens to a world, one event at a time."""

    def __init__(self, world: World, data: st.DataObject) -> None:
        self.world = world
        self.data = data

    def draw(self, *choices: object) -> object:
        return self.data.draw(st.sampled_from(choices))

    def event(self, happening: Happening) -> Event | None:
        """The event, or None when it cannot happen now."""
        world = self.world
        if happening is H.GRANT:
            waiting = world.machine.waiting()
            return self.grant(self.draw(*waiting)) if waiting else None
        if happening is H.FIND:
            return self.found()
        if happening is H.PAST:
            return PastSeen(facts={task.id: self.past() for task in world.flow.tasks})
        if happening is H.TIME:
            world.now += timedelta(seconds=self.data.draw(st.integers(0, 200)))
            return Woke()
        if happening is H.REPEAT:
            return self.draw(*reports) if (reports := [event for event in world.told if isinstance(event, REPORTS)]) else None
        if happening is H.STALE:
            return AttemptSucceeded(key=self.draw(*world.machine.records), token=Token("another"), at=world.now)
        return self.report(happening) or self.outside(happening) or self.wish(happening)

    def found(self) -> Event | None:
        """Another run has made the same."""
        kinds = {TaskKind.PLAIN, TaskKind.BRANCH, TaskKind.SHORT_CIRCUIT}
        waiting = [key for key in self.world.machine.waiting() if self.world.flow.task(key.task_id).options.as_ in kinds]
        if not waiting:
            return None
        key = self.draw(*waiting)
        return ResultFound(key=key, run_id="an-earlier-run", decision=self.decision(key))

    def past(self) -> Past:
        states = self.data.draw(st.lists(st.sampled_from(S), max_size=2))
        return Past(previous=self.draw("", "run-1"), states=tuple(states), was_there_before=self.data.draw(st.booleans()))

    def grant(self, key: TaskKey) -> SlotGranted:
        self.world.tokens += 1
        return SlotGranted(key=key, token=Token(f"token{self.world.tokens}"))

    def report(self, happening: Happening) -> Event | None:
        world = self.world
        if not world.jobs:
            return None
        token = self.draw(*world.jobs)
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
            return self.data.draw(st.booleans())
        ids = [task.id for task in self.world.flow.tasks]
        return self.data.draw(
            st.lists(st.sampled_from([*ids, *ids, *ids, "left", "nowhere"]), max_size=3) | st.sampled_from([None, *ids, 3])
        )

    def trigger(self) -> dict[str, str]:
        at = self.data.draw(st.none() | st.integers(-10, 200).map(lambda seconds: self.world.now + timedelta(seconds=seconds)))
        return {"kind": "run", **({"at": at.isoformat()} if at else {})}

    def outside(self, happening: Happening) -> Event | None:
        """What is waited for comes: a trigger, or the answer of a person."""
        world = self.world
        if happening is H.FIRE and world.watched:
            token = self.draw(*world.watched)
            problem = self.draw("", "", "", "it never comes")
            return TriggerFired(key=world.watched.pop(token), token=token, result={"run_id": "r"}, problem=problem)
        asked = [key for key, record in world.machine.records.items() if record.state is S.AWAITING_INPUT]
        if happening is H.ANSWER and asked:
            key = self.draw(*asked)
            return AnswerGiven(key=key, answer=self.draw(*world.machine.records[key].note["choices"], "perhaps"), by="Ann")
        return None

    def wish(self, happening: Happening) -> Event | None:
        keys = tuple(self.data.draw(st.lists(st.sampled_from([*self.world.machine.records]), min_size=1, max_size=3)))
        if happening is H.RELEASE:
            tasks = tuple(key.task_id for key in keys)
            self.world.held.difference_update(tasks)
            return TasksReleased(tasks=tasks)
        return {
            H.CANCEL_TASK: lambda: CancelRequested(keys=keys, by="Ann"),
            H.CANCEL_RUN: CancelRequested,
            H.MARK_TASK: lambda: MarkRequested(state=self.draw(S.SUCCESS, S.FAILED, S.SKIPPED, S.RUNNING), keys=keys),
            H.MARK_RUN: lambda: MarkRequested(state=self.draw(*RunState), by="Ann"),
            H.CLEAR: lambda: ClearRequested(keys=keys, waits=self.data.draw(st.booleans())),
            H.ABANDON: lambda: RunAbandoned(reason="The kernel ended."),
        }.get(happening, lambda: None)()


def happen(world: World, data: st.DataObject, happening: Happening, *, crash: bool = False) -> None:
    """Let it happen, if it can; the executor forgets a job whose report ends it."""
    event = Fate(world, data).event(happening)
    if event is None:
        return
    world.tell(event, crash=crash)
    if isinstance(event, REPORTS) and not isinstance(event, AttemptStarted):
        world.jobs.pop(event.token, None)


def finish(world: World, data: st.DataObject, ends: st.SearchStrategy[Happening]) -> None:
    """Release everything, grant every slot, end every attempt, wake at every instant asked for: the run must end."""
    held = tuple(world.held)
    world.held.clear()
    world.tell(RunStarted())
    world.tell(TasksReleased(tasks=held))
    for _ in range(160 * len(world.flow.tasks) + 40):
        if world.run.state.is_finished:
            return
        if waiting := world.machine.waiting():
            world.tell(Fate(world, data).grant(waiting[0]))
        elif world.jobs:
            happen(world, data, data.draw(ends))
        elif any(record.state is S.AWAITING_INPUT for record in world.machine.records.values()):
            happen(world, data, H.ANSWER)
        elif world.watched:
            happen(world, data, H.FIRE)
        elif world.waits_for_past():
            world.tell(PastSeen(facts={task.id: Past() for task in world.flow.tasks}))
        else:
            assert world.wakes, "nothing runs, nothing waits, nobody is woken"
            world.now = max(world.now, min(world.wakes))
            world.wakes.remove(min(world.wakes))
            world.tell(Woke())
    raise AssertionError("the run does not end")


happenings = st.lists(st.tuples(st.sampled_from([*ORDINARY, *ORDINARY, *ORDINARY, *Happening]), st.integers(0, 9)), max_size=40)
ends = st.sampled_from([H.SUCCEED, H.SUCCEED, H.FAIL, H.SKIP, H.LOSE])


@given(flows(), happenings, st.data())
def test_every_run_ends_whatever_happens_and_whenever_its_driver_dies(flow: Flow, script: list[tuple[Happening, int]], data: st.DataObject):
    ids = [task.id for task in flow.tasks]
    held = data.draw(st.sets(st.sampled_from(ids), max_size=2))
    part = data.draw(st.just(()) | st.sets(st.sampled_from(ids), min_size=1).map(tuple))
    world = World(flow, tasks=part, held=held, started=False)
    world.sizes = data.draw(sizes(flow))
    world.tell(RunStarted(), crash=bool(script) and script[0][1] == 0)
    for happening, chance in script:
        if chance == 1:  # what is mapped over is another list the next time
            world.sizes = data.draw(sizes(flow))
        happen(world, data, happening, crash=chance == 0)
    finish(world, data, ends)
    assert world.ended is not None
    assert world.ended.state is world.run.state
    assert all(record.reason for record in world.machine.records.values())


@given(flows(setups=False), st.lists(st.sampled_from(ORDINARY), max_size=30), st.data())
def test_resuming_changes_nothing_that_is_not_due_and_gives_every_command_again(flow: Flow, script: list[Happening], data: st.DataObject):
    world = World(flow)
    for happening in script:
        happen(world, data, happening)
    jobs = dict(world.jobs)
    step = world.crash()
    assert step.changes == ()
    queued = {record.token for record in world.machine.records.values() if record.state is S.QUEUED}
    assert queued <= set(jobs)
    assert world.jobs == jobs
    sleeping = [record.wake_at for record in world.machine.records.values() if record.wake_at]
    deferred = [key for key, record in world.machine.records.items() if record.state is S.DEFERRED]
    assert sorted(world.watched.values()) == sorted(deferred)
    assert set(sleeping) <= set(world.wakes)


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
    task = flow.task(key.task_id)
    if task.options.as_ is not TaskKind.TEARDOWN:
        setups = {copy.state for setup in scopes_of(flow, graph).indirect.get(task.id, ()) for copy in copies_of(records, setup)}
        if setups & FAILED_LIKE:
            return Decision.UPSTREAM_FAILED
        if S.SKIPPED in setups:
            return Decision.SKIP
    counts = UpstreamCounts()
    for above in graph.upstream(key.task_id):
        for copy in copies_of(records, above):
            counts.count(copy.state, setup=flow.task(above).options.as_ is TaskKind.SETUP)
    return decide(flow.task(key.task_id).options.trigger_rule, counts)


def scopes_of(flow: Flow, graph: Graph) -> Scopes:
    kinds = {kind: [task.id for task in flow.tasks if task.options.as_ is kind] for kind in (TaskKind.SETUP, TaskKind.TEARDOWN)}
    return Scopes(graph, kinds[TaskKind.SETUP], kinds[TaskKind.TEARDOWN])


def turned_away(flow: Flow, world: World, graph: Graph) -> set[str]:
    """Tasks that were left out by a branch or its like."""
    away: set[str] = set()
    for task in flow.tasks:
        notes = [copy.note for copy in copies_of(world.machine.records, task.id) if copy.state is S.SUCCESS]
        if any("followed" in note for note in notes):
            away |= left_out(task.id, tuple(id for note in notes for id in note.get("followed", ())), graph=graph)
        decided = [set(note["skipped"]) for note in notes if "skipped" in note]
        away |= set.intersection(*decided) if decided else set()
    return away


def sizes(flow: Flow, least: int = 0) -> st.SearchStrategy[dict[str, int]]:
    """How many elements each mapped task finds."""
    return st.fixed_dictionaries({task.id: st.integers(least, 3) for task in flow.tasks if is_mapped(task)})


calm = st.builds(FlowOptions, fail_on=st.sampled_from(["leaf", "any"]))


@given(flows(past=False, options=calm), st.lists(st.sampled_from(ORDINARY), max_size=30), st.data())
def test_every_end_agrees_with_the_trigger_rules_whatever_the_order(flow: Flow, script: list[Happening], data: st.DataObject):
    world = World(flow, started=False)
    world.sizes = data.draw(sizes(flow))
    world.tell(RunStarted())
    for happening in script:
        happen(world, data, happening)
    finish(world, data, ends)
    graph = Graph.of(flow)
    away = turned_away(flow, world, graph)
    for key, record in world.machine.records.items():
        expected = judged(flow, world, graph, key)
        ran = record.attempt > 0 or (record.state is S.SUCCESS and flow.task(key.task_id).is_empty)
        if ran:
            assert expected is Decision.RUN, key
        elif record.state is S.UPSTREAM_FAILED:
            assert expected is Decision.UPSTREAM_FAILED, key
        else:
            decided_early = bool({key.task_id} & away)
            race = flow.task(key.task_id).options.trigger_rule is TriggerRule.ALL_SUCCESS and expected is Decision.UPSTREAM_FAILED
            assert record.state is S.SKIPPED, key
            assert expected is Decision.SKIP or decided_early or race or world.sizes.get(key.task_id) == 0, key
    states = [record.state for record in world.machine.records.values()]
    assert world.run.state in {run_outcome(states, states, "any"), RunState.SUCCESS if flow.options.fail_on == "leaf" else RunState.FAILED}


def goes_without(flow: Flow, key: TaskKey) -> bool:
    """An empty task never leaves the driver; an approval asks all the same."""
    task = flow.task(key.task_id)
    return task.is_empty and task.options.as_ is not TaskKind.APPROVAL


@given(flows(past=False, options=calm, rules=st.just(TriggerRule.ALL_SUCCESS), setups=False), st.data())
def test_without_trouble_everything_runs_once_in_an_order_that_respects_the_edges(flow: Flow, data: st.DataObject):
    flow_without_branches = [task for task in flow.tasks if task.options.as_ is TaskKind.BRANCH]
    world = World(flow, started=False)
    world.sizes = data.draw(sizes(flow, least=1))
    world.tell(RunStarted())
    ended: list[str] = []
    while not world.run.state.is_finished:
        key = data.draw(st.sampled_from(world.machine.waiting()))
        above = [copy for id in Graph.of(flow).upstream(key.task_id) for copy in copies_of(world.machine.records, id)]
        assert all(str(copy.key) in ended or goes_without(flow, copy.key) for copy in above)
        is_approval = flow.task(key.task_id).options.as_ is TaskKind.APPROVAL
        world.succeed(str(key), decision="Go on?" if is_approval else [task.id for task in flow.tasks])
        if is_approval:
            world.tell(AnswerGiven(key=key, answer="yes"))
            world.succeed(str(key))
        ended.append(str(key))
    assert world.run.state is RunState.SUCCESS
    assert set(world.states().values()) == {"success"}
    every = world.machine.records.values()
    assert sorted(ended) == sorted(str(record.key) for record in every if not goes_without(flow, record.key))
    assert all((record.key.map_index >= 0) == is_mapped(flow.task(record.key.task_id)) for record in every)
    branches = [copy for task in flow_without_branches if not task.is_empty for copy in copies_of(world.machine.records, task.id)]
    assert all("followed" in copy.note for copy in branches)


@given(flows(most=5), happenings, st.data())
def test_asking_why_changes_nothing_and_always_has_an_answer(flow: Flow, script: list[tuple[Happening, int]], data: st.DataObject):
    world = World(flow, started=False)
    for happening, _ in script[:12]:
        happen(world, data, happening)
        run, records = world.run, dict(world.machine.records)
        answers = [world.machine.explain(key, world.now).reason for key in records]
        assert all(answers)
        assert (world.run, dict(world.machine.records)) == (run, records)
        world.machine.check()
