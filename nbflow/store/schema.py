# SPDX-License-Identifier: BSD-3-Clause
"""The tables, as the code sees them and as a new database has them; migrations/versions bring older ones there.

Instants are integers (microseconds UTC), records JSON text (adr/0002).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, String, Table, Text, text

#: The newest migration, so that opening an up-to-date database needs no Alembic.
HEAD: Final = "0008"
#: Where the database says which migration it is at. A name of our own, since a PostgreSQL database may be shared with another Alembic.
VERSION_TABLE: Final = "nbflow_version"
#: As Alembic makes it.
version_table: Final = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: PostgreSQL compares names byte by byte, as SQLite does: pages stay stable whatever the server's language is.
Name: Final = String(250).with_variant(String(250, collation="C"), "postgresql")
Path: Final = Text().with_variant(Text(collation="C"), "postgresql")
Hash: Final = String(64)
#: SQLite counts up by itself only in an INTEGER primary key.
Counter: Final = BigInteger().with_variant(Integer(), "sqlite")

flow: Final = Table(
    "flow",
    metadata,
    Column("name", Name, primary_key=True),
    Column("path", Path, primary_key=True),
    Column("version", Hash, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

flow_version: Final = Table(
    "flow_version",
    metadata,
    Column("version", Hash, primary_key=True),
    Column("name", Name, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Column("source", LargeBinary, nullable=False),
    #: Copies of the modules it imports, as JSON; NULL where there are none.
    Column("files", LargeBinary),
    Index(None, "name", "created_at"),
)

run: Final = Table(
    "run",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("flow", Name, nullable=False),
    Column("state", String(16), nullable=False),
    Column("path", Path, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    #: NULL for a run that no deployment made: then the three below do not count either.
    Column("deployment", Name),
    Column("logical_date", BigInteger),
    Column("idempotency_key", Name),
    Column("run_type", String(16), nullable=False),
    Column("run_after", BigInteger, nullable=False),
    #: NULL for a run of no backfill.
    Column("backfill", BigInteger),
    Column("place", Integer, nullable=False),
    Index(None, "backfill", "state", sqlite_where=text("backfill IS NOT NULL")),
    Index(None, "deployment", "logical_date", unique=True),
    Index(None, "deployment", "idempotency_key", unique=True),
    Index(None, "deployment", "state", "created_at"),
    Index(None, "created_at", "run_id"),
    Index(None, "flow", "created_at", "run_id"),
    Index(None, "state", "created_at", "run_id"),
    Index(None, "path", "created_at", "run_id"),
)

#: Apart from the run, which is written often, while captures may be megabytes.
run_capture: Final = Table(
    "run_capture",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("captures", LargeBinary, nullable=False),
)

task_instance: Final = Table(
    "task_instance",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("task_id", Name, primary_key=True),
    Column("map_index", Integer, primary_key=True),
    #: Place in the notebook; -1 for an instance that came later, which stands with the others of its task.
    Column("position", Integer, nullable=False),
    Column("state", String(24), nullable=False),
    Column("record", Text, nullable=False),
    #: The pool it holds slots of, or counts in, and how many it takes; null while it does neither.
    Column("pool", Name),
    Column("slots", Integer),
    Index(None, "pool", "state", "slots", sqlite_where=text("pool IS NOT NULL")),
)

#: Those that were made or changed: `default_pool` is there without a row.
pool: Final = Table(
    "pool",
    metadata,
    Column("name", Name, primary_key=True),
    Column("slots", Integer, nullable=False),
    Column("include_deferred", Boolean, nullable=False),
    Column("description", Text, nullable=False),
)

#: Instances whose driver asked for a slot and was refused.
waiter: Final = Table(
    "waiter",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("task_id", Name, primary_key=True),
    Column("map_index", Integer, primary_key=True),
    Column("flow", Name, nullable=False),
    Column("path", Path, nullable=False),
    Column("pool", Name, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("logical_date", BigInteger, nullable=False),
    #: 1 for a run of a backfill, which comes after the others.
    Column("comes_last", Integer, nullable=False),
    #: When it was refused first.
    Column("since", BigInteger, nullable=False),
    #: How many that came later were preferred to it.
    Column("overtaken", Integer, nullable=False),
    #: The limits of its flow and its task.
    Column("max_active_tasks", Integer),
    Column("max_active_tasks_per_run", Integer),
    Column("max_active", Integer),
    Column("max_active_per_run", Integer),
    Index(None, "pool"),
)

attempt: Final = Table(
    "attempt",
    metadata,
    #: In the order they were first recorded.
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("token", Name, nullable=False, unique=True),
    Column("run_id", Name, nullable=False),
    Column("task_id", Name, nullable=False),
    Column("map_index", Integer, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "run_id", "task_id", "map_index"),
)

change: Final = Table(
    "change",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("cursor", BigInteger, primary_key=True),
    Column("task_id", Name),
    Column("map_index", Integer),
    Column("at", BigInteger, nullable=False),
    #: What moved, from where to where, and why.
    Column("record", Text, nullable=False),
    #: The records after the change, as they stand in their own tables.
    Column("task", Text),
    Column("run", Text),
)

request: Final = Table(
    "request",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("run_id", Name, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "run_id", "id"),
    sqlite_autoincrement=True,  # an id that was done is never given again
)

lease: Final = Table(
    "lease",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("owner", String(250), nullable=False),
    Column("epoch", Integer, nullable=False),
    #: By the database's clock.
    Column("expires_at", BigInteger, nullable=False),
    #: The newest cursor of the run's change log: counting up is part of proving the lease.
    Column("cursor", BigInteger, nullable=False),
)

callback: Final = Table(
    "callback",
    metadata,
    Column("run_id", Name, primary_key=True),
    #: The key of what it was called about.
    Column("happening", Path, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
)

#: Runs whose change logs may hold something to tell. A row goes when its run has ended and everything is told.
watch: Final = Table(
    "watch",
    metadata,
    Column("run_id", Name, primary_key=True),
    #: How far the log has been told.
    Column("cursor", BigInteger, nullable=False),
    #: When to look again even if the log does not grow; NULL: not before it does.
    Column("look_at", BigInteger),
    Column("since", BigInteger, nullable=False),
    Column("acknowledged", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
)

notification: Final = Table(
    "notification",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("key", Path, nullable=False),
    Column("address_hash", Hash, nullable=False),
    Column("state", String(16), nullable=False),
    #: When it is to be sent; NULL: it was, or is not tried any more.
    Column("next_at", BigInteger),
    #: Whose claim it is, and until when by the database's clock.
    Column("owner", String(250), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("flow", Name, nullable=False),
    Column("run_id", Name, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "key", "address_hash", unique=True),
    Index(None, "next_at"),
    Index(None, "flow", "id"),
    Index(None, "run_id"),
)

artifact_reference: Final = Table(
    "artifact_reference",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("hash", Hash, primary_key=True),
    Index(None, "hash"),
)

#: Whose result answers a cache key.
cache_entry: Final = Table(
    "cache_entry",
    metadata,
    Column("key", Hash, primary_key=True),
    Column("run_id", Name, nullable=False),
    Column("token", Name, nullable=False),
    Index(None, "run_id"),
)

#: Runs that have ended and are not counted yet; one that was cleared ends again.
run_end: Final = Table(
    "run_end",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("run_id", Name, nullable=False),
    #: Of the change with which it ended.
    Column("cursor", BigInteger, nullable=False),
    sqlite_autoincrement=True,  # as for requests
)

#: What was counted of runs that ended (core/tallies.py), also of those that were deleted since.
tally: Final = Table(
    "tally",
    metadata,
    Column("what", String(24), primary_key=True),
    Column("flow", Name, primary_key=True),
    Column("state", String(24), primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    #: A list of numbers, as JSON.
    Column("buckets", Text, nullable=False),
)

#: Runs that gave up their values, or what they printed, before they go themselves.
thinned: Final = Table(
    "thinned",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("without_values", Boolean, nullable=False),
    Column("without_outputs", Boolean, nullable=False),
)

#: What there is one of: `identity`, by which the marks in a folder of artifacts tell databases apart.
fact: Final = Table(
    "fact",
    metadata,
    Column("name", String(24), primary_key=True),
    Column("value", Text, nullable=False),
)

deployment: Final = Table(
    "deployment",
    metadata,
    Column("name", Name, primary_key=True),
    #: When a scheduler has to look at it; NULL while it is paused or nothing is to come.
    Column("next_run_at", BigInteger),
    Column("paused", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "next_run_at"),
)

deployment_version: Final = Table(
    "deployment_version",
    metadata,
    Column("name", Name, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("record", Text, nullable=False),
)

#: Runs for a range of past dates.
backfill: Final = Table(
    "backfill",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("flow", Name, nullable=False),
    #: 1 while it makes no runs.
    Column("paused", Integer, nullable=False),
    Column("ended", Integer, nullable=False),
    Column("max_active", Integer, nullable=False),
    Column("record", Text, nullable=False),
    #: A flow has one that has not ended.
    Index("uq_backfill_flow", "flow", unique=True, sqlite_where=text("ended = 0")),
    Index(None, "flow", "id"),
)

backfill_date: Final = Table(
    "backfill_date",
    metadata,
    Column("backfill", BigInteger, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("run_id", Name, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "backfill", "state", "place"),
)

#: Scheduler processes, as long as they say that they live.
scheduler: Final = Table(
    "scheduler",
    metadata,
    Column("owner", String(250), primary_key=True),
    #: By the database's clock.
    Column("expires_at", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("about", Name, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "about", "id"),
)

#: What of it is secret is sealed within the record.
connection: Final = Table(
    "connection",
    metadata,
    Column("name", Name, primary_key=True),
    Column("record", Text, nullable=False),
)

variable: Final = Table(
    "variable",
    metadata,
    Column("name", Name, primary_key=True),
    Column("record", Text, nullable=False),
)

#: What deployments have to do with: assets, flows and files that start them (`asset`, `flow`, `file`), assets their tasks update and read
#: (`outlet`, `inlet`).
reference: Final = Table(
    "reference",
    metadata,
    Column("name", Name, primary_key=True),
    Column("role", String(16), primary_key=True),
    Column("subject", Path, primary_key=True),
    Index(None, "role", "subject"),
)

#: Every update of an asset.
asset_event: Final = Table(
    "asset_event",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("asset", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "asset", "id"),
)

#: What happened and has not started a run of this deployment yet.
occasion: Final = Table(
    "occasion",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("name", Name, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", Path, nullable=False),
    #: 0 once a scheduler has seen that it waits for others.
    Column("fresh", Integer, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "name", "id"),
    Index("ix_occasion_fresh", "fresh", "id", sqlite_where=text("fresh = 1")),
    sqlite_autoincrement=True,  # an id that was taken is never given again
)

#: Files that deployments wait for, as they stood at the last look.
file_watch: Final = Table(
    "file_watch",
    metadata,
    Column("name", Name, primary_key=True),
    Column("url", Path, primary_key=True),
    Column("due_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "due_at"),
)


def tell_postgresql() -> None:
    """Which rows its indexes are over, as SQLite's are. SQLAlchemy loads all it has for PostgreSQL when it is told, which takes long."""
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
