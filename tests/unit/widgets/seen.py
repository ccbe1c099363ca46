# SPDX-License-Identifier: BSD-3-Clause
"""Waiting for what a panel is told, without a clock."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nbflow.widgets import FlowPanel

#: Seconds after which a panel that is told nothing is stuck.
PATIENCE = 60


class Seen:
    """Wakes whoever waits whenever a trait of the panel changes, or a message goes out."""

    def __init__(self, panel: FlowPanel) -> None:
        self._panel = panel
        self._changed = threading.Condition()
        self.deltas: list[dict] = []
        panel.observe(self._note)
        send = panel.send

        def noting(content, *rest):
            send(content, *rest)
            self._note({"name": "message", "new": content})

        panel.send = noting

    def _note(self, change) -> None:
        with self._changed:
            if change["name"] == "states":
                self.deltas.append(change["new"])
            self._changed.notify_all()

    def until(self, come: Callable[[FlowPanel], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: come(self._panel), PATIENCE), self._panel.get_state(
                ["run", "notice", "selected", "log", "graph"]
            )

    def until_state(self, **states: str) -> None:
        """Until these tasks are drawn so."""
        self.until(lambda panel: {task["id"]: task["state"] for task in panel.graph.get("tasks", ())}.items() >= states.items())
