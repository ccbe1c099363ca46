# SPDX-License-Identifier: BSD-3-Clause
"""What `nbflow check` says besides errors: things that are allowed and rarely meant."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations
from typing import Final

from nbflow.authoring.cell_reader import CellReader
from nbflow.authoring.cells import BUILTINS
from nbflow.authoring.infer import Inference
from nbflow.authoring.magics import plain_cell
from nbflow.authoring.units import Unit
from nbflow.core.errors import Problem, nearest
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId
from nbflow.core.messages import name_list
from nbflow.core.options import TaskKind, TriggerRule

#: Rules under which a join below a branch is skipped with any of its sides.
_STRICT: Final = frozenset({TriggerRule.ALL_SUCCESS, TriggerRule.NONE_SKIPPED, TriggerRule.ALL_DONE_MIN_ONE_SUCCESS})
_NEEDS_BELOW: Final = frozenset({TaskKind.SHORT_CIRCUIT, TaskKind.LATEST_ONLY, TaskKind.SETUP})
_SEEDS: Final = frozenset(
    {"random.seed", "np.random.seed", "numpy.random.seed", "torch.manual_seed", "manual_seed", "set_seed", "seed_everything"}
)
_NO_DRAWS: Final = _SEEDS | {"random.Random", "np.random.default_rng", "numpy.random.default_rng", "np.random.RandomState"}
_RANDOM: Final = ("random.", "np.random.", "numpy.random.")
#: What people of nbflow's own vocabulary write without its import.
_OURS: Final = frozenset({"ctx", "SkipTask", "FailTask"})
_GENERATORS: Final = frozenset({"default_rng", "RandomState", "Random"})


def warnings(inference: Inference, reader: CellReader) -> list[Problem]:
    """Everything worth a word; the flow works as it is."""
    advice = _Advice(inference, reader)
    return [
        *advice.unknown_names(),
        *advice.too_early(),
        *advice.no_run(),
        *advice.joins(),
        *advice.seeds(),
        *advice.empty_groups(),
        *advice.pointless(),
        *advice.not_given(),
    ]


class _Advice:
    def __init__(self, inference: Inference, reader: CellReader) -> None:
        self._inference, self._reader = inference, reader
        self._units = inference.units.units
        self._tasks = [(place, unit) for place, unit in enumerate(self._units) if unit.task is not None]

    def unknown_names(self) -> Iterator[Problem]:
        """Names nobody gives: a typing mistake, or something that is injected."""
        given = [*self._inference.units.given_names(), *BUILTINS]
        for place, unit in self._tasks:
            for name, source in self._inference.sources[place].items():
                if source.is_unknown and name not in unit.names.writes:
                    near = nearest(name, [other for other in given if other != name])
                    below = next(self._inference.units.gives_below(name, place), None)
                    star = next((above for above in self._units[:place] if above.task is not None and above.names.stars), None)
                    hint = f" Cell {self._units[below].cell.number} below does." if below is not None else near
                    if star is not None:
                        hint = f" If {star.task} does ({star.names.stars[0]}), add --writes {name} to it."
                    if name in _OURS:
                        hint = f" Write `from nbflow import {name}` in a cell above."
                    message = f"`{name}` is read by task {unit.task} but no cell above gives it.{hint}"
                    yield _warning(unit, message, line=_line_of(unit, name), code="unknown-name")

    def too_early(self) -> Iterator[Problem]:
        """Plain cells that read a task's value before any `%nbflow run` could have made it."""
        for place, unit in enumerate(self._units):
            if unit.task is not None:
                continue
            for name, source in self._inference.sources[place].items():
                if not source.tasks or name in unit.names.deferred:
                    continue
                if not any(between.runs for between in self._units[source.tasks[0] : place + 1]):
                    giver = self._units[source.tasks[0]].task
                    message = f"`{name}` comes from task {giver}, which has not run yet here: move this cell below `%nbflow run`."
                    yield _warning(unit, message, line=_line_of(unit, name), code="read-too-early")

    def no_run(self) -> Iterator[Problem]:
        """Under plain papermill and in a kernel, tasks run at `%nbflow run` only."""
        if self._tasks and not any(unit.runs for unit in self._units):
            message = "No cell says `%nbflow run`: in a kernel and under plain papermill the tasks are defined and never run."
            yield Problem(message=message, code="no-run", severity="warning")

    def joins(self) -> Iterator[Problem]:
        """Tasks that are always skipped with one side of a branch, though they look as if they took either."""
        graph = self._inference.graph()
        skippable = self._inference.parting()
        for place, unit in self._tasks:
            assert unit.task is not None
            if unit.options.trigger_rule not in _STRICT:
                continue
            upstream = [above for above in graph.upstream(unit.task) if above in skippable]
            apart = [pair for pair in combinations(upstream, 2) if _stand_apart(*pair, graph)]
            either = [
                name for name, source in self._inference.sources[place].items() if source.tasks and len(source.tasks) + source.plain > 1
            ]
            if not apart and not either:
                continue
            waits = name_list([id for id in upstream if any(id in pair for pair in apart)] or upstream)
            message = (
                f"Task {unit.task} joins paths of a branch ({waits}): with {unit.options.trigger_rule} it is skipped when one of them is. "
                "Add --trigger-rule none_failed_min_one_success."
            )
            yield _warning(unit, message, code="join")

    def not_given(self) -> Iterator[Problem]:
        """A task that does not run gives nothing: what reads its values reads them in vain."""
        demands = self._inference.demands()
        for place, unit in self._tasks:
            names = sorted(demands.get(place, ()))
            if unit.options.unless_exists and names:
                message = (
                    f"Task {unit.task} does not run when {unit.options.unless_exists} exists, and then cells below do not get "
                    f"{name_list([f'`{name}`' for name in names])}: let them read what exists."
                )
                yield _warning(unit, message, code="not-given")

    def seeds(self) -> Iterator[Problem]:
        """Random generators are seeded afresh for each attempt: what a plain cell seeded does not reach a task."""
        seeded = [(unit.cell.number, generators) for unit in self._units if unit.task is None and (generators := _seeded(unit)) is not None]
        if not seeded:
            return
        cell = seeded[0][0]
        generators = frozenset().union(*(names for _, names in seeded))
        for _, unit in self._tasks:
            drawn = _draws(unit, generators)
            if drawn:
                message = (
                    f"Task {unit.task} draws random numbers ({drawn}), and cell {cell} seeds them for the kernel only: "
                    "every attempt starts with fresh numbers, or with the same copy of a generator. Seed inside the task."
                )
                yield _warning(unit, message, code="seed")

    def empty_groups(self) -> Iterator[Problem]:
        """`[groups.x]` without a task named `x.*`."""
        ids = [unit.task for _, unit in self._tasks if unit.task is not None]
        groups = {".".join(id.split(".")[:depth]) for id in ids for depth in range(1, id.count(".") + 1)}
        cell = self._reader.header_cell
        for group in self._reader.header.groups:
            if group not in groups and cell is not None:
                line = self._reader.header.lines.get(("groups", *group.split(".")), 0)
                message = f"[groups.{group}] holds for no task: none is named {group}.*.{nearest(group, groups)}"
                yield Problem(cell=cell.number, line=line, message=message, code="empty-group", severity="warning")

    def pointless(self) -> Iterator[Problem]:
        """Tasks that decide about what stands below them, where nothing does."""
        graph = self._inference.graph()
        for _, unit in self._tasks:
            assert unit.task is not None
            if unit.options.as_ in _NEEDS_BELOW and not graph.downstream(unit.task):
                kind = unit.options.as_.value
                message = f"Task {unit.task} is a {kind} task and nothing stands below it: add --after {unit.task} to the tasks that depend on it."
                yield _warning(unit, message, code="nothing-below")
            if unit.options.as_ is TaskKind.TEARDOWN and not any(self._is_setup(above) for above in graph.upstream(unit.task)):
                message = f"Teardown {unit.task} stands below no setup: add --after with the tasks that are --as setup, if there are any."
                yield _warning(unit, message, code="no-setup")

    def _is_setup(self, id: TaskId) -> bool:
        return any(unit.task == id and unit.options.as_ is TaskKind.SETUP for _, unit in self._tasks)


def _stand_apart(first: TaskId, second: TaskId, graph: Graph) -> bool:
    """On two paths that part somewhere above."""
    above_first, above_second = graph.ancestors(first), graph.ancestors(second)
    return first not in above_second and second not in above_first and bool(above_first & above_second)


def _warning(unit: Unit, message: str, *, code: str, line: int = 0) -> Problem:
    return Problem(cell=unit.cell.number, line=line or unit.cell.offset, message=message, code=code, severity="warning")


def _tree(unit: Unit) -> ast.AST:
    try:
        return plain_cell(unit.source).tree if unit.operator == "cell" else ast.Module(body=[], type_ignores=[])
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def _line_of(unit: Unit, name: str) -> int:
    """The first line of the cell that reads the name; 0 when it is not found."""
    lines = [node.lineno for node in ast.walk(_tree(unit)) if isinstance(node, ast.Name) and node.id == name]
    return min(lines) + unit.cell.offset if lines else 0


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _calls(unit: Unit) -> Iterator[tuple[str, ast.Call]]:
    return ((_dotted(node.func), node) for node in ast.walk(_tree(unit)) if isinstance(node, ast.Call))


def _seeded(unit: Unit) -> frozenset[str] | None:
    """The generators a plain cell makes with a seed; None when it seeds nothing."""
    made = set()
    for node in ast.walk(_tree(unit)):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(args=[_, *_], func=function)) if (
                _dotted(function).rpartition(".")[2] in _GENERATORS
            ):
                made.add(name)
    seeds = any(name in _SEEDS for name, _ in _calls(unit))
    return frozenset(made) if seeds or made else None


def _draws(unit: Unit, generators: frozenset[str]) -> str:
    """The first call that draws, unless the task seeds for itself."""
    calls = [name for name, _ in _calls(unit)]
    if any(name in _SEEDS for name in calls):
        return ""
    for name in calls:
        if name in _NO_DRAWS:
            continue
        if name.startswith(_RANDOM) or (name.partition(".")[0] in generators and "." in name):
            return f"{name}()"
    return ""
