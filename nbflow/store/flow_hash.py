# SPDX-License-Identifier: BSD-3-Clause
"""Which version of a flow this is: a hash over what decides how it runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from nbflow.core.model import Flow
from nbflow.store.codec import dump, plain

#: Where a task stands in its file: moving a cell's neighbours is not a new version.
_PLACES: Final = ("cell",)


def content_hash(flow: Flow, source: bytes = b"", files: Mapping[str, bytes] = MappingProxyType({})) -> str:
    """sha256 over what decides how the flow runs: its tasks, edges, options and parameters, the source of all code cells, the modules it imports.

    Not counted: the file's path, numbers and ids of cells, prose, outputs and metadata.
    """
    return hash_of_plain(plain(flow), source, files)


def hash_of_plain(written: Mapping[str, Any], source: bytes, files: Mapping[str, bytes]) -> str:
    """`content_hash` of the flow of which `plain` made this document."""
    document = {name: value for name, value in written.items() if name != "path"}
    document["tasks"] = [{name: value for name, value in task.items() if name not in _PLACES} for task in document.get("tasks", ())]
    document["source"] = _code(source)
    if files:
        document["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return hashlib.sha256(dump(document, "The flow", sort=True).encode("ascii")).hexdigest()


def _code(source: bytes) -> list[str]:
    """The code cells of a notebook; any other file counts as a whole."""
    try:
        cells = json.loads(source)["cells"]
        return [_joined(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError):
        return [hashlib.sha256(source).hexdigest()] if source else []


def _joined(source: Any) -> str:
    return source if isinstance(source, str) else "".join(source)
