# SPDX-License-Identifier: BSD-3-Clause
"""What a task can be mapped over besides lists and results: results that are transformed, paired or joined, element by element.

score.expand(row=rows.map(clean))                   # SkipTask in clean skips that copy
score.expand(pair=names.zip(ages, fillvalue=0))     # tuples, to the shortest; with a fillvalue to the longest
score.expand(row=january.concat(february))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nbflow.core.errors import UserError

#: `zip` without a fill value ends with the shortest.
SHORTEST: Final = object()


class Lazy:
    """A list that is not there yet; what is done with it is done on the workers, for each copy's own element."""

    def map(self, function: Callable[[Any], Any]) -> Transformed:
        """Each element as `function` makes it; `SkipTask` raised in it skips the copy. Raises UserError for what cannot be called."""
        if not callable(function):
            raise UserError(f".map takes a function of one element, and {function!r:.60} is none.")
        plain = getattr(function, "function", function)  # a @task is called as the plain function it is
        return Transformed("map", (self,), function=plain)

    def zip(self, *others: Any, fillvalue: Any = SHORTEST) -> Transformed:
        """Tuples of elements in the same place, to the shortest; with a `fillvalue`, to the longest."""
        return Transformed("zip" if fillvalue is SHORTEST else "fill", (self, *others), fillvalue=fillvalue)

    def concat(self, *others: Any) -> Transformed:
        """The elements of this, then those of the others."""
        return Transformed("concat", (self, *others))


class Transformed(Lazy):
    """What `.map`, `.zip` and `.concat` give: it can be mapped over, and transformed further."""

    def __init__(
        self, how: str, parts: tuple[Any, ...], *, function: Callable[[Any], Any] | None = None, fillvalue: Any = SHORTEST
    ) -> None:
        self.how, self.parts, self.function, self.fillvalue = how, parts, function, fillvalue

    @property
    def written(self) -> str:
        """`rows().map(clean)`"""
        first, *others = (getattr(part, "written", "[...]") for part in self.parts)
        if self.how == "map":
            others = [getattr(self.function, "__name__", "...")]
        if self.how == "fill":
            others.append(f"fillvalue={self.fillvalue!r:.20}")
        return f"{first}.{'zip' if self.how == 'fill' else self.how}({', '.join(others)})"

    def __repr__(self) -> str:
        return f"<{self.written}, to be mapped over>"

    def __reduce__(self) -> Any:
        raise UserError(f"{self.written} can only be mapped over: give it to expand(...).")
