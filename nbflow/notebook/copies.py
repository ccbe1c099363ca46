# SPDX-License-Identifier: BSD-3-Clause
"""The outputs of a mapped task under its one cell: those of each copy below a line with its name, in map order, whatever the order they come in."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nbflow.core.ids import TaskKey
from nbflow.core.mapping import copy_heading
from nbflow.notebook.area import Area
from nbflow.notebook.channel import Bundle

#: Seconds between two showings, for each output that may have to be sent again.
_PACE: Final = 0.01


class CopiesArea:
    """Collects what the copies show; `flush` brings the area under the cell up to date, less often the more there is."""

    def __init__(self, area: Area) -> None:
        self._area = area
        self._outputs: dict[TaskKey, list[dict[str, Any]]] = {}
        self._attempts: dict[TaskKey, int] = {}
        self._is_behind = False
        self._next = 0.0

    def begin(self, key: TaskKey, attempt: int) -> None:
        """Called with every piece of news: a new attempt of a copy shows nothing yet."""
        if self._attempts.get(key) != attempt:
            self._attempts[key] = attempt
            self._is_behind |= bool(self._outputs.pop(key, None))

    def add(self, key: TaskKey, output: Mapping[str, Any], card: Bundle) -> None:
        """One live output."""
        kind = output["output_type"]
        mine = self._outputs.setdefault(key, [])
        if kind == "clear_output":
            mine.clear()
        elif kind == "update_display_data":
            self._update(mine, output)
            self._area.add(output, card)
            return
        elif kind == "stream" and mine and mine[-1]["output_type"] == "stream" and mine[-1]["name"] == output["name"]:
            mine[-1]["text"] = "".join([mine[-1]["text"], *output["text"]])
        else:
            mine.append({**output, "text": "".join(output["text"])} if kind == "stream" else dict(output))
        self._is_behind = True

    def settle(self, key: TaskKey, outputs: Sequence[Mapping[str, Any]]) -> None:
        """The copy ended with these outputs."""
        self._outputs[key] = [dict(output) for output in outputs]
        self._is_behind = True

    def flush(self, card: Bundle, *, now: bool = False) -> None:
        """Show what has come, when it is time; `now`: at any rate."""
        if not self._is_behind or (not now and time.monotonic() < self._next):
            return
        shown: list[dict[str, Any]] = []
        for key in sorted(self._outputs):
            if self._outputs[key]:
                shown += [{"output_type": "display_data", "data": copy_heading(key), "metadata": {}}, *self._outputs[key]]
        self._area.show(shown, card)
        self._is_behind = False
        self._next = time.monotonic() + _PACE * len(shown)

    @staticmethod
    def _update(outputs: Sequence[dict[str, Any]], update: Mapping[str, Any]) -> None:
        wanted = update.get("transient", {}).get("display_id")
        for output in outputs:
            if wanted and output.get("transient", {}).get("display_id") == wanted:
                output["data"], output["metadata"] = update["data"], update.get("metadata", {})
