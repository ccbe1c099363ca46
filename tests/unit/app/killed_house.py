# SPDX-License-Identifier: BSD-3-Clause
"""Cleans one home again and again, dying one line later each time; says how often it died, or what was wrong afterwards.

A process of its own, since it forks.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nbflow.app import Rooms, Workspace
from nbflow.app import housekeeping as housekeeping_module
from nbflow.app.checking import findings
from nbflow.app.housekeeping import Housekeeper
from nbflow.core.retention import Retention
from nbflow.executors.inline import InlineExecutor
from nbflow.settings import Settings
from nbflow.store import sweeping as sweeping_module
from nbflow.store.artifacts import open_artifacts
from nbflow.store.opening import open_store
from nbflow.testing import FakeClock

#: Lines of these functions count: they take something away.
WATCHED = {housekeeping_module.__file__, sweeping_module.__file__}
TAKING = {"_delete", "_discard", "_thin", "_remove_folder", "discard"}
#: A death is tried at every so many lines.
STRIDE = 7


def open_home(home: Path) -> Workspace:
    artifacts = open_artifacts(str(home / "artifacts"))
    clock = FakeClock(datetime.now(UTC) + timedelta(days=1000))
    store = open_store(f"sqlite:///{home / 'nbflow.db'}")
    return Workspace(
        Settings(home=home, dask="inline"),
        Rooms(store=store, artifacts=artifacts, executor=InlineExecutor(lambda *_: None), clock=clock),
    )


def fill(home: Path) -> None:
    from tests.unit.app.test_housekeeping import happened

    workspace = open_home(home)
    for name, days, value in (("r1", 300, b"one"), ("r2", 200, b"two"), ("r3", 100, b"two"), ("r4", 1, b"four")):
        happened(workspace, name, days=days, value=value)
    workspace.artifacts.put(b"orphan")
    workspace.close()


def clean(home: Path, death: int) -> None:
    """Dies before line number `death` of what is watched; 0: never."""
    workspace, lines = open_home(home), 0

    def watch(frame, event, _):
        nonlocal lines
        if frame.f_code.co_filename not in WATCHED or frame.f_code.co_name not in TAKING:
            return None
        lines += event == "line"
        if death and lines >= death:
            os._exit(9)
        return watch

    house = Housekeeper(workspace, Retention(runs=timedelta(days=90), artifacts=timedelta(days=1), logs=timedelta(days=1), keep_last=1))
    house._sweep_artifacts = lambda done: house._discard(  # all at once: 256 parts are 255 times nothing
        [hash for digits in housekeeping_module._PREFIXES for hash in workspace.artifacts.stored(digits, house._before)], done
    )
    sys.settrace(watch)
    house.turn()
    sys.settrace(None)
    house._prefix = 0
    house.turn()  # what was being discarded is put back by one sweep, and goes with the next
    workspace.close()
    os._exit(0)


def dies(home: Path, death: int) -> bool:
    child = os.fork()
    if not child:
        clean(home, death)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def wrong_with(home: Path) -> list[str]:
    workspace = open_home(home)
    found = list(findings(workspace, deep=True))
    workspace.close()
    return found


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        fill(whole)
        deaths, line = 0, 1
        while True:
            home = Path(folder) / f"home{line}"
            shutil.copytree(whole, home, copy_function=shutil.copy2)
            died = dies(home, line)
            if wrong := wrong_with(home):
                sys.stdout.write(f"after a death at line {line}: {wrong}\n")
                return 1
            if not died:
                break
            deaths += 1
            dies(home, 0)
            left = sorted(path.name for path in (home / "artifacts").glob("??/*"))
            rooms = open_home(home)
            known = sorted(rooms.store.house.referenced())
            folders = sorted(path.name for path in (home / "runs").iterdir())
            rooms.close()
            if left != known or not set(folders) <= {"r4"}:
                sys.stdout.write(f"after a death at line {line} and two cleanings: artifacts {left}, known {known}, folders {folders}\n")
                return 1
            shutil.rmtree(home)
            line += STRIDE
    sys.stdout.write(f"{deaths} deaths, every row with its file\n")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    sys.exit(main())
