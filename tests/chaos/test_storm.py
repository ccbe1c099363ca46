# SPDX-License-Identifier: BSD-3-Clause
"""A short storm on each database; `make chaos` has the long ones. A failing one prints its story; `python -m tests.chaos.schedulers` replays it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.storm import Storm, Weather
from tests.chaos.surroundings import Databases

pytest_plugins = ["tests.unit.store.databases"]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_each_date_has_one_run_whatever_dies(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgresql_server") if database == "postgresql" else None
    weather = Weather(runs=12, seconds=9, schedulers=2, database=database, cluster="local")
    storm = Storm(5, tmp_path / "storm", weather, Databases(server) if server else None)
    found = storm.run()
    assert not found, "\n".join([storm.summary, *storm.told, *found])
