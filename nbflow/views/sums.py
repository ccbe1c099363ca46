# SPDX-License-Identifier: BSD-3-Clause
"""Addition as the browser adds."""

from __future__ import annotations

from collections.abc import Iterable


def total(numbers: Iterable[float]) -> float:
    """One after the other. Python's `sum` compensates rounding since 3.12, and a tie that it breaks otherwise moves a box of the picture."""
    added = 0.0
    for number in numbers:
        added += number
    return added
