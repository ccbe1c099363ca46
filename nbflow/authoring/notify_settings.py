# SPDX-License-Identifier: BSD-3-Clause
"""The settings `notify` and `owners`: who is told of every flow, and how owners are reached. A mistake never repeats an address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from nbflow.authoring.header import read_notify_table
from nbflow.authoring.header_values import addresses
from nbflow.core.errors import UserError

#: Keys of [notify] that only a flow can say.
_OF_FLOWS: Final = ("skips_over", "escalate")


def read_notify(value: str) -> dict[str, Any]:
    """JSON of a table [notify], or addresses with blanks between them: told of whatever goes wrong. Raises UserError."""
    document = _json(value) if value.lstrip()[:1] in {"{", "[", '"'} else value.split()
    if not isinstance(document, Mapping):
        return {"on_failure": _addresses("notify", document)}
    for key in _OF_FLOWS:
        if key in document:
            raise UserError(f"{key} stands in the [notify] of a flow's header, not in the settings.")
    return read_notify_table(document)


def read_owners(value: str) -> dict[str, list[str]]:
    """JSON of a table: a name, and the addresses behind it. Raises UserError."""
    document = _json(value)
    if not isinstance(document, Mapping):
        raise UserError('owners is a table: write [owners] and below it lines such as data-team = ["mailto://..."].')
    return {str(name): _addresses(f"owners.{name}", found) for name, found in document.items()}


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return None


def _addresses(called: str, value: Any) -> list[str]:
    try:
        return list(addresses(value))
    except UserError as error:
        raise UserError(f"{called} {error}") from None
