# SPDX-License-Identifier: BSD-3-Clause
"""The driver of one run: a thread that turns news into steps, records each step, then acts on it.

    news (reports, requests, releases, time)  ->  RunMachine.handle  ->  one commit  ->  commands (submit, cancel, wake, finish)

It holds the run's lease; a commit that is refused (`Superseded`) ends it without another word, since somebody else drives the run now.
Nothing it does depends on who asked for the run: live it is a thread of the kernel, headless a thread of the papermill host.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from nbflow.core.errors import NbflowError, StoreError, Superseded
from nbflow.core.events import (
    Cancel,
    CancelRequested,
    ClearRequested,
    Command,
    Event,
    Expand,
    MarkRequested,
    ResultFound,
    RunAbandoned,
    RunStarted,
    Step,
    Submit,
    WakeAt,
    Watch,
    Woke,
)
from nbflow.core.graph import Graph
from nbflow.core.hosting import Advanced, TaskFailure
from nbflow.core.ids import RunId, TaskId, TaskKey
from nbflow.core.job import CaptureSet
from nbflow.core.limits import Asks
from nbflow.core.machine import RunMachine
from nbflow.core.model import Flow
from nbflow.core.protocols import RunObserver
from nbflow.core.records import Change, Lease, RunRecord, TaskRecord
from nbflow.core.snapshot import RunSnapshot
from nbflow.core.states import OCCUPYING, TaskState
from nbflow.engine.callbacks import Callbacks
from nbflow.engine.captures import HandedOver
from nbflow.engine.dispatch import Dispatch
from nbflow.engine.in_flight import InFlight
from nbflow.engine.inbox import Inbox, monotonic
from nbflow.engine.lease import LeaseKeeper
from nbflow.engine.news import Batch, News
from nbflow.engine.ongoing import Ongoing
from nbflow.engine.past import PastRuns
from nbflow.engine.reaping import abandon
from nbflow.engine.resume import GoingOn, settle
from nbflow.engine.reuse import Reuse
from nbflow.engine.surroundings import Surroundings
from nbflow.engine.triggers import TriggerRunner
from nbflow.engine.values import Values, namespace_after
from nbflow.engine.watchers import Watchers

_log = logging.getLogger("nbflow.driver")
#: Seconds between two looks at the requests others left in the store.
_REQUEST_PERIOD = 0.25


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
        goes_on: GoingOn | None = None,
        changes: Sequence[Change] = (),
    ) -> None:
        """`goes_on`: the run had a driver before, and somebody asks to go on with it: its last attempts are settled first.

        `changes` made `run` and `records` of what is recorded: they are recorded with the first commit.
        """
        self._changes = tuple(changes)
        self._flow, self._lease, self._at = flow, lease, surroundings
        self._goes_on = goes_on
        records = tuple(records)
        self._machine = RunMachine(flow, run, records, held=held)
        self._tasks = {task.id: task for task in flow.tasks}
        self._captures = captures
        self._values = values or Values()
        self._inbox = Inbox()
        self._watchers = Watchers(RunSnapshot.of(run, records), observers)
        parts: dict[str, Any] = {"machine": self._machine, "surroundings": surroundings, "captures": captures, "values": self._values}
        self._ongoing = Ongoing(surroundings.store, run.run_id, records)
        self._attempts = InFlight(flow=flow, inbox=self._inbox, watchers=self._watchers, ongoing=self._ongoing, **parts)
        self._triggers = TriggerRunner(surroundings.store, self._watchers, self._inbox.put)
        self._news = News(flow=flow, lease=lease, attempts=self._attempts, watchers=self._watchers, ongoing=self._ongoing, **parts)
        self._reuse = Reuse(flow=flow, surroundings=surroundings, attempts=self._attempts, fresh=run.fresh)
        self._dispatch = Dispatch(flow, self._machine, ahead=surroundings.ahead, parallelism=surroundings.parallelism)
        self._callbacks = Callbacks(flow=flow, run=run, surroundings=surroundings, captures=captures)
        self._past = PastRuns(surroundings.store, flow, run)
        self._wakes: set[datetime] = set()
        self._keeper = LeaseKeeper(surroundings.store, lease, self._inbox.put)
        self._over = False
        self._begun = False
        #: What may come while the run is ending, and must not be lost; None when it is too late for that.
        self._asked: list[ClearRequested | MarkRequested] | None = []
        self._asking = threading.Lock()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._drive, name=f"nbflow-driver-{run.run_id}", daemon=True)

    # --- for everyone ------------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> RunId:
        return self._lease.run_id

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

    def clear(self, keys: Iterable[TaskKey], by: str = "") -> bool:
        """Run these task instances again. False when the run has ended here: then somebody must drive it anew."""
        return self.ask(ClearRequested(keys=tuple(keys), by=by))

    def ask(self, event: ClearRequested | MarkRequested) -> bool:
        """Have this done by the driver. False when the run has ended here, and its driver lets go: then somebody else must do it."""
        with self._asking:
            if self._asked is None:
                return False
            self._asked.append(event)
        self.post(Woke())
        return True

    def release(self, tasks: Iterable[TaskId], captures: CaptureSet) -> None:
        """The cells above `tasks` have run: they may be scheduled, with these captures."""
        self._inbox.put((tuple(tasks), captures))

    def abandon(self, reason: str) -> None:
        """Nobody can go on with this run: what is unfinished is cancelled and the run fails with `reason`."""
        self.post(RunAbandoned(reason=reason))

    def snapshot(self) -> RunSnapshot:
        """The run as last recorded."""
        return self._watchers.snapshot

    def observe(self, observer: RunObserver) -> None:
        self._watchers.add(observer)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run; False when `timeout` seconds passed first. Raises what ended the driver itself."""
        return self._wait(lambda: self._over, timeout)

    def wait_for(self, tasks: Iterable[TaskId], timeout: float | None = None) -> bool:
        """Wait until these tasks have ended (or the run has)."""
        wanted = set(tasks)

        def ended() -> bool:
            if self._over:
                return True
            snapshot = self._watchers.snapshot
            return all(record.state.is_finished for key, record in snapshot.tasks.items() if key.task_id in wanted)

        return self._wait(ended, timeout)

    def advanced(self, tasks: Collection[TaskId] | None = None) -> Advanced:
        """How far the run is, with the values for a kernel's namespace: of all tasks, or of these."""
        snapshot, errors = self._watchers.snapshot, self._news.errors
        failed = [key for key, record in snapshot.tasks.items() if record.state is TaskState.FAILED]
        failures = tuple(
            TaskFailure(task=key.task_id, cell=self._tasks[key.task_id].cell, error=errors[key], reason=snapshot.tasks[key].reason)
            for key in failed
            if key in errors
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
                self._callbacks.catch_up()
                self._take_up(self._goes_on)
            self._perform_all(self._machine.resume(self._at.clock.now()).commands)
            self._begun = True
            self._watchers.look_again()
            asked = monotonic() - (_REQUEST_PERIOD if self._past.is_wanted else 0)
            reaped = monotonic()
            while not self._is_done():
                items = self._inbox.take(self._patience()) + self._take_asked()
                now = monotonic()
                if self._dispatch.is_waiting and now - reaped >= self._lease.seconds:
                    reaped = now
                    with contextlib.suppress(NbflowError):  # whoever opens the workspace does it, too
                        self._at.reap()
                if now - asked >= _REQUEST_PERIOD or self._machine.run.state.is_finished:
                    asked = now
                    with contextlib.suppress(StoreError):  # asked again soon; only what must be recorded ends the driver
                        items += self._at.store.requests(self.run_id)
                        if self._past.is_wanted:
                            items += self._past.news(self._machine.records.values())
                self._advance(items)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the run must hear of it, whatever it is
            self._failure = error
            if not isinstance(error, NbflowError):
                _log.exception("the driver of run %s stopped", self.run_id)
        finally:
            self._let_go()

    def _is_done(self) -> bool:
        """The run has ended, and nobody has asked for more of it meanwhile, here or elsewhere: from now on it is too late for that."""
        if not self._machine.run.state.is_finished:
            return False
        with contextlib.suppress(StoreError):  # as in the loop; and what is left now is seen once more before the lease is given back
            if self._at.store.requests(self.run_id):
                return False
        with self._asking:
            if not self._asked:
                self._asked = None
            return self._asked is None

    def _take_asked(self) -> list[ClearRequested | MarkRequested]:
        with self._asking:
            asked, self._asked = self._asked or [], []
        return asked

    def _take_up(self, asked: GoingOn) -> None:
        """Settle the last attempts of the driver before, clear what failed and what depends on it; one commit records it all."""
        at = self._at
        reports = settle(self._machine.records.values(), at.executor, at.artifacts)
        now = at.clock.now()
        batch = Batch(steps=[Step(changes=self._changes), self._machine.handle(RunStarted(), now)])
        for record in [record for record in self._machine.records.values() if record.token and record.state in OCCUPYING]:
            assert record.token is not None
            self._attempts.adopt(record.key, record.token, record.attempt)
            self._handle(self._news.events_of_report(reports[record.token], batch), batch, now)
        again = asked.again(Graph.of(self._flow, self._machine.run.tasks), self._machine.records)
        if again:
            for key in again:
                self._values.forget(key)
                self._news.errors.pop(key, None)
            self._handle([ClearRequested(keys=again, by=asked.by)], batch, now)
        self._expand(batch, now)
        # Whoever wanted it to end before did not want what is asked for now.
        if not asked.unattended:
            batch.requests = [request.id for request in at.store.requests(self.run_id) if request.kind == "cancel"]
        self._tell(self._record(batch, now))
        self._perform(batch)

    def _patience(self) -> float:
        """Seconds to wait for news before looking at the clock and the requests."""
        if self._machine.run.state.is_finished:
            return 0.0
        if not self._wakes:
            return _REQUEST_PERIOD
        due = (min(self._wakes) - self._at.clock.now()).total_seconds()
        return min(_REQUEST_PERIOD, max(0.0, due))

    def _advance(self, items: Sequence[object]) -> None:
        """Handle this news, record what it led to in one commit, then act."""
        now = self._at.clock.now()
        batch = Batch()
        for item in items:
            if isinstance(item, Superseded):
                raise item
            self._handle(self._news.events_of(item, batch), batch, now)
        if self._wakes and min(self._wakes) <= now:
            self._wakes = {at for at in self._wakes if at > now}
            self._handle([Woke()], batch, now)
        self._expand(batch, now)
        self._take_results(batch, now)
        recorded = self._record(batch, now, self._dispatch.asks(len(self._attempts), now))
        try:
            self._perform(batch)
            self._attempts.submit()
        finally:  # after the hand-over, since workers wait for that; and whatever became of it, since this much is recorded
            self._tell(recorded)

    def _handle(self, events: Iterable[Event], batch: Batch, now: datetime) -> None:
        batch.steps += [self._machine.handle(event, now) for event in events]

    def _expand(self, batch: Batch, now: datetime, since: int = 0) -> None:
        """Count the elements that mapped tasks wait for: their copies are recorded with what made them possible."""
        asked = [command.task for step in batch.steps[since:] for command in step.commands if isinstance(command, Expand)]
        while asked:
            id = asked.pop(0)
            answer = self._machine.handle(self._attempts.jobs.count(self._tasks[id], self._values, self._captures.of(id)), now)
            batch.steps.append(answer)
            asked += [command.task for command in answer.commands if isinstance(command, Expand)]

    def _take_results(self, batch: Batch, now: datetime) -> None:
        """Instances whose result is in the cache succeed here and now, and so may those below them: all in one commit."""
        if not self._reuse.is_wanted:
            return
        self._reuse.forget(change.key for change in batch.changes() if change.key is not None and change.after == TaskState.PENDING)
        while found := self._reuse.find(self._machine.waiting(), self._machine.records, now):
            since = len(batch.steps)
            for reused in found:
                attempt = reused.attempt
                self._handle([ResultFound(key=attempt.key, run_id=reused.run_id, decision=attempt.decision)], batch, now)
                record = self._machine.records[attempt.key]
                if record.state is TaskState.SUCCESS:
                    self._news.reused(replace(attempt, attempt=record.attempt), batch)
            self._expand(batch, now, since)

    def _record(self, batch: Batch, now: datetime, asks: Asks | None = None) -> Sequence[Change]:
        """One commit of all this; what it grants of `asks` is part of it, and of the batch. Returns what there is to `_tell`."""
        changes = batch.changes()
        attempts = self._news.taken(changes, batch.attempts)
        attempts += self._attempts.ended_from_outside(changes, {attempt.token for attempt in attempts})
        attempts += self._ongoing.noted(changes, attempts)
        entries = self._reuse.entries(attempts)
        recorded: Sequence[Change] = ()
        if asks is not None:
            answer = self._at.store.commit_asking(self._lease, asks, changes, attempts, batch.requests, entries=entries)
            steps = [self._machine.handle(event, now) for event in self._dispatch.answered(answer)]
            batch.steps += steps
            self._keeper.noted()
            granted = (change for step in steps for change in step.changes)
            recorded = self._watchers.recorded([*changes, *granted], answer.cursor)
            self._watchers.reworded(self._dispatch.news(asks, answer, now))
        elif changes or attempts or batch.requests:
            cursor = self._at.store.commit(self._lease, changes, attempts, batch.requests, entries=entries)
            self._keeper.noted()
            recorded = self._watchers.recorded(changes, cursor)
        for change in changes:  # what does not stand as succeeded any more gives nothing to those below
            if change.key is not None and change.before == TaskState.SUCCESS:
                self._values.forget(change.key)
        return recorded

    def _tell(self, recorded: Sequence[Change]) -> None:
        self._watchers.tell()
        self._callbacks.happened(recorded)

    def _perform(self, batch: Batch) -> None:
        self._perform_all(command for step in batch.steps for command in step.commands)

    def _perform_all(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case Submit():
                    self._attempts.order(command)
                case Cancel(token=token):
                    self._attempts.cancel(token)
                case Watch():
                    self._triggers.watch(command)
                case WakeAt(at=at):
                    self._wakes.add(at)

    def _let_go(self) -> None:
        with self._asking:
            self._asked = None
        try:
            self._leave()
        finally:  # whoever waits for the run would do so for ever
            self._over = True
            self._watchers.look_again()

    def _leave(self) -> None:
        if self._failure is None:
            self._callbacks.wait()
        self._triggers.stop()
        self._attempts.let_go(cancel=self._failure is not None and not self._is_left)
        self._keeper.stop()
        try:
            if self._failure is None:
                while not self._at.store.release_unless_asked(self._lease):
                    self._do_as_left()
            elif isinstance(self._failure, Superseded):
                self._at.store.release(self._lease)
            elif not self._is_left:  # from what was recorded: the machine may be ahead of that
                abandon(self._at.store, self._at.artifacts, self._lease, self._at.clock.now(), self._why_it_stopped())
        except NbflowError as error:  # the lease lapses by itself; the run's own outcome is what must be told
            _log.warning("The lease of run %s could not be given back: %s", self.run_id, error)
        except Exception:  # noqa: BLE001 - as above, with the traceback of what nobody foresaw
            _log.exception("the lease of run %s could not be given back", self.run_id)

    def _do_as_left(self) -> None:
        """What others asked for while the run was being left is done as they would do it where nobody drives it: who goes on with it runs it."""
        now, batch = self._at.clock.now(), Batch()
        for request in self._at.store.requests(self.run_id):
            for event in self._news.events_of(request, batch):
                self._handle([replace(event, waits=True) if isinstance(event, ClearRequested) else event], batch, now)
        self._record(batch, now)
        self._watchers.tell()

    @property
    def _is_left(self) -> bool:
        """The database is away from a run that nobody waits for: its lease lapses, and whoever notices goes on with it, and settles its attempts."""
        return self._goes_on is not None and self._goes_on.unattended and isinstance(self._failure, StoreError)

    def _why_it_stopped(self) -> str:
        known = isinstance(self._failure, NbflowError)
        return str(self._failure) if known else f"The driver of this run stopped: {type(self._failure).__name__}: {self._failure}"

    def _wait(self, ended: Callable[[], bool], timeout: float | None) -> bool:
        done = self._watchers.wait(ended, timeout)
        if self._failure is not None:
            raise self._failure
        return done
