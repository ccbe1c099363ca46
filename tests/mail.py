# SPDX-License-Identifier: BSD-3-Clause
"""A mail server on a port of its own that keeps what it is sent."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class MailServer(Controller):
    """Lets in whoever has the password, or everybody when there is none."""

    def __init__(self, password: str = "") -> None:
        self.messages: list[EmailMessage] = []
        options: dict[str, Any] = {"authenticator": self._lets_in, "auth_require_tls": False} if password else {}
        self._password = password
        super().__init__(
            self, hostname="127.0.0.1", port=0, ready_timeout=60, server_hostname="localhost", **options
        )  # asks no name server

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()

    def _lets_in(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=given.password.decode() == self._password, handled=False)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.messages.append(cast("EmailMessage", email.message_from_bytes(envelope.content, policy=email.policy.default)))
        return "250 OK"


@contextmanager
def mail_server(password: str = "") -> Iterator[MailServer]:
    server = MailServer(password)
    server.start()
    try:
        yield server
    finally:
        server.stop()
