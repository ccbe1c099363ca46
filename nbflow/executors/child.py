# SPDX-License-Identifier: BSD-3-Clause
"""The parent's side of one warm child process: hand it jobs, pass on what it says, hold it to its limits, end it for certain.

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
from typing import Final

from nbflow.core.ids import Token
from nbflow.core.job import ExecutorEvent, OutputMade, Report
from nbflow.executors import deaths, endings, processes
from nbflow.executors.begun import Begun, new_page
from nbflow.executors.frames import Begin, Done, FileStamp, FrameReader, Ready, Said, Unreadable, pack
from nbflow.executors.handed import Attempt, Ended, GiveBack, Handed
from nbflow.executors.sealed import Place, SealedJob, SealedReport, seal_report
from nbflow.executors.supervisor import END, STATUS
from nbflow.executors.tickets import Tickets
from nbflow.executors.user_modules import unchanged

#: Seconds between two looks at the memory of a job that has a limit.
SAMPLE: Final = 0.1
#: Seconds between two looks whether a job has begun.
LOOK: Final = 0.02
#: Seconds after which a job is too slow to hold back those that were handed over with it.
SLOW: Final = 0.02
#: Seconds in which reports of jobs that were handed over together gather, so that they are read together.
GATHER: Final = 0.002
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


class ChildProcess:
    """One process that runs one job at a time in its main thread. `run_all` blocks; `cancel` and `end` may come from any thread."""

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
        self._place: Place | None = None
        self._lock = threading.Lock()
        self._handed: Handed | None = None
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
        self._tickets = Tickets()
        ends = {"data": data.fileno(), "control": control.fileno(), "crash": crash.fileno(), "begun": page, "tickets": self._tickets.reader}
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

    def suits(self, job: SealedJob) -> bool:
        """Whether it may run this job: nothing it loaded has changed, and its modules come from where this job's would."""
        return not self.spent and self._jobs < JOB_LIMIT and (not self._files or (self._place == job.place and unchanged(self._files)))

    @property
    def is_alive(self) -> bool:
        """False once the process has ended; looked up now."""
        return not self._dead.is_set() and not (self.pid and self._control.fileno() in self._wait(0))

    # --- a job -----------------------------------------------------------------------------------------------------------

    def run(
        self,
        job: SealedJob,
        tell: Callable[[ExecutorEvent], None],
        *,
        worker: str = "",
        memory_limit: int | None = None,
    ) -> SealedReport | None:
        """Run the job to its end, whatever that is. None when it was cancelled; then nothing of it runs any more."""
        last = self.run_all([job], tell, lambda *_: None, lambda _: None, worker=worker, memory_limit=memory_limit)
        return None if last is None else last[1]

    def run_all(
        self,
        jobs: Sequence[SealedJob],
        tell: Callable[[ExecutorEvent], None],
        ended: Ended,
        give_back: GiveBack,
        *,
        worker: str = "",
        memory_limit: int | None = None,
        is_wanted: Callable[[Token], bool] = lambda _: True,
    ) -> tuple[SealedJob, SealedReport | None] | None:
        """Run these jobs, one after the other. Each comes back once: it `ended`, or was not begun and is given back, for another child.

        The last that ended is not told but returned, for whoever puts the child to another use first.
        `is_wanted` is asked once `cancel` can reach the attempts: a cancel that came just before is not missed.
        """
        wanted: list[SealedJob] = []
        unwanted: list[SealedJob] = []
        with self._lock:
            for job in jobs:
                (wanted if is_wanted(job.token) else unwanted).append(job)
            handed = Handed(wanted, give_back, worker=worker, memory_limit=memory_limit, tickets=self._tickets) if wanted else None
            self._handed = handed
        for job in unwanted:
            ended(job, None)
        if handed is None:
            return None
        try:
            with contextlib.suppress(OSError):  # it died while it was idle: the control socket says how
                self._data.sendall(pack(Begin(jobs=tuple(job.data for job in wanted), worker=worker)))
            handed.oom_kills = deaths.oom_kill_count()
            return self._converse(handed, tell, ended)
        except Unreadable as error:
            return self._given_up(handed, error)
        finally:
            with self._lock:
                self._handed = None
            handed.gone.set()

    def cancel(self, token: Token) -> bool:
        """End the attempt of this token, with everything it started; returns when it is gone. False when others, or none, are running."""
        with self._lock:
            handed = self._handed
            if handed is None or not (handed.current.job.token == token or handed.is_left(token)):
                return False
            back = handed.take_back()
            is_begun = all(job.token != token for job in back)
            if is_begun:
                handed.cancelled.add(token)
                if handed.current.job.token == token:
                    handed.current.end()
                self.spent = "its attempt was cancelled"
                self._order_end()
        handed.give_back(back)  # whoever gets it asks whether it is wanted
        if is_begun:
            handed.gone.wait()
        return True

    def end(self) -> None:
        """End the process and everything below it; returns when that is certain. May be called twice."""
        self.spent = self.spent or "it was ended"
        self._order_end()
        with self._lock:
            handed = self._handed
        if handed is None:
            self._bury()
        else:
            handed.gone.wait()

    def _converse(self, handed: Handed, tell: Callable[[ExecutorEvent], None], ended: Ended) -> tuple[SealedJob, SealedReport | None]:
        while True:
            ready = self._wait(self._next_look(handed))
            if not ready:
                self._look_whether_begun(handed.current, tell)
            if self._data.fileno() in ready:
                last = self._listen(handed, tell, ended)
                if last is not None:
                    return last
                if handed.has_left:
                    time.sleep(GATHER)
            if self._control.fileno() in ready:
                return self._buried(handed, tell, ended)
            self._hold_to_limits(handed)

    def _listen(self, handed: Handed, tell: Callable[[ExecutorEvent], None], ended: Ended) -> tuple[SealedJob, SealedReport | None] | None:
        """Pass on what it says. How the last one ended, when no other one goes on."""
        for message in self._reader.read():
            attempt = handed.current
            if isinstance(message, Said):
                self._look_whether_begun(attempt, tell)
                event = message.event
                if isinstance(event, OutputMade):
                    attempt.outputs.add(event)
                tell(event)
            elif isinstance(message, Done):
                self._remember(attempt.job, message)
                end = attempt.job, self._end(handed, message.report, goes_on=message.goes_on)
                if not message.goes_on:
                    return end
                ended(*end)
        if self._reader.ended:
            self._poll.unregister(self._data)  # from here on the control socket tells
        return None

    def _end(self, handed: Handed, report: SealedReport, *, goes_on: bool) -> SealedReport | None:
        """An attempt has ended, perhaps in the same moment in which it was cancelled or ran out of time."""
        with self._lock:
            attempt, rest = handed.current, list[SealedJob]()
            if goes_on:
                handed.advance()
            else:
                rest = handed.take_rest()
                self._handed = None
        if not goes_on:
            if attempt.ended:
                self._bury()
            handed.give_back(rest)
        return attempt.report if attempt.ended else report

    def _look_whether_begun(self, attempt: Attempt, tell: Callable[[ExecutorEvent], None]) -> None:
        if attempt.started_at is None:
            event = self._begun.read(attempt.job.token, attempt.worker)
            if event is not None:
                attempt.started_at = event.at
                tell(event)

    def _remember(self, job: SealedJob, done: Done) -> None:
        self._jobs += 1
        self._files, self._place, self.heavy = done.files, job.place, done.heavy
        self.spent = self.spent or done.spent

    def _buried(self, handed: Handed, tell: Callable[[ExecutorEvent], None], ended: Ended) -> tuple[SealedJob, SealedReport | None]:
        """The child is gone: its last words may still be in the socket."""
        last = None
        while last is None and not self._reader.ended:
            last = self._listen(handed, tell, ended)
        self._look_whether_begun(handed.current, tell)
        self._bury()
        self.spent = self.spent or "it died"
        if last is not None:
            return last
        report = deaths.of_attempt(handed.current.facts(), self._status, oom_kills=handed.oom_kills, trace=self._last_words)
        return self._over(handed, report)

    def _given_up(self, handed: Handed, error: Unreadable) -> tuple[SealedJob, SealedReport | None]:
        """It said what cannot be read here. It must not live on: what it says next would be taken for the end of another job."""
        self.spent = "what it said cannot be read"
        self._bury()
        why = f"what it showed cannot be read outside its process ({error}): show a text or a picture of it"
        return self._over(handed, endings.unusable(handed.current.facts(), why))

    def _over(self, handed: Handed, report: Report) -> tuple[SealedJob, SealedReport | None]:
        """The child is gone: what it was at has this report, unless it was ended from here; the rest goes to another one."""
        with self._lock:
            attempt, rest = handed.current, handed.take_rest()
            self._handed = None
        handed.give_back(rest)
        return attempt.job, attempt.report if attempt.ended else seal_report(report)

    # --- limits ----------------------------------------------------------------------------------------------------------

    def _next_look(self, handed: Handed) -> float:
        """Seconds until a limit has to be looked at. That of a supervisor is one of them: another thread may order the end meanwhile."""
        attempt = handed.current
        if attempt.ended:
            return END_LIMIT
        looks = [END_LIMIT] if attempt.deadline is None else [END_LIMIT, max(0.0, attempt.deadline - time.monotonic())]
        if attempt.memory_limit is not None:
            looks.append(SAMPLE)
        if attempt.started_at is None:
            looks.append(LOOK)
        if handed.has_left:
            looks.append(max(LOOK, attempt.since + SLOW - time.monotonic()))
        return min(looks)

    def _hold_to_limits(self, handed: Handed) -> None:
        attempt = handed.current
        if attempt.ended:
            if time.monotonic() > attempt.ended_at + END_LIMIT:
                self._sweep()  # the supervisor was told to end everything and did not answer in time
            return
        report = self._broken_limit(attempt)
        is_slow = handed.has_left and time.monotonic() - attempt.since >= SLOW
        if report is None and not is_slow:
            return
        with self._lock:
            back = handed.take_back()
            if report is not None and not attempt.ended:  # else a cancel came first
                attempt.end(report)
        handed.give_back(back)
        if report is not None:
            self.spent = "its attempt was ended"
            self._order_end()

    def _broken_limit(self, attempt: Attempt) -> Report | None:
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
            with self._lock:
                self._tickets.close()
            self._dead.set()

    def _read_last_words(self) -> str:
        with contextlib.suppress(OSError):
            return self._crash.recv(_LAST_WORDS, socket.MSG_DONTWAIT).decode(errors="replace")
        return ""

    def _sweep(self) -> None:
        """End what the supervisor should have ended: it hangs, or it was killed."""
        self._process.kill()
        processes.end_all(lambda: {*processes.descendants(self._process.pid), *processes.marked(self.id)} - {self._process.pid})

    def _wait(self, seconds: float) -> set[int]:
        return {fd for fd, _ in self._poll.poll(max(0, seconds) * 1000)}


def _environment(child_id: str) -> dict[str, str]:
    """What user code finds: as here, without what tells a Dask worker how to be one, and without the key."""
    return {**{name: value for name, value in os.environ.items() if name not in _OF_DASK | {_KEY}}, processes.MARK: child_id}
