# SPDX-License-Identifier: BSD-3-Clause
"""A panel by itself: it follows runs of any process by the store, and its buttons ask their drivers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nbflow.core.errors import NbflowError
from nbflow.python.ambient import current_workspace
from nbflow.widgets.following import Follower

if TYPE_CHECKING:
    from nbflow.app import Workspace
    from nbflow.widgets.panel import FlowPanel, Request


def follow(panel: FlowPanel, workspace: Workspace | None, *, flow: str, run_id: str) -> None:
    """Show that run, or the newest of the flow (`latest`); what is in the way stands in the panel, in one sentence."""
    panel.can = ["cancel", "retry"]
    try:
        workspace = workspace or current_workspace()
        panel.follower = follower = Follower(panel, workspace, flow=flow, newest=run_id == "latest")
        if run_id != "latest":
            follower.show(run_id)
    except NbflowError as error:
        panel.notice = str(error)
        return
    panel.on_request(_Buttons(panel, workspace, follower).press)


class _Buttons:
    """Asks whoever drives the run; a run that nobody drives is taken up here."""

    def __init__(self, panel: FlowPanel, workspace: Workspace, follower: Follower) -> None:
        self._panel, self._workspace, self._follower = panel, workspace, follower

    def press(self, kind: Request, tasks: tuple[str, ...]) -> None:
        """In a thread of its own: a page is answered at once."""
        threading.Thread(target=self._do, args=(kind, tasks), name="nbflow-asked", daemon=True).start()

    def _do(self, kind: Request, tasks: tuple[str, ...]) -> None:
        run, flow = self._follower.run, self._follower.flow
        if run is None or flow is None:
            return
        self._panel.notice = ""
        try:
            if kind == "cancel":
                self._workspace.cancel(run.run_id, tasks)
            elif kind == "retry":
                handle = self._workspace.retry_run(run.run_id, tasks, observers=(self._follower,))
                if handle is not None:
                    self._follower.drive(flow, handle)
        except NbflowError as error:
            self._panel.notice = str(error)
