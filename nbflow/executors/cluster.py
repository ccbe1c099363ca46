# SPDX-License-Identifier: BSD-3-Clause
"""The local Dask cluster of a home: one detached process that holds the scheduler, and one worker under a nanny.

Whoever needs it first starts it; the others find it through `<home>/cluster.json`. It stops when no client was connected for a while.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import nbflow
from nbflow.core.errors import SetupError

FILE_NAME: Final = "cluster.json"
LOG_NAME: Final = "cluster.log"
#: Attempts at once when nothing else is said: threads only wait for their child, so at least four.
LEAST_WORKERS: Final = 4
#: Headless notebooks hosted at once by one worker; they hold no attempt slot.
HOSTED_NOTEBOOKS: Final = 64
#: Seconds a cluster may take to start.
START_LIMIT: Final = 60.0
#: Of the environment of whoever starts it, what would be wrong for everybody else.
_NOT_INHERITED: Final = ("JPY_", "MPLBACKEND", "DASK_PARENT")


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """What `cluster.json` says."""

    address: str
    pid: int
    slots: int
    python: str
    distributed: str
    nbflow: str


def own_versions() -> dict[str, str]:
    """What must agree between this process and a cluster."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, "distributed": version("distributed"), "nbflow": nbflow.__version__}


def connect_home_cluster(home: Path, *, workers: int = 0, memory: int | None = None, idle: float = 600.0, runner: str = "") -> ClusterFacts:
    """The home's cluster, started when there is none. `memory`: bytes an attempt may use when its task does not say.

    Raises SetupError when it cannot start or was started by other versions.
    """
    home.mkdir(parents=True, exist_ok=True)
    facts = _living(home)
    if facts is None:
        with _only_one(home):
            facts = _living(home) or _start(home, workers=workers, memory=memory, idle=idle, runner=runner)
    check_versions(asdict(facts), f"the local cluster of {home} (process {facts.pid})", "stop that process, and it is started anew")
    return facts


def check_versions(theirs: dict[str, Any], where: str, remedy: str) -> None:
    """Raises SetupError naming the first thing that differs."""
    for name, mine in own_versions().items():
        other = str(theirs.get(name) or "none")
        if other != mine:
            raise SetupError(f"{name} is {mine} here and {other} in {where}: {remedy}.")


def read_facts(home: Path) -> ClusterFacts | None:
    """What the file says; None when there is none that can be read."""
    try:
        return ClusterFacts(**json.loads((home / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _living(home: Path) -> ClusterFacts | None:
    facts = read_facts(home)
    return facts if facts is not None and is_reachable(facts.address) else None


def is_reachable(address: str, seconds: float = 1.0) -> bool:
    """Whether something listens at `tcp://host:port`."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Two starters make one cluster. The lock goes with the process, however it ends."""
    with (home / "cluster.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(home: Path, *, workers: int, memory: int | None, idle: float, runner: str) -> ClusterFacts:
    log = home / LOG_NAME
    slots = workers or max(LEAST_WORKERS, os.cpu_count() or 1)
    ready, told = os.pipe()
    command = [sys.executable, "-P", "-m", "nbflow.executors.cluster", f"--home={home}", f"--slots={slots}", f"--idle={idle}"]
    command += [f"--ready={told}", f"--runner={runner}", f"--memory={memory or 0}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    environment["DASK_LOGGING__DISTRIBUTED"] = "error"  # read by the nanny's worker before any other configuration
    try:
        with log.open("ab") as output:
            subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                pass_fds=(told,),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=home,
                env=environment,
            )
        os.close(told)
        came, _, _ = select.select([ready], [], [], START_LIMIT)
        is_ready = bool(came) and os.read(ready, 1) == b"R"
    finally:
        os.close(ready)
    facts = read_facts(home) if is_ready else None
    if facts is None:
        raise SetupError(f"The local Dask cluster could not be started: its log is {log}. `dask = inline` runs tasks without one.")
    return facts


# --- the process itself -------------------------------------------------------------------------------------------------


def main() -> None:
    """`python -m nbflow.executors.cluster`: until it was idle for long enough, or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m nbflow.executors.cluster")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--idle", type=float, default=600.0)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--runner", default="")
    parser.add_argument("--ready", type=int, default=-1, help="pipe that is told when the cluster can be used")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    import dask  # noqa: PLC0415 - not before the cluster is really needed: a second of imports

    dask.config.set(_configuration())  # before distributed sets up its logging
    from distributed import Nanny, Scheduler  # noqa: PLC0415

    from nbflow.executors.dask_worker import LowLatency, NbflowHost  # noqa: PLC0415 - as above

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    plugin = NbflowHost(warm=min(2, options.slots), memory_limit=options.memory or None, runner=options.runner)
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0") as scheduler:
        scheduler.add_plugin(LowLatency())
        nanny = Nanny(
            scheduler.address,
            nthreads=options.slots,
            host="127.0.0.1",
            memory_limit=0,  # user code is not in the worker but in its children, which have limits of their own
            resources={"nbflow_host": HOSTED_NOTEBOOKS},
            local_directory=str(options.home / "dask"),
            plugins=(plugin,),
            dashboard=False,
            dashboard_address="127.0.0.1:0",
        )
        _write_facts(options.home, scheduler.address, options.slots)
        try:
            if options.ready >= 0:
                os.write(options.ready, b"R")
                os.close(options.ready)
            async with nanny:
                await _until_idle(scheduler, stop, options.idle)
        finally:
            _remove_facts(options.home)


def _configuration() -> dict[str, Any]:
    return {
        "distributed.scheduler.allowed-failures": 0,  # nbflow counts attempts itself
        "distributed.scheduler.work-stealing": False,  # one worker
        "distributed.scheduler.worker-saturation": "inf",  # a queue at the worker saves a round trip for each task
        "distributed.admin.low-level-log-length": 50,  # events of ours would be kept otherwise
        "distributed.worker.profile.enabled": False,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.comm.timeouts.connect": "5s",
    }


async def _until_idle(scheduler: Any, stop: asyncio.Event, idle: float) -> None:
    """Returns when no client was connected for `idle` seconds, or when told to stop."""
    since = time.monotonic()
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), min(1.0, idle))
        if len(scheduler.client_comms):
            since = time.monotonic()
        elif time.monotonic() - since >= idle:
            return


def _write_facts(home: Path, address: str, slots: int) -> None:
    facts = ClusterFacts(address=address, pid=os.getpid(), slots=slots, **own_versions())
    aside = home / f"{FILE_NAME}.{os.getpid()}"
    aside.write_text(json.dumps(asdict(facts), indent=1), encoding="utf-8")
    aside.replace(home / FILE_NAME)


def _remove_facts(home: Path) -> None:
    facts = read_facts(home)
    if facts is not None and facts.pid == os.getpid():
        (home / FILE_NAME).unlink(missing_ok=True)


if __name__ == "__main__":
    # The module proper, so that nothing of it is pickled as `__main__`.
    from nbflow.executors.cluster import main as real_main

    real_main()
