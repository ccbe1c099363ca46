# SPDX-License-Identifier: BSD-3-Clause
"""Random flows, and what may happen to their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from itertools import combinations

from nbflow.core.ids import FlowName, TaskId
from nbflow.core.model import Edge, Flow, FlowOptions, Read, Task
from nbflow.core.options import PastCheck, TaskKind, TaskOptions, TriggerRule
from tests.chance import Chance


class Happening(StrEnum):
    """One thing that may happen to a run; `test_machine_properties` says how."""

    GRANT = "grant"
    START = "start"
    FIND = "find"
    PAST = "past"
    SUCCEED = "succeed"
    FAIL = "fail"
    FAIL_FOR_GOOD = "fail_for_good"
    SKIP = "skip"
    DEFER = "defer"
    FIRE = "fire"
    ANSWER = "answer"
    LOSE = "lose"
    LOSE_UNSTARTED = "lose_unstarted"
    REPEAT = "repeat"
    STALE = "stale"
    TIME = "time"
    RELEASE = "release"
    CANCEL_TASK = "cancel_task"
    CANCEL_RUN = "cancel_run"
    MARK_TASK = "mark_task"
    MARK_RUN = "mark_run"
    CLEAR = "clear"
    ABANDON = "abandon"


#: What happens by itself; the rest is what people do.
ORDINARY = (
    Happening.GRANT,
    Happening.START,
    Happening.FIND,
    Happening.PAST,
    Happening.SUCCEED,
    Happening.FAIL,
    Happening.FAIL_FOR_GOOD,
    Happening.SKIP,
    Happening.DEFER,
    Happening.FIRE,
    Happening.ANSWER,
    Happening.LOSE,
    Happening.LOSE_UNSTARTED,
    Happening.REPEAT,
    Happening.STALE,
    Happening.TIME,
)


Edges = list[tuple[TaskId, TaskId]]
EVERY_RULE = tuple(TriggerRule)


def seconds(chance: Chance, low: int, high: int) -> timedelta:
    return timedelta(seconds=chance.integer(low, high))


def yes(chance: Chance) -> bool:
    return chance.integer(0, 1) == 1


def make_options(chance: Chance, rules: Sequence[TriggerRule], *, setups: bool, past: bool) -> TaskOptions:
    """Options that decide what happens next. Without `setups` there are no setups and teardowns, without `past` nobody depends on it."""
    scopes = {TaskKind.SETUP, TaskKind.TEARDOWN}
    kind = chance.one_of([*[TaskKind.PLAIN] * 6, *(kind for kind in TaskKind if setups or kind not in scopes)])
    lenient = chance.one_of(["", "", "soft_fail", "never_fail", "silent_fail"]) if kind is TaskKind.SENSOR else ""
    waits = kind in {TaskKind.SENSOR, TaskKind.APPROVAL}
    return TaskOptions(
        **({lenient: True} if lenient else {}),
        ignore_downstream_trigger_rules=kind is TaskKind.SHORT_CIRCUIT and yes(chance),
        on_failure_fail_run=kind is TaskKind.TEARDOWN and yes(chance),
        poke=seconds(chance, 1, 100) if waits else timedelta(minutes=1),
        exponential=waits and yes(chance),
        timeout=seconds(chance, 1, 400) if waits else None,
        default=chance.one_of(["", "yes", "no"]) if kind is TaskKind.APPROVAL else "",
        retries=chance.integer(0, 2),
        retry_delay=seconds(chance, 0, 60),
        backoff=chance.one_of([0.0, 1.0, 2.0]),
        infra_retries=chance.integer(0, 2),
        trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS if kind is TaskKind.TEARDOWN else chance.one_of(rules),
        as_=kind,
        priority=chance.integer(0, 2),
        depends_on_past=chance.one_of([*[PastCheck.NO] * 6, PastCheck.WAIT, PastCheck.SKIP]) if past else PastCheck.NO,
        wait_for_past_depends_before_skipping=past and yes(chance),
    )


def make_flow_options(chance: Chance, *, calm: bool) -> FlowOptions:
    """A calm flow ends by itself."""
    fail_on = chance.one_of(["leaf", "any"])
    if calm:
        return FlowOptions(fail_on=fail_on)
    return FlowOptions(run_timeout=seconds(chance, 1, 300) if yes(chance) else None, fail_fast=yes(chance), fail_on=fail_on)


def make_map_reads(chance: Chance, upstream: Sequence[TaskId]) -> tuple[Read, ...]:
    """What a task maps over, if it does: up to two values, each of some of its upstream tasks or of a plain cell."""
    reads = []
    for number in range(chance.one_of([0, 0, 0, 1, 1, 2])):
        writers = tuple(chance.some_of(upstream, 0, 2)) if upstream else ()
        reads.append(Read(name=f"xs{number}", writers=writers, plain=not writers or yes(chance), element=f"x{number}"))
    return tuple(reads)


def with_mapped_group(chance: Chance, tasks: list[Task], edges: Edges) -> tuple[list[Task], Edges]:
    """The tasks of group `left` mapped as a whole, over values of tasks before all of them, or of a plain cell."""
    inside = [task.id for task in tasks if task.id.startswith("left.")]
    if not inside:
        return tasks, edges
    before = [task.id for task in tasks[: next(place for place, task in enumerate(tasks) if task.id in inside)]]
    writers = tuple(chance.some_of(before, 0, 1)) if before else ()
    reads = (Read(name="xs", writers=writers, plain=not writers, element="x"),)
    first = [id for id in inside if not any(below == id and above in inside for above, below in edges)]
    edges = list(dict.fromkeys([*edges, *((writer, id) for writer in writers for id in first)]))
    return [replace(task, reads=reads, mapped_group="left") if task.id in inside else task for task in tasks], edges


def make_flow(chance: Chance, *, most: int = 7, rules: Sequence[TriggerRule] = EVERY_RULE, calm: bool = False, setups: bool = True) -> Flow:
    """A flow of up to `most` tasks, some in groups, some empty, some mapped; edges lead down an order that need not be the one written.

    A calm flow ends by itself, and does not ask how it went before.
    """
    size = chance.integer(1, most)
    ids = [TaskId(f"{chance.one_of(['', '', 'left.', 'right.'])}t{number}") for number in range(size)]
    pairs = list(combinations(ids, 2))
    edges = chance.some_of(pairs, 0, 3 * size) if pairs else []
    tasks = [
        Task(id=id, source="" if chance.integer(0, 9) == 0 else "x = 1", options=make_options(chance, rules, setups=setups, past=not calm))
        for id in ids
    ]
    tasks = [replace(task, reads=make_map_reads(chance, [above for above, below in edges if below == task.id])) for task in tasks]
    if chance.integer(0, 2) == 0:
        tasks, edges = with_mapped_group(chance, tasks, edges)
    return Flow(
        name=FlowName("random"),
        tasks=tuple(chance.some_of(tasks, size, size)),
        edges=tuple(Edge(upstream=above, downstream=below) for above, below in edges),
        options=make_flow_options(chance, calm=calm),
    )
