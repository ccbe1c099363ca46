# SPDX-License-Identifier: BSD-3-Clause
"""A scheduler looks at the flows folders beside its turns: a Python file is executed to be read, and may take its time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from nbflow.app import Workspace
from nbflow.app.flows_folders import FlowsFolders
from nbflow.app.tracing import NotWanted
from nbflow.core.errors import NbflowError

_log = logging.getLogger("nbflow.scheduler")


class Scanning:
    """Its thread ends soon after `stopping` is set, also in the middle of a file."""

    def __init__(self, workspace: Workspace, tell: Callable[[str], None], stopping: threading.Event) -> None:
        self._workspace, self._tell, self._stopping = workspace, tell, stopping
        self._folders = FlowsFolders(workspace, lambda: not stopping.is_set())
        self._thread = threading.Thread(target=self._run, name="nbflow-scan", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                for told in self._folders.scan():
                    self._tell(told)
            except NotWanted:
                return
            except NbflowError as error:
                _log.warning("%s", error)
            except Exception:  # noqa: BLE001 - whatever it is, the next look may find another
                _log.exception("the flows folders could not be looked at")
            self._stopping.wait(self._workspace.settings.scan_interval)
