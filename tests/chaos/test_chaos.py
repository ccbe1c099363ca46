# SPDX-License-Identifier: BSD-3-Clause
"""Nothing is lost, whatever process dies: fifty seeds. A failing one prints its story and replays with `python -m tests.chaos --seed S`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.harness import Seed
from tests.chaos.surroundings import Databases

pytest_plugins = ["tests.unit.store.databases"]

SEEDS = range(int(os.environ.get("CHAOS_SEEDS", "50")))
#: Seeds at once: most of their time is waiting for processes to start.
AT_ONCE = 4


Result = tuple[list[str], list[str]]


def _run(seed: int, folder: Path, databases: Databases) -> Result:
    one = Seed(seed, folder, databases)
    return one.run(), one.told


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql_server: str
) -> Iterator[dict[int, Future[Result]]]:
    """All chosen seeds, a few at a time; each test waits for its own."""
    chosen = [
        item.callspec.params["seed"] for item in request.session.items if getattr(item, "callspec", None) and item.module is request.module
    ]
    databases = Databases(postgresql_server)
    pool = ThreadPoolExecutor(AT_ONCE)
    yield {seed: pool.submit(_run, seed, tmp_path_factory.mktemp(f"seed-{seed}-"), databases) for seed in chosen}
    pool.shutdown(cancel_futures=True)  # after an interrupt, or -x, nobody asks for the rest


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost(seed: int, runs: dict[int, Future[Result]]) -> None:
    found, story = runs[seed].result()
    assert not found, "\n".join([*found, *story, f"replay: python -m tests.chaos --seed {seed}"])
