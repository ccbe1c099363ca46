# SPDX-License-Identifier: BSD-3-Clause
"""A Dask cluster as another team would run it: a scheduler and workers that were started by hand, and that know nothing of nbflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

LIMIT = 120.0


class ForeignCluster:
    """`dask scheduler` and `dask worker` on free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._start("dask_scheduler", "--port=0", "--no-dashboard", f"--scheduler-file={self.file}", "--no-show")
        self._until(self._written)
        self.address = self._written()

    def add_worker(self, *options: str, environment: Mapping[str, str] | None = None, below: Sequence[str] = ()) -> str:
        """Start a worker, by the command `below` if one is given; returns its address when the scheduler knows it."""
        known = set(self.workers())
        self._start(
            "dask_worker",
            f"--scheduler-file={self.file}",
            "--no-nanny",
            "--no-dashboard",
            "--nthreads=2",
            *options,
            environment=environment,
            below=below,
        )
        self._until(lambda: set(self.workers()) - known)
        return next(iter(set(self.workers()) - known))

    def workers(self) -> list[str]:
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return list(client.scheduler_info()["workers"])

    def end_worker(self) -> None:
        """The one that was started last; returns when the scheduler knows it no more."""
        self._end(self._processes.pop())
        self._until(lambda: len(self.workers()) < len(self._processes))  # one of them is the scheduler

    def _written(self) -> str:
        """The address, once all of the scheduler's file is there."""
        try:
            return str(json.loads(self.file.read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError):
            return ""

    def close(self) -> None:
        while self._processes:
            self._end(self._processes.pop())

    def _start(self, command: str, *options: str, environment: Mapping[str, str] | None = None, below: Sequence[str] = ()) -> None:
        with (self.folder / f"{command}.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [*below, sys.executable, "-m", f"distributed.cli.{command}", "--host=127.0.0.1", *options],
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    env={**os.environ, **(environment or {})},
                )
            )

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        psutil.wait_procs([psutil.Process(process.pid)], timeout=5)
        if process.poll() is None:
            process.kill()
        process.wait()

    def _until(self, there: object) -> None:
        assert callable(there)
        limit = time.monotonic() + LIMIT
        while not there():
            assert time.monotonic() < limit, self.folder
            assert self._processes[-1].poll() is None, (self.folder / "dask_worker.log").read_text(encoding="utf-8")
            time.sleep(0.05)
