# SPDX-License-Identifier: BSD-3-Clause
"""A short storm; `make chaos` has the long ones, on SQLite too. A failing one prints its story; `python -m tests.chaos.schedulers` replays it."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.storm import Storm, Weather
from tests.chaos.surroundings import Databases

pytest_plugins = ["tests.unit.store.databases"]


def test_each_date_has_one_run_whatever_dies(tmp_path: Path, postgresql_server: str) -> None:
    weather = Weather(runs=8, seconds=6, schedulers=2, database="postgresql", cluster="local")
    storm = Storm(11, tmp_path / "storm", weather, Databases(postgresql_server))
    found = storm.run()
    assert not found, "\n".join([storm.summary, *storm.told, *found])
