# SPDX-License-Identifier: BSD-3-Clause
"""What comes from the kernel while something is sent to it."""

from __future__ import annotations

import asyncio
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.session import Session

from nbflow.operators.shell_channel import ShellChannel


def test_a_reply_that_comes_while_something_is_sent_is_heard() -> None:
    async def converse() -> dict[str, Any]:
        session = Session()
        with zmq.asyncio.Context() as context, zmq.Context.shadow(context.underlying).socket(zmq.DEALER) as kernel:
            kernel.bind("inproc://shell")
            socket = context.socket(zmq.DEALER)
            socket.connect("inproc://shell")
            channel = ShellChannel(socket, session)
            reply = asyncio.ensure_future(channel.get_msg())
            await asyncio.sleep(0)  # it waits
            session.send(kernel, "execute_reply")  # is there at once, and signalled
            channel.send(session.msg("comm_msg"))  # takes the signal
            try:
                return await asyncio.wait_for(reply, 30)
            finally:
                channel.close()

    assert asyncio.run(converse())["msg_type"] == "execute_reply"
