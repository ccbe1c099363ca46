# SPDX-License-Identifier: BSD-3-Clause
"""Mail is really sent, to a server that counts it."""

from __future__ import annotations

import uuid

import pytest

from nbflow.core.connections import Connection, secret_texts
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskKey
from nbflow.core.job import Job, JobContext, Outcome, ValueRef
from nbflow.core.lending import Lent
from nbflow.operators.entry import run_job
from nbflow.operators.mailing import send_email
from nbflow.operators.values import decode, store
from nbflow.store.artifacts import open_artifacts
from tests.mail import mail_server


@pytest.fixture(scope="module")
def server():
    with mail_server("TopSecret1") as running:
        yield running


@pytest.fixture
def mail(server):
    server.messages.clear()
    return server


def ops(mail, query="", password="TopSecret1") -> Connection:
    return Connection(name="ops-mail", url=f"smtp://me:{password}@127.0.0.1:{mail.port}{query}")


@pytest.fixture
def artifacts(tmp_path):
    return open_artifacts(str(tmp_path))


@pytest.fixture
def run(mail, artifacts):
    def run(source, connection=None, operator="email", **values):
        connection = connection or ops(mail)
        lent = Lent(conn="ops-mail", connections={"ops-mail": connection}, hidden=secret_texts(connection))
        context = JobContext(flow="sales", run_id="r", key=TaskKey("alert"), attempt=1)
        inputs: dict[str, ValueRef] = {name: store(value, artifacts) for name, value in values.items()}
        job = Job(
            token=uuid.uuid4().hex,
            context=context,
            operator=operator,
            source=source,
            inputs=inputs,
            lent=lent,
            out="said",
            offers=("said",),
        )
        return run_job(job, artifacts, lambda _: None)

    return run


def test_a_message_is_sent_with_its_headers_and_its_text_rendered(run, mail, artifacts):
    report = run(
        "to: ops@example.com, Boss <boss@example.com>\ncc: log@example.com\nfrom: flows@example.com\n"
        "Subject: {{ count }} errors of {{ what }}\n\nMost of them in {{ worst }}.\n\nYours\n",
        count=3,
        what="x\nBcc: evil@example.com",
        worst="mainApp",
    )
    assert report.outcome is Outcome.SUCCESS, report.reason
    (message,) = mail.messages
    assert message["To"] == "ops@example.com, Boss <boss@example.com>"
    assert (message["Cc"], message["From"]) == ("log@example.com", "flows@example.com")
    assert message["Subject"] == "3 errors of x Bcc: evil@example.com"
    assert message["Bcc"] is None
    assert message.get_content().replace("\r\n", "\n") == "Most of them in mainApp.\n\nYours\n"
    assert decode(report.values["said"], artifacts) == "Most of them in mainApp.\n\nYours"
    assert report.outputs.inline[0]["text"].startswith("Mailed to ops@example.com, boss@example.com, log@example.com: 3 errors of x")


def test_the_connection_says_what_the_message_does_not(run, mail):
    report = run("to:\n\ntext", ops(mail, "?to=ops@example.com&from=nbflow@example.com"))
    assert report.outcome is Outcome.SUCCESS, report.reason
    (message,) = mail.messages
    assert (message["To"], message["From"], message["Subject"]) == ("ops@example.com", "nbflow@example.com", "sales: alert")


def test_python_sends_it_too(run, mail):
    source = "from nbflow import send_email\nsent = send_email(['a@example.com', 'b@example.com'], 'Hello', 'text')\nprint(sent)"
    report = run(source, operator="cell")
    assert report.outputs.inline[0]["text"] == "a@example.com, b@example.com\n"
    assert [message["Subject"] for message in mail.messages] == ["Hello"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "to: a@b\nsubjekt: x\n\ntext",
            '-o email: "subjekt: x" is no line of a header: write to:, cc:, from: or subject:, then an empty line',
        ),
        ("Hello you\n\ntext", '-o email: "Hello you" is no line of a header'),
        ("to: nobody\n\ntext", '"nobody" is no address to mail to: write to: NAME@HOST, or ?to=NAME@HOST behind the URL'),
        ("subject: x\n\ntext", '"" is no address to mail to'),
        ("to: a@b\n\n{{ missing }}", "'missing' is undefined"),
    ],
)
def test_a_mistake_is_a_sentence_and_nothing_is_sent(run, mail, source, sentence):
    report = run(source)
    assert report.outcome is Outcome.FAILED
    assert sentence in report.reason
    assert mail.messages == []


def test_a_server_that_refuses_is_said_without_the_password(run, mail):
    report = run("to: a@example.com\n\ntext", ops(mail, password="WrongSecret"))
    assert report.reason.startswith(f"The message was not sent: connection ops-mail (smtp://me:***@127.0.0.1:{mail.port}) says (535, ")
    with pytest.raises(UserError, match="is no mail server: write smtp://LOGIN:PASSWORD@HOST:587"):
        send_email("a@b", "s", "t", conn=Connection(name="db", url="postgresql://db/x"))
