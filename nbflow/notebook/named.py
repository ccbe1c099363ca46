# SPDX-License-Identifier: BSD-3-Clause
"""`%nbflow assets`, `connections`, `variables` and `notifications`: what there is. It is set in a terminal: what is typed in a cell is saved with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbflow.notebook.history import History, table

if TYPE_CHECKING:
    from nbflow.notebook.magics import NbflowMagics
    from nbflow.notebook.verbs import Asked


class Named:
    """Lists, without secrets."""

    def __init__(self, magics: NbflowMagics) -> None:
        self._history, self._channel = History(magics), magics.channel

    def assets(self, asked: Asked) -> None:  # noqa: ARG002 - all verbs are called alike
        found = self._history.workspace.store.occasions.assets()
        if not found:
            self._channel.write("There are no assets yet: write --outlets NAME on the %%task line of what makes one.\n")
            return
        when = [f"{use.newest.at.astimezone():%a %d %b %Y %H:%M:%S}" if use.newest else "never" for use in found]
        rows = [(use.name, at, ", ".join(use.updated_by), ", ".join(use.starts)) for use, at in zip(found, when, strict=True)]
        self._channel.show(table(("asset", "updated", "by flows", "starts"), rows), "")

    def connections(self, asked: Asked) -> None:  # noqa: ARG002 - all verbs are called alike
        found = self._history.workspace.secrets.stored.connections()
        if not found:
            self._channel.write("There are no connections: type nbflow connections set NAME in a terminal.\n")
            return
        rows = [(one.name, one.fields["type"], one.shown, one.description) for one in found]
        self._channel.show(table(("connection", "type", "url", "description"), rows), "")

    def variables(self, asked: Asked) -> None:  # noqa: ARG002 - as above
        found = self._history.workspace.secrets.stored.variables()
        if not found:
            self._channel.write("There are no variables: type nbflow variables set NAME VALUE in a terminal.\n")
            return
        self._channel.show(table(("variable", "value", "description"), [(one.name, one.shown, one.description) for one in found]), "")

    def notifications(self, asked: Asked) -> None:  # noqa: ARG002 - as above
        found = self._history.workspace.store.notifications.notifications(limit=20)
        if not found:
            self._channel.write("Nobody was told anything yet.\n")
            return
        rows = [(str(one.id), one.state.value, one.shown, one.subject, one.reason) for one in found]
        self._channel.show(table(("id", "state", "to", "subject", "why not"), rows), "")
