# SPDX-License-Identifier: BSD-3-Clause
"""Functions that an interrupt must not break off: half of what they do would stay with the process for ever.

Where attempts are threads of a process that lives on, they are ended by an exception that Python raises between any two steps of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Place(NamedTuple):
    """Where a function is written, and its name."""

    file: str
    function: str


_marked: set[Place] = set()
#: The steps between which a lock is taken, or not any more, while no `with` or `finally` answers for it.
_TAKING = frozenset({"__enter__", "__exit__", "acquire", "release", "_acquireLock", "_releaseLock", "_acquire_restore", "_release_save"})
#: Where Python holds the locks of modules, and has half of one loaded. Some libraries cannot be loaded twice.
_IMPORTING = "<frozen importlib"


def unbroken(function: F) -> F:
    """Mark it. Of a generator this holds while it runs, not while it waits at its `yield`."""
    _marked.add(Place(function.__code__.co_filename, function.__code__.co_name))
    return function


def may_be_broken_off(stack: Sequence[Place]) -> bool:
    """Whether an interrupt does no harm to a thread that stands here: the function it is in, the one that called it, and so on."""
    if stack and stack[0].function in _TAKING:
        return False
    return not any(place in _marked or place.file.startswith(_IMPORTING) for place in stack)
