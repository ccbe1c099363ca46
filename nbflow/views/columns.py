# SPDX-License-Identifier: BSD-3-Clause
"""One level of a layout: boxes in columns, ordered so that few edges cross and placed so that most run straight.

A *bundle* is a set of edges that share one trunk. Where it crosses a column it has a *lane* of its own there, so no edge ever lies behind a box.
Boxes and lanes are the *elements* of a column; a *joint* is what one bundle does in one gutter: some elements at its left, some at its right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from nbflow.views.crossings import inversions, pairs
from nbflow.views.sums import total

#: Down between two boxes, between a frame and its neighbour, and around a lane.
GAP: Final = 8
FRAME_GAP: Final = 16
LANE: Final = 12
#: Between two routes that arrive at one box, and how much of its side they may take.
PORT_STEP: Final = 10
PORT_SPAN: Final = 28
_SWEEPS: Final = 4
#: A lane may come this much nearer to its neighbour when that makes it straight.
_SLACK: Final = 2

#: An edge between two leaves, and whether it carries data.
EdgeKey = tuple[str, str]
PortKey = tuple[str, bool]


@dataclass(frozen=True)
class Box:
    """A task, a folded group, or a group whose inside was laid out before. Ports are heights from its middle; None: choose them."""

    key: str
    width: int
    height: int
    inputs: Mapping[PortKey, int] | None = None
    outputs: Mapping[PortKey, int] | None = None

    @property
    def is_frame(self) -> bool:
        return self.inputs is not None


@dataclass(frozen=True)
class End:
    """Where a bundle meets a box: the box's place in the level, and the leaf inside it (the box itself, unless it is a frame)."""

    box: int
    leaf: str


@dataclass(frozen=True)
class Bundle:
    """Edges drawn as one: every source is joined with every target. No sources: it enters at the left; no targets: it leaves at the right."""

    data: bool
    sources: tuple[End, ...]
    targets: tuple[End, ...]
    edges: frozenset[EdgeKey]


@dataclass
class Joint:
    """What one bundle does in the gutter left of column `right`."""

    bundle: int
    right: int
    lefts: list[int] = field(default_factory=list)
    rights: list[int] = field(default_factory=list)


class Columns:
    """The elements of one level with their columns, order and heights (`y` is the middle of an element; everything is an integer)."""

    def __init__(self, boxes: Sequence[Box], bundles: Sequence[Bundle]) -> None:
        self.boxes, self.bundles = boxes, bundles
        self.rank = _ranks(boxes, bundles)
        self.count = 1 + max(self.rank, default=-1)
        #: Elements are numbered: boxes first, then lanes. A lane knows its bundle.
        self.lane_of: dict[int, int] = {}
        self.half: list[float] = [box.height / 2 for box in boxes]
        self.joints: list[Joint] = []
        self.lanes: dict[tuple[int, int], int] = {}
        for number, bundle in enumerate(bundles):
            self._add_joints(number, bundle)
        self.columns: list[list[int]] = [[] for _ in range(self.count)]
        self.column_of: list[int] = [*self.rank, *(column for (_, column) in self.lanes)]
        self._lefts: list[list[Joint]] = [[] for _ in self.half]
        self._rights: list[list[Joint]] = [[] for _ in self.half]
        for joint in self.joints:
            for element in joint.rights:
                self._lefts[element].append(joint)
            for element in joint.lefts:
                self._rights[element].append(joint)
        self._order()
        self.ports: dict[tuple[int, int, bool], int] = {}
        self._choose_ports()
        self.y: list[float] = [0.0] * len(self.half)
        self._place()
        self._straighten()

    # --- building ----------------------------------------------------------------------------------------------------

    def _add_joints(self, number: int, bundle: Bundle) -> None:
        first = min((self.rank[end.box] for end in bundle.sources), default=-1)
        last = max((self.rank[end.box] for end in bundle.targets), default=self.count)
        for column in range(first + 1, last):
            element = len(self.half)
            self.half.append(LANE / 2)
            self.lanes[number, column] = element
            self.lane_of[element] = number
        for right in range(first + 1, last + 1):
            joint = Joint(number, right)
            joint.lefts = self._at(number, bundle.sources, right - 1)
            joint.rights = self._at(number, bundle.targets, right)
            self.joints.append(joint)

    def _at(self, number: int, ends: Iterable[End], column: int) -> list[int]:
        found = list(dict.fromkeys(end.box for end in ends if self.rank[end.box] == column))
        lane = self.lanes.get((number, column))
        return found if lane is None else [*found, lane]

    # --- order within columns ----------------------------------------------------------------------------------------

    def _order(self) -> None:
        """Sweeps to and fro put each element near the middle of its neighbours; the order with the fewest crossings stays, the written one first."""
        written = self._written()
        for element in sorted(range(len(self.half)), key=lambda element: (written[element], element)):
            self.columns[self.column_of[element]].append(element)
        best, fewest = [list(column) for column in self.columns], self._crossings()
        for sweep in range(_SWEEPS * 2):
            if not fewest:
                break
            forward = sweep % 2 == 0
            self.place = self._places()
            for column in range(self.count) if forward else range(self.count - 1, -1, -1):
                self._sort(column, forward=forward)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(column) for column in self.columns], crossings
        self.columns = best
        self.place = self._places()

    def _written(self) -> list[float]:
        """Boxes as written; a lane between its sources."""
        places = [float(place) for place in range(len(self.boxes))]
        for element, number in self.lane_of.items():
            ends = self.bundles[number].sources or self.bundles[number].targets
            places.append(total(end.box for end in ends) / len(ends) + 0.5)
            assert element == len(places) - 1
        return places

    def _places(self) -> list[float]:
        self.place = [0.0] * len(self.half)
        for column in self.columns:
            self._mark(column)
        return self.place

    def _mark(self, column: Sequence[int]) -> None:
        for spot, element in enumerate(column):
            self.place[element] = (spot + 0.5) / len(column)

    def _sort(self, column: int, *, forward: bool) -> None:
        """Put the elements of a column in the order of the middle of their neighbours; those without any keep their place."""
        joints = self._lefts if forward else self._rights

        def wish(element: int) -> float:
            near = [self.place[other] for joint in joints[element] for other in (joint.lefts if forward else joint.rights)]
            return total(near) / len(near) if near else self.place[element]

        self.columns[column].sort(key=wish)
        self._mark(self.columns[column])

    def _crossings(self) -> int:
        """How many pairs of lines cross; counted from column to column with a binary indexed tree."""
        place = {element: spot for column in self.columns for spot, element in enumerate(column)}
        lines: list[list[tuple[int, int]]] = [[] for _ in range(self.count + 1)]
        for joint in self.joints:
            if joint.lefts and joint.rights:
                lines[joint.right] += [(place[left], place[right]) for left, right in pairs(joint.lefts, joint.rights)]
        return sum(
            inversions([right for _, right in sorted(gutter)], len(self.columns[number])) for number, gutter in enumerate(lines) if gutter
        )

    # --- ports -------------------------------------------------------------------------------------------------------

    def _choose_ports(self) -> None:
        """Routes that meet one side of a box lie 10 px apart, in the order of where they come from or go to."""
        for element, box in enumerate(self.boxes):
            if box.is_frame:
                continue
            for incoming in (True, False):
                joints = self._lefts[element] if incoming else self._rights[element]
                wishes = sorted((self._far(joint, incoming=incoming), joint.bundle) for joint in joints)
                step = min(PORT_STEP, PORT_SPAN // max(1, len(wishes) - 1))
                top = -(step * (len(wishes) - 1)) // 2
                for spot, (_, bundle) in enumerate(wishes):
                    self.ports[element, bundle, incoming] = top + spot * step

    def _far(self, joint: Joint, *, incoming: bool) -> float:
        others = joint.lefts if incoming else joint.rights
        return total(self.place[other] for other in others) / len(others) if others else 0.5

    def _heights(self, element: int, bundle: int, *, incoming: bool) -> list[int]:
        """As `spots`, without the edges."""
        if element in self.lane_of:
            return [0]
        if (port := self.ports.get((element, bundle, incoming))) is not None:
            return [port]
        ends = self.bundles[bundle].targets if incoming else self.bundles[bundle].sources
        return sorted({self._offset(element, bundle, end, incoming=incoming) for end in ends if end.box == element})

    def spots(self, element: int, bundle: int, *, incoming: bool) -> list[tuple[int, frozenset[EdgeKey]]]:
        """Where this bundle meets an element, as heights from its middle with the edges that pass there: several for a frame."""
        whole = self.bundles[bundle]
        if element in self.lane_of:
            return [(0, self._through(element, whole))]
        ends = whole.targets if incoming else whole.sources
        place = 1 if incoming else 0
        found: dict[int, set[EdgeKey]] = {}
        for end in ends:
            if end.box == element:
                offset = self._offset(element, bundle, end, incoming=incoming)
                found.setdefault(offset, set()).update(edge for edge in whole.edges if edge[place] == end.leaf)
        return [(offset, frozenset(edges)) for offset, edges in sorted(found.items())]

    def _offset(self, element: int, bundle: int, end: End, *, incoming: bool) -> int:
        box = self.boxes[element]
        known = box.inputs if incoming else box.outputs
        return self.ports[element, bundle, incoming] if known is None else known[end.leaf, self.bundles[bundle].data]

    def _through(self, lane: int, bundle: Bundle) -> frozenset[EdgeKey]:
        """The edges that pass a lane: from a source at its left to a target at its right."""
        column = self.column_of[lane]
        lefts = {end.leaf for end in bundle.sources if self.rank[end.box] < column}
        rights = {end.leaf for end in bundle.targets if self.rank[end.box] > column}
        return frozenset(
            edge for edge in bundle.edges if (not bundle.sources or edge[0] in lefts) and (not bundle.targets or edge[1] in rights)
        )

    # --- heights -----------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        for column in self.columns:
            depth = 0.0
            for spot, element in enumerate(column):
                depth += self._apart(column[spot - 1], element) if spot else 0
                self.y[element] = depth
        for _ in range(_SWEEPS):
            for number in range(1, self.count):
                self._settle(number, left=True, right=False)
            for number in range(self.count - 2, -1, -1):
                self._settle(number, left=False, right=True)
        for number in range(self.count):
            self._settle(number, left=True, right=number == 0)
        top = min((self.y[element] - self.half[element] for element in range(len(self.half))), default=0)
        self.y = [float(round(y - top)) for y in self.y]

    def _apart(self, upper: int, lower: int) -> float:
        lanes = (upper in self.lane_of) + (lower in self.lane_of)
        frames = any(element < len(self.boxes) and self.boxes[element].is_frame for element in (upper, lower))
        gap = 0 if lanes == 2 else FRAME_GAP if frames else GAP
        return self.half[upper] + self.half[lower] + gap

    def _settle(self, column: int, *, left: bool, right: bool) -> None:
        """Each element as near to its neighbours' height as order and gaps allow (least squares, by pooling adjacent violators)."""
        elements = self.columns[column]
        depth, depths = 0.0, []
        for spot, element in enumerate(elements):
            depth += self._apart(elements[spot - 1], element) if spot else 0
            depths.append(depth)
        blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
        for element, down in zip(elements, depths, strict=True):
            wish, weight = self._wish(element, left=left, right=right)
            mean, count = wish - down, 1
            while blocks and blocks[-1][0] > mean:
                other, other_weight, more = blocks.pop()
                mean = (mean * weight + other * other_weight) / (weight + other_weight)
                weight, count = weight + other_weight, count + more
            blocks.append((mean, weight, count))
        spot = 0
        for mean, _, count in blocks:
            level = float(round(mean))
            for element in elements[spot : spot + count]:
                self.y[element] = level + depths[spot]
                spot += 1

    def _wish(self, element: int, *, left: bool, right: bool) -> tuple[float, float]:
        """The height this element would like, and how much it insists; lanes insist most, so that they run straight."""
        wishes: list[float] = []
        for incoming, wanted in ((True, left), (False, right)):
            joints = self._lefts[element] if incoming else self._rights[element]
            for joint in joints if wanted else ():
                own = _median(self._heights(element, joint.bundle, incoming=incoming))
                others = joint.lefts if incoming else joint.rights
                wishes += [
                    self.y[other] + height - own for other in others for height in self._heights(other, joint.bundle, incoming=not incoming)
                ]
        if not wishes:
            return self.y[element], 0.5
        return _median(wishes), 8.0 if element in self.lane_of else 1.0

    def _straighten(self) -> None:
        """A line that would jog by a few pixels is drawn straight instead: its port moves along the box's side, its lanes with it."""
        for joint in self.joints:
            self._level_lanes(joint)
            jog, left, right = min(self._jogs(joint), key=lambda found: abs(found[0]), default=(0, 0, 0))
            if not 0 < abs(jog) <= PORT_STEP:
                continue
            moved = len(joint.rights) == 1 and self._move(right, joint.bundle, jog, incoming=True)
            if not moved and len(joint.lefts) == 1:
                if len(joint.rights) == 1:
                    self._move_back(left, joint.bundle, -jog)
                else:
                    self._move(left, joint.bundle, -jog, incoming=False)

    def _jogs(self, joint: Joint) -> Iterable[tuple[int, int, int]]:
        """How much lower each line of a star begins than it ends, with its two elements."""
        if len(joint.lefts) > 1 < len(joint.rights):
            return
        for left in joint.lefts:
            starts = self._heights(left, joint.bundle, incoming=False)
            for right in joint.rights:
                ends = self._heights(right, joint.bundle, incoming=True)
                if len(starts) == len(ends) == 1:
                    yield round(self.y[left] + starts[0] - self.y[right] - ends[0]), left, right

    def _level_lanes(self, joint: Joint) -> None:
        """Two lanes of one bundle side by side: the right one takes the height of the left one when there is room."""
        lefts = [element for element in joint.lefts if element in self.lane_of]
        rights = [element for element in joint.rights if element in self.lane_of]
        if lefts and rights:
            jog = round(self.y[lefts[0]] - self.y[rights[0]])
            if 0 < abs(jog) <= PORT_STEP and self._has_room(rights[0], jog):
                self.y[rights[0]] += jog

    def _move_back(self, element: int, bundle: int, by: int) -> bool:
        """Move the port a line comes from, and the lanes in between; nothing moves when one of them cannot."""
        lanes: list[int] = []
        while element in self.lane_of:
            lanes.append(element)
            joint = self._lefts[element][0]
            if len(joint.lefts) != 1 or len(joint.rights) != 1 or not self._has_room(element, by):
                return False
            element = joint.lefts[0]
        if not self._move(element, bundle, by, incoming=False):
            return False
        for lane in lanes:
            self.y[lane] += by
        return True

    def _has_room(self, lane: int, by: int) -> bool:
        column = self.columns[self.column_of[lane]]
        spot = column.index(lane)
        if by < 0:
            return spot == 0 or self.y[lane] + by - self.y[column[spot - 1]] >= self._apart(column[spot - 1], lane) - _SLACK
        return spot == len(column) - 1 or self.y[column[spot + 1]] - self.y[lane] - by >= self._apart(lane, column[spot + 1]) - _SLACK

    def _move(self, element: int, bundle: int, by: int, *, incoming: bool) -> bool:
        if (element, bundle, incoming) not in self.ports:
            return False
        joints = self._lefts[element] if incoming else self._rights[element]
        others = [self.ports[element, joint.bundle, incoming] for joint in joints if joint.bundle != bundle]
        wanted = self.ports[element, bundle, incoming] + by
        if abs(wanted) > PORT_SPAN // 2 or any(abs(wanted - other) < PORT_STEP - 2 for other in others):
            return False
        self.ports[element, bundle, incoming] = wanted
        return True


def _median(values: Sequence[float]) -> float:
    """As `statistics.median`, whose import costs more than a drawing."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _ranks(boxes: Sequence[Box], bundles: Sequence[Bundle]) -> list[int]:
    """The column of each box: one after the last it waits for. The level's graph has no cycle."""
    below: list[set[int]] = [set() for _ in boxes]
    for bundle in bundles:
        for source in bundle.sources:
            below[source.box].update(end.box for end in bundle.targets)
    missing = [0] * len(boxes)
    for targets in below:
        for target in targets:
            missing[target] += 1
    ranks = [0] * len(boxes)
    ready = [box for box, count in enumerate(missing) if not count]
    while ready:
        box = ready.pop()
        for target in below[box]:
            ranks[target] = max(ranks[target], ranks[box] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return ranks
