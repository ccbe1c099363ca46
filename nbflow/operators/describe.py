# SPDX-License-Identifier: BSD-3-Clause
"""How a value is shown in one line: `DataFrame, 1438 rows x 5 columns`, `3`, `'abc'`, `list, 20 items`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import pathlib
import reprlib
import types
from typing import Any, Final

_LIMIT: Final = 200
_SHORT: Final = 80
_ATOMS: Final = (bool, int, float, complex, str, bytes, type(None))
#: Types whose repr is short, quick and says what they are.
_TELLING: Final = (enum.Enum, BaseException, dt.date, dt.time, dt.timedelta, pathlib.PurePath, range, slice)


def describe(value: Any) -> str:
    """At most 200 characters on one line; never raises."""
    try:
        text = _describe(value)
    except Exception:  # noqa: BLE001  a value's own repr or shape may raise anything, and showing it must not fail the attempt
        text = type(value).__name__
    text = " ".join(text.split())
    return text if len(text) <= _LIMIT else text[: _LIMIT - 1] + "…"


def _describe(value: Any) -> str:
    if isinstance(value, _ATOMS):
        return _shortened(value)
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, type):
        return f"class {value.__qualname__}"
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        return f"function {value.__qualname__}"
    root = type(value).__module__.partition(".")[0]
    if root == "pandas":
        return _of_pandas(value)
    if root == "numpy":
        return _of_numpy(value)
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        return _of_container(value)
    is_plain_record = dataclasses.is_dataclass(value) or hasattr(value, "get_params")
    return _shortened(value) if is_plain_record or isinstance(value, _TELLING) else type(value).__name__


def _shortened(value: Any) -> str:
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = _LIMIT
    return short.repr(value)


def _of_pandas(value: Any) -> str:
    name = type(value).__name__
    shape = getattr(value, "shape", None)
    if not shape:
        return _shortened(value)
    rows = _count(shape[0], "row")
    return f"{name}, {rows} x {_count(shape[1], 'column')}" if len(shape) == 2 else f"{name}, {rows}, {value.dtype}"


def _of_numpy(value: Any) -> str:
    shape = getattr(value, "shape", ())
    if not hasattr(value, "dtype") or not shape:
        return _shortened(value)
    return f"{'array' if type(value).__name__ == 'ndarray' else type(value).__name__}, {' x '.join(map(str, shape))}, {value.dtype}"


def _of_container(value: Any) -> str:
    name = type(value).__name__
    if len(value) <= 10 and all(isinstance(item, _ATOMS) for item in _items(value)):
        text = repr(value)
        if len(text) <= _SHORT:
            return text
    return f"{name}, {_count(len(value), 'item')}"


def _items(value: Any) -> list[Any]:
    return [*value, *value.values()] if isinstance(value, dict) else list(value)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
