# SPDX-License-Identifier: BSD-3-Clause
"""Connections and variables: what tasks of many flows need and no notebook should say (Airflow's words: host, schema, login, extra).

A connection is one URL, of a database, a server, a bucket or a messenger, and perhaps `extra`, which that kind of thing asks for besides.
What of it is secret is said here once: what people are shown (`shown_url`), and which texts no output may hold (`secret_texts`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit

from nbflow.core.errors import UserError

#: What stands where a secret was.
MASK: Final = "***"
#: A shorter text is not masked: it would be found everywhere, and say by that what it is.
SHORTEST_SECRET: Final = 4
#: What is shorter is no token, where a token may stand among words.
_TOKEN: Final = 8
#: A name that holds one of these words is a secret's.
_SENSITIVE: Final = re.compile(
    r"pass(?:word|wd|phrase)|pwd|secret|token|api_?key|access_?key|private_?key|account_?key|authorization|credential|signature|sas(?:$|_)|^key$",
    re.IGNORECASE,
)
#: Schemes whose host, and path, are no secrets. Of any other (messengers write tokens there) nothing is shown but the scheme.
_PLAIN: Final = re.compile(
    r"sqlite|postgres|postgresql|mysql|mariadb|oracle|mssql|duckdb|cockroachdb|redshift|snowflake|bigquery|clickhouse|trino|presto|hive"
    r"|file|s3|s3a|gs|gcs|az|abfs|abfss|adl|ftp|ftps|sftp|ssh|hdfs|webhdfs|smb|webdav"
    r"|https?|smtps?|rediss?|mongodb|amqps?|kafka"
)
#: Addresses of the web: what stands before an @ without a password is a token, and so may be what stands behind the host.
_WEB: Final = frozenset({"http", "https"})
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,250}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach something, with its secrets: it exists where it is used and is never stored as it is."""

    name: str
    url: str = field(repr=False)
    #: Besides what the URL says, e.g. the storage options of a bucket.
    more: Mapping[str, Any] = field(default_factory=dict, repr=False)
    description: str = ""

    @property
    def type(self) -> str:
        """`postgresql` of `postgresql+psycopg://...`"""
        return _scheme(self._parts)

    @property
    def host(self) -> str:
        return unquote(self._parts.hostname or "")

    @property
    def port(self) -> int | None:
        return self._parts.port

    @property
    def login(self) -> str:
        return unquote(self._parts.username or "")

    @property
    def password(self) -> str:
        return unquote(self._parts.password or "")

    @property
    def schema(self) -> str:
        """What stands behind the host: a database, a bucket's folder, a path."""
        return unquote(self._parts.path.removeprefix("/"))

    @property
    def extra(self) -> dict[str, Any]:
        """What stands behind the URL's question mark, and what was said besides the URL."""
        return {**dict(parse_qsl(self._parts.query, keep_blank_values=True)), **self.more}

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)

    def __str__(self) -> str:
        """Without its secrets: it may be printed."""
        return f"connection {self.name} ({shown_url(self.url)})"


@dataclass(frozen=True, kw_only=True)
class StoredConnection:
    """A connection as the store has it: what anybody may see, and the rest sealed."""

    name: str
    shown: str
    #: The names of what `extra` holds besides the URL.
    extra: tuple[str, ...] = ()
    description: str = ""
    sealed: str = field(repr=False)

    @property
    def fields(self) -> dict[str, Any]:
        """Its parts as far as they are no secrets."""
        seen = Connection(name=self.name, url=self.shown.replace(f":{MASK}@", "@").replace(f"{MASK}@", ""))
        hidden = self.shown.endswith(f"//{MASK}")
        return {
            "type": seen.type,
            "host": "" if hidden else seen.host,
            "port": None if hidden else seen.port,
            "login": "" if hidden else seen.login,
            "schema": "" if hidden or MASK in seen.schema else seen.schema,
        }


@dataclass(frozen=True, kw_only=True)
class StoredVariable:
    """A variable: its value as text, sealed when it is a secret."""

    name: str
    value: str = ""
    is_secret: bool = False
    description: str = ""
    sealed: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        return MASK if self.is_secret else self.value


class SecretStore(Protocol):
    """The records of connections and variables; each list is by name. Nothing here can open what is sealed."""

    def connections(self) -> tuple[StoredConnection, ...]: ...

    def connection(self, name: str) -> StoredConnection:
        """Raises UserError naming the nearest one when there is none."""
        ...

    def save_connection(self, connection: StoredConnection) -> None:
        """Make it, or replace the one of that name."""
        ...

    def delete_connection(self, name: str) -> None:
        """Raises UserError when there is none."""
        ...

    def variables(self) -> tuple[StoredVariable, ...]: ...

    def variable(self, name: str) -> StoredVariable:
        """Raises UserError naming the nearest one when there is none."""
        ...

    def save_variable(self, variable: StoredVariable) -> None: ...

    def delete_variable(self, name: str) -> None: ...


# --- what may be written ------------------------------------------------------------------------------------------------


def check_name(name: str, what: str) -> None:
    """Raises UserError for what cannot be the name of a connection or a variable (`what`)."""
    if not _NAME.fullmatch(name):
        raise UserError(f'"{name}" cannot be a {what} name: use 1 to 250 letters, digits, "_", "." or "-".')


def check_url(name: str, url: str) -> None:
    """Raises UserError, in a sentence that does not hold the URL."""
    if not _SCHEME.match(url) or not url.isprintable() or any(letter.isspace() for letter in url):
        raise UserError(f"What was given for connection {name} is no URL: write TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA, without blanks.")
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError:
        raise UserError(
            f"The URL of connection {name} cannot be read: its port is no number, or a part holds one of [ ] / ? #, which is written "
            f"as % and two digits. With --password you are asked for the password and may type it as it is."
        ) from None


def read_extra(name: str, text: str) -> dict[str, Any]:
    """`extra` as JSON text. Raises UserError."""
    try:
        extra = json.loads(text or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise UserError(f'The extra of connection {name} is no JSON object: write it as \'{{"region": "eu"}}\'.')
    return extra


def with_password(url: str, password: str) -> str:
    """The URL with this password in it, whatever letters it has."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login.partition(':')[0] if at else ''}:{quote(password, safe='')}@{host}"))


# --- what is secret -----------------------------------------------------------------------------------------------------


def is_sensitive(name: str) -> bool:
    """Whether what has this name is a secret: `db_password`, `API_KEY`."""
    return bool(_SENSITIVE.search(name))


def shown_url(url: str) -> str:
    """The URL as anybody may see it."""
    parts = urlsplit(url)
    scheme = _scheme(parts)
    if not _PLAIN.fullmatch(scheme):
        return f"{parts.scheme}://{MASK}"
    login, at, host = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    before = f"{user}:{MASK}@" if colon else f"{MASK}@" if at and scheme in _WEB else f"{login}{at}"
    path = f"/{MASK}" if scheme in _WEB and parts.path.strip("/") else parts.path
    return f"{parts.scheme}://{before}{host}{path}" + (f"?{MASK}" if parts.query else "")


def secret_texts(connection: Connection) -> tuple[str, ...]:
    """Every text that an output may not hold because of this connection, the longest first."""
    parts = urlsplit(connection.url)
    scheme = _scheme(parts)
    found = [connection.url] if shown_url(connection.url) != connection.url else []
    found += [parts.password or "", connection.password]
    if connection.password:  # as the web's basic authentication spells it
        found.append(base64.b64encode(f"{connection.login}:{connection.password}".encode("utf-8", "replace")).decode())
    if not _PLAIN.fullmatch(scheme):
        found += [*re.split("[:@]", parts.netloc), *parts.path.split("/")]
    elif scheme in _WEB:
        found += [] if connection.password else [parts.username or "", connection.login]
        found += [piece for piece in parts.path.split("/") if len(piece) >= _TOKEN and re.search("[0-9]", piece)]
    found += [text for name, value in connection.extra.items() for text in _sensitive(name, value)]
    return maskable(found)


def _scheme(parts: SplitResult) -> str:
    return parts.scheme.partition("+")[0]


def maskable(texts: Iterable[str]) -> tuple[str, ...]:
    """Those that can be masked, also as JSON and URLs spell them, the longest first: a shorter one may stand within a longer one."""
    spelled = {spelling for text in texts for spelling in (text, json.dumps(text)[1:-1], repr(text)[1:-1], quote(text, safe=""))}
    return tuple(sorted((text for text in spelled if len(text) >= SHORTEST_SECRET), key=lambda text: (-len(text), text)))


def _sensitive(name: str, value: Any) -> Iterator[str]:
    """The secret texts of one thing in `extra`: what has a sensitive name, with all there is in it."""
    if isinstance(value, Mapping):
        for inner, one in value.items():
            yield from _sensitive(name if is_sensitive(name) else str(inner), one)
    elif isinstance(value, list):
        for one in value:
            yield from _sensitive(name, one)
    elif is_sensitive(name) and value is not None and not isinstance(value, bool):
        yield str(value)
