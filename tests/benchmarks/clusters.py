# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmarks stand on: a workspace with its own local cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbflow.app import Workspace
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.executors.cluster import read_facts, stop_home_cluster
from nbflow.settings import Settings


@contextmanager
def workspace() -> Iterator[Workspace]:
    """A home of its own with its own local cluster."""
    with tempfile.TemporaryDirectory() as folder:
        opened = Workspace.open(Settings(home=Path(folder)))
        try:
            yield opened
        finally:
            opened.close()
            stop_home_cluster(Path(folder))


def cluster_of(opened: Workspace) -> list[int]:
    """The process that holds the workspace's cluster."""
    facts = read_facts(opened.settings.home)
    return [] if facts is None else [facts.pid]


def run(opened: Workspace, flow: Flow) -> None:
    """Run a flow to its recorded end. Raises AssertionError when it does not succeed."""
    handle = opened.start_run(flow, CaptureSet(), trigger="benchmark")
    handle.wait()
    assert handle.snapshot().run.state == "success", handle.snapshot().run
