# SPDX-License-Identifier: BSD-3-Clause
"""The parent's side of one warm child process: hand it a job, pass on what it says, hold it to its limits, end it for certain.

What happens in the child is `nbflow/worker.py`; why there is a child at all is `adr/0001-user-code-runs-in-a-child-of-the-worker.md`.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from nbflow.core.ids import Token
from nbflow.core.job import ExecutorEvent, Job, OutputMade, Report
from nbflow.executors import deaths, endings, processes
from nbflow.executors.begun import Begun, new_page
from nbflow.executors.frames import Begin, Done, FileStamp, FrameReader, Ready, Said, pack
from nbflow.executors.supervisor import END, STATUS
from nbflow.executors.user_modules import unchanged

#: Seconds between two looks at the memory of a job that has a limit.
SAMPLE: Final = 0.1
#: Seconds between two looks whether a job has begun.
LOOK: Final = 0.02
#: Seconds a child may take to import what it needs.
START_LIMIT: Final = 60.0
#: Seconds the supervisor has to end everything before this side does it.
END_LIMIT: Final = 3.0
#: Set by a nanny or by our own cluster for the worker; a cluster that user code makes itself must not inherit it.
_OF_DASK: Final = frozenset({"DASK_INTERNAL_INHERIT_CONFIG", "DASK_LOGGING__DISTRIBUTED"})
#: Opens every secret, while an attempt is given those that it names.
_KEY: Final = "NBFLOW_SECRET_KEY"
#: Bytes of faulthandler's traceback that are read.
_LAST_WORDS: Final = 1 << 16
#: Jobs after which a child is not used again.
JOB_LIMIT: Final = 10_000


class ChildDied(Exception):
    """The child is gone; the message says how."""


@dataclass
class _Attempt:
    """The job a child is running."""

    job: Job
    worker: str
    memory_limit: int | None
    deadline: float | None
    started_at: datetime | None = None
    outputs: endings.HeardOutputs = field(default_factory=endings.HeardOutputs)
    #: Set when it is ended from here: the report to give, or None for a cancelled attempt.
    ended: bool = False
    report: Report | None = None
    ended_at: float = 0.0
    gone: threading.Event = field(default_factory=threading.Event)
    #: Of the system, before it began.
    oom_kills: int | None = field(default_factory=deaths.oom_kill_count)

    def facts(self) -> endings.Facts:
        return endings.Facts(token=self.job.token, worker=self.worker, started_at=self.started_at, outputs=self.outputs.ref())

    def end(self, report: Report | None = None) -> None:
        self.ended, self.report, self.ended_at = True, report, time.monotonic()


class ChildProcess:
    """One process that runs one job at a time in its main thread. `run` blocks; `cancel` and `end` may come from any thread."""

    def __init__(self, *, runner: str = "", preload: Sequence[str] = ()) -> None:
        self.id = uuid.uuid4().hex
        #: Why it must not be used again; "" while it may.
        self.spent = ""
        #: Heavy libraries it has loaded.
        self.heavy: tuple[str, ...] = ()
        #: Of the child proper, once it is ready.
        self.pid = 0
        self._jobs = 0
        self._files: tuple[FileStamp, ...] = ()
        self._place: tuple[str, tuple[str, ...]] | None = None
        self._lock = threading.Lock()
        self._attempt: _Attempt | None = None
        self._status: int | None = None
        self._last_words = ""
        self._dead = threading.Event()
        self._burying = threading.Lock()
        self._data, data = socket.socketpair()
        self._control, control = socket.socketpair()
        #: Where the child's faulthandler says what it was doing when it crashed.
        self._crash, crash = socket.socketpair()
        page = new_page()
        self._begun = Begun(page)
        ends = {"data": data.fileno(), "control": control.fileno(), "crash": crash.fileno(), "begun": page}
        command = [sys.executable, "-P", "-m", "nbflow.worker", *(f"--{name}={end}" for name, end in ends.items())]
        command += [f"--runner={runner}"] if runner else []
        command += [f"--preload={','.join(preload)}"] if preload else []
        with data, control, crash:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                pass_fds=tuple(ends.values()),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=_environment(self.id),
            )
        os.close(page)
        self._reader = FrameReader(self._data)
        self._poll = select.poll()
        self._poll.register(self._data, select.POLLIN)
        self._poll.register(self._control, select.POLLIN)

    # --- before a job ----------------------------------------------------------------------------------------------------

    def wait_ready(self, limit: float = START_LIMIT) -> None:
        """Until it can take a job. Raises ChildDied."""
        deadline = time.monotonic() + limit
        while not self.pid:
            left = deadline - time.monotonic()
            ready = self._wait(left)
            if self._control.fileno() in ready or left <= 0:
                self.end()
                why = deaths.say(self._status) if left > 0 else f"it was not ready within {limit:g} s"
                raise ChildDied(f"a process for user code could not be started: {why}")
            for message in self._reader.read():
                if isinstance(message, Ready):
                    self.pid = message.pid

    def suits(self, job: Job) -> bool:
        """Whether it may run this job: nothing it loaded has changed, and its modules come from where this job's would."""
        return not self.spent and self._jobs < JOB_LIMIT and (not self._files or (self._place == _place(job) and unchanged(self._files)))

    @property
    def is_alive(self) -> bool:
        """False once the process has ended; looked up now."""
        return not self._dead.is_set() and not (self.pid and self._control.fileno() in self._wait(0))

    # --- a job -----------------------------------------------------------------------------------------------------------

    def run(
        self,
        job: Job,
        tell: Callable[[ExecutorEvent], None],
        *,
        worker: str = "",
        memory_limit: int | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Report | None:
        """Run the job to its end, whatever that is. None when it was cancelled; then nothing of it runs any more.

        `is_wanted` is asked once `cancel` can reach the attempt: a cancel that came just before is not missed.
        """
        deadline = time.monotonic() + job.timeout.total_seconds() if job.timeout is not None else None
        attempt = _Attempt(job, worker, job.memory_limit or memory_limit, deadline)
        with self._lock:
            self._attempt = attempt
        try:
            return self._converse(attempt, tell) if is_wanted() else None
        finally:
            with self._lock:
                self._attempt = None
            attempt.gone.set()

    def cancel(self, token: Token) -> bool:
        """End the attempt of this token, with everything it started; returns when it is gone. False when another one, or none, is running."""
        with self._lock:
            attempt = self._attempt
            if attempt is None or attempt.job.token != token:
                return False
            attempt.end()
            self.spent = "its attempt was cancelled"
            self._order_end()
        attempt.gone.wait()
        return True

    def end(self) -> None:
        """End the process and everything below it; returns when that is certain. May be called twice."""
        self.spent = self.spent or "it was ended"
        self._order_end()
        with self._lock:
            attempt = self._attempt
        if attempt is None:
            self._bury()
        else:
            attempt.gone.wait()

    def _converse(self, attempt: _Attempt, tell: Callable[[ExecutorEvent], None]) -> Report | None:
        with contextlib.suppress(OSError):  # it died while it was idle: the control socket says how
            self._data.sendall(pack(Begin(job=attempt.job, worker=attempt.worker)))
        while True:
            ready = self._wait(self._next_look(attempt))
            if not ready:
                self._look_whether_begun(attempt, tell)
            if self._data.fileno() in ready:
                report = self._listen(attempt, tell)
                if report is not None:
                    return self._finish(attempt, report)
            if self._control.fileno() in ready:
                return self._buried(attempt, tell)
            self._hold_to_limits(attempt)

    def _listen(self, attempt: _Attempt, tell: Callable[[ExecutorEvent], None]) -> Report | None:
        for message in self._reader.read():
            self._look_whether_begun(attempt, tell)
            if isinstance(message, Said):
                event = message.event
                if isinstance(event, OutputMade):
                    attempt.outputs.add(event)
                tell(event)
            elif isinstance(message, Done):
                self._remember(attempt.job, message)
                return message.report
        if self._reader.ended:
            self._poll.unregister(self._data)  # from here on the control socket tells
        return None

    def _look_whether_begun(self, attempt: _Attempt, tell: Callable[[ExecutorEvent], None]) -> None:
        if attempt.started_at is None:
            event = self._begun.read(attempt.job.token, attempt.worker)
            if event is not None:
                attempt.started_at = event.at
                tell(event)

    def _remember(self, job: Job, done: Done) -> None:
        self._jobs += 1
        self._files, self._place, self.heavy = done.files, _place(job), done.heavy
        self.spent = self.spent or done.spent

    def _finish(self, attempt: _Attempt, report: Report) -> Report | None:
        """The child has answered, perhaps in the same moment in which it was cancelled or ran out of time."""
        with self._lock:
            self._attempt = None
        if attempt.ended:
            self._bury()
            return attempt.report
        return report

    def _buried(self, attempt: _Attempt, tell: Callable[[ExecutorEvent], None]) -> Report | None:
        """The child is gone: its last words may still be in the socket."""
        report = None
        while report is None and not self._reader.ended:
            report = self._listen(attempt, tell)
        self._look_whether_begun(attempt, tell)
        self._bury()
        self.spent = self.spent or "it died"
        if attempt.ended:
            return attempt.report
        if report is not None:
            return report
        return deaths.of_attempt(attempt.facts(), self._status, oom_kills=attempt.oom_kills, trace=self._last_words)

    # --- limits ----------------------------------------------------------------------------------------------------------

    def _next_look(self, attempt: _Attempt) -> float | None:
        """Seconds until a limit has to be looked at; None: never."""
        if attempt.ended:
            return END_LIMIT
        looks = [] if attempt.deadline is None else [max(0.0, attempt.deadline - time.monotonic())]
        if attempt.memory_limit is not None:
            looks.append(SAMPLE)
        if attempt.started_at is None:
            looks.append(LOOK)
        return min(looks, default=None)

    def _hold_to_limits(self, attempt: _Attempt) -> None:
        if attempt.ended:
            if time.monotonic() > attempt.ended_at + END_LIMIT:
                self._sweep()  # the supervisor was told to end everything and did not answer in time
            return
        report = self._broken_limit(attempt)
        if report is None:
            return
        with self._lock:
            if not attempt.ended:  # else a cancel came first
                attempt.end(report)
        self.spent = "its attempt was ended"
        self._order_end()

    def _broken_limit(self, attempt: _Attempt) -> Report | None:
        job, limit = attempt.job, attempt.memory_limit
        facts = attempt.facts()
        if job.timeout is not None and attempt.deadline is not None and time.monotonic() >= attempt.deadline:
            return endings.timed_out(facts, job.timeout)
        if limit is not None and processes.resident_bytes(self._process.pid) > limit:
            used = processes.proportional_bytes(self._process.pid)  # forked processes share pages: count them once
            if used > limit:
                return endings.out_of_memory(facts, used, limit)
        return None

    # --- the end ---------------------------------------------------------------------------------------------------------

    def _order_end(self) -> None:
        with contextlib.suppress(OSError):
            self._control.send(END, socket.MSG_DONTWAIT)

    def _bury(self) -> None:
        """Wait for the supervisor's last word, collect it and close the sockets; sweep up by hand when it has none."""
        with self._burying:
            if self._dead.is_set():
                return
            self._order_end()
            word = b""
            self._control.settimeout(END_LIMIT)
            with contextlib.suppress(OSError):
                word = self._control.recv(STATUS.size)
            if len(word) == STATUS.size:
                (self._status,) = STATUS.unpack(word)
            if len(word) < STATUS.size or not processes.TREE_IS_COMPLETE:
                self._sweep()
            self._process.kill()
            self._process.wait()
            self._data.close()
            self._control.close()
            self._last_words = self._read_last_words()
            self._crash.close()
            self._dead.set()

    def _read_last_words(self) -> str:
        with contextlib.suppress(OSError):
            return self._crash.recv(_LAST_WORDS, socket.MSG_DONTWAIT).decode(errors="replace")
        return ""

    def _sweep(self) -> None:
        """End what the supervisor should have ended: it hangs, or it was killed."""
        self._process.kill()
        processes.end_all(lambda: {*processes.descendants(self._process.pid), *processes.marked(self.id)} - {self._process.pid})

    def _wait(self, seconds: float | None) -> set[int]:
        return {fd for fd, _ in self._poll.poll(None if seconds is None else max(0, seconds) * 1000)}


def _environment(child_id: str) -> dict[str, str]:
    """What user code finds: as here, without what tells a Dask worker how to be one, and without the key."""
    return {**{name: value for name, value in os.environ.items() if name not in _OF_DASK | {_KEY}}, processes.MARK: child_id}


def _place(job: Job) -> tuple[str, tuple[str, ...]]:
    """Where this job's `import helper` looks."""
    return job.process.cwd, job.process.sys_path
