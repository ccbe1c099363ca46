# SPDX-License-Identifier: BSD-3-Clause
"""Bounds of a cluster that depend on the time of day."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from nbflow.core.adapting import in_force, read_bounds

ZURICH = ZoneInfo("Europe/Zurich")
DAY, NIGHT, ELSE = {"minimum": 1, "maximum": 2}, {"maximum": 20}, {"minimum": 0, "maximum": 8}
TABLES = [{"from": "08:00", "to": "18:00", **DAY}, {"from": time(22), "to": "06:00", **NIGHT}, ELSE]


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-01-10T06:59:59", ELSE),  # 07:59:59 in Zurich
        ("2026-01-10T07:00", DAY),
        ("2026-01-10T16:59", DAY),
        ("2026-01-10T17:00", ELSE),
        ("2026-01-10T21:00", NIGHT),  # over midnight
        ("2026-01-11T04:59", NIGHT),
        ("2026-01-11T05:00", ELSE),
        ("2026-07-10T06:00", DAY),  # in summer the clock is two hours ahead
        ("2026-07-10T16:00", ELSE),
    ],
)
def test_the_first_that_holds_is_in_force(instant: str, expected: dict) -> None:
    assert in_force(read_bounds(TABLES), datetime.fromisoformat(instant).replace(tzinfo=UTC), ZURICH) == expected


def test_one_table_holds_always() -> None:
    (bounds,) = read_bounds(ELSE)
    assert (bounds.hold_at(time(3)), bounds.written()) == (True, ELSE)
    assert read_bounds([one.written() for one in read_bounds(TABLES)]) == read_bounds(TABLES)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "adapt is [], but takes a table such as"),
        ([{"from": "8", "to": "18:00"}, ELSE], "from and to of adapt take a time of day such as \"08:00\", both of them, not '8'"),
        ([{"from": "08:00"}, ELSE], "both of them, not None"),
        ([{"from": "08:00", "to": "08:00"}, ELSE], "holds from 08:00 to 08:00, which is never"),
        ([{"from": "08:00", "to": "18:00"}], "the last table of adapt must hold at any time: leave out its from and to"),
        ([ELSE, ELSE], "the tables of adapt below {minimum = 0, maximum = 8} never hold, since it holds at any time: put it last"),
        ([{"from": "08:00", "to": "18:00", "minimum": 3, "maximum": 2}, ELSE], "adapt goes from 3 to 2 workers"),
    ],
)
def test_what_means_nothing_is_said(value: object, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_bounds(value)
    assert why in str(caught.value)
