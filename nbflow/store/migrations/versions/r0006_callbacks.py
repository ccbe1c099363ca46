# SPDX-License-Identifier: BSD-3-Clause
"""Which callbacks of a run were called."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None

_NAME = sa.String(250).with_variant(sa.String(250, collation="C"), "postgresql")
_PATH = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "callback",
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("happening", _PATH, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "happening", "place", name=op.f("pk_callback")),
    )


def downgrade() -> None:
    """A run that goes on calls all of them again."""
    op.drop_table("callback")
