# SPDX-License-Identifier: BSD-3-Clause
"""Random flows, and random things that happen to their runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from itertools import combinations

from hypothesis import strategies as st

from nbflow.core.ids import FlowName, TaskId
from nbflow.core.model import Edge, Flow, FlowOptions, Read, Task
from nbflow.core.options import PastCheck, TaskKind, TaskOptions, TriggerRule


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


def durations(most: int) -> st.SearchStrategy[timedelta]:
    return st.integers(0, most).map(lambda seconds: timedelta(seconds=seconds))


@st.composite
def task_options(draw: st.DrawFn, rules: st.SearchStrategy[TriggerRule], *, setups: bool, past: bool) -> TaskOptions:
    """Options that decide what happens next. Without `setups` there are no setups and teardowns, without `past` nobody depends on it."""
    scopes = {TaskKind.SETUP, TaskKind.TEARDOWN}
    kind = draw(st.sampled_from([*[TaskKind.PLAIN] * 6, *(kind for kind in TaskKind if setups or kind not in scopes)]))
    lenient = draw(st.sampled_from(["", "", "soft_fail", "never_fail", "silent_fail"])) if kind is TaskKind.SENSOR else ""
    waits = kind in {TaskKind.SENSOR, TaskKind.APPROVAL}
    return TaskOptions(
        **({lenient: True} if lenient else {}),
        ignore_downstream_trigger_rules=draw(st.booleans()),
        on_failure_fail_run=draw(st.booleans()),
        poke=draw(st.integers(1, 100).map(lambda seconds: timedelta(seconds=seconds))) if waits else timedelta(minutes=1),
        exponential=draw(st.booleans()) if waits else False,
        timeout=draw(st.integers(1, 400).map(lambda seconds: timedelta(seconds=seconds))) if waits else None,
        default=draw(st.sampled_from(["", "yes", "no"])) if kind is TaskKind.APPROVAL else "",
        retries=draw(st.integers(0, 2)),
        retry_delay=draw(durations(60)),
        backoff=draw(st.sampled_from([0.0, 1.0, 2.0])),
        infra_retries=draw(st.integers(0, 2)),
        trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS if kind is TaskKind.TEARDOWN else draw(rules),
        as_=kind,
        priority=draw(st.integers(0, 2)),
        depends_on_past=draw(st.sampled_from([*[PastCheck.NO] * 6, PastCheck.WAIT, PastCheck.SKIP])) if past else PastCheck.NO,
        wait_for_past_depends_before_skipping=draw(st.booleans()) if past else False,
    )


@st.composite
def flow_options(draw: st.DrawFn) -> FlowOptions:
    return FlowOptions(
        run_timeout=draw(st.none() | st.integers(1, 300).map(lambda seconds: timedelta(seconds=seconds))),
        fail_fast=draw(st.booleans()),
        fail_on=draw(st.sampled_from(["leaf", "any"])),
    )


@st.composite
def map_reads(draw: st.DrawFn, upstream: list[TaskId]) -> tuple[Read, ...]:
    """What a task maps over, if it does: up to two values, each of some of its upstream tasks or of a plain cell."""
    reads = []
    for number in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        writers = tuple(draw(st.lists(st.sampled_from(upstream), unique=True, max_size=2))) if upstream else ()
        reads.append(Read(name=f"xs{number}", writers=writers, plain=not writers or draw(st.booleans()), element=f"x{number}"))
    return tuple(reads)


@st.composite
def flows(
    draw: st.DrawFn,
    *,
    most: int = 7,
    rules: st.SearchStrategy[TriggerRule] = st.sampled_from(TriggerRule),  # noqa: B008 - as below
    options: st.SearchStrategy[FlowOptions] = flow_options(),  # noqa: B008 - a strategy is immutable
    setups: bool = True,
    mapped: bool = True,
    past: bool = True,
) -> Flow:
    """A flow of up to `most` tasks, some in groups, some empty; edges lead down an order that need not be the one written."""
    size = draw(st.integers(1, most))
    ids = [TaskId(f"{draw(st.sampled_from(['', '', 'left.', 'right.']))}t{number}") for number in range(size)]
    pairs = list(combinations(ids, 2))
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=3 * size)) if pairs else []
    tasks = [
        Task(id=id, source="" if draw(st.integers(0, 9)) == 0 else "x = 1", options=draw(task_options(rules, setups=setups, past=past)))
        for id in ids
    ]
    if mapped:
        tasks = [replace(task, reads=draw(map_reads([above for above, below in edges if below == task.id]))) for task in tasks]
    return Flow(
        name=FlowName("random"),
        tasks=tuple(draw(st.permutations(tasks))),
        edges=tuple(Edge(upstream=above, downstream=below) for above, below in edges),
        options=draw(options),
    )
