# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures every room's tests may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# What a workspace loads in a thread while a test goes on. pytest parses each module of nbflow that it loads for the first time, and Python 3.11
# fails in either thread when two parse at once ("AST constructor recursion depth mismatch").
import nbflow.executors.dask_executor
import nbflow.executors.inline
import nbflow.operators.entry  # noqa: F401

# CI replays the same examples on every machine; `HYPOTHESIS_PROFILE=search` looks for new ones.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("search", deadline=None, max_examples=2_000, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell without job control (a script that ends with `&`) starts what it sends to the background deaf to Ctrl-C, with all that this starts:
# whoever is interrupted by a test would not notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: What takes longest goes first: one process would wait for a long file that the other began at the end. The storm keeps away from the chaos.
LONG = ("chaos/test_chaos.py", "acceptance", "integration", "browser", "contracts", "chaos")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [Path(__file__).parent / name for name in LONG]
    items.sort(key=lambda item: next((number for number, place in enumerate(places) if item.path.is_relative_to(place)), len(places)))


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home for every test that may share it, so that they share its local cluster; the cluster is stopped at the end."""
    from nbflow.executors.cluster import stop_home_cluster

    home = tmp_path_factory.mktemp("nbflow-home")
    yield home
    stop_home_cluster(home)


@pytest.fixture
def home_environment(shared_home: Path) -> dict[str, str]:
    """The environment of a process that works in the shared home."""
    return {**os.environ, "NBFLOW_HOME": str(shared_home), "JUPYTER_PLATFORM_DIRS": "1"}
