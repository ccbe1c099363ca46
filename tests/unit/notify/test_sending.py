# SPDX-License-Identifier: BSD-3-Clause
"""Messages as they arrive at a real webhook and a real mail server, and what is said when they do not."""

from __future__ import annotations

import socket

import pytest

from nbflow.core.errors import UserError
from nbflow.notify.sending import NotSent, check_address, send
from tests.mail import mail_server
from tests.receivers import mail_url, webhook

MESSAGE = {"subject": "nbflow: sales failed", "text": "first\nsecond <b>", "markdown": "**first**", "key": "r+1/7", "topic": "failure"}


def test_a_webhook_is_told_what_happened_and_knows_it_again() -> None:
    with webhook() as hook:
        send(hook.url(), **MESSAGE)
        send(hook.url() + "?+X-Own=1", **MESSAGE)
    assert [(one["title"], one["message"], one["type"]) for one in hook.told] == [(MESSAGE["subject"], MESSAGE["text"], "failure")] * 2
    assert hook.keys == ["r+1/7", "r+1/7"]


def test_a_mail_arrives_as_plain_text() -> None:
    with mail_server() as server:
        send(mail_url(server.port, "ada@example.org"), **MESSAGE)
    (mail,) = server.messages
    assert mail["To"] == "ada@example.org"
    assert mail["Subject"] == "nbflow: sales failed"
    assert mail["X-Nbflow-Key"] == "r+1/7"
    part = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    assert part.get_payload(decode=True).decode().splitlines() == ["first", "second <b>"]


def test_what_does_not_arrive_is_said_without_secrets() -> None:
    with webhook() as hook:
        hook.status = 500
        with pytest.raises(NotSent) as caught:
            send(hook.url("s3cretpath") + "?token=s3cret", **MESSAGE)
    assert "500" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(NotSent) as caught:
            send(f"json://me:s3cret@127.0.0.1:{closed.getsockname()[1]}", **MESSAGE)
    assert str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_addresses_that_are_none() -> None:
    check_address("json://localhost")
    check_address("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general")
    with pytest.raises(UserError, match=r'"mailt://" is no service that messages can be sent to\. Did you mean "mailto"\?'):
        check_address("mailt://me:s3cret@example.org")
    with pytest.raises(UserError, match=r'"bogus://" is no service that messages can be sent to\. Apprise knows mailto, '):
        check_address("bogus://x")
    with pytest.raises(UserError, match=r"slack://\.\.\. \(....\) is not an address of that service: its URL lacks something"):
        check_address("slack://s3cret")
