# SPDX-License-Identifier: BSD-3-Clause
"""What happened becomes runs: assets that were updated, runs of other flows that ended, files that appeared or changed.

    a run ended      ->  one run for each, at once
    assets           ->  one run when the expression holds for what was updated since the last such run; it takes all of those updates.
                         While as many runs of the flow as may are active, updates go on gathering (Airflow does the same)
    a file           ->  one run for each that is new or has changed and is found alike by two looks

Whoever takes an occasion makes its run in the same transaction, so that any number of schedulers start each once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import PurePath
from typing import Final, Protocol

from nbflow.core.backfills import BACKFILL
from nbflow.core.deployments import Deployment
from nbflow.core.errors import NbflowError
from nbflow.core.occasions import Kind, Occasion
from nbflow.core.planning import EVENTS, started_run
from nbflow.core.protocols import Store
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.schedule import Overlap, Schedule
from nbflow.core.watching import MOST_FILES, News, Thing, Watch, failed, looked

_log = logging.getLogger("nbflow.scheduler")
#: Deployments and watches looked at in one query.
_PAGE: Final = 100
#: Updates of one asset that wait for others: of more the newest are kept.
_MOST_WAITING: Final = 1000
#: A look that was begun by a scheduler which died is begun by another after this.
_PATIENCE: Final = timedelta(minutes=2)
_MICROSECOND: Final = timedelta(microseconds=1)
#: What a look found, or why it failed.
Found = Mapping[str, Thing] | str


class Looks(Protocol):
    """Who looks at files, without holding up whoever asks."""

    def room(self, watch: Watch) -> bool:
        """Whether a look at this may begin now."""
        ...

    def begin(self, watch: Watch, url: str, now: datetime) -> None: ...

    def ended(self, now: datetime) -> Sequence[tuple[Watch, Found]]:
        """Those that ended, or took too long, since the last call."""
        ...


class Hall(Protocol):
    """What the scheduler knows of deployments."""

    store: Store

    def schedule_of(self, deployment: Deployment) -> Schedule: ...

    def records_of(self, version: str) -> tuple[TaskRecord, ...]: ...

    def parameters_of(self, version: str) -> frozenset[str]: ...

    def pauses(self, deployment: Deployment, schedule: Schedule, now: datetime) -> bool:
        """Whether the flow pauses itself now."""
        ...

    def make_room(self, active: Sequence[RunRecord], run: RunRecord, schedule: Schedule, now: datetime) -> None:
        """Cancel the oldest of these runs, as many as this one needs."""
        ...


class Arriving:
    """One look of a scheduler at what happened."""

    def __init__(self, hall: Hall, looks: Looks | None, pause: timedelta) -> None:
        """`pause` lies between two looks at the same files."""
        self._hall, self._looks, self._pause = hall, looks, pause
        self._last: datetime | None = None

    def turn(self, now: datetime) -> None:
        """What fails for one flow is logged and keeps no other from starting."""
        self._each(self._pending, lambda name: self._start(name, now))
        if self._looks is not None:
            for watch, found in self._looks.ended(now):
                self._guarded(watch.name, lambda watch=watch, found=found: self._settle(watch, found, now))  # type: ignore[misc]  # its defaults
            for watch in self._hall.store.occasions.due_watches(now, _PAGE):
                if self._looks.room(watch):
                    self._guarded(watch.name, lambda watch=watch: self._look(watch, now))  # type: ignore[misc]  # as above

    def _pending(self, without: set[str]) -> tuple[str, ...]:
        return self._hall.store.occasions.pending(_PAGE, without=without)

    def _each(self, find: Callable[[set[str]], tuple[str, ...]], do: Callable[[str], bool]) -> None:
        """Until nothing is found but what waits."""
        waiting: set[str] = set()
        while names := find(waiting):
            for name in names:
                if not self._guarded(name, lambda name=name: do(name)):  # type: ignore[misc]  # as above
                    waiting.add(name)

    @staticmethod
    def _guarded(name: str, do: Callable[[], bool]) -> bool:
        try:
            return do()
        except NbflowError as error:
            _log.warning("flow %s does not start by what happened: %s", name, error)
            return False

    # --- assets and flows ----------------------------------------------------------------------------------------------

    def _start(self, name: str, now: datetime) -> bool:
        """Whether everything that is there was looked after."""
        store = self._hall.store
        deployment = store.deployments.get(name)
        if not deployment.version:
            return False
        schedule = self._hall.schedule_of(deployment)
        waiting = store.occasions.waiting(name)
        for occasion in waiting:
            if occasion.kind is Kind.FLOW and not self._take(deployment, schedule, [occasion], now):
                return False
        updates = [occasion for occasion in waiting if occasion.kind is Kind.ASSET]
        return not updates or self._weigh(deployment, schedule, updates, now)

    def _weigh(self, deployment: Deployment, schedule: Schedule, updates: Sequence[Occasion], now: datetime) -> bool:
        condition, occasions = schedule.starts.condition, self._hall.store.occasions
        if condition is not None and condition.holds({update.subject for update in updates}):
            if schedule.on_overlap is Overlap.QUEUE and len(self._active(deployment)) >= schedule.max_active_runs:
                return False
            return self._take(deployment, schedule, updates, now)
        dropped = _too_many(updates)
        if dropped and not occasions.start(deployment.name, dropped, None):
            return False
        occasions.looked(deployment.name, [update.id for update in updates])
        return True

    def _take(self, deployment: Deployment, schedule: Schedule, occasions: Sequence[Occasion], now: datetime) -> bool:
        """Start the run of these. False when somebody else did, or the flow pauses itself."""
        if self._hall.pauses(deployment, schedule, now):
            return False
        runs = self._runs(deployment, schedule, [occasions], now)
        run = runs[0] if runs else None
        started = self._hall.store.occasions.start(
            deployment.name, [occasion.id for occasion in occasions], run, self._hall.records_of(deployment.version)
        )
        if started:
            self._cancel_previous(deployment, schedule, runs, now)
        return started

    # --- files ---------------------------------------------------------------------------------------------------------

    def _look(self, watch: Watch, now: datetime) -> bool:
        deployment = self._hall.store.deployments.get(watch.name)
        taken = self._hall.store.occasions.take_watch(watch, now + max(_PATIENCE, self._pause))
        if taken is not None and self._looks is not None:
            self._looks.begin(taken, _from_folder(watch.url, deployment.path), now)
        return taken is not None

    def _settle(self, watch: Watch, found: Found, now: datetime) -> bool:
        occasions = self._hall.store.occasions
        if not isinstance(found, str) and len(found) > MOST_FILES:
            found = f"{watch.url} matches {len(found)} files, and {MOST_FILES} are the most: write a narrower pattern."
        if isinstance(found, str):
            if not watch.error:
                _log.warning("flow %s: %s", watch.name, found)
            return occasions.settle_watch(failed(watch, found, now, self._pause))
        deployment = self._hall.store.deployments.get(watch.name)
        since = max(deployment.since, deployment.counted_from or deployment.since)
        after, news = looked(watch, found, since, now, self._pause)
        if not news and replace(after, due=watch.due) == watch:
            return occasions.take_watch(watch, after.due) is not None
        return self._start_files(deployment, after, news, now)

    def _start_files(self, deployment: Deployment, watch: Watch, news: Sequence[News], now: datetime) -> bool:
        schedule = self._hall.schedule_of(deployment)
        if news and (not deployment.version or self._hall.pauses(deployment, schedule, now)):
            return False  # they are news of a later look
        arrived = [[Occasion(kind=Kind.FILE, subject=each.path, change=each.change, at=now)] for each in news]
        runs = self._runs(deployment, schedule, arrived, now)
        tasks = self._hall.records_of(deployment.version) if runs else ()
        settled = self._hall.store.occasions.settle_watch(watch, [(run, tasks) for run in runs])
        if settled:
            self._cancel_previous(deployment, schedule, runs, now)
        return settled

    # --- runs ----------------------------------------------------------------------------------------------------------

    def _runs(self, deployment: Deployment, schedule: Schedule, several: Sequence[Sequence[Occasion]], now: datetime) -> list[RunRecord]:
        """A run for each; under `on_overlap = "skip"` none more than may be active."""
        if schedule.on_overlap is Overlap.SKIP and several:
            several = several[: max(0, schedule.max_active_runs - len(self._active(deployment)))]
        asks = EVENTS in self._hall.parameters_of(deployment.version) if several else False
        return [started_run(deployment, occasions[0].kind, occasions, self._instant(now), asks=asks) for occasions in several]

    def _instant(self, now: datetime) -> datetime:
        """Now, and another one each time."""
        self._last = now if self._last is None or self._last < now else self._last + _MICROSECOND
        return self._last

    def _active(self, deployment: Deployment) -> list[RunRecord]:
        return [run for run in self._hall.store.deployments.active(deployment.name) if run.run_type != BACKFILL]

    def _cancel_previous(self, deployment: Deployment, schedule: Schedule, runs: Sequence[RunRecord], now: datetime) -> None:
        if runs and schedule.on_overlap is Overlap.CANCEL_PREVIOUS:
            others = [run for run in self._active(deployment) if run.run_id != runs[-1].run_id]
            self._hall.make_room(others, runs[-1], schedule, now)


def _too_many(updates: Sequence[Occasion]) -> list[int]:
    """The oldest updates of assets that were updated again and again."""
    by_name = groupby(sorted(updates, key=lambda update: (update.subject, update.id)), key=lambda update: update.subject)
    return [update.id for _, of_one in by_name for update in list(of_one)[:-_MOST_WAITING]]


def _from_folder(url: str, path: str) -> str:
    """A path that is not absolute starts in the notebook's folder."""
    return url if "://" in url or not path else str(PurePath(path).parent / url)
