# SPDX-License-Identifier: BSD-3-Clause
"""Looks at files, each in a thread of its own: a bucket that does not answer holds up nobody."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from nbflow.core.errors import NbflowError
from nbflow.core.watching import Thing, Watch
from nbflow.scheduler.arriving import Found

_log = logging.getLogger("nbflow.scheduler")
#: Looks at once. Those that take too long count no more.
_MOST: Final = 8
#: A look that takes longer has failed.
_PATIENCE: Final = timedelta(minutes=1)
#: A watch, as its look is known by.
_Key = tuple[str, str]


class ThreadedLooks:
    """Begins looks and tells how they ended."""

    def __init__(self, look: Callable[[str], Mapping[str, Thing]]) -> None:
        """`look` finds the files of a path, pattern or URL; it raises NbflowError, a sentence."""
        self._look = look
        self._done: queue.SimpleQueue[tuple[Watch, Found]] = queue.SimpleQueue()
        self._under_way: dict[_Key, tuple[Watch, datetime]] = {}
        #: Looks that took too long and have not come back yet.
        self._lost: set[_Key] = set()

    def room(self, watch: Watch) -> bool:
        key = (watch.name, watch.url)
        return len(self._under_way) < _MOST and key not in self._under_way and key not in self._lost

    def begin(self, watch: Watch, url: str, now: datetime) -> None:
        self._under_way[watch.name, watch.url] = (watch, now)
        threading.Thread(target=self._run, args=(watch, url), name=f"nbflow-look-{watch.name}", daemon=True).start()

    def _run(self, watch: Watch, url: str) -> None:
        try:
            found: Found = self._look(url)
        except NbflowError as error:
            found = str(error)
        except Exception as error:  # noqa: BLE001 - file systems raise what they like, and the watch must hear of it
            _log.exception("%s could not be looked at", url)
            found = f"{url} cannot be looked at: {type(error).__name__}: {error}"
        self._done.put((watch, found))

    def ended(self, now: datetime) -> Sequence[tuple[Watch, Found]]:
        told: list[tuple[Watch, Found]] = []
        while not self._done.empty():
            watch, found = self._done.get()
            key = (watch.name, watch.url)
            if self._under_way.pop(key, None) is not None:
                told.append((watch, found))
            self._lost.discard(key)
        for key, (watch, since) in list(self._under_way.items()):
            if now - since > _PATIENCE:
                del self._under_way[key]
                self._lost.add(key)
                told.append((watch, f"{watch.url} did not answer within {_PATIENCE.total_seconds():.0f} s."))
        return told
