# SPDX-License-Identifier: BSD-3-Clause
"""Connections and variables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0006"
branch_labels = None
depends_on = None

_NAME = sa.String(250).with_variant(sa.String(250, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    for table in ("connection", "variable"):
        op.create_table(
            table,
            sa.Column("name", _NAME, nullable=False),
            sa.Column("record", sa.Text(), nullable=False),
            sa.PrimaryKeyConstraint("name", name=op.f(f"pk_{table}")),
        )


def downgrade() -> None:
    """What was set is lost."""
    op.drop_table("variable")
    op.drop_table("connection")
