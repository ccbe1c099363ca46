# SPDX-License-Identifier: BSD-3-Clause
"""What flows of this process stand in: the workspace they run in, and the notebook they are written in.

`import nbflow` comes by here, so everything heavy is imported where it is used.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from nbflow.core.job import Capture, ProcessState
from nbflow.core.model import CellRef

if TYPE_CHECKING:
    from nbflow.app import Workspace
    from nbflow.core.protocols import ArtifactStore
    from nbflow.settings import Settings


class _Workspaces:
    """The workspace of this process: opened when first needed, closed at its end, unless a test or a kernel brings its own."""

    def __init__(self) -> None:
        self.chosen: list[Callable[[], Workspace]] = []
        self._own: Workspace | None = None
        self._lock = threading.Lock()

    def settings(self) -> Settings:
        """Those of the workspace, which is not opened for that."""
        if self.chosen or self._own is not None:
            return self.current().settings
        from nbflow.settings import load_settings  # noqa: PLC0415 - see the module's docstring

        return load_settings()

    def current(self) -> Workspace:
        if self.chosen:
            return self.chosen[-1]()
        with self._lock:
            if self._own is None:
                from nbflow.app import Workspace  # noqa: PLC0415 - see the module's docstring

                self._own = Workspace.open()
                _at_exit(self._own.close)
            return self._own


def _at_exit(close: Callable[[], None]) -> None:
    """When this process ends, but before pools of threads are shut down, which the Dask client needs: `atexit` is too late for that.

    Nothing public is called then; the standard library's own pools are ended by this, last registered first.
    """
    register: Callable[[Callable[[], None]], object] | None = getattr(threading, "_register_atexit", None)
    if register is None:
        atexit.register(close)
    else:
        register(close)


_WORKSPACES: Final = _Workspaces()


def current_workspace() -> Workspace:
    """Where flows of this process run. Raises SetupError when the database is in the way."""
    return _WORKSPACES.current()


def installation() -> Mapping[str, Any]:
    """The options of tasks that hold where flows of this process run, unless they say otherwise. Raises SetupError for a bad setting."""
    return _WORKSPACES.settings().task_defaults


@contextmanager
def using(workspace: Workspace) -> Iterator[Workspace]:
    """Inside the block, flows of this process run in this workspace."""

    def choose() -> Workspace:
        return workspace

    _WORKSPACES.chosen.append(choose)
    try:
        yield workspace
    finally:
        _WORKSPACES.chosen.remove(choose)


class Kernel(Protocol):
    """The notebook this process executes, as far as flows written in it need it."""

    def workspace(self) -> Workspace: ...

    def definition_of(self, function: Callable[..., Any]) -> str:
        """The name under which the notebook defines it; "" when it can only travel by value."""
        ...

    def cell_of(self, name: str) -> CellRef:
        """The cell that defines this name."""
        ...

    def definitions(self) -> Collection[str]:
        """Every function and class that the notebook defines."""
        ...

    def capture(self, names: Collection[str], artifacts: ArtifactStore) -> Mapping[str, Capture]:
        """These, with everything they refer to, ready to travel. Raises UserError for what cannot."""
        ...

    def process(self) -> ProcessState: ...


class _Kernels:
    """At most one: extensions come and go with their shell."""

    def __init__(self) -> None:
        self.current: Kernel | None = None


_KERNELS: Final = _Kernels()


def use_kernel(kernel: Kernel | None) -> None:
    """Flows of `__main__` are those of this notebook from now on; None: of no notebook."""
    before, _KERNELS.current = _KERNELS.current, kernel
    if before is not None:
        _WORKSPACES.chosen = [choose for choose in _WORKSPACES.chosen if choose != before.workspace]
    if kernel is not None:
        _WORKSPACES.chosen.insert(0, kernel.workspace)


def current_kernel() -> Kernel | None:
    """The notebook this process executes; None elsewhere."""
    return _KERNELS.current
