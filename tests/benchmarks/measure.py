# SPDX-License-Identifier: BSD-3-Clause
"""How the benchmarks measure: the same work by nbflow and by the raw library, in one process, alternating; the median of several rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: seconds of both, and how many times the raw library's time ours is."""

    name: str
    ours: float
    raw: float
    raw_name: str

    @property
    def ratio(self) -> float:
        return self.ours / self.raw


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(name: str, ours: Callable[[], object], raw: Callable[[], object], raw_name: str, *, rounds: int = 5) -> Row:
    """Both once to warm up, then `rounds` times in turn; medians."""
    ours()
    raw()
    measured = [(seconds(ours), seconds(raw)) for _ in range(rounds)]
    return Row(
        name=name,
        ours=statistics.median(one for one, _ in measured),
        raw=statistics.median(one for _, one in measured),
        raw_name=raw_name,
    )
