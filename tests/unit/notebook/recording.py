# SPDX-License-Identifier: BSD-3-Clause
"""A channel that keeps what is sent, and shows the cells as a front end would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RecordingChannel:
    """What a front end would have drawn, by the id of the request."""

    is_rich = True

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, Any], str]] = []
        self.cells: dict[str, list[dict[str, Any]]] = {}
        self.current = "run"
        self._clear: set[str] = set()

    def parent(self) -> Mapping[str, Any]:
        return request(self.current)

    def show(self, data, display_id):
        self.send("display_data", {"data": dict(data), "transient": {"display_id": display_id}}, self.parent())

    def update(self, data, display_id, parent):
        self.send("update_display_data", {"data": dict(data), "transient": {"display_id": display_id}}, parent)

    def write(self, text):
        self.send("stream", {"name": "stdout", "text": text}, self.parent())

    def send(self, kind, content, parent):
        cell = parent.get("header", {}).get("msg_id", "")
        self.sent.append((kind, content, cell))
        outputs = self.cells.setdefault(cell, [])
        if kind == "clear_output":
            if content["wait"]:
                self._clear.add(cell)
            else:
                outputs.clear()
            return
        if kind == "update_display_data":
            wanted = content["transient"]["display_id"]
            for shown in [one for many in self.cells.values() for one in many]:
                if shown.get("transient", {}).get("display_id") == wanted:
                    shown["data"] = content["data"]
            return
        if cell in self._clear:
            self._clear.discard(cell)
            outputs.clear()
        outputs.append({"kind": kind, **content})

    def texts(self, cell: str) -> list[str]:
        """Each output of the cell as plain text."""
        return [_text(output) for output in self.cells.get(cell, [])]


def request(message_id: str) -> dict[str, Any]:
    return {"header": {"msg_id": message_id}}


def _text(output):
    if output["kind"] == "stream":
        return output["text"]
    if output["kind"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    return output["data"].get("text/plain", "")
