# SPDX-License-Identifier: BSD-3-Clause
"""Nothing is lost, whatever process dies: fifty seeds. A failing one prints its story and replays with `python -m tests.chaos --seed S`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.chaos.harness import Seed

SEEDS = range(int(os.environ.get("CHAOS_SEEDS", "50")))
#: Seeds at once: most of their time is waiting for processes to start.
AT_ONCE = 4


def _run(seed: int, folder: str) -> tuple[list[str], list[str]]:
    from pathlib import Path

    one = Seed(seed, Path(folder))
    return one.run(), one.told


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[int, Future[tuple[list[str], list[str]]]]]:
    """All chosen seeds, a few at a time; each test waits for its own."""
    chosen = [
        item.callspec.params["seed"] for item in request.session.items if getattr(item, "callspec", None) and item.module is request.module
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {seed: pool.submit(_run, seed, str(tmp_path_factory.mktemp(f"seed-{seed}-"))) for seed in chosen}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost(seed: int, runs: dict[int, Future[tuple[list[str], list[str]]]]) -> None:
    found, story = runs[seed].result()
    assert not found, "\n".join([*found, *story, f"replay: python -m tests.chaos --seed {seed}"])
