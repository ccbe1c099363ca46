# SPDX-License-Identifier: BSD-3-Clause
"""Where random cases come from: hypothesis, which makes a failing case small, or a seed, which makes a case in a millisecond."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Chance(Protocol):
    """Draws whatever a random case is made of."""

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        ...

    def one_of(self, choices: Sequence[T]) -> T: ...

    def some_of(self, choices: Sequence[T], least: int, most: int) -> list[T]:
        """Different ones of these, in an order of chance."""
        ...


class Drawn:
    """Chance as hypothesis draws it; what comes first in a sequence is what a failing case is made small with."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self._draw(st.integers(0, len(choices) - 1))]

    def some_of(self, choices: Sequence[T], least: int, most: int) -> list[T]:
        places = st.lists(
            st.integers(0, len(choices) - 1), unique=True, min_size=min(least, len(choices)), max_size=min(most, len(choices))
        )
        return [choices[place] for place in self._draw(places)]


class Rolled:
    """Chance by a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def one_of(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def some_of(self, choices: Sequence[T], least: int, most: int) -> list[T]:
        most = min(most, len(choices))
        return self._random.sample(choices, self._random.randint(min(least, most), most))
