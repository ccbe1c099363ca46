# SPDX-License-Identifier: BSD-3-Clause
"""Notebooks, and kernels in which the engine's other half is a stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from nbflow.operators.kernels import KernelPool
from tests.unit.operators_notebook.hosts import MemoryHost

STANDIN = Path(__file__).parent / "standin"
PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}

WriteNotebook = Callable[..., Path]


@pytest.fixture(scope="package")
def standin() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STANDIN))
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        yield


@pytest.fixture(scope="package")
def pool(standin: None) -> Iterator[KernelPool]:
    pool = KernelPool(size=2, prefill=True)
    yield pool
    pool.close()


@pytest.fixture
def write(tmp_path: Path) -> WriteNotebook:
    def write(*cells: str, parameters: str = "", name: str = "in.ipynb", kernel: str = "python3") -> Path:
        made = [nbformat.v4.new_code_cell(cell) for cell in cells]
        if parameters:
            made.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        path = tmp_path / name
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": {**PYTHON, "name": kernel}}), path)
        return path

    return write


class Executed:
    """An executed notebook on disk, and what papermill raised."""

    def __init__(self, path: Path, host: MemoryHost, error: BaseException | None) -> None:
        self.nb = nbformat.read(path, as_version=4)
        nbformat.validate(self.nb)
        self.host, self.error = host, error
        self.code = [cell for cell in self.nb.cells if cell.cell_type == "code"]

    def text(self, number: int) -> str:
        """What the code cell of that number (from 0) shows."""
        return "".join(shown(output) for output in self.code[number].outputs)


def shown(output: Any) -> str:
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return f"[{output.ename}: {output.evalue}] "
    return "<" + str(output.data.get("text/plain", "")) + "> "


@pytest.fixture
def execute(pool: KernelPool, tmp_path: Path) -> Callable[..., Executed]:
    def execute(path: Path, host: MemoryHost | None = None, **options: Any) -> Executed:
        host = host or MemoryHost()
        error: BaseException | None = None
        try:
            papermill.execute_notebook(
                str(path), str(tmp_path / "out.ipynb"), engine_name="nbflow", progress_bar=False, host=host, pool=pool, **options
            )
        except Exception as raised:  # noqa: BLE001 - each test says which one it expects
            error = raised
        return Executed(tmp_path / "out.ipynb", host, error)

    return execute
