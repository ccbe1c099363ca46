# SPDX-License-Identifier: BSD-3-Clause
"""What the evaluation of code knows: the effects of functions, and what holds at one point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Body:
    """What the body of a function does to the notebook's names when it runs."""

    #: In order of appearance.
    reads: dict[str, None] = field(default_factory=dict)
    #: Through `global`.
    writes: dict[str, None] = field(default_factory=dict)
    mutates: dict[str, None] = field(default_factory=dict)
    #: Parameters whose arguments it changes in place.
    changes: dict[str, None] = field(default_factory=dict)
    #: All its parameters that can be given by position.
    positional: tuple[str, ...] = ()
    calls: list[Call] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """A call of a plain name: which names' objects went in, by position (or `*`: anywhere) and by keyword."""

    function: str
    positional: tuple[frozenset[str], ...] = ()
    keywords: tuple[tuple[str, frozenset[str]], ...] = ()


@dataclass
class State:
    """What holds at one point of the evaluation."""

    #: Names every path to here has bound.
    bound: set[str] = field(default_factory=set)
    #: Name -> the names whose object it may be, or be a part of.
    origins: dict[str, frozenset[str]] = field(default_factory=dict)

    def copy(self) -> State:
        return State(set(self.bound), dict(self.origins))


def join(states: Sequence[State]) -> State:
    """What holds where these paths meet."""
    first, *others = states
    bound = first.bound.intersection(*(state.bound for state in others))
    names = {name for state in states for name in state.origins}
    origins = {name: frozenset().union(*(state.origins.get(name, frozenset({name})) for state in states)) for name in names}
    return State(bound, origins)


def changed_by(call: Call, body: Body | None) -> list[str]:
    """The names whose objects a call of this function changes in place."""
    if body is None or not body.changes:
        return []
    given = dict(zip(body.positional, call.positional, strict=False)) | dict(call.keywords)
    return sorted({name for parameter in body.changes for name in given.get(parameter, frozenset())})
