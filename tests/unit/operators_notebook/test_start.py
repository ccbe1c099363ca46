# SPDX-License-Identifier: BSD-3-Clause
"""The start of an execution: the kernel's process first, the host while it starts."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import papermill
import psutil
import pytest

from nbflow.core.errors import SetupError
from nbflow.operators import kernels, notebook_execution
from nbflow.operators.kernels import KernelPool
from nbflow.operators.notebook_host import HostedRun, NotebookInfo
from tests.processes import command
from tests.unit.operators_notebook.conftest import WriteNotebook


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where kernels of this test have their sockets."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def pool(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelPool]:
    """An empty one: every kernel is new."""
    monkeypatch.setattr(kernels, "_PATIENCE", 60.0)  # however busy this machine is
    pool = KernelPool(size=0)
    yield pool
    pool.close()


class RefusingHost:
    """Cannot begin, and knows which kernels were there when it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: list[psutil.Process] = []

    def begin(self, info: NotebookInfo, stop: Callable[[str], None]) -> HostedRun:
        self.found = [one for one in psutil.Process().children() if str(self.folder) in command(one)]
        raise SetupError("The database is away.")


def execute(path: Path, host: RefusingHost, pool: KernelPool) -> None:
    papermill.execute_notebook(str(path), str(path.with_name("out.ipynb")), engine_name="nbflow", progress_bar=False, host=host, pool=pool)


def test_a_host_is_asked_while_the_kernel_starts_and_its_refusal_ends_the_kernel(
    write: WriteNotebook, pool: KernelPool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook_execution, "_HEAD_START", 60)  # however busy this machine is
    host = RefusingHost(folder)
    with pytest.raises(SetupError, match=r"^The database is away\.$"):
        execute(write("1"), host, pool)
    pool.close()
    assert len(host.found) == 1
    assert not host.found[0].is_running()
    assert not list(folder.glob("nbflow-kernel-*"))


@pytest.mark.parametrize(("command", "times", "raised"), [("papermill", 1, click.ClickException), ("another", 0, SetupError)])
def test_only_papermills_own_process_is_spared_collections_and_stacks(
    write: WriteNotebook, pool: KernelPool, monkeypatch: pytest.MonkeyPatch, *, command: str, times: int, raised: type[Exception]
) -> None:
    frozen: list[str] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(command))
    path = write("1")
    with click.Context(click.Command(command)), pytest.raises(raised, match=r"^The database is away\.$") as found:
        execute(path, RefusingHost(path.parent), pool)
    assert len(frozen) == times
    assert found.value.exit_code == 3  # type: ignore[attr-defined]
