# SPDX-License-Identifier: BSD-3-Clause
"""Alembic runs this inside the transaction that `open_store` holds; `alembic` on the command line is for making a new migration."""

from __future__ import annotations

from alembic import context

from nbflow.store.schema import VERSION_TABLE, metadata


def run() -> None:
    """Migrate on the caller's connection."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


run()
