# SPDX-License-Identifier: BSD-3-Clause
"""Which attempt's result answers a cache key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None

_NAME = sa.String(250).with_variant(sa.String(250, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "cache_entry",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("token", _NAME, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_cache_entry")),
    )
    op.create_index(op.f("ix_cache_entry_run_id"), "cache_entry", ["run_id"])


def downgrade() -> None:
    """Results are not found any more; they are where they were."""
    op.drop_table("cache_entry")
