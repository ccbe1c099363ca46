# SPDX-License-Identifier: BSD-3-Clause
"""Outputs of a task as the entries of a panel's log: lines and pictures. Nothing in them is ever executed by a page: HTML is shown as its text."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

#: A line or a picture: `{"text", "time", "level"}` or `{"image", "text"}`.
Entry = dict[str, str]

#: Kinds of pictures, the best first.
_PICTURES: Final = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")
#: A larger picture is named, not sent: a log is looked at while a run goes on.
_PICTURE_LIMIT: Final = 1_000_000
#: Entries kept; the run keeps them all.
_KEPT: Final = 1_000
#: Characters of one line that are sent.
_LINE_LIMIT: Final = 2_000
_LEVEL: Final = re.compile(r"^.{0,40}?\b(WARN(?:ING)?|ERROR|CRITICAL|FATAL)\b")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def plain(entries: Iterable[Entry]) -> list[str]:
    """The lines as text, without colours."""
    return [_COLOUR.sub("", entry["text"]) for entry in entries]


class Log:
    """Grows output by output. What changes of it is told as so many entries taken back and others put in their place."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._taken = 0
        self._since = 0
        #: The last line of a stream may still go on.
        self._open = ""
        self._clear_next = False

    @classmethod
    def of(cls, outputs: Iterable[Mapping[str, Any]]) -> Log:
        """The log of a finished attempt."""
        log = cls()
        for output in outputs:
            log.add(output)
        return log

    def add(self, output: Mapping[str, Any], at: datetime | None = None) -> None:
        """One output, as nbformat has it (or a `clear_output`); `at` is when it was heard."""
        time = f"{at.astimezone():%H:%M:%S}.{at.microsecond // 1000:03}" if at else ""
        kind = output.get("output_type")
        if kind == "clear_output":
            self._clear_next = bool(output.get("wait"))
            if not self._clear_next:
                self._clear()
            return
        if kind == "update_display_data":
            return
        if self._clear_next:
            self._clear()
        if kind == "stream":
            self._stream(_text(output.get("text", "")), str(output.get("name", "")), time)
            return
        self._open = ""
        if kind == "error":
            lines = list(output.get("traceback") or ()) or [f"{output.get('ename', '')}: {output.get('evalue', '')}"]
            self._put(line for part in lines for line in _line_entries(part, "", level=False))
            if self.entries:
                self.entries[-1]["level"] = "E"
        else:
            self._put([{**entry, "time": time} if time else entry for entry in _shown(output.get("data", {}))])

    def news(self) -> tuple[int, list[Entry]]:
        """What changed since this was asked last: how many of the entries told then go, and those that come."""
        gone, self._taken = self._taken, 0
        fresh = self.entries[self._since - gone :]
        del self.entries[:-_KEPT]
        self._since = len(self.entries)
        return gone, fresh

    def _put(self, entries: Iterable[Entry]) -> None:
        self.entries.extend(entries)

    def _stream(self, text: str, name: str, time: str) -> None:
        if self._open == name and self.entries:
            last = self.entries.pop()
            if len(self.entries) < self._since - self._taken:
                self._taken += 1
            text, time = last["text"] + text, last.get("time", time)
        self._put(_line_entries(text.removesuffix("\n"), time))
        self._open = "" if text.endswith("\n") else name

    def _clear(self) -> None:
        self._taken, self._open, self._clear_next = self._since, "", False
        self.entries.clear()


def _line_entries(text: str, time: str, *, level: bool = True) -> list[Entry]:
    entries: list[Entry] = []
    for line in text.split("\n"):
        shown = _last_state(line)[:_LINE_LIMIT]
        entry: Entry = {"text": shown}
        found = _LEVEL.match(shown) if level else None
        if found:
            entry["level"] = "W" if found[1].startswith("WARN") else "E"
        if time:
            entry["time"] = time
        entries.append(entry)
    return entries


def _last_state(line: str) -> str:
    """A progress bar that was written over itself is its last state."""
    parts = [part for part in line.split("\r") if part]
    return parts[-1] if parts else ""


def _shown(data: Mapping[str, Any]) -> Sequence[Entry]:
    text = _text(data.get("text/plain", ""))
    for kind in _PICTURES:
        if kind not in data:
            continue
        content = _text(data[kind])
        encoded = base64.b64encode(content.encode()).decode("ascii") if kind == "image/svg+xml" else "".join(content.split())
        if len(encoded) > _PICTURE_LIMIT:
            return [{"text": f"A picture of {len(encoded) // 1_000_000} MB: {text or kind}"}]
        return [{"image": f"data:{kind};base64,{encoded}", "text": text or kind}]
    if text:
        return _line_entries(text, "", level=False)
    kinds = ", ".join(kind for kind in data if not kind.startswith("application/vnd.nbflow"))
    return [{"text": f"({kinds})"}] if kinds else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(map(str, value))
