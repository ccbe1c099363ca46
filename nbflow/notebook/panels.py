# SPDX-License-Identifier: BSD-3-Clause
"""`%nbflow panel`, and the panel over the graph of `%nbflow run`: it follows a run, and its buttons do what the verbs do, also while a cell runs."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from nbflow.core.errors import NbflowError, SetupError, UserError
from nbflow.core.ids import TaskKey
from nbflow.core.job import ExecutorEvent
from nbflow.core.model import Flow
from nbflow.core.records import Change, RunRecord
from nbflow.core.snapshot import RunSnapshot
from nbflow.notebook.channel import Bundle
from nbflow.notebook.display import Spot
from nbflow.notebook.here import Here
from nbflow.notebook.launch import Launch
from nbflow.notebook.runs import LiveHost, WatchedRun
from nbflow.notebook.verbs import Asked

if TYPE_CHECKING:
    from nbflow.notebook.magics import NbflowMagics

_log = logging.getLogger("nbflow.notebook")
_VIEW_MIME: Final = "application/vnd.jupyter.widget-view+json"


class Panels:
    """The live panels of a kernel: at most one for each cell."""

    def __init__(self, magics: NbflowMagics) -> None:
        self._magics = magics

    def panel(self, asked: Asked) -> None:
        """Show the run of that id, the newest one, or the flow before any run. Raises UserError."""
        if not self._magics.channel.is_rich:
            raise UserError("A panel needs a notebook; in a terminal type %nbflow status.")
        history = self._magics.history()
        name, path = history.flow_name(), self._magics.session.path
        run = history.workspace.run(asked["run"]) if asked["run"] else history.workspace.last_run(flow=name, path=path)
        flow = history.workspace.flow_of(run) if run is not None else self._magics.session.draft()
        panel = self._make()
        if run is not None:
            panel.follower.show(run.run_id)
        else:
            panel.follower.show_flow(flow)
        panel.show(flow, history.workspace.snapshot(run.run_id) if run is not None else None)

    def over_run(self) -> KernelPanel | None:
        """A panel for the run that the cell being executed starts; None where nobody could press its buttons, or it cannot be drawn."""
        content = self._magics.channel.parent().get("content", {})
        if not self._magics.channel.is_rich or not content.get("allow_stdin"):
            return None  # a notebook that a program executes
        try:
            return self._make()
        except (SetupError, ImportError) as error:
            _log.warning("There is no live panel: %s", error)
            return None

    def _make(self) -> KernelPanel:
        current = self._magics.session.current
        key = current.key if current is not None else ""
        older = self._magics.panels.pop(key, None)
        if older is not None:
            older.close()
        panel = self._magics.panels[key] = KernelPanel(self._magics)
        return panel


class KernelPanel:
    """One live panel, with the picture below it that the saved notebook keeps."""

    def __init__(self, magics: NbflowMagics) -> None:
        """Raises SetupError when the page's half was not built, or the database is in the way."""
        from nbflow.widgets import FlowPanel  # noqa: PLC0415 - ipywidgets is loaded when a panel is wanted
        from nbflow.widgets.following import Follower  # noqa: PLC0415 - as above

        host = magics.launcher.host
        if not isinstance(host, LiveHost):
            raise UserError("In a headless run there is nobody to look at a panel.")
        self._magics, self._workspace = magics, host.workspace
        self._view = FlowPanel()
        self.follower = self._view.follower = Follower(
            self._view, self._workspace, flow=magics.history().flow_name(), path=magics.session.path
        )
        self.follower.when_settled = self._draw_again
        self._view.on_request(self._asked)
        self.spot = Spot(parent=magics.channel.parent(), panel=self)
        self._needs_view = _draws_widgets_only(magics.shell.user_ns)

    def close(self) -> None:
        self._view.close()

    # --- display.Panel ------------------------------------------------------------------------------------------------------

    def follow(self, flow: Flow, running: WatchedRun) -> None:
        self._view.notice = ""
        self.follower.drive(flow, running)

    def changed(self, changes: Sequence[Change]) -> None:
        self.follower.changed(changes)

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        self.follower.said(key, attempt, event)

    def bundle(self, flow: Flow, snapshot: RunSnapshot | None) -> Bundle:
        from nbflow.views.panel import panel_bundle  # noqa: PLC0415 - loading the extension stays quick

        task, lines = self.follower.tail()
        records, run = (snapshot.tasks, snapshot.run) if snapshot is not None else ({}, None)
        bundle = panel_bundle(flow, records, run, datetime.now(UTC), panel=self._view.model_id, task=task, lines=lines)
        if self._needs_view:
            bundle[_VIEW_MIME] = {"version_major": 2, "version_minor": 0, "model_id": self._view.model_id}
        return bundle

    def show(self, flow: Flow, snapshot: RunSnapshot | None) -> None:
        """Show it under the cell being executed."""
        self._magics.channel.show(self.bundle(flow, snapshot), self.spot.display_id)
        self.spot.is_taken = True

    def _draw_again(self) -> None:
        """The run has ended: the picture shows that, and the last lines of the log."""
        flow, run = self.follower.flow, self.follower.run
        if flow is not None and run is not None:
            self.spot.draw(self._magics.channel, flow, lambda: self._workspace.snapshot(run.run_id))

    # --- buttons ------------------------------------------------------------------------------------------------------------

    def _asked(self, kind: str, tasks: tuple[str, ...]) -> None:
        """In a thread of its own: the page is answered at once, and the kernel stays free."""
        threading.Thread(target=self._do, args=(kind, tasks), name="nbflow-asked", daemon=True).start()

    def _do(self, kind: str, tasks: tuple[str, ...]) -> None:
        self._view.notice = ""
        run = self.follower.run
        try:
            if kind == "run":
                self._see_through(Here(self._magics).run_all(self.spot))
            elif run is not None and kind == "cancel":
                self._workspace.cancel(run.run_id, tasks)
            elif run is not None:
                self._see_through(self._retry(run, tasks))
        except NbflowError as error:
            self._view.notice = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the person who pressed the button must hear of it
            _log.exception("what a panel was asked for failed")
            self._view.notice = f"That failed inside nbflow: {type(error).__name__}: {error}"

    def _retry(self, run: RunRecord, tasks: Sequence[str]) -> Launch | None:
        def say(text: str) -> None:
            self._view.notice = text.strip()

        return Here(self._magics).retry_run(run, tasks, self.spot, say)

    def _see_through(self, launch: Launch | None) -> None:
        """A run that no cell waits for: its values come into the namespace when it has ended."""
        if launch is None:
            return
        troubles = launch.settle()
        self._magics.remember(launch)
        if troubles:
            self._view.notice = " ".join(troubles)


def _draws_widgets_only(namespace: Mapping[str, Any]) -> bool:
    """A front end without nbflow's extension that draws widgets. In the others the saved graph offers the panel its seat."""
    return "__vsc_ipynb_file__" in namespace or "google.colab" in sys.modules
