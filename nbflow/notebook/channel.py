# SPDX-License-Identifier: BSD-3-Clause
"""How something is shown under a cell that is not being executed: IOPub messages with the parent header of the request that showed it first.

In a kernel a message may be sent from any thread (its I/O thread owns the socket). In a terminal there is only the text of the moment.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

#: A MIME bundle: type -> data.
Bundle = Mapping[str, Any]


class Channel(Protocol):
    """Where outputs go."""

    #: Whether an output can be changed after it was shown.
    is_rich: bool

    def parent(self) -> Mapping[str, Any]:
        """The request being executed now; outputs sent with it land under its cell."""
        ...

    def show(self, data: Bundle, display_id: str) -> None:
        """Show under the cell being executed."""
        ...

    def update(self, data: Bundle, display_id: str, parent: Mapping[str, Any]) -> None:
        """Replace what was shown under this id, wherever it stands."""
        ...

    def send(self, kind: str, content: Mapping[str, Any], parent: Mapping[str, Any]) -> None:
        """Send one output message to the cell of the request `parent`."""
        ...

    def write(self, text: str) -> None:
        """Plain text, where there is nothing richer."""
        ...


class KernelChannel:
    """The IOPub channel of this kernel."""

    is_rich = True

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._kernel = shell.kernel

    def parent(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._shell.get_parent()
        return found

    def show(self, data: Bundle, display_id: str) -> None:
        self._shell.display_pub.publish(data=dict(data), metadata={}, transient={"display_id": display_id})

    def update(self, data: Bundle, display_id: str, parent: Mapping[str, Any]) -> None:
        self.send("update_display_data", {"data": dict(data), "metadata": {}, "transient": {"display_id": display_id}}, parent)

    def send(self, kind: str, content: Mapping[str, Any], parent: Mapping[str, Any]) -> None:
        self._kernel.session.send(self._kernel.iopub_socket, kind, dict(content), parent=dict(parent), ident=kind.encode())

    def write(self, text: str) -> None:
        sys.stdout.write(text)


class TerminalChannel:
    """A terminal: text, once."""

    is_rich = False

    def parent(self) -> Mapping[str, Any]:
        return {}

    def show(self, data: Bundle, display_id: str) -> None:  # noqa: ARG002 - a terminal has no ids
        self.write(str(data.get("text/plain", "")) + "\n")

    def update(self, data: Bundle, display_id: str, parent: Mapping[str, Any]) -> None:
        """What a terminal showed stays as it is."""

    def send(self, kind: str, content: Mapping[str, Any], parent: Mapping[str, Any]) -> None:  # noqa: ARG002 - as above
        self.write(_plain(kind, content))

    def write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def channel_of(shell: Any) -> Channel:
    """The kernel's channel, or the terminal's."""
    return KernelChannel(shell) if getattr(shell, "kernel", None) is not None else TerminalChannel()


def _plain(kind: str, content: Mapping[str, Any]) -> str:
    if kind == "stream":
        return str(content.get("text", ""))
    if kind == "error":
        return "\n".join(content.get("traceback", ())) + "\n"
    if kind in {"display_data", "execute_result"}:
        text = content.get("data", {}).get("text/plain", "")
        return (text if isinstance(text, str) else "".join(text)) + "\n"
    return ""
