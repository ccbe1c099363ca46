# SPDX-License-Identifier: BSD-3-Clause
"""Flows whose tasks do nothing, so that what is measured is everything around them."""

from __future__ import annotations

from nbflow.core.ids import FlowName, TaskId
from nbflow.core.model import Edge, Flow, Read, Task


def chain(length: int) -> Flow:
    """`x = 0`, then `x = x + 1` again and again: each task reads what the one before gave."""
    tasks = [Task(id=TaskId("t0"), source="x0 = 0", writes=("x0",), demands=("x0",))]
    edges = []
    for number in range(1, length):
        before, name = TaskId(f"t{number - 1}"), f"x{number}"
        tasks.append(
            Task(
                id=TaskId(f"t{number}"),
                source=f"{name} = x{number - 1} + 1",
                reads=(Read(name=f"x{number - 1}", writers=(before,)),),
                writes=(name,),
                demands=(name,),
            )
        )
        edges.append(Edge(upstream=before, downstream=TaskId(f"t{number}"), names=(f"x{number - 1}",)))
    return Flow(name=FlowName("chain"), tasks=tuple(tasks), edges=tuple(edges))


def fan(width: int) -> Flow:
    """One task, `width` tasks after it, one after all of them; only order, no values."""
    first, last = TaskId("first"), TaskId("last")
    middle = [TaskId(f"m{number}") for number in range(width)]
    tasks = [Task(id=name, source="pass") for name in (first, *middle, last)]
    edges = [Edge(upstream=first, downstream=name) for name in middle] + [Edge(upstream=name, downstream=last) for name in middle]
    return Flow(name=FlowName("fan"), tasks=tuple(tasks), edges=tuple(edges))
