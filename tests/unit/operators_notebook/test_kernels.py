# SPDX-License-Identifier: BSD-3-Clause
"""Warm kernels: real ones."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.errors import SetupError
from nbflow.operators import kernels
from nbflow.operators.kernels import KernelPool


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelPool]:
    monkeypatch.setattr(kernels, "_PATIENCE", 60.0)  # however busy this machine is
    pool = KernelPool(size=1)
    yield pool
    pool.close()


def taken(pool: KernelPool, name: str = "python3") -> tuple[int, bool, Path]:
    """Take a kernel and let it go: its process, whether it was warm, its folder."""

    async def take() -> tuple[int, bool, Path]:
        async with pool.take(name, "/") as kernel:
            return kernel.manager.provisioner.process.pid, kernel.was_warm, kernel.folder

    return asyncio.run(take())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def install_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, argv: list[str]) -> None:
    spec = folder / "kernels" / name
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(folder))


def test_a_warm_kernel_is_used_once_and_replaced(pool: KernelPool) -> None:
    pool.warm().result(60)
    first, was_warm, _ = taken(pool)
    assert was_warm
    pool.warm().result(60)
    second, was_warm, _ = taken(pool)
    assert was_warm
    assert first != second


def test_without_a_warm_one_a_kernel_is_started(pool: KernelPool) -> None:
    assert not taken(pool)[1]


def test_closing_ends_used_and_warm_kernels_and_their_folders(pool: KernelPool) -> None:
    pool.warm().result(60)
    used, _, folder = taken(pool)
    pool.close()
    assert not is_running(used)
    assert not folder.exists()
    with pytest.raises(SetupError, match="This process is ending"):
        taken(pool)


def test_a_warm_kernel_that_died_is_not_handed_out(pool: KernelPool) -> None:
    pool.warm().result(60)

    async def kill() -> None:
        kernel = await pool._starting[0]
        await kernel.manager.signal_kernel(9)
        while await kernel.manager.is_alive():  # noqa: ASYNC110 - a process ends without an event
            await asyncio.sleep(0.01)

    asyncio.run_coroutine_threadsafe(kill(), pool._loop).result(60)  # type: ignore[arg-type]
    assert not taken(pool)[1]


def test_a_changed_python_path_asks_for_a_fresh_kernel(pool: KernelPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pool.warm().result(60)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert not taken(pool)[1]


def test_an_unknown_kernel_is_named_with_those_there_are(pool: KernelPool) -> None:
    with pytest.raises(SetupError, match=r'There is no kernel "pyhton3" on this machine. Did you mean "python3"\? Installed: .*python3'):
        taken(pool, "pyhton3")


def test_a_kernel_that_ends_at_its_start_is_quoted(pool: KernelPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_kernel(tmp_path, monkeypatch, "broken", ["python3", "-c", "import sys; sys.exit('no licence found')"])
    with pytest.raises(SetupError, match=r'The kernel "broken" did not start: its process ended \(no licence found\)'):
        taken(pool, "broken")


def test_a_kernel_whose_program_is_not_there_says_which(pool: KernelPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_kernel(tmp_path, monkeypatch, "gone", ["/nowhere/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    with pytest.raises(SetupError, match=r"did not start: .*nowhere/python"):
        taken(pool, "gone")


def test_a_kernel_that_never_answers_is_given_up(pool: KernelPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_kernel(tmp_path, monkeypatch, "mute", ["python3", "-c", "import time; time.sleep(600)"])

    async def take() -> None:
        async with pool.take("mute", "/", start_timeout=0.5):
            pass

    with pytest.raises(SetupError, match=r'The kernel "mute" did not start: it did not answer within 0.5 s.'):
        asyncio.run(take())


@pytest.mark.parametrize("kind", ["flow", "plain"])
def test_a_kernel_loads_what_a_flow_needs_after_a_notebook_that_was_one(
    pool: KernelPool, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    loaded: list[bool] = []

    async def start(name: str, *, loads: bool) -> Any:
        loaded.append(loads)
        raise SetupError(f"{name} is not started in this test.")

    monkeypatch.setattr(kernels, "_start_warm", start)

    async def take() -> None:
        async with pool.take("python3", ".", is_flow=kind == "flow"):
            """It is not used."""

    asyncio.run(take())
    with pytest.raises(SetupError):
        pool.warm().result(60)
    assert set(loaded) == {kind == "flow"}
