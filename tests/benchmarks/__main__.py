# SPDX-License-Identifier: BSD-3-Clause
"""`make benchmarks`: ratios against the raw libraries in the same run, in one table. It measures; it does not assert.

`python -m tests.benchmarks [NAME...]` takes some of them; `--skip NAME` leaves some out (`frame` needs 6 GB of memory and some minutes).
*Done* means recorded: every transition of a task is committed to SQLite before the next task starts, and user code runs in a child process.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from tests.benchmarks import cache_rows, dask_rows, deployed_rows, notebook_rows, scheduler_rows, start_rows
from tests.benchmarks.measure import Row

BENCHMARKS: dict[str, Callable[[], Iterator[Row]]] = {
    "chain": dask_rows.chain,
    "fan": dask_rows.fan,
    "layers": dask_rows.layers,
    "notebook": notebook_rows.notebook,
    "cold": notebook_rows.cold,
    "twenty": notebook_rows.twenty,
    "cache": cache_rows.cache,
    "memory": dask_rows.memory,
    "start": start_rows.start,
    "flows": scheduler_rows.many,
    "due": scheduler_rows.due,
    "deployed": deployed_rows.deployed,
    "frame": dask_rows.frame,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument(
        "names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=f"all when none is given: {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--skip", action="append", default=[], choices=list(BENCHMARKS), metavar="NAME")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    console = Console(width=130)
    table = Table("benchmark", "nbflow", "raw", "ratio", "target", "met", "raw is")
    for name in options.names or BENCHMARKS:
        if name in options.skip:
            continue
        with console.status(name):
            for row in BENCHMARKS[name]():
                table.add_row(*_cells(row))
    console.print(table)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")


def _cells(row: Row) -> list[str]:
    met = {True: "yes", False: "no", None: ""}[row.is_met]
    if row.ratio is None:
        return [row.name, _amount(row.ours, row.unit), "", "", f"< {_amount(row.target or 0, row.unit)}", met, row.against]
    target = "" if row.target is None else f"<= {row.target:g}"
    return [row.name, _amount(row.ours, row.unit), _amount(row.raw or 0, row.unit), f"{row.ratio:.2f}", target, met, row.against]


def _amount(value: float, unit: str) -> str:
    return f"{value * 1000:.0f} ms" if unit == "ms" else f"{value:.0f} {unit}"


if __name__ == "__main__":
    asyncio.set_event_loop(None)
    main()
