# SPDX-License-Identifier: BSD-3-Clause
"""Flows and their versions: what was written, by content hash."""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select

from nbflow.core.model import Flow
from nbflow.store.codec import decode, encode_plain, plain
from nbflow.store.database import Database
from nbflow.store.flow_hash import hash_of_plain
from nbflow.store.rows import column_text
from nbflow.store.schema import flow as flow_table
from nbflow.store.schema import flow_version


class Flows:
    """Queries on `flow` and `flow_version`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        this = flow_version.c.version == bindparam("this")
        self._select = database.statement(select(flow_version.c.record).where(this))
        self._select_both = database.statement(select(flow_version.c.record, flow_version.c.source).where(this))
        self._select_source = database.statement(select(flow_version.c.source).where(this))
        self._select_files = database.statement(select(flow_version.c.files).where(this))
        self._upsert = database.upsert(flow_version, key=["version"], changing=["record", "source"])
        self._upsert_flow = database.upsert(flow_table, key=["name", "path"], changing=["version", "updated_at"])

    def save(self, flow: Flow, source: bytes, files: Mapping[str, bytes]) -> str:
        """Where the same version stands under another path, or its cells have moved, the newest writing is kept."""
        document = plain(flow)
        version, record = hash_of_plain(document, source, files), encode_plain(document, "Flow")
        with self._database.reading() as connection:
            stored = self._select_both.run(connection, this=version).one_or_none()
        if stored is not None and stored[0] == record and (not source or bytes(stored[1]) == source):
            return version
        now = time.time_ns() // 1000
        row: Mapping[str, Any] = {
            "version": version,
            "name": flow.name,
            "created_at": now,
            "record": record,
            "source": source or (bytes(stored[1]) if stored is not None else b""),
            "files": pack_files(files) if files else None,
        }
        with self._database.writing() as connection:
            self._upsert_flow.run(connection, name=flow.name, path=column_text(flow.path), version=version, updated_at=now)
            self._upsert.run(connection, **row)
        return version

    def load(self, version: str) -> Flow:
        with self._database.reading() as connection:
            text = self._select.run(connection, this=version).scalar_one_or_none()
        if text is None:
            raise KeyError(version)
        return decode(Flow, text)

    def source(self, version: str) -> bytes:
        with self._database.reading() as connection:
            found = self._select_source.run(connection, this=version).scalar_one_or_none()
        if found is None:
            raise KeyError(version)
        return bytes(found)

    def files(self, version: str) -> Mapping[str, bytes]:
        with self._database.reading() as connection:
            found = self._select_files.run(connection, this=version).scalar_one_or_none()
        return unpack_files(bytes(found)) if found is not None else {}


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """Files by their path, as compressed JSON."""
    return zlib.compress(json.dumps({name: base64.b64encode(data).decode("ascii") for name, data in sorted(files.items())}).encode("ascii"))


def unpack_files(packed: bytes) -> dict[str, bytes]:
    """What `pack_files` packed."""
    return {name: base64.b64decode(data) for name, data in json.loads(zlib.decompress(packed)).items()}
