# SPDX-License-Identifier: BSD-3-Clause
"""`make benchmarks`: ratios against the raw libraries in the same run, in one table. It measures; it does not assert.

*Done* means recorded: every transition of a task is committed to SQLite before the next task starts, and user code runs in a child process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from rich.console import Console
from rich.table import Table

from nbflow.app import Workspace
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.settings import Settings
from tests.benchmarks import flows
from tests.benchmarks.measure import Row, compare, seconds


@contextmanager
def workspace() -> Iterator[Workspace]:
    """A home of its own with its own local cluster."""
    from nbflow.executors.cluster import stop_home_cluster

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        opened = Workspace.open(Settings(home=home))
        try:
            yield opened
        finally:
            opened.close()
            stop_home_cluster(home)


def run(opened: Workspace, flow: Flow) -> None:
    handle = opened.start_run(flow, CaptureSet(), trigger="benchmark")
    handle.wait()
    assert handle.snapshot().run.state == "success", handle.snapshot().run


@contextmanager
def raw_cluster() -> Iterator[object]:
    """Plain Dask as people start it: one worker process, four threads, stock timers."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=4, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL) as cluster,
        Client(cluster) as client,
    ):
        yield client


def one_more(value: int) -> int:
    return value + 1


def nothing(*_: object) -> None:
    return None


def dask_rows() -> Iterator[Row]:
    with workspace() as opened, raw_cluster() as client:

        def raw_chain(length: int = 100) -> None:
            value = 0
            for _ in range(length):
                value = client.submit(one_more, value, pure=False).result()

        def raw_fan(width: int) -> None:
            first = client.submit(nothing, pure=False)
            middle = client.map(lambda _, __: None, range(width), [first] * width, pure=False)
            client.submit(nothing, middle, pure=False).result()

        yield compare("chain of 100 cells", lambda: run(opened, flows.chain(100)), raw_chain, "Dask, submit and wait")
        yield compare("fan 1 -> 1000 -> 1", lambda: run(opened, flows.fan(1000)), lambda: raw_fan(1000), "Dask, no record", rounds=3)


def ten_cells(path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(f"x{number} = {number}\nprint(x{number})") for number in range(10)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def papermill_rows() -> Iterator[Row]:
    import papermill
    from nbflow.headless import run_notebook

    with workspace() as opened, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "ten.ipynb"
        ten_cells(source)

        def stock() -> None:
            papermill.execute_notebook(str(source), str(Path(folder) / "stock.ipynb"), progress_bar=False)

        def ours() -> None:
            outcome = run_notebook(opened, source, output=Path(folder) / "ours.ipynb")
            assert outcome.succeeded

        yield compare("ten trivial cells, warm kernel", ours, stock, "papermill, warm process")


def start_up() -> Iterator[tuple[str, float]]:
    """Seconds of a fresh interpreter, without the interpreter's own start."""
    empty = statistics.median(seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True)) for _ in range(5))
    for name, command in {
        "import nbflow": ["-c", "import nbflow"],
        "nbflow --help": ["-m", "nbflow", "--help"],
    }.items():
        took = statistics.median(
            seconds(lambda command=command: subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL))
            for _ in range(5)
        )
        yield name, took - empty if command[0] == "-c" else took


def main() -> None:
    logging.disable(logging.WARNING)
    table = Table("benchmark", "nbflow", "raw", "ratio", "raw is")
    for rows in (dask_rows, papermill_rows):
        for row in rows():
            table.add_row(row.name, f"{row.ours * 1000:.0f} ms", f"{row.raw * 1000:.0f} ms", f"{row.ratio:.2f}", row.raw_name)
    for name, took in start_up():
        table.add_row(name, f"{took * 1000:.0f} ms", "", "", "")
    console = Console(width=110)
    console.print(table)
    console.print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    asyncio.set_event_loop(None)
    main()
