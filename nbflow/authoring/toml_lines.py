# SPDX-License-Identifier: BSD-3-Clause
"""Where each key of a TOML text stands: tomllib keeps no positions."""

from __future__ import annotations

import re

_TABLE = re.compile(r"^\s*\[\[?(?P<path>[^\[\]#]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*(?P<path>(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=(?P<value>.*)$""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")
_INLINE_KEY = re.compile(r"""[{,]\s*(?P<key>[A-Za-z0-9_-]+)\s*=""")
_TEXT = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'|\#.*""")


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Path of a key or table -> its line, from 1. The text has been read by tomllib: it is valid."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    open_text = ""
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not open_text and depth == 0:
            if header := _TABLE.match(line):
                table = _parts(header["path"])
                _note(found, table, number)
                continue
            if key := _KEY.match(line):
                path = table + _parts(key["path"])
                _note(found, path, number)
                for inner in _INLINE_KEY.finditer(key["value"]):
                    _note(found, (*path, inner["key"]), number)
        open_text = _still_open(line, open_text)
        if not open_text:
            bare = _TEXT.sub("", line)
            depth = max(0, depth + bare.count("[") - bare.count("]")) if "=" in bare or depth else depth
    return found


def _note(found: dict[tuple[str, ...], int], path: tuple[str, ...], number: int) -> None:
    for length in range(1, len(path) + 1):
        found.setdefault(path[:length], number)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(next(part for part in groups if part) if any(groups) else "" for groups in _PART.findall(path))


def _still_open(line: str, open_text: str) -> str:
    """The triple quotation mark that is still open after this line."""
    place = 0
    while True:
        if open_text:
            place = line.find(open_text, place)
            if place < 0:
                return open_text
            place, open_text = place + 3, ""
            continue
        starts = [(at, mark) for mark in ('"""', "'''") if (at := line.find(mark, place)) >= 0]
        if not starts:
            return ""
        place, open_text = min(starts)
        place += 3
