# SPDX-License-Identifier: BSD-3-Clause
"""Notebooks of ten trivial cells, against stock papermill: alone in a warm process, alone in a fresh one, and twenty at once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nbformat

from nbflow.app import Workspace
from tests.benchmarks.clusters import workspace
from tests.benchmarks.measure import Row, in_turn

AT_ONCE = 20


@contextmanager
def ten_cells() -> Iterator[tuple[Path, Path]]:
    """A notebook, and a folder for executed ones."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "ten.ipynb"
        cells = [nbformat.v4.new_code_cell(f"x{number} = {number}\nprint(x{number})") for number in range(10)]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), source)
        yield source, Path(folder)


def _ours(opened: Workspace, source: Path, target: Path, pool: object) -> None:
    """papermill with nbflow's engine."""
    import papermill

    from nbflow.headless import WorkspaceHost

    papermill.execute_notebook(
        str(source), str(target), engine_name="nbflow", progress_bar=False, host=WorkspaceHost(opened, trigger="benchmark"), pool=pool
    )


def notebook() -> Iterator[Row]:
    """In a process that has run notebooks before: a warm kernel waits, against stock papermill, which starts one."""
    import papermill

    from nbflow.operators.kernels import KernelPool

    with workspace() as opened, ten_cells() as (source, folder):
        pool = KernelPool(size=1, prefill=True)
        pool.warm().result()

        def ours() -> None:
            _ours(opened, source, folder / "ours.ipynb", pool)

        def stock() -> None:
            papermill.execute_notebook(str(source), str(folder / "stock.ipynb"), progress_bar=False)

        def rest() -> None:
            pool.warm().result()  # a kernel for the next round is started meanwhile: its time is nobody's

        warm, _, raw = in_turn(ours, rest, stock)
        pool.close()
    yield Row(name="ten-cell notebook, warm", ours=warm.wall, raw=raw.wall, against="papermill in a warm process", target=0.3)


def cold() -> Iterator[Row]:
    """The command line in a fresh process, home included."""
    with ten_cells() as (source, folder):
        environment = {**os.environ, "NBFLOW_HOME": str(folder / "home")}
        command = [sys.executable, "-m", "papermill", str(source), str(folder / "out.ipynb"), "--no-progress-bar"]
        quiet = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        ours, raw = in_turn(lambda: quiet([*command, "--engine", "nbflow"]), lambda: quiet(command))
    yield Row(name="ten-cell notebook, cold", ours=ours.wall, raw=raw.wall, against="papermill in a fresh process", target=1.1)


_STOCK = """
import sys, papermill
source, folder, first = sys.argv[1:]
for number in range(int(first), {count}, 2):
    papermill.execute_notebook(source, f"{{folder}}/stock{{number}}.ipynb", progress_bar=False)
"""


def side_by_side(source: Path, folder: Path) -> None:
    """Two processes of stock papermill, which execute the notebook ten times each."""
    command = [sys.executable, "-c", _STOCK.format(count=AT_ONCE), str(source), str(folder)]
    both = [subprocess.Popen([*command, str(first)], stderr=subprocess.DEVNULL) for first in range(2)]
    assert [process.wait() for process in both] == [0, 0]


def twenty() -> Iterator[Row]:
    """Twenty at once with two warm kernels at most, none of them prefilled, against two processes of stock papermill with ten each."""
    from nbflow.operators.kernels import KernelPool

    with workspace() as opened, ten_cells() as (source, folder):

        def ours() -> None:
            pool = KernelPool(size=2)
            slots = threading.Semaphore(2)

            def one(number: int) -> None:
                with slots:
                    _ours(opened, source, folder / f"ours{number}.ipynb", pool)

            with ThreadPoolExecutor(AT_ONCE) as threads:
                list(threads.map(one, range(AT_ONCE)))
            pool.close()

        many, raw = in_turn(ours, lambda: side_by_side(source, folder), rounds=3)
    yield Row(name="20 notebooks, two kernels at a time", ours=many.wall, raw=raw.wall, against="two processes of papermill", target=0.6)
