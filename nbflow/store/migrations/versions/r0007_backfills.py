# SPDX-License-Identifier: BSD-3-Clause
"""Backfills and their dates; which runs belong to one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

_NAME = sa.String(250).with_variant(sa.String(250, collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and tell runs of backfills from others."""
    op.add_column("run", sa.Column("backfill", sa.BigInteger()))
    op.add_column("run", sa.Column("place", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("waiter", sa.Column("comes_last", sa.Integer(), nullable=False, server_default="0"))
    some = sa.text("backfill IS NOT NULL")
    op.create_index("ix_run_backfill_state", "run", ["backfill", "state"], sqlite_where=some, postgresql_where=some)
    op.create_table(
        "backfill",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("flow", _NAME, nullable=False),
        sa.Column("paused", sa.Integer(), nullable=False),
        sa.Column("ended", sa.Integer(), nullable=False),
        sa.Column("max_active", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_backfill"),
    )
    going = sa.text("ended = 0")
    op.create_index("uq_backfill_flow", "backfill", ["flow"], unique=True, sqlite_where=going, postgresql_where=going)
    op.create_index("ix_backfill_flow_id", "backfill", ["flow", "id"])
    op.create_table(
        "backfill_date",
        sa.Column("backfill", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("backfill", "place", name="pk_backfill_date"),
    )
    op.create_index("ix_backfill_date_backfill_state_place", "backfill_date", ["backfill", "state", "place"])


def downgrade() -> None:
    """Runs of backfills stay, as runs of their flow."""
    op.drop_table("backfill_date")
    op.drop_table("backfill")
    op.drop_index("ix_run_backfill_state", "run")
    op.drop_column("waiter", "comes_last")
    op.drop_column("run", "place")
    op.drop_column("run", "backfill")
