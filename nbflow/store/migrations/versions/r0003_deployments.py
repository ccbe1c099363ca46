# SPDX-License-Identifier: BSD-3-Clause
"""Deployments, their versions and runs, the schedulers that live, and what people did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0004"
branch_labels = None
depends_on = None

_NAME = sa.String(250).with_variant(sa.String(250, collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and tell runs of deployments from others."""
    op.add_column("flow_version", sa.Column("files", sa.LargeBinary()))
    op.add_column("run", sa.Column("deployment", _NAME))
    op.add_column("run", sa.Column("logical_date", sa.BigInteger()))
    op.add_column("run", sa.Column("idempotency_key", _NAME))
    op.add_column("run", sa.Column("run_type", sa.String(16), nullable=False, server_default="manual"))
    op.add_column("run", sa.Column("run_after", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_run_deployment_logical_date", "run", ["deployment", "logical_date"], unique=True)
    op.create_index("ix_run_deployment_idempotency_key", "run", ["deployment", "idempotency_key"], unique=True)
    op.create_index("ix_run_deployment_state_created_at", "run", ["deployment", "state", "created_at"])
    op.create_table(
        "deployment",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("next_run_at", sa.BigInteger()),
        sa.Column("paused", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_deployment"),
    )
    op.create_index("ix_deployment_next_run_at", "deployment", ["next_run_at"])
    op.create_table(
        "deployment_version",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "number", name="pk_deployment_version"),
    )
    op.create_table(
        "scheduler",
        sa.Column("owner", sa.String(250), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_scheduler"),
    )
    op.create_table(
        "audit",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("about", _NAME, nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_about_id", "audit", ["about", "id"])


def downgrade() -> None:
    """Take the tables away; runs stay."""
    for name in ("audit", "scheduler", "deployment_version", "deployment"):
        op.drop_table(name)
    for name in ("ix_run_deployment_state_created_at", "ix_run_deployment_idempotency_key", "ix_run_deployment_logical_date"):
        op.drop_index(name, "run")
    for name in ("run_after", "run_type", "idempotency_key", "logical_date", "deployment"):
        op.drop_column("run", name)
    op.drop_column("flow_version", "files")
