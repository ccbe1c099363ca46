# SPDX-License-Identifier: BSD-3-Clause
"""Flows whose tasks do nothing, so that what is measured is everything around them."""

from __future__ import annotations

from collections.abc import Iterable

from nbflow.core.ids import FlowName, TaskId
from nbflow.core.model import Edge, Flow, Read, Task


def chain(length: int) -> Flow:
    """`%%task` cells: `x0 = 0`, then `x1 = x0 + 1` and so on; each task reads what the one before gave."""
    return _linked("chain", "cell", [f"x{number} = x{number - 1} + 1" if number else "x0 = 0" for number in range(length)])


def chain_of_functions(length: int) -> Flow:
    """The same as `@task` functions."""
    return _linked(
        "functions",
        "python",
        [
            f"def t{number}(x{number - 1}):\n    return x{number - 1} + 1" if number else "def t0():\n    return 0"
            for number in range(length)
        ],
    )


def _linked(name: str, operator: str, sources: Iterable[str]) -> Flow:
    from nbflow.core.options import TaskOptions

    tasks, edges = [], []
    for number, source in enumerate(sources):
        id, gives = TaskId(f"t{number}"), f"x{number}"
        reads: tuple[Read, ...] = ()
        if number:
            before, read = TaskId(f"t{number - 1}"), f"x{number - 1}"
            reads = (Read(name=read, writers=(before,)),)
            edges.append(Edge(upstream=before, downstream=id, names=(read,)))
        options = TaskOptions(out=gives) if operator == "python" else TaskOptions()
        tasks.append(
            Task(id=id, operator=operator, source=source, reads=reads, writes=(gives,), demands=(gives,), options=options),
        )
    return Flow(name=FlowName(name), tasks=tuple(tasks), edges=tuple(edges))


def fan(width: int) -> Flow:
    """One task, `width` tasks after it, one after all of them; only order, no values."""
    return layers([1, width, 1], name="fan")


def layers(widths: Iterable[int], name: str = "layers") -> Flow:
    """Layers of tasks; each task follows every task of the layer above when one of both has a single task, else the one above it."""
    tasks: list[Task] = []
    edges: list[Edge] = []
    above: list[TaskId] = []
    for depth, width in enumerate(widths):
        here = [TaskId(f"t{depth}_{number}") for number in range(width)]
        tasks += [Task(id=id, source="pass") for id in here]
        if len(above) == len(here) > 1:
            edges += [Edge(upstream=upper, downstream=lower) for upper, lower in zip(above, here, strict=True)]
        else:
            edges += [Edge(upstream=upper, downstream=lower) for upper in above for lower in here]
        above = here
    return Flow(name=FlowName(name), tasks=tuple(tasks), edges=tuple(edges))
