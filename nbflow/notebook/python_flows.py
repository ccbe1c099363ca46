# SPDX-License-Identifier: BSD-3-Clause
"""Flows written in plain cells with `@task` and `@flow`: their functions travel as definitions of the notebook, and they run where its cells do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from nbflow.core.job import Capture, ProcessState
from nbflow.core.model import CellRef
from nbflow.core.protocols import ArtifactStore
from nbflow.notebook.launch import Launcher
from nbflow.notebook.namespace import Statement, is_definition
from nbflow.notebook.runs import LiveHost


class NotebookOfFlows:
    """The notebook of this kernel, as `nbflow.python.ambient` wants it."""

    def __init__(self, shell: Any, launcher: Launcher) -> None:
        self._shell, self._launcher = shell, launcher
        self._own: LiveHost | None = None

    def workspace(self) -> Any:
        """That of the live kernel; a headless run's kernel opens one when a flow is run in it."""
        host = self._launcher.host
        if isinstance(host, LiveHost):
            return host.workspace
        if self._own is None:
            self._own = LiveHost()
        return self._own.workspace

    def definition_of(self, function: Callable[..., Any]) -> str:
        """The name under which a plain cell defines it; "" when no cell does."""
        statements = self._statements()
        for name in dict.fromkeys([function.__name__, *statements]):
            found = self._shell.user_ns.get(name)
            if (found is function or getattr(found, "function", None) is function) and self._is_defined(name, statements):
                return name
        return ""

    def cell_of(self, name: str) -> CellRef:
        """The cell that defines this name."""
        statement = self._statements().get(name)
        return statement.cell if statement is not None else CellRef()

    def definitions(self) -> Collection[str]:
        """Every function and class that plain cells define."""
        statements = self._statements()
        return [name for name in statements if self._is_defined(name, statements)]

    def capture(self, names: Collection[str], artifacts: ArtifactStore) -> Mapping[str, Capture]:
        """These and what they refer to."""
        return self._launcher.kernel.capturer(artifacts).capture(names)

    def process(self) -> ProcessState:
        """What plain cells set in the process."""
        return self._launcher.kernel.process()

    def _is_defined(self, name: str, statements: Mapping[str, Statement]) -> bool:
        statement = statements.get(name)
        is_own = statement is not None and not statement.imported[0] and not statement.submodules
        return is_own and is_definition(self._shell.user_ns.get(name))

    def _statements(self) -> Mapping[str, Statement]:
        return self._launcher.kernel.capturer(self._launcher.host.artifacts).statements.by_name
