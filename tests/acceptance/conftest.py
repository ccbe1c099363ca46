# SPDX-License-Identifier: BSD-3-Clause
"""Terminals for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.acceptance.shell")

from tests.acceptance.shell import Shell  # noqa: E402 - its asserts say what differs


@pytest.fixture
def shell(tmp_path: Path, home_environment: dict[str, str]) -> Shell:
    """In the home that all tests share, with its cluster."""
    return Shell(tmp_path, home_environment)


@pytest.fixture
def alone(tmp_path: Path, home_environment: dict[str, str]) -> Shell:
    """In a home of its own that may be spoiled, without a cluster."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Shell(folder, {**home_environment, "NBFLOW_HOME": str(tmp_path / "home"), "NBFLOW_DASK": "inline"})
