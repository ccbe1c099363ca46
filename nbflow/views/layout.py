# SPDX-License-Identifier: BSD-3-Clause
"""Where everything of a flow's picture stands. It depends on the flow alone, never on states, so nothing moves while a run does.

Left to right in columns; frames around groups; edges horizontal and vertical with round corners, straight inside a column, turning only in
the gutters between columns. All numbers are pixels.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from nbflow.core.ids import TaskId
from nbflow.core.model import Flow
from nbflow.views.columns import GAP, Box, Columns, EdgeKey, Joint, PortKey
from nbflow.views.levels import ROOT, Levels, bundles, read_levels
from nbflow.views.routes import GUTTER, Segment, Spot, Stroke, Trunk, assign_tracks, gutter_width, level, strokes, trunk_x
from nbflow.views.sums import total

__all__ = ["Frame", "Layout", "Node", "Segment", "Stroke", "Tip", "groups_to_fold", "layout", "usual_layout"]

NODE_WIDTH: Final = 144
NODE_WIDEST: Final = 220
NODE_HEIGHT: Final = 44
#: Glyph and margins beside a node's name.
NAME_LEFT: Final = 36
NAME_RIGHT: Final = 12
#: A frame's margin and the line with its name.
PAD: Final = 10
HEADER: Final = 30
#: Flows of more tasks are drawn with their groups folded.
FOLD_OVER: Final = 60
#: Tasks without any edge stand in a block of this many rows, once there are more than that.
BLOCK_ROWS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Node:
    """A task, or a folded group (then `members` are its tasks)."""

    id: str
    label: str
    x: float
    y: float
    width: int
    height: int = NODE_HEIGHT
    members: tuple[TaskId, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A group with its tasks visible."""

    group: str
    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Tip:
    """The point of an arrow: where edges reach their target."""

    x: float
    y: float
    data: bool
    edges: frozenset[EdgeKey]


@dataclass(kw_only=True)
class Layout:
    """A drawn flow, from (0, 0) to (width, height). Frames stand before the frames inside them."""

    width: float = 0.0
    height: float = 0.0
    nodes: list[Node] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    strokes: list[Stroke] = field(default_factory=list)
    tips: list[Tip] = field(default_factory=list)


def groups_to_fold(flow: Flow) -> tuple[str, ...]:
    """The groups that are drawn folded: the outermost ones, in flows of more than 60 tasks."""
    if len(flow.tasks) <= FOLD_OVER:
        return ()
    return tuple(dict.fromkeys(task.id.partition(".")[0] for task in flow.tasks if task.group))


def layout(flow: Flow, folded: Collection[str] = ()) -> Layout:
    """Place a flow, with these groups as one node each. Raises CycleError."""
    levels = read_levels(flow, folded)
    drawn = Layout()
    whole = _Level(levels, ROOT)
    whole.draw(drawn, 0, 0)
    drawn.width, drawn.height = whole.width, whole.height
    return drawn


#: By the flow's identity; an entry goes with its flow.
_kept: dict[int, tuple[weakref.ref[Flow], Layout]] = {}


def usual_layout(flow: Flow) -> Layout:
    """The flow with its usual groups folded. While a flow lives it is laid out once, however often it is drawn. Raises CycleError."""
    key = id(flow)
    known = _kept.get(key)
    if known is not None and known[0]() is flow:
        return known[1]
    drawn = layout(flow, groups_to_fold(flow))
    _kept[key] = (weakref.ref(flow, lambda _: _kept.pop(key, None)), drawn)
    return drawn


def text_width(text: str, size: float = 13.0) -> float:
    """About how wide `text` is in a sans serif; fonts differ by a tenth, which the margins hold."""
    return total(_ADVANCE.get(character, 0.57) for character in text) * size


_ADVANCE: Final = {
    **dict.fromkeys("ijl.,:;|!'I ", 0.28),
    **dict.fromkeys("frt()[]/-", 0.38),
    **dict.fromkeys("mwMW%@—", 0.86),
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ", 0.68),
}


def _node_width(label: str) -> int:
    wide = math.ceil((text_width(label) + NAME_LEFT + NAME_RIGHT) / 4) * 4
    return min(NODE_WIDEST, max(NODE_WIDTH, wide))


class _Level:
    """The inside of one frame (or the whole picture): measured when made, drawn afterwards where its frame stands."""

    def __init__(self, levels: Levels, frame: str) -> None:
        self._levels, self._frame = levels, frame
        items, links = levels.children[frame], levels.links.get(frame, ())
        self._inside = {item: _Level(levels, item) for item in items if levels.is_frame(item)}
        linked = {item for link in links for item in (link.source, link.target)}
        alone = [item for item in items if item not in linked and item not in self._inside]
        self._alone = alone if len(alone) > BLOCK_ROWS else []
        self._items = [item for item in items if item not in set(self._alone)]
        self.columns = Columns([self._box(item) for item in self._items], bundles(self._items, links))
        self._measure()

    # --- measuring ---------------------------------------------------------------------------------------------------

    def _label(self, item: str) -> str:
        return item.removeprefix(self._frame).rstrip(".")

    def _box(self, item: str) -> Box:
        inside = self._inside.get(item)
        if inside is None:
            return Box(item, _node_width(self._label(item)), NODE_HEIGHT)
        height = inside.height + HEADER + PAD
        width = max(inside.width + 2 * PAD, math.ceil(text_width(self._label(item)) + 96))
        middle = HEADER - height // 2
        return Box(
            item,
            width,
            height,
            {port: y + middle for port, y in inside.ports(incoming=True).items()},
            {port: y + middle for port, y in inside.ports(incoming=False).items()},
        )

    def _measure(self) -> None:
        columns = self.columns
        self._leaf_width = [NODE_WIDTH] * columns.count
        self._wide = [0] * columns.count
        for element, box in enumerate(columns.boxes):
            column = columns.rank[element]
            self._wide[column] = max(self._wide[column], box.width)
            if not box.is_frame:
                self._leaf_width[column] = max(self._leaf_width[column], box.width)
        self._trunks: list[list[tuple[Joint, Trunk]]] = [[] for _ in range(columns.count + 1)]
        for joint in columns.joints:
            self._trunks[joint.right].append((joint, self._trunk(joint)))
        self._tracks = [assign_tracks([trunk for _, trunk in gutter]) for gutter in self._trunks]
        self._x: list[int] = []
        right = 0
        for column, wide in enumerate(self._wide):
            left = right + gutter_width(self._tracks[column]) if column else 0
            self._x.append(left)
            right = left + wide
        bottom = max((columns.y[element] + half for element, half in enumerate(columns.half)), default=0)
        self._alone_top = round(bottom) + (2 * GAP if self._items else 0)
        rows, across = self._block()
        self._alone_width = max((_node_width(self._label(item)) for item in self._alone), default=0)
        self.width = max(right, across * (self._alone_width + GUTTER) - GUTTER)
        height = self._alone_top + rows * (NODE_HEIGHT + GAP) - GAP if self._alone else round(bottom)
        self.height = height + height % 2

    def _block(self) -> tuple[int, int]:
        """Rows and columns of the tasks that stand alone."""
        if not self._alone:
            return 0, 0
        across = math.ceil(len(self._alone) / BLOCK_ROWS)
        return math.ceil(len(self._alone) / across), across

    def _trunk(self, joint: Joint) -> Trunk:
        data = self.columns.bundles[joint.bundle].data
        lefts = [spot for element in joint.lefts for spot in self._spots(element, joint, incoming=False)]
        rights = [spot for element in joint.rights for spot in self._spots(element, joint, incoming=True)]
        return Trunk(data, lefts or rights, rights or lefts)

    def _spots(self, element: int, joint: Joint, *, incoming: bool) -> list[Spot]:
        y = self.columns.y[element]
        tip = incoming and element < len(self._items) and not self.columns.boxes[element].is_frame
        return [Spot(round(y + offset), edges, tip) for offset, edges in self.columns.spots(element, joint.bundle, incoming=incoming)]

    def ports(self, *, incoming: bool) -> dict[PortKey, int]:
        """Where edges from outside come in, or go out: leaf and whether they carry data -> height."""
        found: dict[PortKey, int] = {}
        for joint, trunk in self._trunks[0 if incoming else -1]:
            bundle = self.columns.bundles[joint.bundle]
            for end in bundle.targets if incoming else bundle.sources:
                found[end.leaf, bundle.data] = trunk.low
        return found

    # --- drawing -----------------------------------------------------------------------------------------------------

    def draw(self, out: Layout, x: float, y: float, outer_width: float = 0.0) -> None:
        """Draw into `out` with the top left corner of this level at (x, y); a frame's right border is at x + outer_width - PAD."""
        for element, box in enumerate(self.columns.boxes):
            self._draw_box(out, element, box, x, y)
        for element, bundle in self.columns.lane_of.items():
            self._draw_lane(out, element, bundle, x, y)
        for number, gutter in enumerate(self._trunks):
            left = x + (self._x[number - 1] + self._wide[number - 1] if number else -PAD)
            right = x + self._x[number] if number < len(self._x) else x + outer_width - PAD
            for joint, trunk in gutter:
                at = trunk_x(left, max(0, trunk.track), self._tracks[number])
                self._draw_trunk(out, trunk, y, sides=(left, right), at=at)
                for element in joint.lefts:
                    self._draw_stub(out, element, joint.bundle, left, y)
        rows, _ = self._block()
        for place, item in enumerate(self._alone):
            left = x + place // rows * (self._alone_width + GUTTER)
            self._draw_node(out, item, left, y + self._alone_top + place % rows * (NODE_HEIGHT + GAP), self._alone_width)

    def _draw_box(self, out: Layout, element: int, box: Box, x: float, y: float) -> None:
        left, top = x + self._x[self.columns.rank[element]], y + self.columns.y[element] - box.height / 2
        inside = self._inside.get(box.key)
        if inside is None:
            self._draw_node(out, box.key, left, top, self._leaf_width[self.columns.rank[element]])
            return
        out.frames.append(Frame(group=box.key.rstrip("."), label=self._label(box.key), x=left, y=top, width=box.width, height=box.height))
        inside.draw(out, left + PAD, top + HEADER, box.width)

    def _draw_node(self, out: Layout, item: str, left: float, top: float, width: int) -> None:
        members = tuple(TaskId(task) for task in self._levels.members.get(item, ()))
        out.nodes.append(Node(id=item.rstrip("."), label=self._label(item), x=left, y=top, width=width, members=members))

    def _draw_lane(self, out: Layout, element: int, bundle: int, x: float, y: float) -> None:
        column = self.columns.column_of[element]
        left = x + self._x[column]
        for offset, edges in self.columns.spots(element, bundle, incoming=True):
            out.strokes.append(
                level(y + self.columns.y[element] + offset, left, left + self._wide[column], self.columns.bundles[bundle].data, edges)
            )

    @staticmethod
    def _draw_trunk(out: Layout, trunk: Trunk, y: float, *, sides: tuple[float, float], at: float) -> None:
        moved = Trunk(trunk.data, [_down(spot, y) for spot in trunk.lefts], [_down(spot, y) for spot in trunk.rights])
        out.strokes += strokes(moved, *sides, at)
        out.tips += [Tip(sides[1], spot.y, trunk.data, spot.edges) for spot in moved.rights if spot.tip]

    def _draw_stub(self, out: Layout, element: int, bundle: int, edge: float, y: float) -> None:
        """From a box that is narrower than its column to the gutter."""
        if element in self.columns.lane_of:
            return
        box, column = self.columns.boxes[element], self.columns.rank[element]
        start = edge - self._wide[column] + (box.width if box.is_frame else self._leaf_width[column])
        if start < edge:
            for offset, edges in self.columns.spots(element, bundle, incoming=False):
                out.strokes.append(level(y + self.columns.y[element] + offset, start, edge, self.columns.bundles[bundle].data, edges))


def _down(spot: Spot, y: float) -> Spot:
    return Spot(round(spot.y + y), spot.edges, spot.tip)
