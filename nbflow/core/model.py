# SPDX-License-Identifier: BSD-3-Clause
"""What was written: a flow, its tasks, the edges between them, and where each name a task reads comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from nbflow.core.ids import FlowName, TaskId
from nbflow.core.options import TaskOptions


@dataclass(frozen=True, kw_only=True)
class CellRef:
    """Where in a notebook something stands. `number` counts all cells of the file from 1; 0 when it is not in the file yet."""

    number: int = 0
    id: str = ""
    #: Lines of the cell before the body (the `%%task` line): body line n is cell line n + offset.
    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class Read:
    """One name a task reads, and who gives it.

    `writers` are tasks, the nearest first: all but the last may be skipped, and the value is taken from the nearest that *succeeded*.
    When none did: the capture of the plain cell, if `plain`, else the name is unbound.
    """

    name: str
    writers: tuple[TaskId, ...] = ()
    plain: bool = False
    #: The task changes the value in place.
    mutates: bool = False
    #: The task is mapped over the value: each copy has one element of it bound to this name, and does not get the value itself.
    element: str = ""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the elements of a mapped task are put together from the values it maps over (core/mapping.py)."""

    #: `element` (of one value), `product` (all combinations, the last varies fastest), `zip` (in pairs, to the shortest), `fill` (to the
    #: longest), `concat` (one after the other).
    how: str = "element"
    #: Of an element: which of the task's reads with an element it is, counted from 0.
    read: int = 0
    parts: tuple[Shape, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task of a flow."""

    id: TaskId
    #: What runs the body: `cell`, `bash`, `python`, `notebook`.
    operator: str = "cell"
    #: The body as typed, without the `%%task` line.
    source: str = ""
    options: TaskOptions = field(default_factory=TaskOptions)
    cell: CellRef = field(default_factory=CellRef)
    reads: tuple[Read, ...] = ()
    #: Everything the body binds or changes in place, in order of appearance.
    writes: tuple[str, ...] = ()
    #: The part of `writes` it must give: read below it, or listed in `--writes`.
    demands: tuple[str, ...] = ()
    doc: str = ""
    #: The group that is mapped as a whole, of which this task is a part: copies of its tasks with the same map index belong together.
    mapped_group: str = ""
    #: How a mapped task's elements are put together; None: all combinations of what it maps over.
    shape: Shape | None = None
    #: What happens -> the names of the functions that are called then.
    callbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The group, `""` for a task at the top: `download` of `download.mainApp`."""
        return self.id.rpartition(".")[0]

    @property
    def label(self) -> str:
        """The name without its group."""
        return self.id.rpartition(".")[2]

    @property
    def is_empty(self) -> bool:
        """No body: such a task never leaves the driver."""
        return not self.source.strip()


@dataclass(frozen=True, kw_only=True, order=True)
class Edge:
    """`upstream` before `downstream`. `names` are the variables that travel; an edge without any only orders."""

    upstream: TaskId
    downstream: TaskId
    names: tuple[str, ...] = ()

    @property
    def carries_data(self) -> bool:
        return bool(self.names)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of the papermill `parameters` cell."""

    name: str
    default: str  # its source text
    type: str = ""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FlowOptions:
    """What the `%%flow` header says of the flow itself, besides options for its tasks."""

    description: str = ""
    run_timeout: timedelta | None = None
    fail_fast: bool = False
    fail_on: str = "leaf"  # leaf | any
    #: Most tasks at once, over all runs of the flow.
    max_active_tasks: int | None = None
    #: Most tasks of one run at once.
    max_active_tasks_per_run: int | None = None
    tags: tuple[str, ...] = ()
    owner: str = ""
    doc: str = ""
    #: The table [cluster]: a Dask cluster of the flow's own, as the setting `dask` takes one; empty: the installation's.
    cluster: Mapping[str, Any] = field(default_factory=dict)
    #: Options of tasks that the installation said when the flow was read, as `[defaults]` of `nbflow.toml` writes them; they are in the tasks.
    installation: Mapping[str, Any] = field(default_factory=dict)
    #: Keys that belong to a schedule (schedule, timezone, ...), validated, for whoever deploys the flow.
    schedule: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A graph of tasks. `tasks` stand in the notebook's order, which also breaks ties between tasks that may run."""

    name: FlowName
    tasks: tuple[Task, ...] = ()
    edges: tuple[Edge, ...] = ()
    options: FlowOptions = field(default_factory=FlowOptions)
    parameters: tuple[Parameter, ...] = ()
    #: What happens to a run -> the names of the functions that are called then.
    callbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: The file it was written in, absolute; "" when there is none.
    path: str = ""
    #: Of a flow of a `.py` file, where it is found: `MODULE:FLOW`, the module seen from the folder that imports begin in.
    entry: str = ""
    #: Names that tasks take from plain cells: what the kernel must hand over at run start.
    captures: tuple[str, ...] = ()
    #: Names a task must take as they stood at its own definition, since a plain cell below rewrites them: (task, name) pairs.
    early_captures: tuple[tuple[TaskId, str], ...] = ()

    def task(self, task_id: str) -> Task:
        """The task of that id. Raises KeyError."""
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise KeyError(task_id)

    def upstream(self, task_id: str) -> tuple[TaskId, ...]:
        """The direct upstream tasks, in the flow's order."""
        return self._ordered(edge.upstream for edge in self.edges if edge.downstream == task_id)

    def downstream(self, task_id: str) -> tuple[TaskId, ...]:
        """The direct downstream tasks, in the flow's order."""
        return self._ordered(edge.downstream for edge in self.edges if edge.upstream == task_id)

    def _ordered(self, ids: Iterable[TaskId]) -> tuple[TaskId, ...]:
        chosen = set(ids)
        return tuple(task.id for task in self.tasks if task.id in chosen)
