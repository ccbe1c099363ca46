# SPDX-License-Identifier: BSD-3-Clause
"""The child process user code runs in: `python -m nbflow.worker`. Its main thread runs one job after the other and nothing else.

The process starts as two: a supervisor, which ends everything when the parent is gone, and below it the child proper, in a session of its own.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` stands on: it makes no enum members, which would take ten times as long
import argparse
import faulthandler
import importlib
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from nbflow.core.errors import NbflowError
from nbflow.core.job import AttemptBegan, ExecutorEvent, Job, Report
from nbflow.core.protocols import ArtifactStore
from nbflow.executors import endings, processes
from nbflow.executors.begun import Begun
from nbflow.executors.frames import Begin, Done, FrameReader, Ready, Said, pack
from nbflow.executors.sealed import SealedReport, seal_report
from nbflow.executors.supervisor import supervise
from nbflow.executors.tickets import Taker
from nbflow.executors.user_modules import UserModules, unchanged

#: Growth of resident memory after which a child is not used again.
GROWTH_LIMIT: Final = 1 << 30
#: Imported before the first job when an earlier child had loaded them.
HEAVY: Final = ("numpy", "pandas", "matplotlib", "pyarrow", "scipy", "sklearn", "polars")
#: What nearly every first job would import.
_FIRST_USED: Final = ("nbflow.operators.cell", "nbflow.operators.shell", "nbflow.store.artifacts")
#: Signals a job may have changed; the next one finds them as Python sets them.
_SIGNALS: Final[dict[signal.Signals, Any]] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGALRM: signal.SIG_DFL,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Become a supervisor and its child. Ends with the process."""
    parser = argparse.ArgumentParser(prog="python -m nbflow.worker")
    parser.add_argument("--data", type=int, required=True, help="socket the jobs come on")
    parser.add_argument("--control", type=int, required=True, help="socket the supervisor listens to")
    parser.add_argument("--crash", type=int, required=True, help="socket faulthandler writes to")
    parser.add_argument("--begun", type=int, required=True, help="memory in which it stands which job has begun")
    parser.add_argument("--tickets", type=int, required=True, help="pipe in which it stands how many more jobs may be begun")
    parser.add_argument("--runner", default="nbflow.operators.entry:run_kept")
    parser.add_argument("--preload", default="")
    options = parser.parse_args(arguments)
    data, control = socket.socket(fileno=options.data), socket.socket(fileno=options.control)
    data.set_inheritable(False)
    control.set_inheritable(False)
    for end in (options.crash, options.tickets):
        os.set_inheritable(end, False)  # noqa: FBT003 - the standard library's signature
    begun = Begun(options.begun)
    os.close(options.begun)
    processes.become_subreaper()
    supervisor = os.getpid()
    child = os.fork()  # this process has one thread and has imported nothing that minds
    if child:
        data.close()
        os.close(options.crash)
        os.close(options.tickets)
        supervise(child, control)
        os._exit(0)
    control.close()
    os.setsid()
    processes.die_with_parent(supervisor)
    processes.become_subreaper()
    _prefer_for_oom_killer()
    faulthandler.enable(options.crash, all_threads=False)
    ChildLoop(data, begun, Taker(options.tickets), options.runner, tuple(filter(None, options.preload.split(",")))).serve()
    os._exit(0)  # threads that user code left behind must not hold the process


class ChildLoop:
    """Takes jobs from the parent one by one and answers each with a `Done`."""

    def __init__(self, sock: socket.socket, begun: Begun, tickets: Taker, runner: str, preload: Sequence[str]) -> None:
        module, _, name = runner.partition(":")
        running = importlib.import_module(module)
        self._run: Callable[..., tuple[Report, bytes]] = getattr(running, name)
        self._settle_in: Callable[[], None] = getattr(running, "settle_in", lambda: None)
        #: Called while nobody waits for this process.
        self._prepare: Callable[[], None] = getattr(running, "prepare", lambda: None)
        for library in (*_FIRST_USED, *preload):
            _import_quietly(library)
        self._sock, self._begun, self._tickets = sock, begun, tickets
        self._sending = threading.RLock()
        self._is_sending = False
        self._frames: deque[bytes] = deque()
        self._pid = os.getpid()
        self._modules = UserModules()
        self._threads = set(threading.enumerate())
        self._at_start = processes.own_resident_bytes()

    def serve(self) -> None:
        """Until the parent closes the socket."""
        reader = FrameReader(self._sock)
        self._settle_in()
        self._prepare()
        self._send(Ready(pid=self._pid))
        while (message := reader.next()) is not None:
            self._do(message)

    def _do(self, begin: Begin) -> None:
        """One job after the other, as long as the parent has not taken back the rest."""
        importlib.invalidate_caches()  # modules that were written before these jobs were sent are found
        left = len(begin.jobs)
        for data in begin.jobs:
            left -= 1
            report, spent = self._attempt(pickle.loads(data), begin.worker)  # noqa: S301 - of the parent, over a socketpair
            may_go_on = left > 0 and not spent and unchanged(self._modules.stamps())
            # The ticket is taken before the parent hears of the end: a ticket of later jobs is never mistaken for one of these.
            goes_on = may_go_on and self._tickets.take()
            self._send(
                Done(
                    report=report,
                    spent=spent,
                    goes_on=goes_on,
                    files=self._modules.stamps(),
                    heavy=tuple(name for name in HEAVY if name in sys.modules),
                )
            )
            self._prepare()
            if not goes_on:
                return

    def _attempt(self, job: Job, worker: str) -> tuple[SealedReport, str]:
        """Its report, and why this child must not be used again ("" when it may)."""
        since = time.time_ns()
        try:
            report, data = self._run(job, _artifacts(job.artifacts_url), self._teller(), worker=worker)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, also from a signal handler, and the child must answer
            report = _failed(job, worker, error)
            spent = self._why_spent(since, report.peak_bytes)
            return seal_report(report), spent or ("" if isinstance(error, NbflowError) else "its report could not be made")
        return seal_report(report, data), self._why_spent(since, report.peak_bytes)

    def _teller(self) -> Callable[[ExecutorEvent], None]:
        """Passes events on; in a process that user code forked it stays silent, since the socket is the parent's."""

        def tell(event: ExecutorEvent) -> None:
            if os.getpid() != self._pid:
                return
            if isinstance(event, AttemptBegan):
                self._begun.write(event)
            else:
                self._send(Said(event=event))

        return tell

    def _send(self, message: object) -> None:
        self._send_frame(pack(message))

    def _send_frame(self, frame: bytes) -> None:
        """After those before it, and whole: what code of the user's says amid the sending of another (a signal came, or the collector) goes after that."""
        self._frames.append(frame)
        with self._sending:
            if self._is_sending:
                return
            try:
                self._is_sending = True
                while self._frames:
                    self._sock.sendall(self._frames.popleft())
            except OSError:
                os._exit(0)  # the parent is gone: the supervisor ends the rest
            finally:
                self._is_sending = False

    def _why_spent(self, since: int, peak_bytes: int) -> str:
        """Ends what the job left behind, and says why this child must not be used again ("" when it may).

        `peak_bytes` is how much memory it used at most, 0 where nobody knows.
        """
        for number, handler in _SIGNALS.items():
            if _signal.getsignal(number) != handler:
                signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_REAL, 0)
        stale = self._modules.note(since)
        if processes.has_children():
            processes.reap()
            left = processes.descendants(self._pid)
            processes.end_all(lambda: processes.descendants(self._pid))
            processes.reap()
            if left:
                return "the attempt left processes behind"
        if any(_is_stray(thread) for thread in threading.enumerate() if thread not in self._threads):
            return "the attempt left threads behind"
        if stale:
            return f"{stale} changed while it ran"
        limit = self._at_start + GROWTH_LIMIT
        if not 0 < peak_bytes <= limit and processes.own_resident_bytes() > limit:
            return "it uses much memory"
        return ""


def _is_stray(thread: threading.Thread) -> bool:
    """Whether user code may still run on it. nbflow's own threads and tqdm's monitor do nothing between jobs."""
    return not thread.name.startswith("nbflow") and not type(thread).__module__.startswith("tqdm")


def _failed(job: Job, worker: str, error: BaseException) -> Report:
    return endings.raised(endings.Facts(token=job.token, worker=worker, started_at=datetime.now(UTC)), error)


def _import_quietly(library: str) -> None:
    try:
        importlib.import_module(library)
    except Exception:  # noqa: BLE001 - a broken library must fail the task that uses it, not every child
        sys.modules.pop(library, None)


def _prefer_for_oom_killer() -> None:
    """When the machine runs out of memory, user code goes first, not the Dask worker."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 - not worth importing pathlib here
            file.write("500")
    except OSError:
        pass


@lru_cache(maxsize=8)
def _artifacts(url: str) -> ArtifactStore:
    from nbflow.store.artifacts import open_artifacts  # noqa: PLC0415 - fsspec comes with some URLs

    return open_artifacts(url)


if __name__ == "__main__":
    # The module proper, not this copy of it: user code finds an empty `__main__`.
    from nbflow.worker import main as real_main

    real_main()
