# SPDX-License-Identifier: BSD-3-Clause
"""Flows, runs, task instances, attempts, the change log, requests, leases and what refers to artifacts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NAME = sa.String(250).with_variant(sa.String(250, collation="C"), "postgresql")
_PATH = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the first tables."""
    _flows()
    _runs()
    _history()
    _driving()


def downgrade() -> None:
    """Take everything away."""
    names = ("artifact_reference", "lease", "request", "change", "attempt", "task_instance", "run_capture", "run", "flow_version", "flow")
    for name in names:
        op.drop_table(name)


def _flows() -> None:
    op.create_table(
        "flow",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("path", _PATH, nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "path", name=op.f("pk_flow")),
    )
    op.create_table(
        "flow_version",
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("source", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_flow_version")),
    )
    op.create_index(op.f("ix_flow_version_name_created_at"), "flow_version", ["name", "created_at"])


def _runs() -> None:
    op.create_table(
        "run",
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("flow", _NAME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("path", _PATH, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run")),
    )
    op.create_index(op.f("ix_run_created_at_run_id"), "run", ["created_at", "run_id"])
    for column in ("flow", "state", "path"):
        op.create_index(op.f(f"ix_run_{column}_created_at_run_id"), "run", [column, "created_at", "run_id"])
    op.create_table(
        "run_capture",
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("captures", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_capture")),
    )


def _history() -> None:
    op.create_table(
        "task_instance",
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("task_id", _NAME, nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "task_id", "map_index", name=op.f("pk_task_instance")),
    )
    op.create_table(
        "attempt",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("token", _NAME, nullable=False),
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("task_id", _NAME, nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("token", name=op.f("uq_attempt_token")),
    )
    op.create_index(op.f("ix_attempt_run_id_task_id_map_index"), "attempt", ["run_id", "task_id", "map_index"])
    op.create_table(
        "change",
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("task_id", _NAME),
        sa.Column("map_index", sa.Integer()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("task", sa.Text()),
        sa.Column("run", sa.Text()),
        sa.PrimaryKeyConstraint("run_id", "cursor", name=op.f("pk_change")),
    )


def _driving() -> None:
    op.create_table(
        "request",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_request_run_id_id"), "request", ["run_id", "id"])
    op.create_table(
        "lease",
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("owner", sa.String(250), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_lease")),
    )
    op.create_table(
        "artifact_reference",
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "hash", name=op.f("pk_artifact_reference")),
    )
    op.create_index(op.f("ix_artifact_reference_hash"), "artifact_reference", ["hash"])
