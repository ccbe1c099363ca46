# SPDX-License-Identifier: BSD-3-Clause
"""How the benchmarks measure: the same work by nbflow and by the raw library, in one process, alternating; the median of several rounds."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import psutil

#: Work to measure; what it returns is not looked at.
Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: ours, the raw library's, how many times theirs ours is, and how many times it may be."""

    name: str
    ours: float
    raw: float | None = None
    #: What `raw` did; for a row without one, what is measured.
    against: str = ""
    #: Greatest ratio that issue 3 allows; for a row without `raw`, the greatest value.
    target: float | None = None
    unit: str = "ms"

    @property
    def ratio(self) -> float | None:
        return None if self.raw is None else self.ours / self.raw

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None when there is none."""
        found = self.ours if self.ratio is None else self.ratio
        return None if self.target is None else found <= self.target


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one piece of work: seconds on the wall, and seconds of processors in all processes that took part."""

    wall: float
    cpu: float


def cost(work: Work, tree: Callable[[], Sequence[int]] = list) -> Cost:
    """What one call costs; `tree` names the processes that take part besides this one, each counted with its descendants."""
    before, began = _processor(tree()), time.perf_counter()
    work()
    return Cost(wall=time.perf_counter() - began, cpu=_processor(tree()) - before)


def seconds(work: Work) -> float:
    """Wall time of one call."""
    return cost(work).wall


def median_seconds(work: Work, rounds: int = 5) -> float:
    """After one call to warm up."""
    work()
    return statistics.median(seconds(work) for _ in range(rounds))


def in_turn(*works: Work, rounds: int = 5, trees: Sequence[Callable[[], Sequence[int]]] = ()) -> list[Cost]:
    """Each once to warm up, then `rounds` times one after the other, so that a busy machine is equally busy for all; medians."""
    for work in works:
        work()
    measure = [partial(cost, work, trees[place] if trees else list) for place, work in enumerate(works)]
    rounds_of = [[one() for one in measure] for _ in range(rounds)]
    return [
        Cost(wall=statistics.median(one.wall for one in costs), cpu=statistics.median(one.cpu for one in costs))
        for costs in zip(*rounds_of, strict=True)
    ]


def _processor(roots: Sequence[int]) -> float:
    """Seconds of processors used so far by this process and by everything below the roots, ended processes included."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system + processors(roots)


def processors(roots: Sequence[int]) -> float:
    """Seconds of processors used so far by all that is below the roots, ended processes included."""
    found: set[psutil.Process] = set()
    for root in roots:
        with suppress(psutil.Error):
            found |= {psutil.Process(root), *psutil.Process(root).children(recursive=True)}
    total = 0.0
    for process in found:
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total
