# SPDX-License-Identifier: BSD-3-Clause
"""Processes for the cells of this folder's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.integration.cells")

from tests.integration.cells import Child, Processes  # noqa: E402 - its asserts say what differs


@pytest.fixture(scope="session")
def cell_processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.close()


@pytest.fixture
def child(tmp_path: Path, cell_processes: Processes) -> Child:
    return Child(tmp_path, cell_processes)
