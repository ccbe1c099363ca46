# SPDX-License-Identifier: BSD-3-Clause
"""What of a connection is shown, and what of it no output may hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.connections import (
    MASK,
    Connection,
    StoredConnection,
    check_name,
    check_url,
    is_sensitive,
    read_extra,
    secret_texts,
    shown_url,
    with_password,
)
from nbflow.core.errors import UserError


def connection(url: str, **more) -> Connection:
    return Connection(name="c", url=url, more=more)


def test_a_url_is_read_in_airflows_words():
    one = connection("postgresql+psycopg://me:p%40ss@db.example:5433/sales?sslmode=require", role="reader")
    assert (one.type, one.host, one.port, one.login, one.password) == ("postgresql", "db.example", 5433, "me", "p@ss")
    assert (one.schema, one.extra) == ("sales", {"sslmode": "require", "role": "reader"})
    assert connection("sqlite:////data/x.db").schema == "/data/x.db"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@db:5432/sales?sslmode=require", "postgresql://me:***@db:5432/sales?***"),
        ("postgresql://me@db/sales", "postgresql://me@db/sales"),
        ("sqlite:////data/x.db", "sqlite:////data/x.db"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("https://hooks.example/services/T0/B1/abc", "https://hooks.example/***"),
        ("https://tokentoken@api.example", "https://***@api.example"),
        ("https://me:secret@api.example/", "https://me:***@api.example/"),
        ("smtp://me:secret@mail:587", "smtp://me:***@mail:587"),
        ("slack://TokenA/TokenB/TokenC", "slack://***"),
        ("mailto://me:secret@example.com", "mailto://***"),
        ("json://example.com/path", "json://***"),
    ],
)
def test_what_is_shown_of_it(url: str, shown: str):
    assert shown_url(url) == shown
    assert str(connection(url)) == f"connection c ({shown})"
    assert url not in repr(connection(url)) or shown == url


def test_the_parts_that_may_be_seen_are_seen_without_a_key():
    def fields(url: str):
        return StoredConnection(name="c", shown=shown_url(url), sealed="").fields

    assert fields("mysql://me:secret@db:3306/x") == {"type": "mysql", "host": "db", "port": 3306, "login": "me", "schema": "x"}
    assert fields("https://token@api/v1") == {"type": "https", "host": "api", "port": None, "login": "", "schema": ""}
    assert fields("slack://A/B/C") == {"type": "slack", "host": "", "port": None, "login": "", "schema": ""}


def test_what_no_output_may_hold():
    texts = secret_texts(connection("postgresql://me:p%40ss@db/sales?password=other1&sslmode=require", a={"api_key": "key-12"}, retries=3))
    assert {"p@ss", "p%40ss", "other1", "key-12"} <= set(texts)
    assert not {"me", "db", "sales", "require", "3"} & set(texts)
    assert secret_texts(connection("sqlite:////data/x.db")) == ()
    assert {"TokenA", "TokenB"} <= set(secret_texts(connection("slack://TokenA/TokenB")))
    web = secret_texts(connection("https://hooks.example/services/T00000000/B0"))
    assert "T00000000" in web
    assert not {"services", "hooks.example", "B0"} & set(web)


@given(password=st.text(min_size=4, max_size=20).filter(lambda text: text.strip()), login=st.text("abc", min_size=1))
def test_a_password_of_any_letters_is_put_in_read_back_hidden_and_masked(password: str, login: str):
    try:
        url = with_password(f"postgresql://{login}@db:1/x", password)
    except UnicodeEncodeError:  # half of a letter
        return
    one = connection(url)
    assert (one.password, one.login, one.host, one.port) == (password, login, "db", 1)
    assert shown_url(url) == f"postgresql://{login}:{MASK}@db:1/x"
    assert password in secret_texts(one)


def test_a_password_replaces_another_and_does_without_a_login():
    assert with_password("postgresql://me:old@db/x", "new") == "postgresql://me:new@db/x"
    assert with_password("redis://db", "a/b") == "redis://:a%2Fb@db"


@pytest.mark.parametrize("name", ["password", "db_password", "API_KEY", "apikey", "slackToken", "client_secret", "Authorization", "key"])
def test_a_name_that_says_secret(name: str):
    assert is_sensitive(name)


@pytest.mark.parametrize("name", ["region", "monkey", "keys_of_rows", "host", "sslmode"])
def test_a_name_that_says_nothing(name: str):
    assert not is_sensitive(name)


@pytest.mark.parametrize("url", ["db", "postgresql//x", "a b://c", "postgresql://me:top secret@db", "x://a\nb", ""])
def test_what_is_no_url_is_refused_without_being_said(url: str):
    with pytest.raises(UserError, match="What was given for connection c is no URL: write TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA") as error:
        check_url("c", url)
    assert "secret" not in str(error.value)


def test_a_port_that_is_none_is_refused_without_the_password():
    with pytest.raises(UserError, match="The URL of connection c cannot be read: its port is no number") as error:
        check_url("c", "postgresql://me:topsecret/1@db/x")
    assert "topsecret" not in str(error.value)


def test_names_and_extra_are_checked():
    check_name("ops-mail.2", "connection")
    with pytest.raises(UserError, match='"a b" cannot be a connection name: use 1 to 250 letters'):
        check_name("a b", "connection")
    assert read_extra("c", "") == {}
    with pytest.raises(UserError, match="The extra of connection c is no JSON object"):
        read_extra("c", "[1]")
