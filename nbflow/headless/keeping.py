# SPDX-License-Identifier: BSD-3-Clause
"""A scheduler keeps house beside its turns: a little at a time, and only one of several schedulers does."""

from __future__ import annotations

import logging
import threading
from typing import Final

from nbflow.app import Workspace
from nbflow.app.counting import count_ended
from nbflow.app.housekeeping import Housekeeper
from nbflow.core.errors import NbflowError
from nbflow.engine.owner import me

_log = logging.getLogger("nbflow.house")
#: Seconds between two parts, and while there is more to look at.
PERIOD: Final = 60.0
BUSY: Final = 2.0


class Keeping:
    """Its thread ends soon after `stopping` is set."""

    def __init__(self, workspace: Workspace, stopping: threading.Event) -> None:
        self._workspace, self._stopping = workspace, stopping
        self._housekeeper: Housekeeper | None = None
        self._thread = threading.Thread(target=self._run, name="nbflow-house", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def turn(self) -> float:
        """One part; returns the seconds until the next."""
        living = self._workspace.store.deployments.schedulers()
        if not living or living[0].owner != me():  # the first by name keeps house; should two do so, no harm is done
            return PERIOD
        count_ended(self._workspace)
        if self._housekeeper is None:
            self._housekeeper = Housekeeper(self._workspace, self._workspace.settings.kept, self._stopping.is_set)
        done = self._housekeeper.turn()
        if done.runs or done.thinned:
            _log.info("%d runs deleted, %d gave up values or logs", len(done.runs), done.thinned)
        return BUSY if done.has_more else PERIOD

    def _run(self) -> None:
        pause = BUSY
        while not self._stopping.wait(pause):
            try:
                pause = self.turn()
            except NbflowError as error:
                _log.warning("%s", error)
                pause = PERIOD
