# SPDX-License-Identifier: BSD-3-Clause
"""Pools, who holds their slots, and who waits for one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NAME = sa.String(250).with_variant(sa.String(250, collation="C"), "postgresql")
_PATH = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Columns of what an instance holds, a table of pools and one of waiters."""
    op.add_column("task_instance", sa.Column("pool", _NAME))
    op.add_column("task_instance", sa.Column("slots", sa.Integer()))
    held = sa.text("pool IS NOT NULL")
    op.create_index(
        op.f("ix_task_instance_pool_state_slots"), "task_instance", ["pool", "state", "slots"], sqlite_where=held, postgresql_where=held
    )
    op.create_table(
        "pool",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("include_deferred", sa.Boolean(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pool")),
    )
    op.create_table(
        "waiter",
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("task_id", _NAME, nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("flow", _NAME, nullable=False),
        sa.Column("path", _PATH, nullable=False),
        sa.Column("pool", _NAME, nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("logical_date", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("overtaken", sa.Integer(), nullable=False),
        sa.Column("max_active_tasks", sa.Integer()),
        sa.Column("max_active_tasks_per_run", sa.Integer()),
        sa.Column("max_active", sa.Integer()),
        sa.Column("max_active_per_run", sa.Integer()),
        sa.PrimaryKeyConstraint("run_id", "task_id", "map_index", name=op.f("pk_waiter")),
    )
    op.create_index(op.f("ix_waiter_pool"), "waiter", ["pool"])


def downgrade() -> None:
    """Take them away."""
    op.drop_table("waiter")
    op.drop_table("pool")
    op.drop_index(op.f("ix_task_instance_pool_state_slots"), "task_instance")
    with op.batch_alter_table("task_instance") as table:
        table.drop_column("slots")
        table.drop_column("pool")
