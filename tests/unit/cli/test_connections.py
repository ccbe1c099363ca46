# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow connections` and `nbflow variables`, as typed."""

from __future__ import annotations

import json
import stat
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from nbflow.app import Workspace
from nbflow.cli.main import cli
from nbflow.core.errors import NbflowError, SetupError
from tests.mail import mail_server

URL = "postgresql://me:TopSecret1@db:5432/sales"


@pytest.fixture
def nbflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path))

    def typed(*words: str, given: str = "") -> str:
        result = CliRunner().invoke(cli, words, input=given)
        if isinstance(result.exception, NbflowError):
            return str(result.exception)
        assert result.exception is None, result.exception
        assert "TopSecret" not in result.output
        return result.output

    return typed


def in_files(folder: Path, text: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


def test_a_connection_is_set_from_standard_input_shown_and_deleted(nbflow, tmp_path):
    said = "Connection warehouse is set: postgresql://me:***@db:5432/sales\n"
    assert nbflow("connections", "set", "warehouse", "--description", "of sales", given=URL + "\n") == said
    shown = json.loads(nbflow("connections", "get", "warehouse", "--json"))
    assert shown == {
        "name": "warehouse",
        "type": "postgresql",
        "host": "db",
        "port": 5432,
        "login": "me",
        "schema": "sales",
        "url": "postgresql://me:***@db:5432/sales",
        "extra": {},
        "description": "of sales",
    }
    assert json.loads(nbflow("connections", "list", "--json")) == {"connections": [shown]}
    assert "warehouse: of sales\n  type    postgresql\n  host    db\n" in nbflow("connections", "get", "warehouse")
    assert "postgresql://me:***@db:5432/sales" in nbflow("connections", "list")
    assert in_files(tmp_path, b"TopSecret1") == []
    with closing(Workspace.open()) as workspace:
        assert workspace.secrets.connection("warehouse").url == URL
        audit = workspace.store.deployments.audit("connection warehouse")
    assert [(entry.what, entry.detail) for entry in audit] == [("set", "postgresql://me:***@db:5432/sales")]
    nbflow("connections", "set", "warehouse", given=URL + "0\n")
    assert json.loads(nbflow("connections", "get", "warehouse", "--json"))["description"] == "of sales"
    assert nbflow("connections", "delete", "warehouse") == "Connection warehouse is deleted.\n"
    assert nbflow("connections", "list").strip() == "There are no connections: nbflow connections set NAME."


def test_a_password_is_typed_as_it_is(nbflow):
    said = nbflow("connections", "set", "db", "postgresql://me@db/x", "--password", given="TopSecret:/?#@\n")
    assert said == "Connection db is set: postgresql://me:***@db/x\n"
    with closing(Workspace.open()) as workspace:
        assert workspace.secrets.connection("db").password == "TopSecret:/?#@"


def test_extra_is_kept_and_only_named(nbflow):
    nbflow("connections", "set", "lake", "s3://bucket", "--extra", "-", given='{"secret": "TopSecret2",\n "anon": false}\n')
    assert json.loads(nbflow("connections", "get", "lake", "--json"))["extra"] == {"secret": "***", "anon": "***"}
    with closing(Workspace.open()) as workspace:
        assert workspace.secrets.connection("lake").extra == {"secret": "TopSecret2", "anon": False}


def test_the_key_is_made_once_and_nobody_else_may_read_it(nbflow, tmp_path):
    nbflow("variables", "set", "region", "eu")
    key = tmp_path / "secret.key"
    assert not key.exists()
    nbflow("connections", "set", "a", URL)
    made = key.read_bytes()
    nbflow("connections", "set", "b", URL)
    assert key.read_bytes() == made
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("secret.key*")] == ["secret.key"]


def test_a_key_that_does_not_fit_is_a_sentence_and_nothing_is_sealed_with_it(nbflow, tmp_path, monkeypatch):
    nbflow("connections", "set", "a", URL)
    key = tmp_path / "secret.key"
    made = key.read_text()
    key.unlink()
    sentence = f"There is no key {key} to open this database's secrets with: put the key of the machine that set them there"
    assert sentence in nbflow("connections", "set", "b", URL)
    assert not key.exists()
    monkeypatch.setenv("NBFLOW_SECRET_KEY", "A" * 43 + "=")
    sentence = "The key in the setting secret_key is not the one this database's secrets were sealed with: put that key there"
    assert sentence in nbflow("connections", "set", "b", URL)
    monkeypatch.setenv("NBFLOW_SECRET_KEY", "short")
    assert "There is no key in the setting secret_key: it takes 32 bytes" in nbflow("connections", "set", "b", URL)
    monkeypatch.setenv("NBFLOW_SECRET_KEY", "A" * 43 + "=," + made)
    assert "is set" in nbflow("connections", "set", "b", URL)
    monkeypatch.delenv("NBFLOW_SECRET_KEY")
    key.write_text(made)
    key.chmod(0o644)
    assert f"Others may read the key {key}: type chmod 600 {key}." in nbflow("connections", "set", "c", URL)
    key.chmod(0o600)
    with closing(Workspace.open()) as workspace:
        assert workspace.secrets.connection("a").url == URL
        with pytest.raises(SetupError, match="is not the one this database's secrets were sealed with"):
            workspace.secrets.connection("b")


def test_variables_are_values_and_those_named_so_are_secrets(nbflow, tmp_path):
    assert nbflow("variables", "set", "region", "eu", "--description", "where") == "Variable region is set.\n"
    assert nbflow("variables", "set", "api_token", given="TopSecret3\n") == "Variable api_token is set, as a secret.\n"
    assert nbflow("variables", "set", "token_count", "3", "--no-secret") == "Variable token_count is set.\n"
    assert nbflow("variables", "get", "region") == "eu\n"
    assert nbflow("variables", "get", "api_token") == "***\n"
    rows = json.loads(nbflow("variables", "list", "--json"))["variables"]
    assert [(row["name"], row["value"], row["secret"]) for row in rows] == [
        ("api_token", "***", True),
        ("region", "eu", False),
        ("token_count", "3", False),
    ]
    assert in_files(tmp_path, b"TopSecret3") == []
    with closing(Workspace.open()) as workspace:
        assert workspace.secrets.variable("api_token") == "TopSecret3"
        assert workspace.secrets.variable("region") == "eu"
    assert nbflow("variables", "delete", "region") == "Variable region is deleted.\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("connections", "set", "a b", URL), '"a b" cannot be a connection name: use 1 to 250 letters, digits, "_", "." or "-".'),
        (("connections", "set", "a", "nothing"), "What was given for connection a is no URL: write TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA"),
        (("connections", "set", "a"), "No URL was given."),
        (("connections", "set", "a", URL, "--extra", "{"), "The extra of connection a is no JSON object"),
        (("connections", "get", "a"), 'There is no connection "a". `nbflow connections list` shows them.'),
        (("connections", "delete", "a"), 'There is no connection "a". `nbflow connections list` shows them.'),
        (("variables", "get", "a"), 'There is no variable "a". `nbflow variables list` shows them.'),
        (("variables", "set", "a b", "1"), '"a b" cannot be a variable name'),
    ],
)
def test_a_mistake_is_a_sentence(nbflow, words: tuple[str, ...], sentence: str):
    assert sentence in nbflow(*words)


def test_a_short_password_is_said_to_stay_visible(nbflow):
    said = nbflow("connections", "set", "a", "postgresql://me:abc@db/x")
    assert "Its password is shorter than 4 letters: it cannot be masked where a task prints it." in said


def test_a_connection_is_tried(nbflow, tmp_path):
    (tmp_path / "folder").mkdir()
    nbflow("connections", "set", "db", f"sqlite:///{tmp_path / 'x.db'}")
    nbflow("connections", "set", "folder", f"file://{tmp_path / 'folder'}")
    nbflow("connections", "set", "gone", f"file://{tmp_path / 'gone'}")
    nbflow("connections", "set", "web", "http://me:TopSecret4@127.0.0.1:1/TopSecret5")
    nbflow("connections", "set", "odd", "redis://host")
    assert nbflow("connections", "test", "db") == "Connection db works: the database answers.\n"
    assert nbflow("connections", "test", "folder") == "Connection folder works: it is there.\n"
    assert nbflow("connections", "test", "gone") == f"connection gone (file://{tmp_path / 'gone'}) is not reached: there is nothing there."
    assert nbflow("connections", "test", "web").startswith("connection web (http://me:***@127.0.0.1:1/***) is not reached: ")
    assert nbflow("connections", "test", "odd") == "connection odd (redis://host) has no port: only TYPE://HOST:PORT can be tried."


def test_a_mail_server_is_tried_with_login_and_password(nbflow):
    with mail_server("TopSecret6") as mail:
        nbflow("connections", "set", "mail", f"smtp://me:TopSecret6@127.0.0.1:{mail.port}")
        nbflow("connections", "set", "other", f"smtp://me:wrong-one@127.0.0.1:{mail.port}")
        assert nbflow("connections", "test", "mail") == "Connection mail works: the mail server answers and lets you in.\n"
        assert "is not reached: (535" in nbflow("connections", "test", "other")


def test_doctor_says_whether_the_key_is_there_and_fits(nbflow, tmp_path):
    with closing(Workspace.open()) as workspace:
        assert workspace.secrets.check_key() == "none yet: it is made with the first connection"
        workspace.secrets.set_connection("a", URL)
        assert workspace.secrets.check_key() == f"{tmp_path / 'secret.key'} opens the secrets of this database"
        (tmp_path / "secret.key").unlink()
        with pytest.raises(SetupError, match="There is no key"):
            workspace.secrets.check_key()
