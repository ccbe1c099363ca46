# SPDX-License-Identifier: BSD-3-Clause
"""The cells of a notebook as steps that read and give names, in the notebook's order, with what the functions they call do."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nbflow.authoring.cells import BUILTINS, CellNames
from nbflow.authoring.effects import Body, changed_by
from nbflow.core.ids import TaskId
from nbflow.core.model import CellRef
from nbflow.core.options import TaskOptions


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One cell that reads or gives names: a task, or a plain cell."""

    cell: CellRef
    names: CellNames = field(default_factory=CellNames)
    #: None: a plain cell.
    task: TaskId | None = None
    options: TaskOptions = field(default_factory=TaskOptions)
    operator: str = "cell"
    #: The body; line n of it is line n + cell.offset of the cell.
    source: str = ""
    #: The group mapped as a whole that the task stands in.
    mapped_group: str = ""
    doc: str = ""
    #: A plain cell with a `%nbflow run`.
    runs: bool = False


@dataclass
class Effects:
    """What one unit reads and gives, the functions it calls included."""

    #: Names its own source reads, in order of appearance.
    own: dict[str, None] = field(default_factory=dict)
    #: Names that functions it uses read or change.
    through: dict[str, None] = field(default_factory=dict)
    #: Binds, unbinds or changes in place, in order of appearance.
    gives: dict[str, None] = field(default_factory=dict)
    mutates: set[str] = field(default_factory=set)
    #: Given on some paths only.
    maybe: set[str] = field(default_factory=set)
    #: Names a mapped task maps over and does not take whole.
    only_mapped: set[str] = field(default_factory=set)
    #: What each copy has its elements bound to, and the names they are of.
    elements: tuple[tuple[str, str], ...] = ()


class Units:
    """All units of a notebook and who gives what."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = tuple(units)
        self.effects: list[Effects] = []
        self._givers: dict[str, list[int]] = {}
        for place in range(len(self.units)):
            effects = self._effects(place)
            self.effects.append(effects)
            for name in effects.gives:
                self._givers.setdefault(name, []).append(place)

    def givers_above(self, name: str, place: int) -> Iterator[int]:
        """The places above `place` that give the name, the nearest first."""
        givers = self._givers.get(name, [])
        for index in range(bisect_left(givers, place) - 1, -1, -1):
            yield givers[index]

    def gives_below(self, name: str, place: int) -> Iterator[int]:
        """The places below `place` that give the name, the nearest first."""
        givers = self._givers.get(name, [])
        yield from givers[bisect_left(givers, place + 1) :]

    def is_given_above(self, name: str, place: int) -> bool:
        return next(self.givers_above(name, place), None) is not None

    def given_names(self) -> list[str]:
        """Every name some unit gives."""
        return list(self._givers)

    # --- what a unit does -----------------------------------------------------------------------------------------------

    def _effects(self, place: int) -> Effects:
        unit = self.units[place]
        names, options = unit.names, unit.options
        effects = Effects(own=dict.fromkeys(self._own_reads(place)))
        effects.mutates.update(name for name in names.mutates if not self._is_module(name, place))
        effects.gives = dict.fromkeys(
            name for name in names.gives if name in effects.mutates or name not in names.mutates or name in names.writes
        )
        effects.maybe.update(names.maybe)
        for name in names.reads | names.builtin_reads | set(names.definitions):
            self._follow(name, place, effects, set())
        for call in names.calls:
            for name in changed_by(call, self._body_with_changes(call.function, place, set())):
                effects.mutates.add(name)
                effects.gives[name] = None
        effects.own.update(dict.fromkeys(options.reads))
        effects.gives.update(dict.fromkeys(options.writes))
        self._map(effects, place)
        return effects

    def _map(self, effects: Effects, place: int) -> None:
        """A mapped task takes its elements from what it maps over, not from cells above that give a name of that kind.

        In a group that is mapped as a whole, what a task of it gives under such a name comes before the element.
        """
        options = self.units[place].options
        effects.elements = tuple((f"({one})" if self._is_given_beside(one, place) else one, name) for one, name in options.map)
        for element, _ in effects.elements:
            effects.own.pop(element, None)
            effects.through.pop(element, None)
        for _, name in options.map:
            if name not in effects.own and name not in effects.through:
                effects.only_mapped.add(name)
            effects.own[name] = None

    def _is_given_beside(self, name: str, place: int) -> bool:
        group = self.units[place].mapped_group
        return bool(group) and any(self.units[above].mapped_group == group for above in self.givers_above(name, place))

    def _own_reads(self, place: int) -> list[str]:
        """Names of builtins count when a cell above gives them."""
        names = self.units[place].names
        return [name for name in names.order if name in names.reads or (name in names.builtin_reads and self.is_given_above(name, place))]

    def _follow(self, function: str, place: int, effects: Effects, seen: set[str]) -> None:
        """Add what a function does when it is called; a function that is only defined here does nothing yet."""
        body = self._body(function, place)
        if body is None or function in seen:
            return
        seen.add(function)
        is_own = function in self.units[place].names.definitions
        for name in body.reads:
            if name not in BUILTINS or self.is_given_above(name, place):
                if not is_own:
                    effects.through[name] = None
                self._follow(name, place, effects, seen)
        if is_own:
            return
        for name in [*body.mutates, *body.writes]:
            if not self._is_module(name, place):
                effects.through[name] = None
                effects.gives[name] = None
                effects.mutates.update([name] if name in body.mutates else [])
                effects.maybe.add(name)

    def _body(self, function: str, place: int) -> Body | None:
        """The body of the function that the name means at this place; None when it is no function of the notebook."""
        own = self.units[place].names
        if function in own.writes:
            definition = own.definitions.get(function)
            return definition.body if definition else None
        for above in self.givers_above(function, place):
            definition = self.units[above].names.definitions.get(function)
            return definition.body if definition else None
        return None

    def _body_with_changes(self, function: str, place: int, seen: set[str]) -> Body | None:
        """The body, with the parameters it changes through the functions it calls."""
        body = self._body(function, place)
        if body is None or function in seen:
            return body
        changes = dict(body.changes)
        for call in body.calls:
            inner = self._body_with_changes(call.function, place, seen | {function})
            changes.update(dict.fromkeys(changed_by(call, inner)))
        return Body(changes=changes, positional=body.positional)

    def _is_module(self, name: str, place: int) -> bool:
        """The name is a module, or stands for a part of the process: a change of it does not travel with a value."""
        own = self.units[place].names
        if name in own.imports:
            return ":" not in own.imports[name]
        if name in own.writes:
            return False
        return any(":" not in self.units[above].names.imports.get(name, ":") for above in self._nearest(name, place))

    def _nearest(self, name: str, place: int) -> list[int]:
        return [above for above in [next(self.givers_above(name, place), None)] if above is not None]
