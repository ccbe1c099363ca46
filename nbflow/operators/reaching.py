# SPDX-License-Identifier: BSD-3-Clause
"""How operators reach what a connection names: databases, addresses of the web, files, mail servers; and whether they do."""

from __future__ import annotations

import base64
import importlib.util
import smtplib
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from nbflow.core.connections import Connection
from nbflow.core.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_WEB: Final = frozenset({"http", "https"})
#: Seconds an answer may take.
_SECONDS: Final = 15


def engine(connection: Connection) -> Engine:
    """SQLAlchemy's engine for it; `extra` goes to the driver. Raises UserError for what is no database, and what its driver raises."""
    import sqlalchemy  # noqa: PLC0415 - only what looks at a database needs it

    try:
        url = sqlalchemy.make_url(connection.url)
        if url.drivername in {"postgres", "postgresql"}:
            has_psycopg = importlib.util.find_spec("psycopg") is not None and importlib.util.find_spec("psycopg2") is None
            url = url.set(drivername="postgresql+psycopg" if has_psycopg else "postgresql")
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool, connect_args=dict(connection.more))
    except sqlalchemy.exc.NoSuchModuleError:
        raise UserError(f'"{connection.type}" is no database that SQLAlchemy knows here: install its driver, or correct the URL.') from None


def below(connection: Connection, text: str) -> str:
    """The URL of `text` below that of the connection; a text that is a URL itself is that. Of the web's, without login and password."""
    if "://" in text:
        return text
    parts = urlsplit(connection.url)
    netloc = parts.netloc.rpartition("@")[2] if parts.scheme in _WEB else parts.netloc
    return urlunsplit(parts._replace(netloc=netloc, path=f"{parts.path.rstrip('/')}/{text.lstrip('/')}" if text else parts.path))


def headers(connection: Connection | None) -> dict[str, str]:
    """What a request to it says: who asks, and the `headers` of its extra."""
    if connection is None:
        return {}
    said = {str(name): str(value) for name, value in dict(connection.more.get("headers", {})).items()}
    if connection.password:
        both = base64.b64encode(f"{connection.login}:{connection.password}".encode()).decode()
        return {"Authorization": f"Basic {both}", **said}
    return {"Authorization": f"Bearer {connection.login}", **said} if connection.login else said


@contextmanager
def mail_server(connection: Connection) -> Iterator[smtplib.SMTP]:
    """The mail server of `smtp://login:password@host:port`, logged in; smtps is encrypted from the first byte, smtp as soon as the server offers it.

    Raises UserError, and what smtplib raises.
    """
    if connection.type not in {"smtp", "smtps"} or not connection.host:
        raise UserError(f"{connection} is no mail server: write smtp://LOGIN:PASSWORD@HOST:587.")
    context = ssl.create_default_context()
    if connection.type == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(connection.host, connection.port or 465, timeout=_SECONDS, context=context)
    else:
        server = smtplib.SMTP(connection.host, connection.port or 587, timeout=_SECONDS)
    with server:
        server.ehlo()
        if connection.type == "smtp" and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        if connection.password:
            server.login(connection.login, connection.password)
        yield server


# --- trying it ----------------------------------------------------------------------------------------------------------


def can_be_tried(connection: Connection) -> bool:
    """Whether `tried` knows what this is; anything else is a messenger's, or nobody's."""
    return bool(_trial_of(connection))


def tried(connection: Connection) -> str:
    """What was reached, as the end of a sentence. Raises UserError saying why it is not."""
    trial = _trial_of(connection)
    assert trial is not None
    try:
        return trial(connection)
    except Exception as error:
        if isinstance(error, UserError):
            raise
        said = " ".join(str(getattr(error, "orig", None) or error).split()) or type(error).__name__
        raise UserError(f"{connection} is not reached: {said[:500]}") from None


def _trial_of(connection: Connection) -> Callable[[Connection], str] | None:
    if connection.type in _TRIALS:
        return _TRIALS[connection.type]
    if _is_database(connection.type):
        return _try_database
    return _try_files if _is_file_system(connection.type) else None


def _is_database(kind: str) -> bool:
    from sqlalchemy.dialects import registry  # noqa: PLC0415 - as above
    from sqlalchemy.exc import NoSuchModuleError  # noqa: PLC0415 - as above

    try:
        registry.load("postgresql" if kind == "postgres" else kind)
    except NoSuchModuleError:
        return False
    return True


def _is_file_system(kind: str) -> bool:
    from fsspec.registry import known_implementations, registry  # noqa: PLC0415 - as above

    return kind in known_implementations or kind in registry


def _try_database(connection: Connection) -> str:
    import sqlalchemy  # noqa: PLC0415 - as above

    made = engine(connection)
    try:
        with made.connect() as session:
            session.execute(sqlalchemy.text("SELECT 1"))
    finally:
        made.dispose()
    return "the database answers"


def _try_files(connection: Connection) -> str:
    from fsspec.core import url_to_fs  # noqa: PLC0415 - as above

    system, path = url_to_fs(connection.url, **connection.more)
    if not system.exists(path):
        raise UserError(f"{connection} is not reached: there is nothing there.")
    return "it is there"


def _try_web(connection: Connection) -> str:
    request = urllib.request.Request(below(connection, ""), headers={"User-Agent": "nbflow", **headers(connection)})  # noqa: S310 - http or https
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - as above
            return f"it answers {answer.status}"
    except urllib.error.HTTPError as error:
        error.close()
        raise UserError(f"{connection} answers {error.code} {error.reason}.") from None


def _try_mail(connection: Connection) -> str:
    with mail_server(connection) as server:
        server.noop()
    return "the mail server answers" + (" and lets you in" if connection.password else "")


def _try_port(connection: Connection) -> str:
    if connection.port is None:
        raise UserError(f"{connection} has no port: only TYPE://HOST:PORT can be tried.")
    socket.create_connection((connection.host, connection.port), _SECONDS).close()
    return "something listens at its port"


_TRIALS: Final[Mapping[str, Callable[[Connection], str]]] = {
    **dict.fromkeys(("http", "https"), _try_web),
    **dict.fromkeys(("smtp", "smtps"), _try_mail),
    **dict.fromkeys(("redis", "rediss", "mongodb", "amqp", "amqps", "kafka"), _try_port),
}
