# SPDX-License-Identifier: BSD-3-Clause
"""Where messages go: an Apprise URL, or the name of a connection. What is shown of an address never holds its secrets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,250}")
#: Services that one runs oneself: their host says which one is meant and is no secret.
_OWN_HOSTS: Final = frozenset(
    {"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos", "gotify", "gotifys", "ntfy", "ntfys", "syslog"}
)


def is_url(address: str) -> bool:
    return "://" in address


def is_name(address: str) -> bool:
    """Whether a connection could be called so."""
    return _NAME.fullmatch(address) is not None


def address_hash(address: str) -> str:
    """The same address is told of an event once, however it was come by."""
    return hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()


def shown(address: str) -> str:
    """`ops-mail`, `json://hooks.example.org:8080/...`, `slack://... (5e1f)`: enough to know which one, and nothing that is secret."""
    if not is_url(address):
        return address if is_name(address) else "an address"
    scheme = address.partition("://")[0].lower()
    if scheme in _OWN_HOSTS:
        try:
            parts = urlsplit(address)
            host = parts.hostname or ""
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            host = port = ""
        if host:
            return f"{scheme}://{host}{port}" + ("/..." if parts.path.strip("/") or parts.query else "")
    return f"{scheme}://... ({address_hash(address)[:4]})"


def without_secrets(text: str, address: str) -> str:
    """`text` with every piece of the address taken out that could be one of its secrets."""
    if not is_url(address):
        return text
    for piece in sorted(set(re.split(r"[/?&=:@#,\s]+", address.partition("://")[2])), key=len, reverse=True):
        if len(piece) >= 4 and piece not in shown(address):
            text = text.replace(piece, "***")
    return text


def shown_keys(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a schedule, with the addresses in them as `shown`."""
    document = keys.get("notify")
    return {**keys, "notify": _shown_in(document)} if document else dict(keys)


def _shown_in(value: Any) -> Any:
    """Whatever stands in a list is an address."""
    if isinstance(value, Mapping):
        return {name: _shown_in(inner) for name, inner in value.items()}
    return [shown(str(one)) for one in value] if isinstance(value, list | tuple) else value
