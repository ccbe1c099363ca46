# SPDX-License-Identifier: BSD-3-Clause
"""The local Dask cluster of a home: one detached process that holds the scheduler, and one worker under a nanny.

Whoever needs it first starts it; the others find it through a file in the home. It stops when no client was connected for a while.
A home is often shared by several Python environments, whose tasks must not run with each other's packages: each environment has its own cluster.
A cluster of an older nbflow is left to those who still use it, and a new one takes its place in the file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import nbflow
from nbflow.core.errors import SetupError
from nbflow.executors.offers import machine_offers

LOG_NAME: Final = "cluster.log"
#: Attempts at once when nothing else is said: threads only wait for their child, so at least four.
LEAST_WORKERS: Final = 4
#: Headless notebooks hosted at once by one worker; they hold no attempt slot.
HOST_RESOURCE: Final = "nbflow_host"
HOSTED_NOTEBOOKS: Final = 64
#: Seconds a cluster may take to start.
START_LIMIT: Final = 60.0
#: Seconds it may take to stop before it is killed.
STOP_LIMIT: Final = 10.0
#: Of the environment of whoever starts it, what would be wrong for everybody else.
_NOT_INHERITED: Final = ("JPY_", "MPLBACKEND", "DASK_PARENT", "NBFLOW_SECRET_KEY")


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """What `cluster.json` says."""

    address: str
    pid: int
    slots: int
    #: Dask resources of its worker.
    offers: Mapping[str, float]
    python: str
    distributed: str
    nbflow: str
    #: Changes when nbflow's code does, between releases too.
    code: str


def own_versions() -> dict[str, str]:
    """What must agree between this process and a cluster."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, "distributed": version("distributed"), "nbflow": nbflow.__version__}


def connect_home_cluster(home: Path, *, workers: int = 0, memory: int | None = None, idle: float = 600.0, runner: str = "") -> ClusterFacts:
    """The home's cluster, started when there is none. `memory`: bytes an attempt may use when its task does not say.

    Raises SetupError when it cannot start.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        facts = _living(home)
        if facts is None:
            with _only_one(home):
                facts = _living(home) or _start(home, workers=workers, memory=memory, idle=idle, runner=runner)
    except OSError as error:
        raise SetupError(
            f"The local Dask cluster keeps its files in {home}, which cannot be written ({error.strerror}): choose another home, or set dask."
        ) from error
    return facts


def stop_home_cluster(home: Path) -> None:
    """End the home's cluster with everything that runs on it; nothing happens when there is none."""
    facts = read_facts(home)
    if facts is None or not is_reachable(facts.address):
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(facts.pid, number)
        limit = time.monotonic() + STOP_LIMIT
        while time.monotonic() < limit:
            if not is_reachable(facts.address):
                _remove_facts(home, facts.pid)  # one that was killed leaves its file
                return
            time.sleep(0.02)


def check_versions(theirs: Mapping[str, Any], where: str, remedy: str, *, mine: Mapping[str, str] | None = None) -> None:
    """Raises SetupError naming the first thing that differs from `mine` (by default `own_versions`)."""
    for name, own in (mine or own_versions()).items():
        other = str(theirs.get(name) or "none")
        if other != own:
            raise SetupError(f"{name} is {own} here and {other} in {where}: {remedy}.")


def cluster_file(home: Path) -> Path:
    """Where the cluster of this home and this Python environment is written down."""
    return home / f"cluster-{hashlib.sha256(sys.prefix.encode()).hexdigest()[:8]}.json"


def read_facts(home: Path) -> ClusterFacts | None:
    """What the file says; None when there is none that can be read."""
    try:
        return ClusterFacts(**json.loads(cluster_file(home).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def living_offers(home: Path) -> Mapping[str, float]:
    """What the home's cluster offers, or would offer if it were started."""
    facts = _living(home)
    return machine_offers(home) if facts is None else facts.offers


def _living(home: Path) -> ClusterFacts | None:
    facts = read_facts(home)
    mine = {**own_versions(), "code": _code()}
    is_mine = facts is not None and mine.items() <= asdict(facts).items()
    return facts if is_mine and facts is not None and is_reachable(facts.address) else None


def _code() -> str:
    """When the code of this installation changed last."""
    folder = Path(__file__).parent
    return str(max(path.stat().st_mtime_ns for path in [*folder.glob("*.py"), *(folder.parent / "core").glob("*.py")]))


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

    offers = {HOST_RESOURCE: float(HOSTED_NOTEBOOKS), **machine_offers(options.home)}
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
            resources=offers,
            local_directory=str(options.home / "dask"),
            plugins=(plugin,),
            dashboard=False,
            dashboard_address="127.0.0.1:0",
        )
        _write_facts(options.home, scheduler.address, options.slots, offers)
        try:
            if options.ready >= 0:
                os.write(options.ready, b"R")
                os.close(options.ready)
            async with nanny:
                await _until_idle(scheduler, stop, options.idle)
        finally:
            _remove_facts(options.home, os.getpid())


def _configuration() -> dict[str, Any]:
    return {
        "distributed.scheduler.allowed-failures": 0,  # nbflow counts attempts itself
        "distributed.scheduler.work-stealing": False,  # one worker
        "distributed.scheduler.worker-saturation": "inf",  # a queue at the worker saves a round trip for each task
        "distributed.admin.low-level-log-length": 50,  # events of ours would be kept otherwise
        "distributed.worker.profile.enabled": False,
        # What each of its processes does all day to watch itself: nobody looks at it here, and laptops run on batteries.
        "distributed.admin.tick.interval": "500ms",
        "distributed.admin.system-monitor.interval": "2s",
        "distributed.scheduler.active-memory-manager.start": False,  # one worker
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.comm.timeouts.connect": "5s",
        # None takes a variable away. Else numpy would compute on one core in a task and on all of them in the notebook, and malloc would ask the
        # system for every large piece of memory anew.
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_")
        ),
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


def _write_facts(home: Path, address: str, slots: int, offers: Mapping[str, float]) -> None:
    facts = ClusterFacts(address=address, pid=os.getpid(), slots=slots, offers=offers, code=_code(), **own_versions())
    file = cluster_file(home)
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    aside.write_text(json.dumps(asdict(facts), indent=1), encoding="utf-8")
    aside.replace(file)


def _remove_facts(home: Path, pid: int) -> None:
    facts = read_facts(home)
    if facts is not None and facts.pid == pid:
        cluster_file(home).unlink(missing_ok=True)


if __name__ == "__main__":
    # The module proper, so that nothing of it is pickled as `__main__`.
    from nbflow.executors.cluster import main as real_main

    real_main()
