# SPDX-License-Identifier: BSD-3-Clause
"""Who waits for a run and who watches it: they see what was recorded, never what is only known."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence

from nbflow.core.ids import TaskKey
from nbflow.core.job import ExecutorEvent, Report
from nbflow.core.protocols import RunObserver
from nbflow.core.records import Change
from nbflow.core.snapshot import RunSnapshot, fold

_log = logging.getLogger("nbflow.driver")


def _numbered(change: Change, cursor: int) -> Change:
    """As `dataclasses.replace`, in a fifth of its time: it is called four times for each task of a run."""
    numbered = object.__new__(Change)
    numbered.__dict__.update(change.__dict__, cursor=cursor)
    return numbered


class Watchers:
    """The run as last recorded, those who wait for it to come so far, and its observers. A failing observer is logged and breaks nothing.

    Whoever waits may be interrupted between any two steps, also between the taking of an Event's lock and the `with` that lets go of it; the driver
    would wait for that lock for ever. So each waits for a word in a queue of its own.
    """

    def __init__(self, snapshot: RunSnapshot, observers: Sequence[RunObserver]) -> None:
        self.snapshot = snapshot
        self._observers = list(observers)
        self._untold: list[Change] = []
        self._reports: list[tuple[TaskKey, int, Report]] = []
        self._waiting: list[tuple[Callable[[], bool], queue.SimpleQueue[None]]] = []
        self._lock = threading.Lock()

    def add(self, observer: RunObserver) -> None:
        self._observers.append(observer)

    def recorded(self, changes: Sequence[Change], cursor: int) -> Sequence[Change]:
        """These changes were committed; `cursor` is that of the last. The snapshot has them from here on, `tell` says so. Returns them with cursors."""
        first = cursor - len(changes) + 1
        numbered = [_numbered(change, first + number) for number, change in enumerate(changes)]
        self._take(numbered)
        return numbered

    def reworded(self, changes: Sequence[Change]) -> None:
        """New reasons of instances that stay in their state: shown, and never recorded. They have no cursor."""
        if changes:
            self._take(changes)

    def _take(self, changes: Sequence[Change]) -> None:
        self.snapshot = fold(self.snapshot, changes)
        self._untold += changes

    def reported(self, key: TaskKey, attempt: int, report: Report) -> None:
        """An attempt ended: told with the changes that this leads to."""
        self._reports.append((key, attempt, report))

    def tell(self) -> None:
        """To the observers and to those who wait: what is in the snapshot since the last time."""
        reports, self._reports = self._reports, []
        for key, attempt, report in reports:  # before anybody who waits goes on: what the attempt showed belongs to the cell that waits
            self.said(key, attempt, report)
        changes, self._untold = self._untold, []
        if not changes:
            return
        for observer in self._observers:  # before anybody who waits goes on, too: what it does about them comes before what they do next
            try:
                observer.changed(changes)
            except Exception:  # noqa: BLE001 - a view that fails must not break the run
                _log.exception("an observer of run %s failed", self.snapshot.run.run_id)
        self.look_again()

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        """An attempt in force said this."""
        for observer in self._observers:
            try:
                observer.said(key, attempt, event)
            except Exception:  # noqa: BLE001 - as above
                _log.exception("an observer of run %s failed", self.snapshot.run.run_id)

    def look_again(self) -> None:
        """Something that those who wait may be waiting for has come. It is looked at here: nobody is woken in vain, step after step."""
        with self._lock:
            for come, word in self._waiting:
                if word.empty() and come():
                    word.put(None)

    def wait(self, come: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until `come()`; False when `timeout` seconds passed first."""
        word: queue.SimpleQueue[None] = queue.SimpleQueue()
        mine = (come, word)
        with self._lock:
            if come():
                return True
            self._waiting.append(mine)
        try:
            word.get(timeout=timeout if timeout is None else max(0, timeout))
        except queue.Empty:
            return False
        else:
            return True
        finally:
            with self._lock:
                self._waiting.remove(mine)
