# SPDX-License-Identifier: BSD-3-Clause
"""Which values JSON gives back exactly as they were: type by type, without tuples, NaN, subclasses or shared parts."""

from __future__ import annotations

import math
from typing import Any, Final

#: Beyond this many nodes pickle is faster than looking at each of them.
_NODES: Final = 100_000
_DEPTH: Final = 100
_INTEGER: Final = 2**63


def text_bytes(text: str) -> bytes | None:
    """UTF-8, or None for a text with lone surrogates."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def is_exact_in_json(value: Any) -> bool:
    """Whether `json.loads(json.dumps(value))` is the same tree of the same types, with no object met twice."""
    seen: set[int] = set()
    left = _NODES

    def check(node: Any, depth: int) -> bool:
        nonlocal left
        left -= 1
        if left < 0 or depth > _DEPTH:
            return False
        kind = type(node)
        if kind is bool or node is None:
            return True
        if kind is str:
            return text_bytes(node) is not None
        if kind is int:
            return bool(-_INTEGER <= node < _INTEGER)
        if kind is float:
            return math.isfinite(node)
        if kind not in (list, dict) or id(node) in seen:
            return False
        seen.add(id(node))
        if kind is list:
            return all(check(item, depth + 1) for item in node)
        return all(type(key) is str and text_bytes(key) is not None and check(item, depth + 1) for key, item in node.items())

    return check(value, 0)
