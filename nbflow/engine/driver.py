# SPDX-License-Identifier: BSD-3-Clause
"""The driver of one run: a thread that turns news into steps, records each step, then acts on it.

    news (reports, requests, releases, time)  ->  RunMachine.handle  ->  one commit  ->  commands (submit, cancel, wake, finish)

It holds the run's lease; a commit that is refused (`Superseded`) ends it without another word, since somebody else drives the run now.
Nothing it does depends on who asked for the run: live it is a thread of the kernel, headless a thread of the papermill host.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from nbflow.core.errors import NbflowError, Superseded
from nbflow.core.events import (
    AttemptStarted,
    Cancel,
    CancelRequested,
    ClearRequested,
    Event,
    Expand,
    MarkRequested,
    RunAbandoned,
    RunStarted,
    SlotGranted,
    Step,
    Submit,
    TasksReleased,
    WakeAt,
    Woke,
)
from nbflow.core.graph import Graph
from nbflow.core.hosting import Advanced, TaskFailure
from nbflow.core.ids import RunId, TaskId, TaskKey, Token
from nbflow.core.job import AttemptBegan, CaptureSet, ErrorInfo, ExecutorEvent, Job, Outcome, OutputMade, Report
from nbflow.core.machine import RunMachine
from nbflow.core.model import Flow
from nbflow.core.protocols import ArtifactStore, Clock, Executor, RunObserver, Store
from nbflow.core.records import AttemptRecord, Change, Lease, Request, RunRecord, TaskRecord
from nbflow.core.snapshot import RunSnapshot, fold
from nbflow.core.states import OCCUPYING, RunState, TaskState
from nbflow.engine.attempts import Attempt, ended_from_outside, error_of, events_of, reported
from nbflow.engine.captures import HandedOver
from nbflow.engine.dispatch import grant
from nbflow.engine.inbox import Inbox, Switchboard, monotonic
from nbflow.engine.jobs import JobMaker
from nbflow.engine.lease import LeaseKeeper
from nbflow.engine.reaping import abandon
from nbflow.engine.resume import settle, to_run_again
from nbflow.engine.values import Values, namespace_after

_log = logging.getLogger("nbflow.driver")
#: Seconds between two looks at the requests others left in the store.
_REQUEST_PERIOD = 0.25


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a driver stands on, the same for every run of a workspace."""

    store: Store
    artifacts: ArtifactStore
    executor: Executor
    switchboard: Switchboard
    clock: Clock
    artifacts_url: str
    keep_limit: int
    parallelism: int


class Driver:
    """Advances one run to its end. Start it once; everything else may be called from any thread."""

    def __init__(
        self,
        *,
        flow: Flow,
        run: RunRecord,
        records: Iterable[TaskRecord],
        lease: Lease,
        surroundings: Surroundings,
        captures: HandedOver,
        values: Values | None = None,
        held: Collection[TaskId] = (),
        observers: Sequence[RunObserver] = (),
        goes_on: str | None = None,
    ) -> None:
        """`goes_on`: the run had a driver before, and this person asks to go on with it: its last attempts are settled first."""
        self._flow, self._lease, self._at = flow, lease, surroundings
        self._goes_on = goes_on
        records = tuple(records)
        self._machine = RunMachine(flow, run, records, held=held)
        self._tasks = {task.id: task for task in flow.tasks}
        self._jobs = JobMaker(flow=flow, artifacts_url=surroundings.artifacts_url, keep_limit=surroundings.keep_limit)
        self._captures = captures
        self._values = values or Values()
        self._observers = list(observers)
        self._inbox = Inbox()
        self._attempts: dict[Token, Attempt] = {}
        self._errors: dict[TaskKey, ErrorInfo] = {}
        self._wakes: set[datetime] = set()
        self._to_submit: list[Submit] = []
        #: Cancelled attempts that may still be running, by instance: its next attempt waits for that.
        self._endings: dict[TaskKey, Future[None]] = {}
        self._keeper = LeaseKeeper(surroundings.store, lease, self._inbox.put)
        self._snapshot = RunSnapshot.of(run, records)
        self._news = threading.Condition()
        self._over = False
        self._begun = False
        self._failure: BaseException | None = None
        self._cancellers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="nbflow-cancel")
        self._thread = threading.Thread(target=self._drive, name=f"nbflow-driver-{run.run_id}", daemon=True)

    # --- for everyone ------------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> RunId:
        return self._snapshot.run.run_id

    @property
    def is_over(self) -> bool:
        """Nothing is driven here any more: the run has ended, or its driver has."""
        return self._over

    def start(self) -> None:
        """Returns when the run is being driven; where it goes on, when its last attempts are settled. Raises what is in the way."""
        self._inbox.put(RunStarted())
        self._keeper.start()
        self._thread.start()
        if self._goes_on is not None:
            self._wait(lambda: self._begun or self._over, None)

    def post(self, event: Event) -> None:
        """Tell the machine something; it is handled with whatever else is there."""
        self._inbox.put(event)

    def cancel(self, keys: Iterable[TaskKey] = (), by: str = "") -> None:
        """Cancel these task instances, or the run."""
        self.post(CancelRequested(keys=tuple(keys), by=by))

    def release(self, tasks: Iterable[TaskId], captures: CaptureSet) -> None:
        """The cells above `tasks` have run: they may be scheduled, with these captures."""
        self._inbox.put((tuple(tasks), captures))

    def abandon(self, reason: str) -> None:
        """Nobody can go on with this run: what is unfinished is cancelled and the run fails with `reason`."""
        self.post(RunAbandoned(reason=reason))

    def snapshot(self) -> RunSnapshot:
        """The run as last recorded."""
        return self._snapshot

    def observe(self, observer: RunObserver) -> None:
        self._observers.append(observer)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run; False when `timeout` seconds passed first. Raises what ended the driver itself."""
        return self._wait(lambda: self._over, timeout)

    def wait_for(self, tasks: Iterable[TaskId], timeout: float | None = None) -> bool:
        """Wait until these tasks have ended (or the run has)."""
        wanted = set(tasks)

        def ended() -> bool:
            if self._over:
                return True
            snapshot = self._snapshot
            return all(record.state.is_finished for key, record in snapshot.tasks.items() if key.task_id in wanted)

        return self._wait(ended, timeout)

    def advanced(self, tasks: Collection[TaskId] | None = None) -> Advanced:
        """How far the run is, with the values for a kernel's namespace: of all tasks, or of these."""
        snapshot = self._snapshot
        failed = [key for key, record in snapshot.tasks.items() if record.state is TaskState.FAILED]
        failures = tuple(
            TaskFailure(task=key.task_id, cell=self._tasks[key.task_id].cell, error=self._errors[key], reason=snapshot.tasks[key].reason)
            for key in failed
            if key in self._errors
        )
        return Advanced(
            run_id=snapshot.run.run_id,
            state=snapshot.run.state,
            values=namespace_after([task for task in self._flow.tasks if tasks is None or task.id in tasks], self._values),
            failures=failures,
            sentence=snapshot.sentence(self._at.clock.now()),
        )

    # --- the thread --------------------------------------------------------------------------------------------------

    def _drive(self) -> None:
        try:
            if self._goes_on is not None:
                self._take_up(self._goes_on)
            self._perform_all(self._machine.resume(self._at.clock.now()))
            with self._news:
                self._begun = True
                self._news.notify_all()
            asked = monotonic()
            while not self._machine.run.state.is_finished:
                items = self._inbox.take(self._patience())
                now = monotonic()
                if now - asked >= _REQUEST_PERIOD:
                    asked = now
                    items += self._at.store.requests(self.run_id)
                self._advance(items)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the run must hear of it, whatever it is
            self._failure = error
            if not isinstance(error, NbflowError):
                _log.exception("the driver of run %s stopped", self.run_id)
        finally:
            self._let_go()

    def _take_up(self, by: str) -> None:
        """Settle the last attempts of the driver before, clear what failed and what depends on it; one commit records it all."""
        at = self._at
        reports = settle(self._machine.records.values(), at.executor, at.artifacts)
        now = at.clock.now()
        attempts: list[AttemptRecord] = []
        steps = [self._machine.handle(RunStarted(), now)]
        for record in [record for record in self._machine.records.values() if record.token and record.state in OCCUPYING]:
            assert record.token is not None
            self._attempts[record.token] = Attempt(record.key, record.attempt, self._job(record.key, record.token, record.attempt))
            steps += [self._machine.handle(event, now) for event in self._events_of_report(reports[record.token], attempts)]
        again = to_run_again(Graph.of(self._flow, self._machine.run.tasks), self._machine.records)
        if again:
            for key in again:
                self._values.forget(key)
                self._errors.pop(key, None)
            steps.append(self._machine.handle(ClearRequested(keys=again, by=by), now))
        steps += self._expand(steps, now)
        # Whoever wanted it to end before did not want what is asked for now.
        stale = [request.id for request in at.store.requests(self.run_id) if request.kind == "cancel"]
        self._record(steps, attempts, stale)
        for step in steps:
            self._perform_all(step)

    def _patience(self) -> float:
        """Seconds to wait for news before looking at the clock and the requests."""
        if not self._wakes:
            return _REQUEST_PERIOD
        due = (min(self._wakes) - self._at.clock.now()).total_seconds()
        return min(_REQUEST_PERIOD, max(0.0, due))

    def _advance(self, items: Sequence[object]) -> None:
        """Handle this news, record what it led to in one commit, then act."""
        now = self._at.clock.now()
        attempts: list[AttemptRecord] = []
        requests: list[int] = []
        steps: list[Step] = []
        for item in items:
            if isinstance(item, Superseded):
                raise item
            steps += [self._machine.handle(event, now) for event in self._events_of(item, attempts, requests)]
        if self._wakes and min(self._wakes) <= now:
            self._wakes = {at for at in self._wakes if at > now}
            steps.append(self._machine.handle(Woke(), now))
        steps += self._expand(steps, now)
        steps += self._dispatch(now)
        self._record(steps, attempts, requests)
        for step in steps:
            self._perform_all(step)
        self._submit_pending()

    def _record(self, steps: Iterable[Step], attempts: list[AttemptRecord], requests: Sequence[int]) -> None:
        changes = [change for step in steps for change in step.changes]
        attempts = self._refused(changes, attempts)
        attempts += self._archive(changes, {attempt.token for attempt in attempts})
        if changes or attempts or requests:
            cursor = self._at.store.commit(self._lease, changes, attempts, requests)
            self._keeper.noted()
            self._publish(changes, cursor)
        for change in changes:  # what does not stand as succeeded any more gives nothing to those below
            if change.key is not None and change.before == TaskState.SUCCESS:
                self._values.forget(change.key)

    def _events_of(self, item: object, attempts: list[AttemptRecord], requests: list[int]) -> Iterable[Event]:
        """What this piece of news means to the machine."""
        match item:
            case Report():
                return self._events_of_report(item, attempts)
            case AttemptBegan(token=token) if token in self._attempts:
                attempt = self._attempts[token]
                attempt.began = item
                return [AttemptStarted(key=attempt.key, token=token, at=item.at, worker=item.worker)]
            case Request(kind="cancel", keys=keys, by=by, id=number):
                requests.append(number)
                return [CancelRequested(keys=keys, by=by)]
            case Request(kind="clear", keys=keys, by=by, id=number):
                requests.append(number)
                return [ClearRequested(keys=keys, by=by)]
            case Request(kind="mark", keys=keys, by=by, id=number, arguments=arguments):
                requests.append(number)
                state = TaskState(arguments["state"]) if keys else RunState(arguments["state"])
                return [MarkRequested(state=state, keys=keys, by=by)]
            case Request(id=number, kind=kind):
                requests.append(number)
                _log.warning("run %s: nobody knows the request %r; it was dropped", self.run_id, kind)
                return []
            case (tuple() as tasks, CaptureSet() as captures):
                return [self._released(tasks, captures)]
            case AttemptBegan():
                return []
        return [item]  # type: ignore[list-item]  # whatever else stands in the inbox was put there by post()

    def _released(self, tasks: tuple[TaskId, ...], captures: CaptureSet) -> TasksReleased:
        if self._captures.add(tasks, captures):
            self._at.store.renew(self._lease)  # a driver that was superseded writes nothing
            self._at.store.save_captures(self.run_id, self._captures.encode(), self._captures.hashes())
        return TasksReleased(tasks=tasks)

    def _events_of_report(self, report: Report, attempts: list[AttemptRecord]) -> list[Event]:
        attempt = self._attempts.get(report.token)
        if attempt is None:
            return []
        self._attempts.pop(report.token)
        self._at.switchboard.disconnect([report.token])
        key = attempt.key
        record = self._machine.records.get(key)
        if record is None or record.token != report.token:
            return []  # it was cancelled meanwhile, and archived with that
        attempts.append(reported(attempt, report))
        self._notify(key, attempt.number, report)
        if report.outcome is Outcome.SUCCESS:
            self._values.keep(key, report.values, report.left_out, report.elements)
        elif report.outcome is not Outcome.SKIPPED:
            self._errors[key] = error_of(report)
        return events_of(key, report)

    def _expand(self, steps: Sequence[Step], now: datetime) -> list[Step]:
        """Count the elements that mapped tasks wait for: their copies are recorded with what made them possible."""
        answers: list[Step] = []
        asked = [command.task for step in steps for command in step.commands if isinstance(command, Expand)]
        while asked:
            id = asked.pop(0)
            answer = self._jobs.count(self._tasks[id], self._values, self._captures.of(id))
            answers.append(self._machine.handle(answer, now))
            asked += [command.task for command in answers[-1].commands if isinstance(command, Expand)]
        return answers

    def _dispatch(self, now: datetime) -> list[Step]:
        waiting = self._machine.waiting()
        if not waiting:
            return []
        keys = grant(waiting, len(self._attempts), parallelism=self._at.parallelism, max_active_tasks=self._flow.options.max_active_tasks)
        return [self._machine.handle(SlotGranted(key=key, token=Token(uuid.uuid4().hex)), now) for key in keys]

    def _refused(self, changes: Sequence[Change], attempts: list[AttemptRecord]) -> list[AttemptRecord]:
        """Attempts whose body ran well but whose decision the machine could not follow failed; what they gave does not count."""
        why = {change.key: change.reason for change in changes if change.key is not None and change.after == TaskState.FAILED}
        for attempt in attempts:
            if attempt.key in why and attempt.outcome == Outcome.SUCCESS.value:
                self._values.forget(attempt.key)
                self._errors[attempt.key] = ErrorInfo(ename="BranchError", evalue=why[attempt.key], may_retry=False)
        wrong = {attempt.token for attempt in attempts if attempt.key in why and attempt.outcome == Outcome.SUCCESS.value}
        return [replace(one, outcome=Outcome.FAILED.value, reason=why[one.key]) if one.token in wrong else one for one in attempts]

    def _archive(self, changes: Sequence[Change], reported: set[Token]) -> list[AttemptRecord]:
        """Attempts that ended without a report (cancelled, marked, cleared while they ran) keep what was heard of them."""
        archived = []
        for change in changes:
            if change.key is None or change.before not in OCCUPYING or change.after in OCCUPYING:
                continue
            for token, attempt in list(self._attempts.items()):
                if attempt.key == change.key and token not in reported and (change.task is None or change.after != TaskState.SCHEDULED):
                    archived.append(ended_from_outside(attempt, change))
        return archived

    # --- acting ------------------------------------------------------------------------------------------------------

    def _perform_all(self, step: Step) -> None:
        for command in step.commands:
            match command:
                case Submit():
                    self._to_submit.append(command)
                case Cancel(token=token):
                    self._cancel(token)
                case WakeAt(at=at):
                    self._wakes.add(at)

    def _submit_pending(self) -> None:
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
            job = self._job(command.key, command.token, command.attempt)
            self._attempts[command.token] = Attempt(command.key, command.attempt, job)
            jobs.append(job)
        self._to_submit = waiting
        if jobs:
            self._at.switchboard.connect([job.token for job in jobs], self._hear)
            self._at.executor.submit(jobs)

    def _job(self, key: TaskKey, token: Token, attempt: int) -> Job:
        return self._jobs.make(
            self._tasks[key.task_id],
            key=key,
            token=token,
            attempt=attempt,
            run=self._machine.run,
            records=self._machine.records,
            values=self._values,
            captures=self._captures.of(key.task_id),
        )

    def _cancel(self, token: Token) -> None:
        attempt = self._attempts.pop(token, None)
        self._at.switchboard.disconnect([token])
        ending = self._cancellers.submit(self._at.executor.cancel, [token])
        if attempt is not None:
            self._endings[attempt.key] = ending
            ending.add_done_callback(lambda _: self._inbox.put(Woke()))

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
        self._notify(attempt.key, attempt.number, event)

    def _publish(self, changes: Sequence[Change], cursor: int) -> None:
        first = cursor - len(changes) + 1
        numbered = [replace(change, cursor=first + number) for number, change in enumerate(changes)]
        with self._news:
            self._snapshot = fold(self._snapshot, numbered)
            self._news.notify_all()
        for observer in self._observers:
            try:
                observer.changed(numbered)
            except Exception:  # noqa: BLE001 - a view that fails must not break the run
                _log.exception("an observer of run %s failed", self.run_id)

    def _notify(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        for observer in self._observers:
            try:
                observer.said(key, attempt, event)
            except Exception:  # noqa: BLE001 - as above
                _log.exception("an observer of run %s failed", self.run_id)

    def _let_go(self) -> None:
        tokens = list(self._attempts)
        self._at.switchboard.disconnect(tokens)
        if tokens and self._failure is not None:
            self._cancellers.submit(self._at.executor.cancel, tokens)
        self._cancellers.shutdown(wait=True)
        self._keeper.stop()
        try:
            if self._failure is None or isinstance(self._failure, Superseded):
                self._at.store.release(self._lease)
            else:  # from what was recorded: the machine may be ahead of that
                abandon(self._at.store, self._at.artifacts, self._lease, self._at.clock.now(), self._why_it_stopped())
        except NbflowError as error:  # the lease lapses by itself; the run's own outcome is what must be told
            _log.warning("The lease of run %s could not be given back: %s", self.run_id, error)
        except Exception:  # noqa: BLE001 - as above, with the traceback of what nobody foresaw
            _log.exception("the lease of run %s could not be given back", self.run_id)
        with self._news:
            self._over = True
            self._news.notify_all()

    def _why_it_stopped(self) -> str:
        known = isinstance(self._failure, NbflowError)
        return str(self._failure) if known else f"The driver of this run stopped: {type(self._failure).__name__}: {self._failure}"

    def _wait(self, ended: object, timeout: float | None) -> bool:
        assert callable(ended)
        with self._news:
            done = self._news.wait_for(ended, timeout)
        if self._failure is not None:
            raise self._failure
        return bool(done)
