# SPDX-License-Identifier: BSD-3-Clause
"""How far a cluster may shrink and grow: one table of bounds, or several that hold at times of the day.

    adapt = [{from = "08:00", to = "18:00", minimum = 1, maximum = 2}, {minimum = 0, maximum = 8}]

The first that holds is in force; the last holds at any time. A span whose end is before its beginning reaches over midnight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, tzinfo
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Arguments of Dask's `adapt`, and the time of the day at which they hold; None: at any."""

    span: tuple[time, time] | None = None
    adapt: Mapping[str, Any] = field(default_factory=dict)

    def hold_at(self, clock: time) -> bool:
        """The end of a span is no part of it."""
        if self.span is None:
            return True
        begin, end = self.span
        return begin <= clock < end if begin < end else clock >= begin or clock < end

    def written(self) -> dict[str, Any]:
        """As JSON has them."""
        span = {"from": f"{self.span[0]:%H:%M}", "to": f"{self.span[1]:%H:%M}"} if self.span else {}
        return {**span, **self.adapt}


def read_bounds(value: Any) -> tuple[Bounds, ...]:
    """A table, or a list of them. Raises ValueError, half a sentence about what is wrong."""
    tables = value if isinstance(value, list | tuple) else [value]
    if not tables or not all(isinstance(table, Mapping) for table in tables):
        raise ValueError(
            f'adapt is {value!r}, but takes a table such as {{minimum = 0, maximum = 4}}, or a list of them with from = "08:00", to = "18:00"'
        )
    found = tuple(_read(table) for table in tables)
    if found[-1].span is not None:
        raise ValueError("the last table of adapt must hold at any time: leave out its from and to")
    early = next((bounds for bounds in found[:-1] if bounds.span is None), None)
    if early is not None:
        raise ValueError(f"the tables of adapt below {_shown(early)} never hold, since it holds at any time: put it last")
    return found


def in_force(bounds: Sequence[Bounds], now: datetime, zone: tzinfo) -> Mapping[str, Any]:
    """What holds now, by the clock of this zone."""
    clock = now.astimezone(zone).time()
    return next(one.adapt for one in bounds if one.hold_at(clock))


def _read(table: Mapping[str, Any]) -> Bounds:
    adapt = {key: value for key, value in table.items() if key not in {"from", "to"}}
    _check(adapt)
    if "from" not in table and "to" not in table:
        return Bounds(adapt=adapt)
    begin, end = _time(table.get("from")), _time(table.get("to"))
    if begin == end:
        raise ValueError(f"a table of adapt holds from {begin:%H:%M} to {end:%H:%M}, which is never: leave both out for the whole day")
    return Bounds(span=(begin, end), adapt=adapt)


def _time(value: Any) -> time:
    try:
        found = time.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, time) or found.tzinfo is not None:
        raise ValueError(f'from and to of adapt take a time of day such as "08:00", both of them, not {value!r}')
    return found


def _check(adapt: Mapping[str, Any]) -> None:
    low, high = adapt.get("minimum", 0), adapt.get("maximum")
    for name, value in (("minimum", low), ("maximum", high)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ValueError(f"{name} of adapt is {value!r}, but takes a whole number, 0 or more")
    if high is not None and high < max(low or 0, 1):
        raise ValueError(f"adapt goes from {low} to {high} workers, but the maximum must be at least 1 and not below the minimum")


def _shown(bounds: Bounds) -> str:
    return "{" + ", ".join(f"{key} = {value}" for key, value in bounds.written().items()) + "}"
