# SPDX-License-Identifier: BSD-3-Clause
"""For random notebooks, tasks run in any order the edges allow, with private inputs, give what top to bottom gives."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core.graph import Graph
from nbflow.core.model import Flow, Task

from .notebooks import flow

NAMES = ("a", "b", "c", "d")
HELPERS = """
def total(): return [len(a)]
def push(xs, n): xs.append(n)
def touch(): c.append(0)
def reset():
    global d
    d = [7]
"""
#: What each helper takes from the notebook.
NEEDS = {"total": "a", "touch": "c", "reset": "d"}
START = "yes, no = True, False\na = [1]\nb = [2]\nc = [3]\nd = [4]"


@dataclass
class Writer:
    """Writes a notebook that runs top to bottom, and in which no plain cell needs what a task gives."""

    draw: st.DrawFn
    bound: set[str] = field(default_factory=lambda: set(NAMES))
    #: Names whose value a task made or changed.
    of_tasks: set[str] = field(default_factory=set)
    count: int = 10

    def cell(self) -> str:
        is_task = self.draw(st.booleans())
        lines = [line for _ in range(self.draw(st.integers(1, 4))) if (line := self.statement(is_task=is_task))]
        # No name may stay another name of the same object: that would tie cells together in a way this test does not cover.
        lines += [f"{name} = list({name})" for name in NAMES if any(line.startswith(f"{name} = ") for line in lines) and name in self.bound]
        self.count += 1
        return "\n".join([f"%%task t{self.count}"] * is_task + lines)

    def statement(self, *, is_task: bool) -> str:  # noqa: C901 - a table of statements
        self.count += 1
        readable = sorted(self.bound if is_task else self.bound - self.of_tasks)
        kind = self.draw(
            st.sampled_from(["new", "sum", "alias", "append", "loop", "maybe", "del", "total", "push", "touch", "reset", "add"])
        )
        target = self.draw(st.sampled_from(NAMES))
        if kind == "new" or not readable:
            return self.gives(target, f"{target} = [{self.count}]", is_task)
        source, other = self.draw(st.sampled_from(readable)), self.draw(st.sampled_from(readable))
        if kind == "sum":
            return self.gives(target, f"{target} = {source} + {other}", is_task)
        if kind == "alias":
            changed = f"{target} = {source}\n{target}.append({self.count})"
            self.gives(source, "", is_task)
            return self.gives(target, changed, is_task)
        if kind == "append":
            return self.gives(source, f"{source}.append({self.count})", is_task)
        if kind == "add":
            return self.gives(source, f"{source} += [{self.count}]", is_task)
        if kind == "loop":
            return self.gives(source, f"for n in {other}[:2]: {source}.append(n)", is_task)
        if kind == "push":
            return self.gives(source, f"push({source}, {self.count})", is_task)
        if kind == "maybe" and target in readable:
            flag = self.draw(st.sampled_from(["yes", "no"]))
            return self.gives(target, f"if {flag}:\n    {target} = [{self.count}]", is_task)
        if kind == "total" and "a" in readable:
            return self.gives(target, f"{target} = total()", is_task)
        if kind == "touch" and "c" in readable:
            return self.gives("c", "touch()", is_task)
        if kind == "reset" and "d" in readable:
            return self.gives("d", "reset()", is_task)
        if kind == "del" and len(self.bound) > 2:
            self.gives(source, "", is_task)
            self.bound.discard(source)
            return f"del {source}"
        return ""

    def gives(self, name: str, line: str, is_task: bool) -> str:  # noqa: FBT001 - called on every line of the table
        self.bound.add(name)
        if is_task:
            self.of_tasks.add(name)
        else:
            self.of_tasks.discard(name)
        return line


@st.composite
def notebooks(draw: st.DrawFn) -> tuple[str, ...]:
    writer = Writer(draw)
    return (HELPERS, START, *(writer.cell() for _ in range(draw(st.integers(1, 8)))))


def top_to_bottom(sources: tuple[str, ...]) -> dict[int, dict[str, Any]]:
    """The values after each cell, by its number."""
    namespace: dict[str, Any] = {}
    after = {}
    for number, source in enumerate(sources, start=1):
        body = source.partition("\n")[2] if source.startswith("%%task") else source
        exec(body, namespace)
        after[number] = values_of(namespace)
    return after


def values_of(namespace: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy({name: namespace[name] for name in NAMES if name in namespace})


class Simulated:
    """A kernel that ran the plain cells, and the tasks' private namespaces."""

    def __init__(self, found: Flow, sources: tuple[str, ...]) -> None:
        self.found = found
        self.kernel: dict[str, Any] = {}
        self.early: dict[tuple[str, str], Any] = {}
        self.given: dict[str, dict[str, Any]] = {}
        by_cell = {task.cell.number: task for task in found.tasks}
        for number, source in enumerate(sources, start=1):
            task = by_cell.get(number)
            if task is None:
                exec(source, self.kernel)
                continue
            for owner, name in found.early_captures:
                if owner == task.id and name in self.kernel:
                    self.early[owner, name] = copy.deepcopy(self.kernel[name]) if name in NAMES else self.kernel[name]

    def run(self, task: Task) -> dict[str, Any]:
        namespace: dict[str, Any] = {}
        exec(HELPERS, namespace)
        named = {one.name: one for one in task.reads}
        needs = {NEEDS[name] for name in named if name in NEEDS}  # what a function needs of the kernel travels with it
        namespace.update(values_of({name: value for name, value in self.kernel.items() if name in needs}))
        inputs: dict[str, Any] = {}
        for name, one in named.items():
            giver = next((writer for writer in one.writers if name in self.given[writer]), None)
            if giver is not None:
                inputs[name] = self.given[giver][name]
            elif one.plain and (task.id, name) in self.early:
                inputs[name] = self.early[task.id, name]
            elif one.plain and name in self.kernel:
                inputs[name] = self.kernel[name]
        lists = {name: value for name, value in inputs.items() if name in NAMES}
        namespace.update({name: value for name, value in inputs.items() if isinstance(value, bool)})
        namespace.update(copy.deepcopy(lists))
        exec(task.source, namespace)
        missing = [name for name in task.demands if name not in namespace]
        assert not missing, f"{task.id} must give {missing}"
        self.given[task.id] = values_of({name: value for name, value in namespace.items() if name in task.writes})
        return self.given[task.id]


@given(notebooks(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_any_order_gives_the_values_of_top_to_bottom(sources: tuple[str, ...], chance: random.Random) -> None:
    found = flow(*sources, "%nbflow run")
    after = top_to_bottom(sources)
    simulated = Simulated(found, sources)
    graph = Graph.of(found)
    waiting = set(graph.ids)
    while waiting:
        ready = sorted(id for id in waiting if not waiting & set(graph.upstream(id)))
        chosen = chance.choice(ready)
        waiting.discard(chosen)
        task = found.task(chosen)
        values = simulated.run(task)
        expected = after[task.cell.number]
        assert values == {name: expected[name] for name in values}
        assert set(task.demands) <= set(values)
