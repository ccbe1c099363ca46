# SPDX-License-Identifier: BSD-3-Clause
"""The verbs that take back what happened, or call it something else: `%nbflow clear`, `mark`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbflow.core.errors import UserError
from nbflow.notebook.history import History

if TYPE_CHECKING:
    from nbflow.notebook.magics import NbflowMagics
    from nbflow.notebook.verbs import Asked


class Changing:
    """Clearing and marking tasks of the last run, or of the one that is named."""

    def __init__(self, magics: NbflowMagics) -> None:
        self._history, self._channel = History(magics), magics.channel

    def clear(self, asked: Asked) -> None:
        """Put tasks back to not started."""
        only_running = asked["only_running"]
        run_id, selection = self._meant(asked, only_failed=not asked["all"] and not only_running, only_running=only_running)
        workspace = self._history.workspace
        if asked["dry_run"]:
            self._say(workspace.meant(run_id, selection), "pending", dry_run=True)
        else:
            self._say(workspace.clear(run_id, selection, prevent_running=asked["prevent_running"]), "pending", dry_run=False)

    def mark(self, asked: Asked) -> None:
        """Give tasks another state; without any, the run itself."""
        if not asked["task"]:
            raise UserError("%nbflow mark: say which tasks, or type nbflow runs mark RUN --state STATE for the run itself.")
        run_id, selection = self._meant(asked)
        workspace, state = self._history.workspace, asked["state"]
        if asked["dry_run"]:
            self._say(workspace.meant(run_id, selection), state, dry_run=True)
        else:
            self._say(workspace.mark(run_id, state, selection), state, dry_run=False)

    def _meant(self, asked: Asked, **states: bool) -> tuple[str, Any]:
        from nbflow.core.selection import Selection  # noqa: PLC0415 - loading the extension stays quick

        run = self._history.chosen(asked["run"], asked["task"][0] if asked["task"] else "")
        directions = {name: asked[name] for name in ("upstream", "downstream", "past", "future")}
        return run.run_id, Selection(keys=self._history.workspace.keys_of(run, asked["task"]), **directions, **states)

    def _say(self, chosen: Any, state: str, *, dry_run: bool) -> None:
        from nbflow.app.clearing import said  # noqa: PLC0415 - as above

        lines = said(self._history.workspace, chosen, state, dry_run=dry_run)
        self._channel.write("".join(f"{line}\n" for line in lines).replace("nbflow run --resume", "%nbflow retry --run"))
