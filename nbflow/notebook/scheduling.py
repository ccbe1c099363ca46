# SPDX-License-Identifier: BSD-3-Clause
"""The verbs about tonight: `%nbflow deploy`, `schedule`, `unschedule`. What counts is the saved file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.core.deployments import Deployment
from nbflow.core.errors import UserError
from nbflow.notebook.runs import LiveHost
from nbflow.notebook.verbs import Asked, read_params

if TYPE_CHECKING:
    from nbflow.notebook.magics import NbflowMagics


class Scheduling:
    """Deploys the notebook of this kernel. In a headless run these verbs do nothing: a run does not deploy itself again."""

    def __init__(self, magics: NbflowMagics) -> None:
        self._session, self._channel = magics.session, magics.channel
        host = magics.launcher.host
        self._is_live = not self._session.is_hosted
        self._workspace: Any = (host if isinstance(host, LiveHost) else LiveHost()).workspace if self._is_live else None

    def deploy(self, asked: Asked) -> None:
        """Store the saved notebook as a version."""
        self._deploy(
            name=asked["name"],
            params=read_params(asked["param"]),
            schedules=asked["schedule"],
            timezone=asked["timezone"],
            replace=asked["replace"],
        )

    def schedule(self, asked: Asked) -> None:
        """Deploy it, with this schedule."""
        self._deploy(schedules=asked["schedule"], timezone=asked["timezone"])

    def unschedule(self, asked: Asked) -> None:  # noqa: ARG002 - all verbs are called alike
        """Take its schedule away."""
        if not self._is_live:
            return
        from nbflow.app.deploying import reschedule  # noqa: PLC0415 - loading the extension stays quick

        deployment = self._deployed()
        reschedule(self._workspace, deployment.name, {"schedule": None})
        self._channel.write(f"{deployment.name} runs no more by itself. It stays deployed: nbflow flows trigger {deployment.name}.\n")

    def _deploy(
        self,
        *,
        name: str = "",
        params: dict[str, Any] | None = None,
        schedules: list[str],
        timezone: str | None,
        replace: bool = False,
    ) -> None:
        if not self._is_live:
            return
        from nbflow.app.deploying import deploy  # noqa: PLC0415 - as above
        from nbflow.app.saying import deployed_sentence, said_keys, warnings_of  # noqa: PLC0415 - as above

        said = said_keys(schedules, timezone)
        done = deploy(self._workspace, self._file(), name=name, params=params or {}, said=said, replace_other=replace)
        self._channel.write(deployed_sentence(self._workspace, done) + "\n")
        for warning in warnings_of(self._workspace, done.deployment):
            self._channel.write(warning + "\n")

    def _file(self) -> Path:
        path = self._session.path
        if not path or not Path(path).is_file():
            raise UserError("This notebook has no file yet: save it, then deploy it.")
        return Path(path)

    def _deployed(self) -> Deployment:
        """What is deployed of this file; of several, the one called like its flow. Raises UserError."""
        file = self._file()
        found: list[Deployment] = [
            each for each in self._workspace.store.deployments.find(limit=100_000) if each.path == str(file.resolve())
        ]
        for each in found:
            if each.name == self._session.name or len(found) == 1:
                return each
        if found:
            names = ", ".join(each.name for each in found)
            raise UserError(f"This notebook is deployed as {names}: say which, nbflow deploy {file.name} --name NAME --schedule none.")
        raise UserError("This notebook is not deployed: type %nbflow deploy.")
