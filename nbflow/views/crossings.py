# SPDX-License-Identifier: BSD-3-Clause
"""Counting the lines that cross between two columns."""

from __future__ import annotations

from collections.abc import Sequence


def pairs(lefts: Sequence[int], rights: Sequence[int]) -> list[tuple[int, int]]:
    """Lines that stand for a trunk when crossings are counted: all of a star, two stars of a whole mesh."""
    if len(lefts) == 1 or len(rights) == 1:
        return [(left, right) for left in lefts for right in rights]
    hub_left, hub_right = lefts[len(lefts) // 2], rights[len(rights) // 2]
    return [(left, hub_right) for left in lefts] + [(hub_left, right) for right in rights]


def inversions(values: Sequence[int], size: int) -> int:
    """How many pairs stand in the wrong order, all values being under `size`; with a binary indexed tree."""
    tree = [0] * (size + 1)
    total = 0
    for seen, value in enumerate(values):
        spot, smaller = value + 1, 0
        while spot:
            smaller += tree[spot]
            spot -= spot & -spot
        total += seen - smaller
        spot = value + 1
        while spot <= size:
            tree[spot] += 1
            spot += spot & -spot
    return total
