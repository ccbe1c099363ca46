# SPDX-License-Identifier: BSD-3-Clause
"""The two dates of a backfill, as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from nbflow.app.backfilling import read_start, read_until

ZURICH = ZoneInfo("Europe/Zurich")
TINY = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("first", "last", "start", "after"),
    [
        # A date is the whole day, of 23 hours in spring and of 25 in autumn.
        ("2026-01-01", "2026-01-01", datetime(2025, 12, 31, 23, tzinfo=UTC), datetime(2026, 1, 1, 23, tzinfo=UTC)),
        ("2026-03-29", "2026-03-29", datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)),
        ("2026-10-25", "2026-10-25", datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)),
        ("2026-02-28", "20260228", datetime(2026, 2, 27, 23, tzinfo=UTC), datetime(2026, 2, 28, 23, tzinfo=UTC)),
        ("2199-12-31", "2199-12-31", datetime(2199, 12, 30, 23, tzinfo=UTC), datetime(2199, 12, 31, 23, tzinfo=UTC)),
        # An instant is itself, in the flow's zone where it names none.
        ("2026-01-01T06:00", "2026-01-01T12:00", datetime(2026, 1, 1, 5, tzinfo=UTC), datetime(2026, 1, 1, 11, tzinfo=UTC) + TINY),
        ("2026-01-01T06:00Z", "2026-01-01 12:00+02:00", datetime(2026, 1, 1, 6, tzinfo=UTC), datetime(2026, 1, 1, 10, tzinfo=UTC) + TINY),
    ],
)
def test_the_range_includes_both_ends(first: str, last: str, start: datetime, after: datetime) -> None:
    assert (read_start(first, ZURICH), read_until(last, ZURICH) + TINY) == (start, after)
