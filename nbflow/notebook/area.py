# SPDX-License-Identifier: BSD-3-Clause
"""The outputs of one task under its own cell: its card, then what the newest attempt showed (recipes.md 17)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nbflow.notebook.channel import Bundle, Channel


class Area:
    """One cell's output area. Cleared when an attempt begins over an older one's outputs; afterwards it shows exactly what was recorded."""

    def __init__(self, channel: Channel, parent: Mapping[str, Any], count: int, display_id: str, used: set[str]) -> None:
        """`used` holds the requests whose areas show outputs of a run; shared by all areas of a kernel."""
        self._channel, self._parent, self._count, self._display_id = channel, parent, count, display_id
        self._used = used
        self._attempt = 0
        self._shown: list[dict[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []
        #: A `clear_output(wait=True)` of the task: it takes effect with the next output.
        self._clear_next = False

    def reset(self, card: Bundle) -> None:
        """A run begins: what an earlier run showed here goes."""
        if self._message_id in self._used:
            self._clear(card)

    def begin(self, attempt: int, card: Bundle) -> None:
        """Called with every piece of news: a new attempt starts with an empty area."""
        if attempt != self._attempt:
            self._attempt = attempt
            if self._shown or self._waiting:
                self._clear(card)

    def add(self, output: Mapping[str, Any], card: Bundle) -> None:
        """One live output, in order; pieces of one stream are sent together by `flush`."""
        kind = output["output_type"]
        if kind == "clear_output":
            if output.get("wait"):
                self._clear_next = True
            else:
                self._clear(card)
            return
        if kind == "update_display_data":
            self._update(output)
            return
        if self._clear_next:
            self._clear(card)
        last = self._waiting[-1] if self._waiting else None
        if kind == "stream" and last is not None and last["output_type"] == "stream" and last["name"] == output["name"]:
            last["text"] += _text(output["text"])
        else:
            self._waiting.append({**output, "text": _text(output["text"])} if kind == "stream" else dict(output))

    def flush(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        for output in waiting:
            self._send(output)

    def settle(self, outputs: Sequence[Mapping[str, Any]], card: Bundle) -> None:
        """The attempt ended with these outputs: live ones are hints, so what differs is shown again from the record."""
        self._clear_next = False
        if [_comparable(output) for output in self._shown] == [_comparable(output) for output in outputs]:
            return
        self._clear(card)
        for output in outputs:
            self._send(dict(output))

    def show(self, outputs: Sequence[Mapping[str, Any]], card: Bundle) -> None:
        """Show exactly these: what is new behind what is shown is added, anything else begins anew. Neighbouring pieces of a stream are one output."""
        shown = [_comparable(output) for output in self._shown]
        wanted = [_comparable(output) for output in outputs]
        kept = len(shown)
        if wanted[:kept] != shown:
            kept = self._longer_stream(outputs, shown, wanted)
        if shown and not kept:
            self._clear(card)
        for output in outputs[kept:]:
            self._send(dict(output))

    def _longer_stream(self, outputs: Sequence[Mapping[str, Any]], shown: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> int:
        """When only the last output shown, a stream, has become longer: send the rest of it. Returns how many outputs are then as wanted, or 0."""
        last = len(shown) - 1
        if last < 0 or len(wanted) <= last or wanted[:last] != shown[:last]:
            return 0
        before, after = shown[last], wanted[last]
        if "stream" not in before or before["stream"] != after.get("stream") or not after["text"].startswith(before["text"]):
            return 0
        self._send({**outputs[last], "text": after["text"][len(before["text"]) :]})
        return last + 1

    @property
    def _message_id(self) -> str:
        return str(self._parent.get("header", {}).get("msg_id", ""))

    def _clear(self, card: Bundle) -> None:
        self._shown, self._waiting, self._clear_next = [], [], False
        self._used.discard(self._message_id)
        self._channel.send("clear_output", {"wait": True}, self._parent)
        self._channel.send(
            "display_data", {"data": dict(card), "metadata": {}, "transient": {"display_id": self._display_id}}, self._parent
        )

    def _update(self, output: Mapping[str, Any]) -> None:
        self.flush()
        wanted = output.get("transient", {}).get("display_id")
        for shown in self._shown:
            if shown.get("transient", {}).get("display_id") == wanted:
                shown["data"], shown["metadata"] = output["data"], output.get("metadata", {})
        content = {"data": output["data"], "metadata": output.get("metadata", {}), "transient": output.get("transient", {})}
        self._channel.send("update_display_data", content, self._parent)

    def _send(self, output: dict[str, Any]) -> None:
        kind = output["output_type"]
        content = {name: value for name, value in output.items() if name != "output_type"}
        if kind == "execute_result":
            content["execution_count"] = self._count  # the prompt of the cell it stands under
        if kind in {"display_data", "execute_result"}:
            content.setdefault("metadata", {})
            content.setdefault("transient", {})
        last = self._shown[-1] if self._shown else None
        if kind == "stream" and last is not None and last["output_type"] == "stream" and last["name"] == output["name"]:
            last["text"] += output["text"]
        else:
            self._shown.append(dict(output))
        self._used.add(self._message_id)
        self._channel.send(kind, content, self._parent)


def _text(text: str | Sequence[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _comparable(output: Mapping[str, Any]) -> dict[str, Any]:
    """What a person sees of an output."""
    kind = output["output_type"]
    if kind == "stream":
        return {"stream": output["name"], "text": _text(output["text"])}
    if kind == "error":
        return {"error": list(output.get("traceback", ()))}
    data = {name: _text(value) if isinstance(value, list) else value for name, value in output.get("data", {}).items()}
    return {"data": data}
