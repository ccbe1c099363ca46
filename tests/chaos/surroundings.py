# SPDX-License-Identifier: BSD-3-Clause
"""What a seed's processes stand on besides its home: a PostgreSQL database of its own, or a Dask cluster that other people run."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from nbflow.store.opening import open_store
from tests.postgresql import running_postgresql

_TEMPLATE = "chaos_template"


class Databases:
    """Databases of one PostgreSQL server, each a copy of a migrated one."""

    def __init__(self, server: str) -> None:
        self._server = make_url(server)
        self._lock = threading.Lock()
        self._has_template = False

    def make(self, name: str) -> str:
        """The URL of a new, empty database."""
        with self._lock:  # a template must not be in use while it is copied
            if not self._has_template:
                self._do(f"DROP DATABASE IF EXISTS {_TEMPLATE} WITH (FORCE)", f"CREATE DATABASE {_TEMPLATE}")
                open_store(self._url(_TEMPLATE)).close()
                self._has_template = True
            self._do(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self._url(name)

    def drop(self, name: str) -> None:
        self._do(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _url(self, name: str) -> str:
        return self._server.set(database=name).render_as_string(hide_password=False)

    def _do(self, *statements: str) -> None:
        engine = create_engine(self._server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()


@contextmanager
def databases() -> Iterator[Databases]:
    """Those of a server that is started for the block."""
    with running_postgresql() as server:
        yield Databases(server)


class ForeignCluster:
    """`dask scheduler` and `dask worker` by address; whatever dies of it is started again by `keep`, as a service manager would."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self._port = _free_port()
        self.address = f"tcp://127.0.0.1:{self._port}"
        self._commands = {
            "dask_scheduler": (f"--port={self._port}", "--host=127.0.0.1", "--no-show"),
            "dask_worker": (self.address, "--host=127.0.0.1", "--nthreads=3", "--death-timeout=30"),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def keep(self) -> None:
        for command, options in self._commands.items():
            process = self._processes.get(command)
            if process is None or process.poll() is not None:
                self._processes[command] = self._start(command, *options)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()

    def _start(self, command: str, *options: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", f"distributed.cli.{command}", "--no-dashboard", *options]
        with (self._folder / f"{command}.log").open("ab") as log:
            return subprocess.Popen(words, stdout=log, stderr=log, cwd=self._folder, env=dict(self._environment))


def _free_port() -> int:
    """Below those that the system gives away by itself: nobody takes it while the scheduler is dead."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
