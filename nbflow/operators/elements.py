# SPDX-License-Identifier: BSD-3-Clause
"""A value taken apart for a mapped task: each element is stored by itself, so that a copy is sent no more than its own.

What has a length and an order can be mapped over: a list, a tuple, a range, a deque, an array (along its first axis), a Series, an Index; of a
dict the items, as pairs. Not a text, not bytes, not a set (it has no order), not a DataFrame (its elements would be the names of its columns).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from nbflow.core import messages
from nbflow.core.errors import UserError
from nbflow.core.job import ValueRef
from nbflow.core.mapping import MAP_LIMIT

#: Bytes of one element that stand in the database row: less than of a value, since there may be a thousand.
ELEMENT_INLINE: Final = 1024
_TEXTS: Final = (str, bytes, bytearray, memoryview)
_REMEDY: Final = "give a list, a tuple or a dict"


class NotMappable(UserError):
    """A value that a task maps over has no elements, or too many."""


def elements_of(name: str, value: Any, *, task: str) -> list[Any]:
    """The elements of the value of variable `name`, which `task` maps over. Raises NotMappable."""
    found, remedy = _apart(value)
    if found is None:
        raise NotMappable(messages.cannot_map(name, _what(value), task, remedy))
    if len(found) > MAP_LIMIT:
        raise NotMappable(messages.too_many_elements(name, len(found), task, MAP_LIMIT))
    return found


def store_elements(name: str, value: Any, *, task: str, store: Callable[[Any], ValueRef]) -> tuple[ValueRef, ...]:
    """Each element stored by itself. Raises NotMappable, and what `store` raises."""
    return tuple(store(element) for element in elements_of(name, value, task=task))


def _apart(value: Any) -> tuple[list[Any] | None, str]:
    """The elements, or None and what to do instead. No more is taken than tells that there are too many."""
    if isinstance(value, Mapping):
        return list(value.items()), ""
    if isinstance(value, _TEXTS):
        return None, _REMEDY
    if isinstance(value, AbstractSet):
        return None, "a set has no order, give sorted(...) of it"
    if isinstance(value, Sequence):
        return list(value), ""
    kind = type(value)
    if kind.__name__ == "DataFrame":
        return None, 'give its rows, as .to_dict("records"), or a list of parts of it'
    if hasattr(kind, "__len__") and hasattr(kind, "__getitem__") and hasattr(kind, "__iter__") and getattr(value, "ndim", 1) > 0:
        return list(value), ""
    if hasattr(kind, "__len__") and hasattr(kind, "__iter__") and kind.__name__.startswith("dict_"):
        return list(value), ""
    return None, _REMEDY


def _what(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
