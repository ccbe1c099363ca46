# SPDX-License-Identifier: BSD-3-Clause
"""The warm child processes of one worker: at most `size` jobs at once, each in a child that nothing has changed under."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from nbflow.core.ids import Token
from nbflow.core.job import ExecutorEvent
from nbflow.executors import endings
from nbflow.executors.child import ChildDied, ChildProcess
from nbflow.executors.handed import Ended, GiveBack
from nbflow.executors.sealed import SealedJob, SealedReport, seal_report

_log = logging.getLogger(__name__)
#: Cancelled tokens that are remembered, in case their job still arrives.
_REMEMBERED: Final = 10_000


class ChildPool:
    """Runs jobs in children, reusing warm ones. Safe to use from several threads.

    `warm` children are kept ready, started in the background; others are started by the job that needs them and kept.
    """

    def __init__(self, size: int, *, runner: str = "", worker: str = "", memory_limit: int | None = None, warm: int = 0) -> None:
        self.size = size
        self.worker = worker
        self._runner = runner
        self._memory_limit = memory_limit
        self._warm = min(warm, size)
        self._changed = threading.Condition()
        self._idle: list[ChildProcess] = []
        #: Whose child, once there is one, has each job that was begun or may be.
        self._busy: dict[Token, ChildProcess | None] = {}
        #: Children that have jobs, or will have them when they have started.
        self._working = 0
        self._starting = 0
        self._cancelled: OrderedDict[Token, None] = OrderedDict()
        self._heavy: tuple[str, ...] = ()
        self._closed = False
        self._top_up()

    def run(self, job: SealedJob, tell: Callable[[ExecutorEvent], None]) -> SealedReport | None:
        """Run the job in a child; blocks. None when the attempt was cancelled, before or while it ran."""
        reports: list[SealedReport | None] = []
        self.run_all([job], tell, lambda _, report: reports.append(report), lambda _: None)
        return reports[0]

    def run_all(
        self,
        jobs: Sequence[SealedJob],
        tell: Callable[[ExecutorEvent], None],
        ended: Ended,
        give_back: GiveBack,
    ) -> None:
        """Run these jobs in one child, one after the other; blocks. Each comes back once: it `ended`, or is given back since it was not begun.

        Their modules come from the same places. When the last of them is told to have ended, the child is free already.
        """
        child = self._take(jobs)
        if child is None:
            for job in jobs:
                ended(job, None)
            return
        back = partial(self._take_back, give_back)
        told = partial(self._tell_end, ended)
        try:
            child.wait_ready()
            last = child.run_all(jobs, tell, told, back, worker=self.worker, memory_limit=self._memory_limit, is_wanted=self._wanted)
        except ChildDied as died:
            last = jobs[0], seal_report(endings.lost(endings.Facts(token=jobs[0].token, worker=self.worker), str(died)))
            back(jobs[1:])
        finally:
            self._give_back(jobs, child)
        if last is not None:
            told(*last)

    def _tell_end(self, ended: Ended, job: SealedJob, report: SealedReport | None) -> None:
        with self._changed:
            self._busy.pop(job.token, None)
            wanted = self._is_wanted(job.token)
        ended(job, report if wanted else None)

    def _take_back(self, give_back: GiveBack, jobs: Sequence[SealedJob]) -> None:
        if jobs:
            with self._changed:
                for job in jobs:
                    self._busy.pop(job.token, None)
            give_back(jobs)

    def cancel(self, tokens: Iterable[Token]) -> None:
        """End these attempts; returns when nothing of them runs any more. A job of such a token that arrives later is not run."""
        wanted = list(tokens)
        with self._changed:
            for token in wanted:
                self._cancelled[token] = None
            while len(self._cancelled) > _REMEMBERED:
                self._cancelled.popitem(last=False)
            children = [(token, child) for token in wanted if (child := self._busy.get(token)) is not None]
            self._changed.notify_all()
        for token, child in children:
            child.cancel(token)

    def close(self) -> None:
        """End every child, running ones too. May be called twice."""
        with self._changed:
            self._closed = True
            running = [token for token, child in self._busy.items() if child is not None]
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        self.cancel(running)
        for child in idle:
            child.end()

    def pids(self) -> tuple[int, ...]:
        """The processes user code runs in, idle ones too."""
        with self._changed:
            return tuple(child.pid for child in dict.fromkeys([*self._idle, *filter(None, self._busy.values())]) if child.pid)

    # --- which child -----------------------------------------------------------------------------------------------------

    def _wanted(self, token: Token) -> bool:
        with self._changed:
            return self._is_wanted(token)

    def _is_wanted(self, token: Token) -> bool:
        return token not in self._cancelled and not self._closed

    def _take(self, jobs: Sequence[SealedJob]) -> ChildProcess | None:
        """A child for these jobs, warm when there is one; None when none of them is wanted any more."""
        with self._changed:
            while self._working >= self.size and any(self._is_wanted(job.token) for job in jobs):
                self._changed.wait()
            if not any(self._is_wanted(job.token) for job in jobs):
                return None
            self._working += 1
            child, unfit = self._pick(jobs[0])
            self._busy.update((job.token, child) for job in jobs)
        try:
            for other in unfit:
                other.end()
            return child if child is not None else self._start(jobs)
        except BaseException:
            self._free(jobs, child)
            raise

    def _pick(self, job: SealedJob) -> tuple[ChildProcess | None, list[ChildProcess]]:
        """The idle child used last that suits the job, and those to end to keep within `size`."""
        unfit: list[ChildProcess] = []
        for child in reversed(self._idle):
            if not child.is_alive or child.spent:
                unfit.append(child)
            elif child.suits(job):
                self._idle = [other for other in self._idle if other is not child and other not in unfit]
                return child, unfit
        self._idle = [child for child in self._idle if child not in unfit]
        while self._idle and len(self._idle) + self._working + self._starting > self.size:
            unfit.append(self._idle.pop(0))
        return None, unfit

    def _start(self, jobs: Sequence[SealedJob]) -> ChildProcess:
        child = ChildProcess(runner=self._runner, preload=self._heavy)
        with self._changed:
            self._busy.update((job.token, child) for job in jobs)
        return child

    def _give_back(self, jobs: Sequence[SealedJob], child: ChildProcess) -> None:
        with self._changed:
            self._free(jobs, child)
            self._heavy = tuple(dict.fromkeys([*self._heavy, *child.heavy]))
            keep = not child.spent and not self._closed
            if keep:
                self._idle.append(child)
        if not keep:
            threading.Thread(target=self._replace, args=(child,), name="nbflow-bury", daemon=True).start()

    def _free(self, jobs: Sequence[SealedJob], child: ChildProcess | None) -> None:
        with self._changed:
            self._working -= 1
            for job in jobs:
                if self._busy.get(job.token) is child:
                    self._busy.pop(job.token, None)
            self._changed.notify()

    # --- in the background -----------------------------------------------------------------------------------------------

    def _replace(self, child: ChildProcess) -> None:
        child.end()
        self._top_up()

    def _top_up(self) -> None:
        with self._changed:
            missing = 0 if self._closed else self._warm - len(self._idle) - self._working - self._starting
            missing = max(0, missing)
            self._starting += missing
        for _ in range(missing):
            threading.Thread(target=self._start_idle, name="nbflow-warm-child", daemon=True).start()

    def _start_idle(self) -> None:
        child = None
        try:
            child = ChildProcess(runner=self._runner, preload=self._heavy)
            child.wait_ready()
        except (ChildDied, OSError) as error:
            _log.warning("%s", error)
            child = None
        with self._changed:
            self._starting -= 1
            surplus = child is not None and (self._closed or len(self._idle) + self._working >= self.size)
            if child is not None and not surplus:
                self._idle.append(child)
            self._changed.notify()
        if child is not None and surplus:
            child.end()
