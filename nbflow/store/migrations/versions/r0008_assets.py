# SPDX-License-Identifier: BSD-3-Clause
"""Assets, what happened that deployments wait for, and the files they watch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0010"
branch_labels = None
depends_on = None

_NAME = sa.String(250).with_variant(sa.String(250, collation="C"), "postgresql")
_PATH = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "reference",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("subject", _PATH, nullable=False),
        sa.PrimaryKeyConstraint("name", "role", "subject", name="pk_reference"),
    )
    op.create_index("ix_reference_role_subject", "reference", ["role", "subject"])
    op.create_table(
        "asset_event",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("asset", _NAME, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_asset_event"),
    )
    op.create_index("ix_asset_event_asset_id", "asset_event", ["asset", "id"])
    op.create_table(
        "occasion",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", _PATH, nullable=False),
        sa.Column("fresh", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_occasion"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_occasion_name_id", "occasion", ["name", "id"])
    only_fresh = sa.text("fresh = 1")
    op.create_index("ix_occasion_fresh", "occasion", ["fresh", "id"], sqlite_where=only_fresh, postgresql_where=only_fresh)
    op.create_table(
        "file_watch",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("url", _PATH, nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "url", name="pk_file_watch"),
    )
    op.create_index("ix_file_watch_due_at", "file_watch", ["due_at"])


def downgrade() -> None:
    """Flows start by their schedules and by hand only."""
    for name in ("file_watch", "occasion", "asset_event", "reference"):
        op.drop_table(name)
