# SPDX-License-Identifier: BSD-3-Clause
"""The text of one stream as JupyterLab shows it: a carriage return goes back to the start of the line, what follows overwrites it."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\r\b\n]")


class StreamText:
    """Grows piece by piece; only the last line can still change, so progress bars cost nothing but their last state."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._done_size = 0
        self._line = ""
        self._column = 0

    @property
    def size(self) -> int:
        """Characters kept so far."""
        return self._done_size + len(self._line)

    def value(self) -> str:
        return "".join(self._done) + self._line

    def feed(self, text: str) -> None:
        if "\r" not in text and "\b" not in text and self._column == len(self._line):
            self._append(text)
            return
        position = 0
        for control in _CONTROL.finditer(text):
            self._overwrite(text[position : control.start()])
            position = control.end()
            match control.group():
                case "\r":
                    self._column = 0
                case "\b":
                    cut = max(0, self._column - 1)
                    self._line = self._line[:cut] + self._line[self._column :]
                    self._column = cut
                case _:
                    self._finish_line()
        self._overwrite(text[position:])

    def _append(self, text: str) -> None:
        before, newline, after = text.rpartition("\n")
        if newline:
            whole, self._line = self._line + before + newline, ""  # at once: a finalizer may print between two steps
            self._done.append(whole)
            self._done_size += len(whole)
        self._line += after
        self._column = len(self._line)

    def _overwrite(self, text: str) -> None:
        if text:
            end = self._column + len(text)
            self._line = self._line[: self._column] + text + self._line[end:]
            self._column = end

    def _finish_line(self) -> None:
        self._done.append(self._line + "\n")
        self._done_size += len(self._line) + 1
        self._line = ""
        self._column = 0
