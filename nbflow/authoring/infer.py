# SPDX-License-Identifier: BSD-3-Clause
"""Who gives each name a task reads: the nearest writer above, and the next ones up while that one may be skipped (product.md 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nbflow.authoring.units import Units
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId
from nbflow.core.model import Edge, Read
from nbflow.core.options import TaskKind, TaskOptions, TriggerRule

#: Kinds that stop everything below them.
_STOPS = frozenset({TaskKind.SHORT_CIRCUIT, TaskKind.APPROVAL, TaskKind.LATEST_ONLY})
_SKIP_TASK = re.compile(r"\bSkipTask\b")
#: Rules under which a task with upstreams may be skipped although none of them was.
_SKIPS_BY_ITSELF = frozenset({TriggerRule.ALL_FAILED, TriggerRule.ONE_FAILED, TriggerRule.ALL_SKIPPED})
#: Rules under which one skipped upstream skips the task.
_SKIPS_WITH_ONE = frozenset({TriggerRule.ALL_SUCCESS, TriggerRule.NONE_SKIPPED, TriggerRule.ALL_DONE_MIN_ONE_SUCCESS})
#: Rules under which it is skipped when all its upstreams are.
_SKIPS_WITH_ALL = frozenset({TriggerRule.ONE_SUCCESS, TriggerRule.ONE_DONE, TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS})


@dataclass(frozen=True)
class Source:
    """Where a name comes from, as seen from one cell."""

    #: Places of tasks, the nearest first.
    tasks: tuple[int, ...] = ()
    plain: bool = False
    #: No cell above is known to give it.
    is_unknown: bool = False


@dataclass
class Inference:
    """Reads, edges and demands of all tasks."""

    units: Units
    #: Order without data, from `--after` and branches: (upstream, downstream).
    order: frozenset[tuple[TaskId, TaskId]] = frozenset()
    #: Place of a unit -> name -> where it comes from.
    sources: dict[int, dict[str, Source]] = field(default_factory=dict)
    #: Place of a task -> names it may bind or not, and a cell below takes from it: it must have had them to pass them on.
    passed_on: dict[int, dict[str, None]] = field(default_factory=dict)
    #: Tasks that a run may leave out.
    skippable: frozenset[TaskId] = frozenset()

    def settle(self) -> None:
        """Find sources until nothing changes: more edges make more tasks skippable, and those make more edges."""
        while True:
            self._find_sources()
            skippable = self._find_skippable(self.skippable)
            if skippable == self.skippable:
                return
            self.skippable = skippable

    # --- where names come from ------------------------------------------------------------------------------------------

    def _find_sources(self) -> None:
        self.sources, self.passed_on = {}, {}
        for place in reversed(range(len(self.units.units))):  # readers before writers: they say what a writer must pass on
            found: dict[str, Source] = {}
            effects = self.units.effects[place]
            for name in effects.own:
                found[name] = self._source(name, place)
            elements = dict(effects.elements)
            for name in [*effects.through, *self.passed_on.get(place, {})]:
                if name not in found and name not in elements and self.units.is_given_above(name, place):
                    found[name] = self._source(name, place)
            self.sources[place] = found
            for name, source in found.items():
                for writer in source.tasks:
                    if name in self.units.effects[writer].maybe:
                        self.passed_on.setdefault(writer, {})[name] = None

    def _source(self, name: str, place: int) -> Source:
        tasks: list[int] = []
        for above in self.units.givers_above(name, place):
            unit = self.units.units[above]
            if unit.task is None:
                return Source(tuple(tasks), plain=True)
            if self._is_imported_above_alike(name, above):
                continue
            tasks.append(above)
            if unit.task not in self.skippable:
                return Source(tuple(tasks))
        from_star = any(unit.names.stars and unit.task is None for unit in self.units.units[:place])
        return Source(tuple(tasks), plain=from_star or not tasks, is_unknown=not tasks and not from_star)

    def _is_imported_above_alike(self, name: str, place: int) -> bool:
        """The next cell up that gives the name imports the same: no reason to wait for this one."""
        imported = self.units.units[place].names.imports.get(name)
        above = next(self.units.givers_above(name, place), None)
        return imported is not None and above is not None and self.units.units[above].names.imports.get(name) == imported

    # --- what follows ---------------------------------------------------------------------------------------------------

    def task_ids(self) -> tuple[TaskId, ...]:
        return tuple(unit.task for unit in self.units.units if unit.task is not None)

    def reads(self, place: int) -> tuple[Read, ...]:
        """What the task at this place reads. A name only its functions read is there when a task gives it, or a plain cell below rewrites it."""
        effects = self.units.effects[place]
        reads = []
        for name, source in self.sources[place].items():
            if name in effects.only_mapped and name not in self.passed_on.get(place, {}):
                continue
            is_needed = name in effects.own or name in self.passed_on.get(place, {})
            if not is_needed and not source.tasks and not self.is_early(name, place):
                continue
            writers = tuple(self._id(writer) for writer in source.tasks)
            reads.append(Read(name=name, writers=writers, plain=source.plain, mutates=name in effects.mutates))
        return (*reads, *self._elements(place))

    def _elements(self, place: int) -> list[Read]:
        """What a mapped task maps over, as written: the first varies slowest."""
        reads = []
        for element, name in self.units.effects[place].elements:
            source = self.sources[place][name]
            writers = tuple(self._id(writer) for writer in source.tasks)
            reads.append(Read(name=name, writers=writers, plain=source.plain, element=element))
        return reads

    def is_early(self, name: str, place: int) -> bool:
        """A plain cell below rewrites what the task takes from a plain cell above."""
        source = self.sources[place].get(name)
        if source is None or not source.plain or source.is_unknown:
            return False
        return any(self.units.units[below].task is None for below in self.units.gives_below(name, place))

    def edges(self) -> tuple[Edge, ...]:
        """One for each pair, with the names that travel; in the order of the tasks downstream."""
        names: dict[tuple[TaskId, TaskId], list[str]] = {}
        for place, found in self.sources.items():
            task = self.units.units[place].task
            if task is None:
                continue
            for name, source in found.items():
                if self.units.units[place].mapped_group and name in self.units.effects[place].only_mapped:
                    continue
                for writer in source.tasks:
                    names.setdefault((self._id(writer), task), []).append(name)
        for pair in self.order:
            names.setdefault(pair, [])
        self._start_groups(names)
        position = {id: number for number, id in enumerate(self.task_ids())}
        pairs = sorted(names, key=lambda pair: (position[pair[1]], position[pair[0]]))
        return tuple(Edge(upstream=above, downstream=below, names=tuple(names[above, below])) for above, below in pairs)

    def _start_groups(self, names: dict[tuple[TaskId, TaskId], list[str]]) -> None:
        """The first tasks of a group that is mapped as a whole wait for what it maps over."""
        group = {unit.task: unit.mapped_group for unit in self.units.units if unit.task is not None}
        inside = {below for above, below in names if group.get(below) and group.get(above) == group[below]}
        for place, unit in enumerate(self.units.units):
            if unit.task is None or not unit.mapped_group or unit.task in inside:
                continue
            for name in self.units.effects[place].only_mapped:
                for writer in self.sources[place][name].tasks:
                    names.setdefault((self._id(writer), unit.task), []).append(name)

    def graph(self) -> Graph:
        return Graph(self.task_ids(), ((edge.upstream, edge.downstream) for edge in self.edges()))

    def demands(self) -> Mapping[int, frozenset[str]]:
        """Place of a task -> the names that any cell below takes from it."""
        wanted: dict[int, set[str]] = {}
        for found in self.sources.values():
            for name, source in found.items():
                for writer in source.tasks:
                    if name not in self.units.units[writer].names.deletes:
                        wanted.setdefault(writer, set()).add(name)
        return {place: frozenset(names) for place, names in wanted.items()}

    def _id(self, place: int) -> TaskId:
        task = self.units.units[place].task
        assert task is not None
        return task

    # --- skipping -------------------------------------------------------------------------------------------------------

    def _skips_itself(self, place: int) -> bool:
        """Its code, or a function it uses, speaks of SkipTask."""
        return "SkipTask" in self.units.effects[place].through or _SKIP_TASK.search(self.units.units[place].source) is not None

    def parting(self) -> frozenset[TaskId]:
        """Those of the skippable tasks that a run may leave out while it goes on with others beside them: not what a short circuit stops."""
        return self._find_skippable(frozenset(), stopped=False)

    def _find_skippable(self, known: frozenset[TaskId], *, stopped: bool = True) -> frozenset[TaskId]:
        by_id = {unit.task: unit for unit in self.units.units if unit.task is not None}
        graph = self.graph()
        found = set(known)
        found.update(self._id(place) for place, unit in enumerate(self.units.units) if unit.task is not None and self._skips_itself(place))
        found.update(id for id, unit in by_id.items() if unit.options.soft_fail or unit.options.never_fail)
        for id, unit in by_id.items():
            if not stopped and unit.options.as_ in _STOPS:
                continue
            found.update(_stopped_by(id, unit.options, graph) - {other for other in graph.ids if _is_teardown(by_id[other].options)})
        growing = True
        while growing:
            before = len(found)
            for id, unit in by_id.items():
                upstream = graph.upstream(id)
                if upstream and _may_skip(unit.options.trigger_rule, upstream, found):
                    found.add(id)
            growing = len(found) > before
        return frozenset(found)


def _is_teardown(options: TaskOptions) -> bool:
    return options.as_ is TaskKind.TEARDOWN


def _stopped_by(id: TaskId, options: TaskOptions, graph: Graph) -> frozenset[TaskId]:
    """What a deciding task may leave out."""
    match options.as_:
        case TaskKind.BRANCH | TaskKind.LATEST_ONLY:
            return frozenset(graph.downstream(id))
        case TaskKind.SHORT_CIRCUIT if not options.ignore_downstream_trigger_rules:
            return frozenset(graph.downstream(id))
        case TaskKind.SHORT_CIRCUIT | TaskKind.APPROVAL:
            return graph.descendants(id)
    return frozenset()


def _may_skip(rule: TriggerRule, upstream: Iterable[TaskId], skippable: set[TaskId]) -> bool:
    states = [above in skippable for above in upstream]
    if rule in _SKIPS_BY_ITSELF:
        return True
    if rule in _SKIPS_WITH_ONE:
        return any(states)
    return rule in _SKIPS_WITH_ALL and all(states)
