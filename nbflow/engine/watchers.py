# SPDX-License-Identifier: BSD-3-Clause
"""Who waits for a run and who watches it: they see what was recorded, never what is only known."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from nbflow.core.ids import TaskKey
from nbflow.core.job import ExecutorEvent
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
    """The run as last recorded, those who wait for it to come so far, and its observers. A failing observer is logged and breaks nothing."""

    def __init__(self, snapshot: RunSnapshot, observers: Sequence[RunObserver]) -> None:
        self.snapshot = snapshot
        self._observers = list(observers)
        self._news = threading.Condition()

    def add(self, observer: RunObserver) -> None:
        self._observers.append(observer)

    def recorded(self, changes: Sequence[Change], cursor: int) -> None:
        """These changes were committed; `cursor` is that of the last."""
        first = cursor - len(changes) + 1
        numbered = [_numbered(change, first + number) for number, change in enumerate(changes)]
        self._show(numbered)

    def told(self, changes: Sequence[Change]) -> None:
        """New reasons of instances that stay in their state: shown, and never recorded. They have no cursor."""
        if changes:
            self._show(changes)

    def _show(self, changes: Sequence[Change]) -> None:
        with self._news:
            self.snapshot = fold(self.snapshot, changes)
            self._news.notify_all()
        for observer in self._observers:
            try:
                observer.changed(changes)
            except Exception:  # noqa: BLE001 - a view that fails must not break the run
                _log.exception("an observer of run %s failed", self.snapshot.run.run_id)

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        """An attempt in force said this."""
        for observer in self._observers:
            try:
                observer.said(key, attempt, event)
            except Exception:  # noqa: BLE001 - as above
                _log.exception("an observer of run %s failed", self.snapshot.run.run_id)

    def look_again(self) -> None:
        """Something that those who wait may be waiting for has come."""
        with self._news:
            self._news.notify_all()

    def wait(self, come: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until `come()`; False when `timeout` seconds passed first."""
        with self._news:
            return self._news.wait_for(come, timeout)
