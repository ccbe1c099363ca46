# SPDX-License-Identifier: BSD-3-Clause
"""The attempts of one run that are in force: handed over, listened to, ended."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from nbflow.core.events import Submit, Woke
from nbflow.core.ids import TaskKey, Token
from nbflow.core.job import AttemptBegan, ExecutorEvent, Job, OutputMade, Report
from nbflow.core.machine import RunMachine
from nbflow.core.model import Flow
from nbflow.core.records import AttemptRecord, Change
from nbflow.core.states import OCCUPYING, TaskState
from nbflow.engine.attempts import Attempt, ended_from_outside
from nbflow.engine.captures import HandedOver
from nbflow.engine.inbox import Inbox
from nbflow.engine.jobs import JobMaker
from nbflow.engine.ongoing import Ongoing
from nbflow.engine.surroundings import Surroundings
from nbflow.engine.values import Values
from nbflow.engine.watchers import Watchers


class InFlight:
    """Hands attempts to the executor and takes what it says about them. An attempt whose predecessor may still be running waits for its end."""

    def __init__(
        self,
        *,
        flow: Flow,
        machine: RunMachine,
        surroundings: Surroundings,
        captures: HandedOver,
        values: Values,
        inbox: Inbox,
        watchers: Watchers,
        ongoing: Ongoing,
    ) -> None:
        at = surroundings
        self.jobs = JobMaker(
            flow=flow,
            artifacts_url=at.artifacts_url,
            keep_limit=at.keep_limit,
            offers=at.executor.offers,
            weights=machine.weights,
            lend=at.lend,
        )
        self._at = surroundings
        self._machine, self._captures, self._values = machine, captures, values
        self._tasks = {task.id: task for task in flow.tasks}
        self._inbox, self._watchers, self._ongoing = inbox, watchers, ongoing
        self._attempts: dict[Token, Attempt] = {}
        self._to_submit: list[Submit] = []
        #: Cancelled attempts that may still be running, by instance: its next attempt waits for that.
        self._endings: dict[TaskKey, Future[None]] = {}
        self._cancellers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="nbflow-cancel")

    def __len__(self) -> int:
        return len(self._attempts)

    def find(self, token: Token) -> Attempt | None:
        return self._attempts.get(token)

    def take(self, token: Token) -> Attempt | None:
        """The attempt, which is in force no more; None when it was not."""
        attempt = self._attempts.pop(token, None)
        self._at.switchboard.disconnect([token])
        return attempt

    def adopt(self, key: TaskKey, token: Token, number: int) -> None:
        """An attempt that an earlier driver had handed over is this one's now."""
        self._attempts[token] = Attempt(key, number, self.job(key, token, number), self._row(key))

    def order(self, command: Submit) -> None:
        """Hand this over with the next `submit`."""
        self._to_submit.append(command)

    def submit(self) -> None:
        """Hand over what was ordered and may begin."""
        jobs = []
        waiting = []
        for command in self._to_submit:
            record = self._machine.records[command.key]
            if record.token != command.token:
                continue  # ended between the grant and now
            ending = self._endings.get(command.key)
            if ending is not None and not ending.done():
                waiting.append(command)
                continue
            job = self.job(command.key, command.token, command.attempt)
            self._attempts[command.token] = Attempt(command.key, command.attempt, job, self._row(command.key))
            jobs.append(job)
        self._to_submit = waiting
        if jobs:
            self._at.switchboard.connect([job.token for job in jobs], self._hear)
            self._at.executor.submit(jobs)

    def cancel(self, token: Token) -> None:
        attempt = self.take(token)
        ending = self._cancel([token])
        if attempt is not None:
            self._endings[attempt.key] = ending
            ending.add_done_callback(lambda _: self._inbox.put(Woke()))

    def let_go(self, *, cancel: bool) -> None:
        """Nobody listens any more; with `cancel`, what still runs is ended. Returns when every cancellation was confirmed."""
        tokens = list(self._attempts)
        self._at.switchboard.disconnect(tokens)
        if tokens and cancel:
            self._cancel(tokens)
        self._cancellers.shutdown(wait=True)

    def _cancel(self, tokens: Sequence[Token]) -> Future[None]:
        try:
            return self._cancellers.submit(self._at.executor.cancel, tokens)
        except RuntimeError:  # the interpreter is ending, and begins nothing in threads any more
            self._at.executor.cancel(tokens)
            done: Future[None] = Future()
            done.set_result(None)
            return done

    def ended_from_outside(self, changes: Sequence[Change], reported: set[Token]) -> list[AttemptRecord]:
        """Attempts that ended without a report (cancelled, marked, cleared while they ran) keep what was heard of them."""
        ends = {
            change.key: change
            for change in changes
            if change.key is not None
            and change.before in OCCUPYING
            and change.after not in OCCUPYING
            and change.after != TaskState.SCHEDULED
        }
        if not ends:
            return []
        left = [attempt for token, attempt in self._attempts.items() if attempt.key in ends and token not in reported]
        return [ended_from_outside(attempt, ends[attempt.key]) for attempt in left]

    def _row(self, key: TaskKey) -> str:
        return str(self._machine.records[key].note.get("row", ""))

    def job(self, key: TaskKey, token: Token, attempt: int) -> Job:
        """What this attempt is given."""
        return self.jobs.make(
            self._tasks[key.task_id],
            key=key,
            token=token,
            attempt=attempt,
            run=self._machine.run,
            records=self._machine.records,
            values=self._values,
            captures=self._captures.of(key.task_id),
            given=self._ongoing.given(self._machine.records[key]),
            now=self._at.clock.now(),
        )

    def _hear(self, event: ExecutorEvent) -> None:
        """Called by the executor from any thread."""
        if isinstance(event, Report | AttemptBegan):
            self._inbox.put(event)
            if isinstance(event, Report):
                return
        attempt = self._attempts.get(event.token)
        if attempt is None:
            return
        if isinstance(event, OutputMade):
            attempt.heard.add(event.output)
        self._watchers.said(attempt.key, attempt.number, event)
