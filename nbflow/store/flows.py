# SPDX-License-Identifier: BSD-3-Clause
"""Flows and their versions: what was written, by content hash."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select

from nbflow.core.model import Flow
from nbflow.store.codec import decode, encode
from nbflow.store.database import Database
from nbflow.store.flow_hash import content_hash
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
        self._upsert = database.upsert(flow_version, key=["version"], changing=["record", "source"])
        self._upsert_flow = database.upsert(flow_table, key=["name", "path"], changing=["version", "updated_at"])

    def save(self, flow: Flow, source: bytes) -> str:
        """Where the same version stands under another path, or its cells have moved, the newest writing is kept."""
        version, record = content_hash(flow, source), encode(flow)
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
