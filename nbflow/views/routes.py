# SPDX-License-Identifier: BSD-3-Clause
"""The lines in one gutter: horizontal to a trunk, along it, and out again, with round corners; each piece is drawn once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from nbflow.views.columns import EdgeKey
from nbflow.views.sums import total

RADIUS: Final = 8
#: A gutter with one trunk; each further trunk widens it by a step, up to the widest. From there on trunks move together.
GUTTER: Final = 32
STEP: Final = 8
WIDEST: Final = 96
#: From the left column to the first trunk; the rest of 32 is room for the corner and the arrow.
LEAD: Final = 12
#: The length of an arrowhead; lines end where it begins.
TIP: Final = 5

Segment = tuple[float, float, float, float]


@dataclass(frozen=True)
class Spot:
    """A point on one side of a gutter, with the edges that pass it."""

    y: int
    edges: frozenset[EdgeKey]
    #: An arrow ends here.
    tip: bool = False


@dataclass
class Trunk:
    """What one bundle does in one gutter. `track` counts vertical lines from the left; -1: it runs straight through."""

    data: bool
    lefts: list[Spot]
    rights: list[Spot]
    track: int = -1
    low: int = field(init=False)
    high: int = field(init=False)

    def __post_init__(self) -> None:
        heights = [spot.y for spot in (*self.lefts, *self.rights)]
        self.low, self.high = min(heights), max(heights)

    @property
    def is_straight(self) -> bool:
        return self.low == self.high


@dataclass(frozen=True)
class Stroke:
    """One piece of a drawn edge: a path, the straight segments it is made of (corners included as their legs), and the edges it carries."""

    path: str
    segments: tuple[Segment, ...]
    data: bool
    edges: frozenset[EdgeKey]


def assign_tracks(trunks: Sequence[Trunk]) -> int:
    """Give each trunk of a gutter its track so that few lines cross and none lie on each other; returns the number of tracks."""
    bent = sorted((trunk for trunk in trunks if not trunk.is_straight), key=_nesting)
    _swap(bent)
    for number, trunk in enumerate(bent):
        near = (other.track for other in bent[:number] if other.low - STEP < trunk.high and trunk.low - STEP < other.high)
        trunk.track = 1 + max(near, default=-1)
    return 1 + max((trunk.track for trunk in bent), default=-1)


def _nesting(trunk: Trunk) -> tuple[float, float]:
    """Lines going down nest like brackets when the lowest turns first, lines going up when the highest does."""
    left = total(spot.y for spot in trunk.lefts) / len(trunk.lefts)
    right = total(spot.y for spot in trunk.rights) / len(trunk.rights)
    return (-left, -right) if right > left else (left, right)


def _swap(trunks: list[Trunk]) -> None:
    """Neighbours change places while that saves crossings; a few rounds, so that hundreds of trunks stay quick."""
    for _ in range(6):
        changed = False
        for spot in range(len(trunks) - 1):
            first, second = trunks[spot], trunks[spot + 1]
            if _cost(second, first) < _cost(first, second):
                trunks[spot], trunks[spot + 1] = second, first
                changed = True
        if not changed:
            return


def _cost(first: Trunk, second: Trunk) -> int:
    """What it costs to have `first` left of `second`: crossings, and ten for each line that would lie on another."""
    crossings = sum(second.low < spot.y < second.high for spot in first.rights)
    crossings += sum(first.low < spot.y < first.high for spot in second.lefts)
    crossings += 10 * sum(abs(right.y - left.y) < 4 for right in first.rights for left in second.lefts)
    return crossings


def gutter_width(tracks: int) -> int:
    """32 with one trunk, 8 more for each further one, at most 96."""
    return min(WIDEST, GUTTER + STEP * max(0, tracks - 1))


def trunk_x(left: float, track: int, tracks: int) -> float:
    """Where a track lies in the gutter that begins at `left`."""
    room = gutter_width(tracks) - GUTTER
    return left + LEAD + (room * track / (tracks - 1) if tracks > 1 else 0)


def strokes(trunk: Trunk, left: float, right: float, x: float) -> list[Stroke]:
    """The pieces of a trunk at `x` in the gutter from `left` to `right`."""
    pieces = [
        *(_arm(spot, trunk.rights, data=trunk.data, edge=left, x=x, towards=1) for spot in trunk.lefts),
        *_straight_on(trunk, left, right),
        *_verticals(trunk, x),
        *(_arm(spot, trunk.lefts, data=trunk.data, edge=_end(spot, right), x=x, towards=-1) for spot in trunk.rights),
    ]
    return [piece for piece in pieces if piece.path]


def _end(spot: Spot, right: float) -> float:
    return right - TIP if spot.tip else right


def _straight_on(trunk: Trunk, left: float, right: float) -> list[Stroke]:
    """Where a left and a right spot have one height, the line runs through."""
    ends = {spot.y: spot for spot in trunk.rights}
    through = [(spot, ends[spot.y], _end(ends[spot.y], right)) for spot in trunk.lefts if spot.y in ends]
    return [level(start.y, left, end, trunk.data, start.edges & stop.edges or stop.edges) for start, stop, end in through]


def level(y: float, left: float, right: float, data: bool, edges: frozenset[EdgeKey]) -> Stroke:  # noqa: FBT001 - a fact of the line, as in Stroke
    """A straight piece from left to right."""
    return Stroke(f"M{left:g} {y:g}H{right:g}", ((left, y, right, y),), data, edges)


def _arm(spot: Spot, others: Sequence[Spot], *, data: bool, edge: float, x: float, towards: int) -> Stroke:
    """From a side of the gutter to the trunk, with a corner for each way the line goes on there."""
    ups = [spot.y - other.y for other in others if other.y < spot.y]
    downs = [other.y - spot.y for other in others if other.y > spot.y]
    path, segments = "", []
    straight = any(other.y == spot.y for other in others)
    for sign, near in ((-1, ups), (1, downs)):
        if near:
            radius = min(RADIUS, min(near) / 2)
            turn = x - towards * radius
            start = f"M{edge:g} {spot.y}H{turn:g}" if not path and not straight else f"M{turn:g} {spot.y}"
            path += f"{start}Q{x:g} {spot.y} {x:g} {spot.y + sign * radius:g}"
            segments += [(edge, spot.y, x, spot.y), (x, spot.y, x, spot.y + sign * radius)]
    return Stroke(path, tuple(segments), data, spot.edges)


def _verticals(trunk: Trunk, x: float) -> list[Stroke]:
    """The trunk itself, between the corners of the arms."""
    if trunk.is_straight:
        return []
    heights = sorted({spot.y for spot in (*trunk.lefts, *trunk.rights)})
    runs: list[list[int]] = []
    for low, high in pairwise(heights):
        if not _joined(trunk, low, high):
            continue
        if runs and runs[-1][1] == low and _passes(trunk, low):
            runs[-1][1] = high
        else:
            runs.append([low, high])
    edges = frozenset[EdgeKey]().union(*(spot.edges for spot in trunk.rights))
    pieces = ((low + _corner(trunk, low, 1), high - _corner(trunk, high, -1)) for low, high in runs)
    return [Stroke(f"M{x:g} {low:g}V{high:g}", ((x, low, x, high),), trunk.data, edges) for low, high in pieces if high > low]


def _joined(trunk: Trunk, low: int, high: int) -> bool:
    """Some line runs from `low` or above to `high` or below."""
    lefts, rights = [spot.y for spot in trunk.lefts], [spot.y for spot in trunk.rights]
    return (min(lefts) <= low and max(rights) >= high) or (min(rights) <= low and max(lefts) >= high)


def _passes(trunk: Trunk, y: int) -> bool:
    """Some line runs from above `y` to below it without turning there."""
    lefts, rights = [spot.y for spot in trunk.lefts], [spot.y for spot in trunk.rights]
    return (min(lefts) < y < max(rights)) or (min(rights) < y < max(lefts))


def _corner(trunk: Trunk, y: int, sign: int) -> float:
    """How far the corners at this height reach along the trunk."""
    reach: list[float] = []
    for spots, others in ((trunk.lefts, trunk.rights), (trunk.rights, trunk.lefts)):
        if any(spot.y == y for spot in spots):
            near = [sign * (other.y - y) for other in others if sign * (other.y - y) > 0]
            reach += [min(RADIUS, min(near) / 2)] if near else []
    return min(reach, default=0.0)
