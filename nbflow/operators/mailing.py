# SPDX-License-Identifier: BSD-3-Clause
"""The `email` operator, and `nbflow.send_email` for Python: a message through the mail server of a connection.

    %%task alert -o email --conn ops-mail
    to: ops@example.com, {{ var.on_call }}
    subject: {{ errors }} errors on {{ day }}

    Most of them in {{ worst }}.

The connection is `smtp://LOGIN:PASSWORD@HOST:587`; behind a `?` it may say `from=` and `to=` for messages that do not.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from email.message import EmailMessage
from email.utils import formatdate, getaddresses, make_msgid
from typing import Final

from nbflow.core.connections import Connection
from nbflow.core.context import ctx
from nbflow.core.errors import UserError, nearest
from nbflow.operators.attempt import Attempt, Ending
from nbflow.operators.bash import render
from nbflow.operators.errors import ending_of
from nbflow.operators.reaching import mail_server

_HEADERS: Final = ("to", "cc", "from", "subject")
_HEADER: Final = re.compile(r"\s*([A-Za-z-]+):(.*)")


def send_email(
    to: str | Iterable[str], subject: str, text: str, *, conn: Connection | None = None, cc: str | Iterable[str] = (), sender: str = ""
) -> str:
    """Send a message through the mail server of `conn`, or of the task's `--conn`; returns to whom. Raises UserError.

    `to` may be empty where the connection says it.
    """
    connection = conn or ctx.conn
    extra = connection.extra
    message = EmailMessage()
    message["From"] = _one_line(sender or str(extra.get("from", "")) or _sender(connection))
    message["To"] = _addresses(to) or _addresses(str(extra.get("to", "")))
    if copies := _addresses(cc):
        message["Cc"] = copies
    message["Subject"] = _one_line(subject)
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain="nbflow")
    message.set_content(text if text.endswith("\n") else f"{text}\n")
    everybody = [address for _, address in getaddresses([message["To"], *([message["Cc"]] if copies else [])])]
    if not everybody or not all("@" in address for address in everybody):
        raise UserError(
            f'"{message["To"]}" is no address to mail to: write to: NAME@HOST, or ?to=NAME@HOST behind the URL of the connection.'
        )
    try:
        with mail_server(connection) as server:
            server.send_message(message)
    except OSError as error:  # smtplib's errors too
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"The message was not sent: {connection} says {said}") from error
    return ", ".join(everybody)


def run_email(attempt: Attempt) -> Ending:
    """Send the body. `--out` is its text."""
    try:
        headers, body = _read(attempt.job.source)
        said = {name: render(value, attempt.namespace) for name, value in headers.items()}
        text = render(body, attempt.namespace)
        subject = said.get("subject") or f"{ctx.flow}: {ctx.task}"
        told = send_email(said.get("to", ""), subject, text, cc=said.get("cc", ""), sender=said.get("from", ""))
    except Exception as error:  # noqa: BLE001 - templates run expressions over the user's values, and mail servers say what they like
        return ending_of(error)
    attempt.outputs.stream("stdout", f"Mailed to {told}: {_one_line(subject)}\n{text.rstrip()}\n")
    if attempt.job.out:
        attempt.namespace[attempt.job.out] = text.rstrip("\n")
    return Ending()


def _read(source: str) -> tuple[dict[str, str], str]:
    """The headers, and the text below the first blank line. They are told apart before they are rendered: no value adds a header."""
    head, _, body = source.strip("\n").partition("\n\n")
    headers: dict[str, str] = {}
    for line in head.splitlines():
        found = _HEADER.fullmatch(line)
        name = found[1].lower() if found else ""
        if found is None or name not in _HEADERS:
            hint = nearest(name, _HEADERS) if name else ""
            raise UserError(
                f'-o email: "{line.strip()}" is no line of a header: '
                f"write to:, cc:, from: or subject:, then an empty line, then the text.{hint}"
            )
        headers[name] = found[2].strip()
    return headers, body


def _sender(connection: Connection) -> str:
    return connection.login if "@" in connection.login else f"nbflow@{socket.getfqdn()}"


def _addresses(given: str | Iterable[str]) -> str:
    return ", ".join(filter(None, map(_one_line, [given] if isinstance(given, str) else given)))


def _one_line(text: str) -> str:
    return " ".join(text.split())


__all__ = ["run_email", "send_email"]
