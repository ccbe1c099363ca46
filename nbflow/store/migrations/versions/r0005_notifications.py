# SPDX-License-Identifier: BSD-3-Clause
"""Messages that are to be sent, and the runs that are watched for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0009"
branch_labels = None
depends_on = None

_NAME = sa.String(250).with_variant(sa.String(250, collation="C"), "postgresql")
_PATH = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; runs that were there before are not watched."""
    op.create_table(
        "watch",
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("look_at", sa.BigInteger()),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_watch"),
    )
    op.create_table(
        "notification",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("key", _PATH, nullable=False),
        sa.Column("address_hash", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("next_at", sa.BigInteger()),
        sa.Column("owner", sa.String(250), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("flow", _NAME, nullable=False),
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notification"),
    )
    op.create_index("ix_notification_key_address_hash", "notification", ["key", "address_hash"], unique=True)
    op.create_index("ix_notification_next_at", "notification", ["next_at"])
    op.create_index("ix_notification_flow_id", "notification", ["flow", "id"])
    op.create_index("ix_notification_run_id", "notification", ["run_id"])


def downgrade() -> None:
    """What was not sent is not sent."""
    op.drop_table("notification")
    op.drop_table("watch")
