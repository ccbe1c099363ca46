# SPDX-License-Identifier: BSD-3-Clause
"""Loading and unloading: one session, one launcher and the magics of a shell."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbflow.core.errors import NbflowError
from nbflow.notebook import completer, outputs, transform
from nbflow.notebook.channel import Channel, channel_of
from nbflow.notebook.kernel import Kernel
from nbflow.notebook.launch import Launcher
from nbflow.notebook.magics import NbflowMagics, make_display
from nbflow.notebook.panels import Panels
from nbflow.notebook.python_flows import NotebookOfFlows
from nbflow.notebook.runs import LiveHost
from nbflow.notebook.session import Session
from nbflow.python.ambient import use_kernel

_ATTRIBUTE = "_nbflow_extension"


@dataclass
class Extension:
    """What is loaded in one shell."""

    shell: Any
    session: Session
    magics: NbflowMagics

    def pre_run_cell(self, info: Any) -> None:
        """IPython's event: a cell begins."""
        self.session.pre_run_cell(info)
        current = self.session.current
        if current is not None:
            try:
                self.magics.launcher.kernel.keep_before(current, lambda: self.magics.launcher.host.artifacts)
            except NbflowError as error:
                sys.stderr.write(f"nbflow: {error}\n")

    def post_run_cell(self, result: Any) -> None:
        """IPython's event: a cell has ended."""
        self.session.post_run_cell(result)


def load(shell: Any, channel: Channel | None = None) -> Extension:
    """Load into this shell, once. `channel` is for tests; by default what the shell has."""
    loaded: Extension | None = getattr(shell, _ATTRIBUTE, None)
    if loaded is not None:
        return loaded
    from nbflow.authoring.magic_line import help_text  # noqa: PLC0415 - only a shell that loads the extension needs the options' help

    session = Session(shell)
    session.remember(str(source) for source in shell.history_manager.input_hist_raw[1 : shell.execution_count])
    channel = channel or channel_of(shell)
    kernel = Kernel(shell, session)
    launcher = Launcher(kernel, LiveHost(), make_display(session, channel, set(), lambda: Panels(magics).over_run()), channel.write)
    session.installation = lambda: _installation(launcher)
    NbflowMagics.task.__doc__ = help_text()
    magics = NbflowMagics(shell, session, launcher, channel)
    extension = Extension(shell, session, magics)
    shell.register_magics(magics)
    shell.events.register("pre_run_cell", extension.pre_run_cell)
    shell.events.register("post_run_cell", extension.post_run_cell)
    transform.install(shell)
    completer.install(shell, completer.Completer(session, {"pool": lambda: _pools(launcher), "conn": lambda: _connections(launcher)}))
    outputs.install(shell, lambda run_id, task: _recorded(launcher, run_id, task))
    use_kernel(NotebookOfFlows(shell, launcher))
    setattr(shell, _ATTRIBUTE, extension)
    return extension


def _installation(launcher: Launcher) -> Mapping[str, Any]:
    """A bad setting is told to whoever runs the flow."""
    try:
        return launcher.host.task_defaults if isinstance(launcher.host, LiveHost) else {}
    except NbflowError:
        return {}


def _pools(launcher: Launcher) -> list[str]:
    host = launcher.host
    return [pool.name for pool in host.workspace.store.pools()] if isinstance(host, LiveHost) else []


def _connections(launcher: Launcher) -> list[str]:
    host = launcher.host
    return [one.name for one in host.workspace.secrets.stored.connections()] if isinstance(host, LiveHost) else []


def unload(shell: Any) -> None:
    """Undo everything `load` did."""
    extension: Extension | None = getattr(shell, _ATTRIBUTE, None)
    if extension is None:
        return
    use_kernel(None)
    outputs.uninstall(shell)
    transform.uninstall(shell)
    shell.events.unregister("pre_run_cell", extension.pre_run_cell)
    shell.events.unregister("post_run_cell", extension.post_run_cell)
    for kind, name in (("line", "nbflow"), ("cell", "task"), ("cell", "flow")):
        shell.magics_manager.magics[kind].pop(name, None)
    for panel in extension.magics.panels.values():
        panel.close()
    host = extension.magics.launcher.host
    if isinstance(host, LiveHost):
        host.close()
    delattr(shell, _ATTRIBUTE)


def _recorded(launcher: Launcher, run_id: str, task: str) -> list[dict[str, Any]]:
    host = launcher.host
    workspace: Any = (host if isinstance(host, LiveHost) else LiveHost()).workspace
    found: list[dict[str, Any]] = workspace.logs(run_id, task)
    return found
