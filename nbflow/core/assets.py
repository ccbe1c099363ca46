# SPDX-License-Identifier: BSD-3-Clause
"""Assets: data that tasks update and flows wait for. Their names, and expressions over them such as `a & (b | c)`.

An asset is a name and nothing else; `s3://bucket/logs` is one as good as `clean_logs`. `&` binds tighter than `|`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nbflow.core.errors import UserError
from nbflow.core.options import TaskOptions

_NAME: Final = re.compile(r"[A-Za-z0-9_.:/~@+=%-]{1,250}")
_TOKEN: Final = re.compile(r"[&|()]|[^\s&|()]+")
#: What a success is noted with when the task made nothing: somebody marked it, its value is an older one, or it did not run.
_MADE_NOTHING: Final = frozenset({"cause", "last_good", "from_cache", "already"})
#: Parentheses in parentheses in parentheses ...
_DEEPEST: Final = 100


def asset_name(text: str) -> str:
    """`text` as the name of an asset. Raises UserError when a character is not allowed."""
    if not _NAME.fullmatch(text):
        raise UserError(f'"{text}" cannot be the name of an asset: use 1 to 250 letters, digits or any of "_ . : / ~ @ + = % -".')
    return text


def updated_by(options: TaskOptions, note: Mapping[str, Any]) -> tuple[str, ...]:
    """The assets that a task instance updates by a success with this note: its outlets when its own work succeeded, else none.

    Nothing new is there after a success that a person marked, that took an earlier result (from the cache, or the last good one), or whose
    result existed already. Each copy of a mapped task updates them, and so does a task that was cleared and succeeded again.
    """
    return options.outlets if options.outlets and not _MADE_NOTHING & note.keys() else ()


@dataclass(frozen=True)
class Name:
    """This asset was updated."""

    name: str

    def holds(self, updated: Collection[str]) -> bool:
        return self.name in updated

    def names(self) -> Iterator[str]:
        yield self.name

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class All:
    """Each of these holds."""

    parts: tuple[Expression, ...]

    def holds(self, updated: Collection[str]) -> bool:
        return all(part.holds(updated) for part in self.parts)

    def names(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.names()

    def __str__(self) -> str:
        return " & ".join(f"({part})" if isinstance(part, Any_) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Any_:  # noqa: N801 - the builtin has the name
    """One of these holds."""

    parts: tuple[Expression, ...]

    def holds(self, updated: Collection[str]) -> bool:
        return any(part.holds(updated) for part in self.parts)

    def names(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.names()

    def __str__(self) -> str:
        return " | ".join(map(str, self.parts))


Expression = Name | All | Any_


def any_of(parts: Collection[Expression]) -> Expression | None:
    """One of these; None when there are none."""
    return Any_(tuple(parts)) if len(parts) > 1 else next(iter(parts), None)


def read_expression(text: str) -> Expression:
    """What an expression says. Raises UserError, the end of a sentence about it, with the column."""
    reader = _Reader(text)
    found = reader.either()
    reader.expect_end()
    return found


class _Reader:
    """either: both ("|" both)*     both: one ("&" one)*     one: NAME | "(" either ")" """

    def __init__(self, text: str) -> None:
        self._tokens = [(found[0], found.start() + 1) for found in _TOKEN.finditer(text)]
        self._end = len(text.rstrip()) + 1
        self._place = 0
        self._depth = 0

    def _next(self) -> tuple[str, int]:
        return self._tokens[self._place] if self._place < len(self._tokens) else ("", self._end)

    def _take(self) -> tuple[str, int]:
        token = self._next()
        self._place += 1
        return token

    def either(self) -> Expression:
        parts = [self._both()]
        while self._next()[0] == "|":
            self._take()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Any_(tuple(parts))

    def _both(self) -> Expression:
        parts = [self._one()]
        while self._next()[0] == "&":
            self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Expression:
        token, column = self._take()
        if token == "(":  # noqa: S105 - a parenthesis
            return self._inner(column)
        if not token:
            raise UserError(f"ends at column {column} where the name of an asset is missing.")
        if token in {"&", "|", ")"}:
            raise UserError(f'has "{token}" at column {column} where the name of an asset should stand.')
        try:
            return Name(asset_name(token))
        except UserError as error:
            raise UserError(f"is wrong at column {column}: {error}") from None

    def _inner(self, column: int) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UserError(f"has more than {_DEEPEST} parentheses in each other at column {column}.")
        found = self.either()
        if self._take()[0] != ")":
            raise UserError(f'has a "(" at column {column} that is never closed.')
        self._depth -= 1
        return found

    def expect_end(self) -> None:
        token, column = self._next()
        if token == ")":  # noqa: S105 - a parenthesis
            raise UserError(f'has a ")" at column {column} that closes nothing.')
        if token:
            raise UserError(f'has "{token}" at column {column} where & or | should stand.')
