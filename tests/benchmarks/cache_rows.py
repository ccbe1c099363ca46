# SPDX-License-Identifier: BSD-3-Clause
"""A flow of a thousand cached tasks, run again with nothing changed: against its own first run, and as it is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace

from nbflow.core.model import Flow
from nbflow.core.options import TaskOptions
from tests.benchmarks import flows
from tests.benchmarks.clusters import run, workspace
from tests.benchmarks.measure import Row

_TASKS = 1000
_AGAIN = 5


def cache() -> Iterator[Row]:
    """Every task has its own source; the flow is one task, many beside each other, one task."""
    with workspace() as opened:
        run(opened, flows.chain(4))  # the cluster is there
        for name, source in (("20 ms", "import time\ntime.sleep(0.02)"), ("no-op", "")):
            flow = _cached(flows.layers([1, _TASKS - 2, 1], name=name.replace(" ", "_")), source)
            first = _seconds(lambda flow=flow: run(opened, flow))
            again = statistics.median(_seconds(lambda flow=flow: run(opened, flow)) for _ in range(_AGAIN))
            if source:
                yield Row(name=f"cached, 1,000 {name} tasks", ours=again, raw=first, against="its own first run", target=0.1)
            else:
                yield Row(name="cached, 1,000 no-op tasks", ours=again, against="run again, median of 5", target=0.5)


def _cached(flow: Flow, source: str) -> Flow:
    return replace(
        flow,
        tasks=tuple(
            replace(task, source=f"{source}\nx = {number}", options=TaskOptions(cache=True)) for number, task in enumerate(flow.tasks)
        ),
    )


def _seconds(work: object) -> float:
    assert callable(work)
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
