# SPDX-License-Identifier: BSD-3-Clause
"""Records and flows as JSON text, and back (adr/0002).

    instant    integer, microseconds since 1970 UTC        bytes     base64
    duration   integer, microseconds                       enum      its value
    tuple      list                                        record    object, without the fields that have their default

What is left out when it has its default may be added later: old rows read as if they had said the default. A key nobody knows is passed over.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from nbflow.core.errors import SetupError, UserError

#: Raised when a stored document means something else than before; older ones must then be translated in `decode`.
VERSION: Final = 1

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_VERSION_KEY: Final = "v"
T = TypeVar("T")


class _Pair(NamedTuple):
    """How one type is written and read."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def micros(instant: datetime) -> int:
    """Microseconds since 1970 UTC. Raises TypeError for a naive datetime."""
    return (instant - _EPOCH) // _MICROSECOND


def instant(micros: int) -> datetime:
    """The aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def encode(record: Any) -> str:
    """The dataclass as JSON text in ASCII, so that every database keeps it as it is. Raises UserError when a value in it is not JSON."""
    return encode_plain(plain(record), type(record).__name__)


def encode_plain(document: Mapping[str, Any], what: str) -> str:
    """`encode` of the record of which `plain` made this document."""
    return dump({**document, _VERSION_KEY: VERSION}, what)


def decode(cls: type[T], text: str) -> T:
    """The dataclass that `encode` wrote. Raises SetupError when a newer nbflow wrote it."""
    document = json.loads(text)
    if document.pop(_VERSION_KEY, VERSION) > VERSION:
        raise SetupError("The database holds records of a newer nbflow: install that version here too.")
    record: T = _pair(cls).read(document)
    return record


def dump(document: Any, what: str, *, sort: bool = False) -> str:
    """Compact JSON text. Dates, as TOML and YAML know them, become ISO text.

    Raises UserError when something else in it is not JSON; `what` names the document.
    """
    try:
        return _SORTED.encode(document) if sort else _write_compactly(document)
    except (TypeError, ValueError, RecursionError) as error:
        why = "it contains itself" if isinstance(error, RecursionError) else error
        raise UserError(f"{what} cannot be stored, because a value in it is not JSON: {why}") from error


def _date_text(value: Any) -> str:
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} {value!r}"[:200])


_SORTED: Final = json.JSONEncoder(separators=(",", ":"), default=_date_text, sort_keys=True)


def _writer() -> Callable[[Any], str]:
    """`JSONEncoder.encode` makes its encoder in C anew for each text, which costs as much as a small record: made once, where there is one."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return json.JSONEncoder(separators=(",", ":"), default=_date_text).encode
    encode_parts = make(None, _date_text, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True)  # noqa: FBT003 - C takes no names
    return lambda document: "".join(encode_parts(document, 0))


_write_compactly: Final = _writer()


def plain(value: Any) -> Any:
    """`value` as the JSON types that `dump` takes."""
    return _pair(type(value)).write(value)


def _pair(hint: Any) -> _Pair:
    """The rule of a type, made once."""
    found = _RULES.get(hint)
    if found is None:
        with _MAKING:
            if hint in _BEING_MADE:  # a type that holds its own kind: its rule is looked up when it is used
                return _Pair(lambda value: _RULES[hint].write(value), lambda value: _RULES[hint].read(value))  # noqa: PLW0108 - not there yet
            _BEING_MADE.add(hint)
            try:
                found = _RULES[hint] = _made(hint)
            finally:
                _BEING_MADE.discard(hint)
    return found


def _made(hint: Any) -> _Pair:
    """Chosen by the annotation of a field; raises TypeError for one that has no rule, when the first record of that type is written."""
    hint = getattr(hint, "__supertype__", hint)  # NewType
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType or NoneType in arguments:
        return _optional(arguments)
    if origin is tuple:
        return _tuple(arguments)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(arguments[1])
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _record(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _Pair(attrgetter("_value_"), hint)  # `value` is a property written in Python
    if isinstance(hint, type) and issubclass(hint, tuple):
        return _named_tuple(hint)
    raise TypeError(f"no rule to store {hint!r}")


def _same(value: Any) -> Any:
    return value


_AS_IS: Final = _Pair(_same, _same)
_RULES: Final[dict[Any, _Pair]] = {}
_MAKING: Final = threading.RLock()
_BEING_MADE: Final[set[Any]] = set()
_SIMPLE: Final[Mapping[Any, _Pair]] = {
    **dict.fromkeys((str, int, float, bool, Any), _AS_IS),
    datetime: _Pair(micros, instant),
    timedelta: _Pair(lambda value: value // _MICROSECOND, lambda number: timedelta(microseconds=number)),
    bytes: _Pair(lambda value: base64.b64encode(value).decode("ascii"), base64.b64decode),
}


def _optional(arguments: tuple[Any, ...]) -> _Pair:
    (inner,) = (_pair(argument) for argument in arguments if argument is not NoneType)
    if inner is _AS_IS:
        return _AS_IS
    return _Pair(
        lambda value: None if value is None else inner.write(value),
        lambda value: None if value is None else inner.read(value),
    )


def _tuple(arguments: tuple[Any, ...]) -> _Pair:
    if arguments[-1] is Ellipsis:
        inner = _pair(arguments[0])
        if inner is _AS_IS:
            return _Pair(list, tuple)
        return _Pair(lambda items: [inner.write(item) for item in items], lambda items: tuple(inner.read(item) for item in items))
    inners = tuple(_pair(argument) for argument in arguments)
    return _Pair(
        lambda items: [each.write(item) for each, item in zip(inners, items, strict=True)],
        lambda items: tuple(each.read(item) for each, item in zip(inners, items, strict=True)),
    )


def _named_tuple(cls: type[Any]) -> _Pair:
    inners = tuple(_pair(hint) for hint in get_type_hints(cls).values())
    if all(inner is _AS_IS for inner in inners):
        return _Pair(list, lambda items: cls(*items))
    return _Pair(
        lambda items: [each.write(item) for each, item in zip(inners, items, strict=True)],
        lambda items: cls(*(each.read(item) for each, item in zip(inners, items, strict=True))),
    )


def _mapping(value_hint: Any) -> _Pair:
    inner = _pair(value_hint)
    if inner is _AS_IS:
        return _Pair(dict, _same)
    return _Pair(
        lambda items: {name: inner.write(item) for name, item in items.items()},
        lambda items: {name: inner.read(item) for name, item in items.items()},
    )


_MISSING: Final = object()


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else _MISSING


def _record(cls: type[Any]) -> _Pair:
    hints = get_type_hints(cls)
    rules = tuple((field.name, _default(field), *_pair(hints[field.name])) for field in dataclasses.fields(cls))
    readers = {name: read for name, _, _, read in rules}

    def write(record: Any) -> dict[str, Any]:
        document = {}
        for name, default, write_field, _ in rules:
            value = getattr(record, name)
            if value is not default and value != default:
                document[name] = write_field(value)
        return document

    def read(document: Mapping[str, Any]) -> Any:
        return cls(**{name: readers[name](value) for name, value in document.items() if name in readers})

    return _Pair(write, read)
