# SPDX-License-Identifier: BSD-3-Clause
"""A kernel's shell channel on which one may send while another waits for what comes."""

from __future__ import annotations

from typing import Any

import zmq
from jupyter_client.channels import AsyncZMQSocketChannel


class ShellChannel(AsyncZMQSocketChannel):  # type: ignore[misc] # jupyter_client is not followed by mypy
    """As jupyter_client's, but a message that comes in while one is sent is not overlooked.

    jupyter_client sends past the asyncio socket. ZeroMQ signals a message that has come once, and a send takes that signal as well: whoever waits for
    the message in the event loop would not hear of it before the next one comes. For the reply of a cell, that is never. A cell whose
    `ipywidgets.Output` is kept by the client is such a case: its state is sent while the cell runs.

    Source: "Features / ZMQ_FD, ZMQ_EVENTS" in the manual of zmq_getsockopt(3): the descriptor is edge-triggered, and the events are to be looked at after each
    zmq_send.
    """

    def send(self, msg: dict[str, Any]) -> None:
        super().send(msg)
        assert self.socket is not None
        self.socket.get(zmq.EVENTS)  # pyzmq looks in the next turn of the loop when there are any
