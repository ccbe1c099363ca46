# SPDX-License-Identifier: BSD-3-Clause
"""Random flows: chains, fans, joins, retries and branches with tiny bodies, as a Flow or as the notebook that says the same."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import nbformat

from nbflow.core.ids import FlowName, TaskId
from nbflow.core.model import Edge, Flow, Read, Task
from nbflow.core.options import TaskKind, TaskOptions, TriggerRule

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One task of a random flow."""

    id: str
    #: Tasks whose value it adds up.
    reads: tuple[str, ...] = ()
    #: Tasks it only waits for.
    after: tuple[str, ...] = ()
    seconds: float = 0.0
    fails_first: bool = False
    #: The task a branch follows; "" for any other task.
    follows: str = ""
    joins_branches: bool = False

    @property
    def body(self) -> str:
        lines = [
            "from tests.chaos.body import work",
            f"work({self.seconds:.3f}, fails_first={self.fails_first})",
            f"x_{self.id} = {' + '.join(['1', *(f'x_{id}' for id in self.reads)])}",
        ]
        return "\n".join([*lines, f"'{self.follows}'"] if self.follows else lines)

    @property
    def options(self) -> TaskOptions:
        rule = TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS if self.joins_branches else TriggerRule.ALL_SUCCESS
        kind = TaskKind.BRANCH if self.follows else TaskKind.PLAIN
        return TaskOptions(retries=1, retry_delay=timedelta(milliseconds=50), trigger_rule=rule, as_=kind, after=self.after)

    @property
    def line(self) -> str:
        """The `%%task` line that says the same."""
        words = ["%%task", self.id, "--retries 1 --retry-delay 0.05"]
        words += [f"--after {' '.join(self.after)}"] if self.after else []
        words += ["--as branch"] if self.follows else []
        words += [f"--trigger-rule {self.options.trigger_rule.value}"] if self.joins_branches else []
        return " ".join(words)


def plan(seed: int, *, size: int = 6) -> tuple[Planned, ...]:
    """The tasks of this seed, in an order in which each stands below what it waits for."""
    dice = random.Random(f"flow {seed}")
    tasks: list[Planned] = []
    while len(tasks) < size:
        id = f"t{len(tasks)}"
        readable = [task.id for task in tasks if not task.id.startswith("b") and not task.follows]  # a branch skips what it does not choose
        reads = tuple(sorted(dice.sample(readable, dice.randint(0, min(2, len(readable)))))) if readable else ()
        seconds = dice.choice([0.0, 0.05, 0.2, 0.4])
        if tasks and dice.random() < 0.15:
            tasks += _branch(id, reads, seconds, len(tasks), dice)
        else:
            tasks.append(Planned(id=id, reads=reads, seconds=seconds, fails_first=dice.random() < 0.2))
    return tuple(tasks)


def _branch(id: str, reads: tuple[str, ...], seconds: float, number: int, dice: random.Random) -> list[Planned]:
    """A branch with two arms and the task where they meet."""
    arms = (f"b{number}_left", f"b{number}_right")
    return [
        Planned(id=id, reads=reads, seconds=seconds, follows=dice.choice(arms)),
        *(Planned(id=arm, after=(id,), seconds=dice.choice([0.0, 0.1])) for arm in arms),
        Planned(id=f"b{number}_join", after=arms, joins_branches=True),
    ]


def as_flow(tasks: tuple[Planned, ...], name: str) -> Flow:
    edges = [Edge(upstream=TaskId(id), downstream=TaskId(task.id), names=(f"x_{id}",)) for task in tasks for id in task.reads]
    edges += [Edge(upstream=TaskId(id), downstream=TaskId(task.id)) for task in tasks for id in task.after]
    read = {id for task in tasks for id in task.reads}
    made = (
        Task(
            id=TaskId(task.id),
            source=task.body,
            options=task.options,
            reads=tuple(Read(name=f"x_{id}", writers=(TaskId(id),)) for id in task.reads),
            writes=(f"x_{task.id}",),
            demands=(f"x_{task.id}",) if task.id in read else (),
        )
        for task in tasks
    )
    return Flow(name=FlowName(name), tasks=tuple(made), edges=tuple(edges))


def write_notebook(tasks: tuple[Planned, ...], path: Path) -> None:
    """The same flow as cells, with a plain cell and an advance somewhere in the middle."""
    middle = len(tasks) // 2
    cells = ["%load_ext nbflow", "plain = 1"]
    cells += [f"{task.line}\n{task.body}" for task in tasks[:middle]]
    cells += ["%nbflow run", "plain = 2"]
    cells += [f"{task.line}\n{task.body}" for task in tasks[middle:]]
    made = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": PYTHON}), path)


def values(tasks: tuple[Planned, ...]) -> dict[str, int]:
    """What each task gives."""
    found: dict[str, int] = {}
    for task in tasks:
        found[task.id] = 1 + sum(found[id] for id in task.reads)
    return found
