# SPDX-License-Identifier: BSD-3-Clause
"""How operators reach what a connection names: databases, addresses of the web, files."""

from __future__ import annotations

import base64
import importlib.util
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from nbflow.core.connections import Connection
from nbflow.core.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_WEB = frozenset({"http", "https"})


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
