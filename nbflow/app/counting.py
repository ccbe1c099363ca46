# SPDX-License-Identifier: BSD-3-Clause
"""Counting the runs that have ended: each once, by whoever comes by, before it answers what was counted."""

from __future__ import annotations

from nbflow.app.rooms import Opened
from nbflow.core.tallies import Tally, tallies_of

_PAGE = 100


def count_ended(rooms: Opened, most: int = 10_000) -> int:
    """Count what has not been counted yet; returns how many ends were."""
    house, counted = rooms.store.house, 0
    while counted < most and (ends := house.ended(_PAGE)):
        for end in ends:
            counted += house.count(end.number, tallies_of(rooms.store.changes(end.run_id, 0, end.cursor)))
    return counted


def tallies(rooms: Opened) -> tuple[Tally, ...]:
    """Everything that was ever counted, up to now."""
    count_ended(rooms)
    return rooms.store.house.tallies()
