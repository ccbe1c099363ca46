# SPDX-License-Identifier: BSD-3-Clause
"""Apprise: a hundred services behind one URL. Nothing else of nbflow imports it, and this only when there is an address to look at."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import quote

from nbflow.core.addresses import shown, without_secrets
from nbflow.core.errors import NbflowError, UserError, nearest

#: Services that pass headers on: there a message is known again when it comes twice.
_WITH_HEADERS: Final = {
    **dict.fromkeys(("json", "jsons", "xml", "xmls", "form", "forms"), "Idempotency-Key"),
    **dict.fromkeys(("mailto", "mailtos"), "X-Nbflow-Key"),
}
#: Seconds a service may take, less than a claim lasts.
_PATIENCE: Final = 60
_KINDS: Final = {"success": "success", "failure": "failure", "retry": "warning", "skip": "info"}


class NotSent(NbflowError):
    """The service did not take it; the sentence says why, without secrets."""


def check_address(url: str) -> None:
    """Raises UserError for what no service understands, in words that do not hold the address."""
    from apprise import Apprise  # noqa: PLC0415 - 0.4 s and 50 MB, for those who send something

    scheme = url.partition("://")[0].lower()
    with _heard():
        plugin = Apprise.instantiate(url)
    if plugin is not None:
        return
    schemes = _schemes()
    if scheme not in schemes:
        hint = nearest(scheme, schemes, likeness=0.7) or " Apprise knows mailto, json, slack, msteams and many others."
        raise UserError(f'"{scheme}://" is no service that messages can be sent to.{hint}')
    raise UserError(f"{shown(url)} is not an address of that service: its URL lacks something, such as a host, a user or a token.")


def send(url: str, *, subject: str, text: str, markdown: str, key: str, topic: str) -> None:
    """Send one message, now. Raises NotSent."""
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType  # noqa: PLC0415 - as above

    asset = AppriseAsset(app_id="nbflow", app_desc="nbflow", async_mode=False, service_timeout=_PATIENCE)
    with _heard() as told:
        plugin: Any = Apprise.instantiate(_keyed(url, key), asset=asset)
        if plugin is None:
            raise NotSent(f"{shown(url)} is not an address that messages can be sent to.")
        formats = plugin.notify_format if isinstance(plugin.notify_format, tuple) else (plugin.notify_format,)
        reads_markdown = formats[0] is NotifyFormat.MARKDOWN and bool(markdown)
        apprise = Apprise(asset=asset)
        apprise.add(plugin)
        done = apprise.notify(
            title=subject,
            body=markdown if reads_markdown else text,
            body_format=NotifyFormat.MARKDOWN if reads_markdown else NotifyFormat.TEXT,
            notify_type=NotifyType(_KINDS.get(topic, "failure")),
        )
    if not done:
        raise NotSent(without_secrets(told[-1] if told else "the service did not take it", url))


def _keyed(url: str, key: str) -> str:
    header = _WITH_HEADERS.get(url.partition("://")[0].lower())
    return f"{url}{'&' if '?' in url else '?'}+{header}={quote(key, safe='')}" if header else url


def _schemes() -> set[str]:
    from apprise import Apprise  # noqa: PLC0415 - as above

    found: set[str] = set()
    for service in Apprise().details()["schemas"]:
        for group in ("protocols", "secure_protocols"):
            found |= set(service[group] or ())
    return found


#: What Apprise has said of the message that is being sent: it sends in threads of its own, which have this from the one that asked.
_told: Final[ContextVar[list[str] | None]] = ContextVar("nbflow_told", default=None)


class _Ears(logging.Handler):
    """Hears what Apprise says of one message."""

    def __init__(self, told: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._about = told

    def emit(self, record: logging.LogRecord) -> None:
        if _told.get() is self._about:
            self._about.append(record.getMessage())


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What Apprise says meanwhile. It goes nowhere else: it may hold secrets."""
    told: list[str] = []
    ears, logger = _Ears(told), logging.getLogger("apprise")
    logger.propagate = False
    logger.addHandler(ears)
    mine = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(mine)
        logger.removeHandler(ears)
