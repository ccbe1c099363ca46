# SPDX-License-Identifier: BSD-3-Clause
"""Who hosts the runs a scheduler has taken: the workers of the cluster, where it offers that, else a process beside the scheduler.

Either keeps a workspace and warm kernels, has a thread for each run, and survives the scheduler. The process beside it ends its runs in order
and goes when nobody speaks to it any more:

    scheduler -> host    {"settings": {...}}, then {"run": RUN, "scheduler": OWNER} for each run
    host -> scheduler    {"done": RUN, "why": WHY} when a run is hosted no more, and what kept it from being hosted, if anything did;
                         {"failed": WHY} before it ends because it can host nothing
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nbflow.app import Workspace
from nbflow.core.errors import NbflowError, StoreError
from nbflow.core.ids import RunId
from nbflow.executors.cluster import LEAST_WORKERS
from nbflow.settings import Settings

if TYPE_CHECKING:
    from nbflow.operators.kernels import KernelPool

_log = logging.getLogger("nbflow.scheduler")
#: Notebooks hosted at once by one process: each is a kernel.
HOSTED: Final = 16
#: Kernels that are kept warm.
WARM: Final = 2
#: Seconds after its last run for which a worker keeps the workspace open.
_IDLE: Final = 60.0


class _Unshown(str):
    """A text that a log does not show: Dask writes down the arguments of what failed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def settings_as_json(settings: Settings) -> dict[str, Any]:
    """For another process of this or another machine, which hosts runs and tells nobody of them."""
    quiet = replace(settings, notify="", owners="")
    found = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(quiet).items()}
    return {**found, **{name: _Unshown(found[name]) for name in ("database_url", "secret_key")}}


def settings_from_json(document: dict[str, Any]) -> Settings:
    """What `settings_as_json` wrote."""
    return Settings(**{**document, "home": Path(document["home"])})


def hosting_pool(settings: Settings) -> KernelPool:
    """As many notebooks are busy at once as attempts may run at once: their cells cost as much."""
    from nbflow.operators.kernels import KernelPool  # noqa: PLC0415 - heavy, and only where runs are hosted

    return KernelPool(size=WARM, at_once=settings.workers or max(LEAST_WORKERS, os.cpu_count() or 1))


class HostProcess:
    """The scheduler's end. A host that died is started again with the next run."""

    def __init__(self, settings: Settings, ended: Callable[[RunId, str], None]) -> None:
        """`ended` is told that a run is hosted no more, whatever became of it, and why it could not be hosted, where that was it."""
        self._settings, self._ended = settings, ended
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        #: Each with the process that was asked to host it.
        self._hosted: dict[RunId, subprocess.Popen[str]] = {}

    def room(self) -> int:
        return HOSTED - len(self._hosted)

    def warm(self) -> None:
        """Start it before it is needed."""
        with self._lock, contextlib.suppress(OSError):  # told with the first run
            self._living()

    def host(self, run_id: RunId, scheduler: str) -> None:
        """Returns at once."""
        try:
            with self._lock:
                process = self._hosted[run_id] = self._living()
                self._say(process, {"run": run_id, "scheduler": scheduler})
        except OSError as error:
            self._ended(run_id, f"The process that was to host it cannot be started ({sys.executable}: {error.strerror or error}).")

    def close(self) -> None:
        """It takes no more runs, ends those it has, and then itself."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with contextlib.suppress(OSError):  # it is gone, with words that it did not read
                    self._process.stdin.close()
                self._process = None

    def _living(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nbflow.headless.host_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # an interrupt meant for the scheduler is none for what it started
            )
            self._say(self._process, {"settings": settings_as_json(self._settings)})
            threading.Thread(target=self._listen, args=(self._process,), name="nbflow-host", daemon=True).start()
        return self._process

    @staticmethod
    def _say(process: subprocess.Popen[str], message: dict[str, Any]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        except OSError:  # it is gone; who listens to it says so
            return

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        failed = ""
        for line in process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # something a library printed
            if not isinstance(message, dict):
                continue
            failed = message.get("failed") or failed
            if "done" in message:
                self._gone(RunId(message["done"]), message["why"])
        process.wait()
        why = f"The process that was to host it ended ({failed or f'exit {process.returncode}; see the log of the scheduler'})."
        with self._lock:
            left = [run_id for run_id, its in self._hosted.items() if its is process]
        if left:
            _log.warning("the process that hosts notebooks ended (exit %s): another one is tried for its runs", process.returncode)
        for run_id in left:
            self._gone(run_id, why)

    def _gone(self, run_id: RunId, why: str) -> None:
        with self._lock:
            self._hosted.pop(run_id, None)
        self._ended(run_id, why)


# --- on a worker --------------------------------------------------------------------------------------------------------


@dataclass
class _Kept:
    """A workspace of this process that hosts runs."""

    workspace: Workspace
    pool: KernelPool
    users: int = 0
    idle: threading.Timer | None = None


_kept: dict[str, _Kept] = {}
_keeping = threading.Lock()


def host_here(settings: dict[str, Any], run_id: str, scheduler: str) -> str:
    """Host a run in this process, in a workspace that its runs share; it is closed when none has used it for a while. Why it could not, if so."""
    name = json.dumps(settings, sort_keys=True)
    with _keeping:
        kept = _kept.get(name)
        if kept is None:
            workspace = Workspace(settings_from_json(settings))
            kept = _kept[name] = _Kept(workspace, hosting_pool(workspace.settings))
        kept.users += 1
        if kept.idle is not None:
            kept.idle.cancel()
    try:
        return _hosted(kept.workspace, run_id, scheduler, kept.pool)
    finally:
        with _keeping:
            kept.users -= 1
            kept.idle = threading.Timer(_IDLE, _close_idle, (name,))
            kept.idle.daemon = True
            kept.idle.start()


def _hosted(workspace: Workspace, run_id: str, scheduler: str, pool: KernelPool) -> str:
    """Host a run to its end. Why that could not be, if so: a sentence; that the database was away is no such reason.

    What it says of a run that is somebody else's meanwhile concerns nobody: the scheduler has lost it.
    """
    from nbflow.headless.deployed import host_run  # noqa: PLC0415 - heavy, and only where runs are hosted

    try:
        host_run(workspace, run_id, scheduler, pool)
    except StoreError as error:
        _log.warning("run %s: %s", run_id, error)
    except NbflowError as error:
        _log.info("run %s: %s", run_id, error)
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run must not wait for ever
        _log.exception("run %s could not be hosted", run_id)
        return f"{type(error).__name__}: {error}"
    return ""


def _close_idle(name: str) -> None:
    with _keeping:
        kept = _kept.get(name)
        if kept is None or kept.users:
            return
        del _kept[name]
    kept.pool.close()
    kept.workspace.close()


# --- the host's end -----------------------------------------------------------------------------------------------------


def serve() -> None:
    """Host what is asked for on standard input, until there is nobody who asks and everything has ended."""
    speaking = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        with speaking:
            try:
                print(json.dumps(message), flush=True)  # noqa: T201 - the protocol
            except OSError:
                return  # the scheduler is gone

    try:
        import nbflow.headless.deployed  # noqa: F401, PLC0415 - heavy, and only where runs are hosted; what it needs may be gone

        workspace = Workspace(settings_from_json(json.loads(sys.stdin.readline())["settings"]))
        pool = hosting_pool(workspace.settings)
        pool.warm()
    except Exception as error:
        say({"failed": f"{type(error).__name__}: {error}"})
        raise
    workspace.warm()

    def host(run_id: str, scheduler: str) -> None:
        say({"done": run_id, "why": _hosted(workspace, run_id, scheduler, pool)})

    threads: list[threading.Thread] = []
    for line in sys.stdin:
        asked = json.loads(line)
        thread = threading.Thread(target=host, args=(asked["run"], asked["scheduler"]), name=f"nbflow-{asked['run']}", daemon=True)
        thread.start()
        threads = [*(one for one in threads if one.is_alive()), thread]
    for thread in threads:
        thread.join()
    pool.close()
    workspace.close()
