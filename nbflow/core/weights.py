# SPDX-License-Identifier: BSD-3-Clause
"""Priority weights: how urgent a task is, given what stands below or above it (semantics.md 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId
from nbflow.core.limits import Demand
from nbflow.core.model import Flow
from nbflow.core.options import TaskOptions, WeightRule

_LARGEST: Final = 2**31 - 1
_SMALLEST: Final = -(2**31)


def priority_weights(graph: Graph, options: Mapping[TaskId, TaskOptions]) -> dict[TaskId, int]:
    """The weight of each task: its own priority, with `downstream` also those of all below it, with `upstream` of all above; within 32 bits."""
    rules = {options[id].weight_rule for id in graph.ids}
    sums: dict[WeightRule, dict[TaskId, int]] = {}
    if WeightRule.DOWNSTREAM in rules:
        sums[WeightRule.DOWNSTREAM] = _sums(graph, options, reversed(graph.order), graph.downstream)
    if WeightRule.UPSTREAM in rules:
        sums[WeightRule.UPSTREAM] = _sums(graph, options, graph.order, graph.upstream)
    found = {}
    for id in graph.ids:
        weight = options[id].priority + sums.get(options[id].weight_rule, {}).get(id, 0)
        found[id] = max(_SMALLEST, min(_LARGEST, weight))
    return found


def _sums(
    graph: Graph, options: Mapping[TaskId, TaskOptions], order: Iterable[TaskId], near: Callable[[TaskId], tuple[TaskId, ...]]
) -> dict[TaskId, int]:
    """The priorities of all that is reached from each task, each counted once. Sets of tasks are the bits of one number."""
    bits = {id: 1 << place for id, place in graph.position.items()}
    of_priority: dict[int, int] = {}
    for id in graph.ids:
        priority = options[id].priority
        of_priority[priority] = of_priority.get(priority, 0) | bits[id]
    reached: dict[TaskId, int] = {}
    found: dict[TaskId, int] = {}
    for id in order:
        below = 0
        for other in near(id):
            below |= reached[other] | bits[other]
        reached[id] = below
        found[id] = sum(priority * (below & members).bit_count() for priority, members in of_priority.items())
    return found


def demands(flow: Flow, weights: Mapping[TaskId, int]) -> dict[TaskId, Demand]:
    """What each task of the flow takes of pools and limits."""
    return {
        task.id: Demand(
            pool=task.options.pool,
            slots=task.options.slots,
            weight=weights[task.id],
            max_active_tasks=flow.options.max_active_tasks,
            max_active_tasks_per_run=flow.options.max_active_tasks_per_run,
            max_active=task.options.max_active,
            max_active_per_run=task.options.max_active_per_run,
        )
        for task in flow.tasks
        if task.id in weights
    }
