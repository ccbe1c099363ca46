# SPDX-License-Identifier: BSD-3-Clause
"""Two drivers in two processes share a pool of three, sampled inside the database with every change of a task: never more than three."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import create_engine, text

from nbflow.core.limits import Pool
from nbflow.store.opening import open_store

pytest_plugins = ["tests.unit.store.databases"]

TASKS = 25
IN_USE = "SELECT COALESCE(SUM(slots), 0) FROM task_instance WHERE pool = 'p' AND state IN ('queued', 'running')"
SAMPLING = {
    "sqlite": [
        "CREATE TABLE sample (used INTEGER)",
        f"CREATE TRIGGER sampling AFTER UPDATE OF state ON task_instance BEGIN INSERT INTO sample {IN_USE}; END",
    ],
    "postgresql": [
        "DROP TABLE IF EXISTS sample",
        "CREATE TABLE sample (used INTEGER)",
        f"CREATE OR REPLACE FUNCTION sampling() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO sample {IN_USE}; RETURN NEW; END $$",
        "CREATE OR REPLACE TRIGGER sampling AFTER UPDATE OF state ON task_instance FOR EACH ROW EXECUTE FUNCTION sampling()",
    ],
}
AFTERWARDS = {"sqlite": [], "postgresql": ["DROP TRIGGER sampling ON task_instance", "DROP FUNCTION sampling", "DROP TABLE sample"]}


def test_two_drivers_never_exceed_a_pool(database_url: str, tmp_path: Path):
    store = open_store(database_url)
    store.save_pool(Pool(name="p", slots=3))
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        for statement in SAMPLING[engine.dialect.name]:
            connection.execute(text(statement))
    try:
        command = [sys.executable, "-m", "tests.integration.pool_driver", database_url]
        drivers = [
            subprocess.Popen([*command, str(tmp_path / name), name, str(TASKS)], stdout=subprocess.PIPE, text=True)
            for name in ("one", "two")
        ]
        assert [driver.communicate(timeout=120)[0].strip() for driver in drivers] == ["success", "success"]
        with engine.connect() as connection:
            samples = connection.execute(text("SELECT used FROM sample")).scalars().all()
        assert len(samples) >= 2 * TASKS
        assert max(samples) == 3
        assert store.board().waiters == store.board().holders == ()
    finally:
        with engine.begin() as connection:
            for statement in AFTERWARDS[engine.dialect.name]:
                connection.execute(text(statement))
        engine.dispose()
        store.close()
