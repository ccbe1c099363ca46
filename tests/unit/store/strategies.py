# SPDX-License-Identifier: BSD-3-Clause
"""Any record, made from the annotations of its dataclass: a field that is added is tested from then on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from nbflow.core.ids import FlowName, RunId, TaskId, Token

NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
INSTANTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis takes bounds without a zone
DURATIONS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
SIMPLE = {
    FlowName: NAMES,
    RunId: NAMES,
    TaskId: NAMES,
    Token: NAMES,
    str: st.text(max_size=12),
    int: st.integers(-(2**31), 2**31 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
    datetime: INSTANTS,
    timedelta: DURATIONS,
    Any: JSON,
}


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation."""
    if hint in SIMPLE:
        return SIMPLE[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType or NoneType in arguments:
        return st.one_of(*(st.none() if each is NoneType else of(each) for each in arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(of(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(of(each) for each in arguments))
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(st.text(max_size=5), of(arguments[1]), max_size=3)
    if dataclasses.is_dataclass(hint):
        return st.deferred(lambda: records(hint, **_leaves(hint)))
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    return st.tuples(*(of(each) for each in get_type_hints(hint).values())).map(lambda values: hint(*values))


def _leaves(cls: type[Any]) -> dict[str, st.SearchStrategy[Any]]:
    """Fields that hold the record's own kind: one level of them, so that what is drawn ends."""
    own = {name for name, hint in get_type_hints(cls).items() if cls in get_args(hint)}
    return {name: st.lists(records(cls, **dict.fromkeys(own, st.just(()))), max_size=2).map(tuple) for name in own}


def records(cls: type[Any], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Instances of a dataclass with every field drawn, `fixed` ones from what is given."""
    hints = get_type_hints(cls)
    drawn = {
        field.name: HASHES if field.name == "hash" else of(hints[field.name])
        for field in dataclasses.fields(cls)
        if field.name not in fixed
    }
    return st.builds(cls, **drawn, **fixed)
