# SPDX-License-Identifier: BSD-3-Clause
"""Flows of tasks that do nothing, against plain Dask doing nothing; the memory of a driver; a large frame on its way through three tasks."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from nbflow.core.ids import FlowName, TaskId
from nbflow.core.model import Edge, Flow, Read, Task
from tests.benchmarks import flows
from tests.benchmarks.clusters import cluster_of, run, workspace
from tests.benchmarks.measure import Row, in_turn
from tests.benchmarks.raw import raw_cluster

_STEPS = 100


def chain() -> Iterator[Row]:
    """A hundred tasks one after the other, each reading what the one before gave."""
    with workspace() as opened, raw_cluster() as stock, raw_cluster(tuned=True) as tuned:
        cells, functions, plain, quick = in_turn(
            lambda: run(opened, flows.chain(_STEPS)),
            lambda: run(opened, flows.chain_of_functions(_STEPS)),
            lambda: stock.chain(_STEPS),
            lambda: tuned.chain(_STEPS),
        )
    for name, ours in (("%%task", cells), ("@task", functions)):
        yield Row(name=f"chain of 100 {name}", ours=ours.wall, raw=plain.wall, against="Dask, submit and wait", target=0.5)
        yield Row(name=f"chain of 100 {name}", ours=ours.wall, raw=quick.wall, against="the same, tuned timers", target=1.25)


def fan() -> Iterator[Row]:
    """1 -> 1000 -> 1."""
    yield from _wide("fan 1 -> 1000 -> 1", [1, 1000, 1])


def layers() -> Iterator[Row]:
    """Ten layers of a hundred tasks."""
    yield from _wide("ten layers of 100", [100] * 10)


def _wide(name: str, widths: list[int]) -> Iterator[Row]:
    with workspace() as opened, raw_cluster() as dask:
        ours, raw = in_turn(
            lambda: run(opened, flows.layers(widths)),
            lambda: dask.layers(widths),
            trees=[partial(cluster_of, opened), lambda: [dask.pid]],
        )
    yield Row(name=name, ours=ours.wall, raw=raw.wall, against="Dask, no record: wall", target=1.5)
    yield Row(name=name, ours=ours.cpu, raw=raw.cpu, against="Dask, no record: CPU", target=2.0)


_DRIVER = """
from pathlib import Path
from tests.benchmarks import flows
from tests.benchmarks.clusters import run, workspace
with workspace() as opened:
    run(opened, flows.fan(998))
    status = Path("/proc/self/status").read_text()  # getrusage would tell the peak of whoever started this process
    print(status.partition("VmHWM:")[2].split()[0])
"""


def memory() -> Iterator[Row]:
    """Of a process that drives a run of a thousand tasks, at its peak."""
    told = subprocess.run([sys.executable, "-c", _DRIVER], check=True, capture_output=True, text=True).stdout
    yield Row(name="driver of 1,000 tasks", ours=int(told.split()[-1]) / 1024, against="peak resident memory", target=150, unit="MB")


_FRAME = "import numpy, pandas\nframe = pandas.DataFrame(numpy.random.default_rng(1).random((12_500_000, 10)), columns=list('abcdefghij'))"


def frame() -> Iterator[Row]:
    """A frame of 1 GB made by a task, read by the next, which gives one that the third reads; against pickling it to disk and back twice."""
    with workspace() as opened, tempfile.TemporaryDirectory() as folder:
        ours, raw = in_turn(lambda: run(opened, _frame_flow()), partial(_pickled, Path(folder) / "frame"), rounds=3)
    yield Row(name="1 GB frame, three tasks", ours=ours.wall, raw=raw.wall, against="made, pickled to disk and back twice")


def _frame_flow() -> Flow:
    names = ("frame", "second")
    make, change, read = TaskId("make"), TaskId("change"), TaskId("read")
    return Flow(
        name=FlowName("frame"),
        tasks=(
            Task(id=make, source=_FRAME, writes=(names[0],), demands=(names[0],)),
            Task(
                id=change,
                source="second = frame + 1",
                reads=(Read(name=names[0], writers=(make,)),),
                writes=(names[1],),
                demands=(names[1],),
            ),
            Task(id=read, source="total = float(second['a'].sum())", reads=(Read(name=names[1], writers=(change,)),)),
        ),
        edges=(Edge(upstream=make, downstream=change, names=names[:1]), Edge(upstream=change, downstream=read, names=names[1:])),
    )


def _pickled(path: Path) -> None:
    bound: dict[str, object] = {}
    exec(_FRAME, bound)
    value: object = bound.pop("frame")
    for _ in range(2):
        with path.open("wb") as file:
            pickle.dump(value, file, protocol=5)
        with path.open("rb") as file:
            value = pickle.load(file)
        value = value + 1  # type: ignore[operator]  # a DataFrame
