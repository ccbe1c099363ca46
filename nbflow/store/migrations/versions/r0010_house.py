# SPDX-License-Identifier: BSD-3-Clause
"""What is counted of runs that ended, and what old runs have given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0007"
branch_labels = None
depends_on = None

_NAME = sa.String(250).with_variant(sa.String(250, collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "run_end",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_end")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tally",
        sa.Column("what", sa.String(24), nullable=False),
        sa.Column("flow", _NAME, nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("buckets", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("what", "flow", "state", name=op.f("pk_tally")),
    )
    op.create_table(
        "thinned",
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("without_values", sa.Boolean(), nullable=False),
        sa.Column("without_outputs", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_thinned")),
    )
    op.create_table(
        "fact",
        sa.Column("name", sa.String(24), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fact")),
    )


def downgrade() -> None:
    """Counting begins again at 0."""
    op.drop_table("fact")
    op.drop_table("thinned")
    op.drop_table("tally")
    op.drop_table("run_end")
