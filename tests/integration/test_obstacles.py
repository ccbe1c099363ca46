# SPDX-License-Identifier: BSD-3-Clause
"""What is in the way is one sentence and exit code 3, nothing is half done, and the next run works once it is gone."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from nbflow.app import Workspace
from nbflow.cli.main import main
from nbflow.core.errors import SetupError
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Edge, Flow, Task
from nbflow.core.states import RunState, TaskState
from nbflow.executors.cluster import connect_home_cluster
from nbflow.settings import Settings
from nbflow.store import opening

BIG = "import os\nx = os.urandom(3_000_000)"
Mount = Callable[..., Path]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mount]:
    """Mounts in a folder of the test; skips where this process may not."""
    made: list[Path] = []

    def mount(name: str, *options: str) -> Path:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this process may not mount: {done.stderr.strip()}")
        made.append(place)
        return place

    yield mount
    for place in made:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def fill(place: Path) -> Path:
    """A file that takes all the space there is."""
    file = place / "filler"
    with file.open("wb", buffering=0) as out:
        try:
            while out.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return file


def gives(source: str) -> dict[str, tuple[str, ...]]:
    return {"writes": ("x",), "demands": ("x",)} if source == BIG else {}


def flow(*sources: str) -> Flow:
    ids = [TaskId(f"t{number}") for number in range(len(sources))]
    tasks = tuple(Task(id=id, operator="cell", source=source, **gives(source)) for id, source in zip(ids, sources, strict=True))
    edges = tuple(Edge(upstream=one, downstream=other) for one, other in pairwise(ids))
    return Flow(name=FlowName("small"), tasks=tasks, edges=edges)


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Path], str]:
    """The one line that `nbflow run` prints for this home."""

    def run(home: Path) -> str:
        path = tmp_path / "in.ipynb"
        cells = [nbformat.v4.new_code_cell("%%task one\nx = 1")]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
        for name, value in (("HOME", str(home)), ("DASK", "inline")):
            monkeypatch.setenv(f"NBFLOW_{name}", value)
        monkeypatch.setattr(sys, "argv", ["nbflow", "run", str(path)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert ended.value.code == 3, said
        assert said.startswith("nbflow: ")
        assert said.count("\n") == 1
        return said.removeprefix("nbflow: ").strip()

    return run


def until_free(workspace: Workspace, run_id: str) -> None:
    """A driver that could not give its lease back has lost it a second later."""
    pause, limit = threading.Event(), time.monotonic() + 120
    while workspace.store.holder(run_id):
        assert time.monotonic() < limit
        workspace.reap()
        pause.wait(0.05)


def works(home: Path, *sources: str) -> None:
    """A run in this home succeeds."""
    workspace = Workspace.open(Settings(home=home, dask="inline"))
    handle = workspace.start_run(flow(*(sources or ("x = 1",))), CaptureSet())
    assert handle.wait(60)
    assert handle.snapshot().run.state is RunState.SUCCESS
    workspace.close()


def test_a_full_disk(mounted: Mount, refused: Callable[[Path], str]) -> None:
    home = mounted("home", "-t", "tmpfs", "-o", "size=1m", "none")
    filler = fill(home)
    assert refused(home) == f"There is no space left for the database {home}/nbflow.db: free some, or choose another home."
    filler.unlink()
    works(home)


def test_a_disk_that_is_full_before_a_value_is_stored(mounted: Mount) -> None:
    home = mounted("home", "-t", "tmpfs", "-o", "size=2m", "none")
    workspace = Workspace.open(Settings(home=home, dask="inline"))
    handle = workspace.start_run(flow("a = 1", BIG), CaptureSet())
    assert handle.wait(60)
    record = {str(key): record for key, record in handle.snapshot().tasks.items()}["t1"]
    assert record.state is TaskState.FAILED
    assert f"There is no space left for values in {home}/artifacts" in record.reason
    remount(home, "size=32m")
    again = workspace.resume_run(handle.run_id)
    assert again.wait(60)
    assert again.snapshot().run.state is RunState.SUCCESS
    workspace.close()


def test_a_disk_that_is_full_before_a_change_is_recorded(mounted: Mount, tmp_path: Path) -> None:
    home = mounted("home", "-t", "tmpfs", "-o", "size=2m", "none")
    workspace = Workspace.open(Settings(home=home, dask="inline", lease=1.0))
    workspace.start_run(flow("x = 1"), CaptureSet()).wait(60)
    filler = home / "filler"
    flag = tmp_path / "filled"
    source = f"""
import os
if not os.path.exists({str(flag)!r}):
    open({str(flag)!r}, 'w').close()
    with open({str(filler)!r}, 'wb', buffering=0) as out:
        try:
            while out.write(b'x' * 4096): pass
        except OSError: pass
"""
    handle = workspace.start_run(flow("a = 1", source, "print('y' * 400_000)"), CaptureSet())
    with pytest.raises(SetupError) as caught:
        handle.wait(60)
    assert str(caught.value) == f"There is no space left for the database {home}/nbflow.db: free some, or choose another home."
    workspace.close()
    filler.unlink()
    after = Workspace.open(Settings(home=home, dask="inline", lease=1.0))
    until_free(after, handle.run_id)
    again = after.resume_run(handle.run_id)
    assert again.wait(60)
    assert again.snapshot().run.state is RunState.SUCCESS
    after.close()


def test_a_home_that_is_read_only(mounted: Mount, refused: Callable[[Path], str], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    home = mounted("home", "--bind", str(tmp_path / "home"))
    remount(home, "ro,bind")
    said = refused(home)
    assert said.startswith(f"The database {home}/nbflow.db cannot be")
    assert said.endswith("choose another home.")
    with pytest.raises(SetupError) as caught:
        connect_home_cluster(home)
    assert str(caught.value) == (
        f"The local Dask cluster keeps its files in {home}, which cannot be written (Read-only file system): choose another home, or set dask."
    )
    remount(home, "rw,bind")
    works(home)


def test_a_home_that_is_a_file(tmp_path: Path, refused: Callable[[Path], str]) -> None:
    home = tmp_path / "home"
    home.touch()
    assert refused(home).endswith("a file stands where its folder should be. Choose another home.")
    home.unlink()
    works(home)


def test_a_home_on_a_network_file_system(tmp_path: Path, refused: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setattr(opening, "_mounts", lambda: f"/dev/sda / ext4 rw 0 0\nserver:/export {tmp_path} nfs4 rw 0 0\n")
    assert refused(home) == (
        f"The database {home}/nbflow.db would stand on a network file system (nfs4), where SQLite loses data: "
        "choose a home on a local disk, or set database_url to PostgreSQL."
    )
    monkeypatch.undo()
    works(home)


def test_a_database_of_a_newer_schema(tmp_path: Path, refused: Callable[[Path], str]) -> None:
    home = tmp_path / "home"
    works(home)
    known = _schema(home, "r9999")
    before = (home / "nbflow.db").read_bytes()
    assert refused(home).startswith(f"The database {home}/nbflow.db was made by a newer nbflow (schema r9999, this one knows ")
    assert (home / "nbflow.db").read_bytes() == before
    _schema(home, known)
    works(home)


def _schema(home: Path, version: str) -> str:
    """Write the schema's version; returns the one that stood there."""
    connection = sqlite3.connect(home / "nbflow.db")
    (table,) = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%version' AND sql LIKE '%version_num%'").fetchone()
    (old,) = connection.execute(f"SELECT version_num FROM {table}").fetchone()
    connection.execute(f"UPDATE {table} SET version_num = ?", (version,))
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return str(old)


def test_artifacts_that_vanish_during_a_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    artifacts = home / "artifacts"
    workspace = Workspace.open(Settings(home=home, dask="inline"))
    vanish = f"import shutil\nshutil.rmtree({str(artifacts)!r})\nopen({str(artifacts)!r}, 'w').close()"
    handle = workspace.start_run(flow("a = 1", vanish, "c = 1"), CaptureSet())
    reason = ""
    try:
        assert handle.wait(60)
        reason = next(record.reason for record in handle.snapshot().tasks.values() if record.state is TaskState.FAILED)
    except SetupError as error:
        reason = str(error)
    assert f"{artifacts}" in reason
    assert "artifacts_url" in reason
    workspace.close()
    artifacts.unlink()
    works(home)


def test_a_value_that_vanished_is_named_with_the_way_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    workspace = Workspace.open(Settings(home=home, dask="inline"))
    handle = workspace.start_run(flow(BIG), CaptureSet())
    assert handle.wait(60)
    ref = workspace.given(handle.run_id, "t0")["x"]
    for folder in (home / "artifacts").iterdir():
        if folder.name != "marks":
            shutil.rmtree(folder)
    with pytest.raises(SetupError, match=r"^The stored value \w+ is missing from .*: run the task that gave it again"):
        workspace.artifacts.get(ref.hash)
    workspace.close()
    assert [path.name for path in (home / "artifacts").iterdir()] == ["marks"]
