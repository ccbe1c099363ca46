# SPDX-License-Identifier: BSD-3-Clause
"""A notebook's cells as a Flow, found without running anything; every problem at once, each with its cell and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbflow.authoring import advice
from nbflow.authoring.branches import read_choices
from nbflow.authoring.cell_kinds import CellKind, classify
from nbflow.authoring.cell_reader import CellReader
from nbflow.authoring.infer import Inference
from nbflow.authoring.notebook_file import CellSource
from nbflow.authoring.units import Unit, Units
from nbflow.core.errors import FlowError, Problem, nearest
from nbflow.core.graph import CycleError
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.model import Flow, Shape, Task
from nbflow.core.options import TaskKind

__all__ = ["CellKind", "build_flow", "classify", "find_problems"]


def build_flow(cells: Sequence[CellSource], *, name: str, path: str = "", installation: Mapping[str, Any] | None = None) -> Flow:
    """The flow these cells describe. `installation` are options of tasks for where nothing else is said. Raises FlowError with every problem."""
    built = _Built(cells, name, path, installation)
    errors = [problem for problem in built.problems if problem.severity == "error"]
    if errors or built.flow is None:
        raise FlowError(errors, path)
    return built.flow


def find_problems(
    cells: Sequence[CellSource], *, name: str = "notebook", path: str = "", installation: Mapping[str, Any] | None = None
) -> tuple[Problem, ...]:
    """Everything that is or may go wrong, errors and warnings, in the order of the notebook."""
    return tuple(sorted(_Built(cells, name, path, installation).problems))


@dataclass
class _Order:
    """Edges without data, found so far."""

    pairs: set[tuple[TaskId, TaskId]] = field(default_factory=set)


class _Built:
    """One reading of a notebook."""

    def __init__(self, cells: Sequence[CellSource], name: str, path: str, installation: Mapping[str, Any] | None) -> None:
        self.reader = CellReader(cells, installation)
        self.problems: list[Problem] = self.reader.problems
        self.flow: Flow | None = None
        self._order = _Order()
        self._units = Units(self.reader.units)
        self._ids = [unit.task for unit in self.reader.units if unit.task is not None]
        self._read_after()
        self._inference = Inference(self._units, frozenset(self._order.pairs))
        self._inference.settle()
        self._follow_branches()
        if self._has_cycle():
            return
        self._refuse_shared_changes()
        self.problems += advice.warnings(self._inference, self.reader)
        self.flow = self._make_flow(name, path)

    # --- order without data ---------------------------------------------------------------------------------------------

    def _read_after(self) -> None:
        for unit in self._tasks():
            for word in unit.options.after:
                found = self._expand(word, unit)
                if not found:
                    groups = {".".join(id.split(".")[:depth]) for id in self._ids for depth in range(1, id.count(".") + 1)}
                    hint = nearest(word, [*self._ids, *groups])
                    self._wrong(unit, f'--after of task {unit.task}: there is no task or group "{word}".{hint}', code="unknown-task")
                self._order.pairs.update((above, self._id(unit)) for above in found)

    def _expand(self, word: str, unit: Unit) -> list[TaskId]:
        """A task, or the tasks of a group, without the one that says so; what comes after a group does not wait for its teardowns."""
        if word in self._ids:
            return [TaskId(word)]
        inside = [other for other in self._tasks() if self._id(other).startswith(word + ".") and other is not unit]
        last = [other for other in inside if other.options.as_ is not TaskKind.TEARDOWN]
        return [self._id(other) for other in last or inside]

    def _follow_branches(self) -> None:
        """An edge from a branch to each task below that it names and nothing connects to it yet."""
        graph = self._inference.graph()
        known = [*self._ids, *{id.rpartition(".")[0] for id in self._ids}]
        for unit in self._tasks():
            if unit.options.as_ is not TaskKind.BRANCH or unit.operator != "cell":
                continue
            branch = self._id(unit)
            try:
                choices = read_choices(unit.source)
            except (SyntaxError, ValueError):
                continue  # said where the cell was read
            below = set(self._ids[self._ids.index(branch) + 1 :])
            for text in choices.texts:
                named = (TaskId(text),) if text in graph else graph.group_roots(text)
                self._order.pairs.update((branch, id) for id in named if id in below and id not in graph.descendants(branch))
            for text, line in choices.certain:
                if text not in graph and not graph.group_roots(text):
                    message = f'Branch {branch} may choose "{text}", which is no task or group of this flow.{nearest(text, known)}'
                    self._wrong(unit, message, line=line + unit.cell.offset, code="unknown-choice", severity="warning")
        if self._order.pairs != self._inference.order:
            self._inference.order = frozenset(self._order.pairs)
            self._inference.settle()

    def _has_cycle(self) -> bool:
        try:
            _ = self._inference.graph().order
        except CycleError as error:
            first = next(unit for unit in self._tasks() if unit.task == error.path[0])
            self._wrong(first, str(error), code="cycle")
            return True
        return False

    @property
    def _groups(self) -> dict[TaskId, str]:
        return {self._id(unit): unit.mapped_group for unit in self._tasks()}

    def _refuse_shared_changes(self) -> None:
        """Each copy of a mapped task has its own copy of what it takes: a change of it would be seen by nobody, or by chance."""
        for place, unit in enumerate(self._units.units):
            if unit.task is None or not unit.options.map:
                continue
            for read in self._inference.reads(place):
                inside = [writer for writer in read.writers if read.element and self._groups.get(writer) == unit.mapped_group]
                if unit.mapped_group and inside:
                    message = (
                        f"Group {unit.mapped_group} is mapped over `{read.name}`, which its own task {inside[0]} gives: "
                        "a group cannot wait for itself."
                    )
                    self._wrong(unit, message, code="cycle")
                beside = unit.mapped_group and all(self._groups.get(writer) == unit.mapped_group for writer in read.writers)
                if read.mutates and read.name not in unit.names.writes and not (beside and read.writers):
                    message = (
                        f"Task {unit.task} is mapped and changes `{read.name}` in place, which all its copies share: "
                        "bind the result to a new name; below, it is the list of what the copies gave."
                    )
                    self._wrong(unit, message, code="mapped-change")

    # --- the flow -------------------------------------------------------------------------------------------------------

    def _make_flow(self, name: str, path: str) -> Flow:
        header, inference = self.reader.header, self._inference
        demands = inference.demands()
        tasks: list[Task] = []
        captures: dict[str, None] = {}
        early: list[tuple[TaskId, str]] = []
        for place, unit in enumerate(self._units.units):
            if unit.task is None:
                continue
            reads = inference.reads(place)
            gives = tuple(self._units.effects[place].gives)
            wanted = demands.get(place, frozenset()) | set(unit.options.writes)
            captures.update(dict.fromkeys(read.name for read in reads if read.plain and not read.element))
            early += [(unit.task, read.name) for read in reads if inference.is_early(read.name, place)]
            tasks.append(
                Task(
                    id=unit.task,
                    operator=unit.operator,
                    source=unit.source,
                    options=unit.options,
                    cell=unit.cell,
                    reads=reads,
                    writes=gives,
                    demands=tuple(given for given in gives if given in wanted),
                    doc=unit.doc,
                    mapped_group=unit.mapped_group,
                    shape=_zipped(unit),
                )
            )
        return Flow(
            name=header.name or FlowName(name),
            tasks=tuple(tasks),
            edges=inference.edges(),
            options=header.options,
            parameters=self.reader.parameters,
            path=path,
            captures=tuple(captures),
            early_captures=tuple(early),
        )

    def _tasks(self) -> list[Unit]:
        return [unit for unit in self._units.units if unit.task is not None]

    def _id(self, unit: Unit) -> TaskId:
        assert unit.task is not None
        return unit.task

    def _wrong(self, unit: Unit, message: str, *, code: str, line: int = 0, severity: str = "error") -> None:
        at = line or unit.cell.offset
        self.problems.append(Problem(cell=unit.cell.number, line=at, message=message, code=code, severity=severity))


def _zipped(unit: Unit) -> Shape | None:
    """How the elements of a task with `--zip` are put together."""
    if not unit.options.zip:
        return None
    return Shape(how="zip", parts=tuple(Shape(read=number) for number in range(len(unit.options.map))))
