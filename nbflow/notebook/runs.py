# SPDX-License-Identifier: BSD-3-Clause
"""Who drives the graph for this kernel: a thread of it (live), or the host of a headless run.

This is the notebook's only door to `nbflow.app`; everything else here knows `Running` and `Host`.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from nbflow.core.hosting import Advance, Advanced, RunHost
from nbflow.core.ids import TaskId
from nbflow.core.job import CaptureSet, OutputsRef
from nbflow.core.model import Flow
from nbflow.core.protocols import ArtifactStore, RunObserver
from nbflow.core.snapshot import RunSnapshot


class Running(Protocol):
    """A run that was started."""

    @property
    def run_id(self) -> str: ...

    def wait(self, timeout: float | None = None) -> bool:
        """True when it has ended. Raises what ended its driver."""
        ...

    def cancel(self) -> None: ...

    def advanced(self) -> Advanced:
        """How far it went, after the end."""
        ...


class WatchedRun(Running, Protocol):
    """A run whose states can be looked at while it goes."""

    @property
    def is_over(self) -> bool:
        """Nothing is driven here any more."""
        ...

    def snapshot(self) -> RunSnapshot: ...


class Host(Protocol):
    """Starts runs."""

    #: Somebody else shows the run: this kernel only displays where it will be shown.
    shows_itself: bool

    @property
    def artifacts(self) -> ArtifactStore: ...

    def start(
        self,
        flow: Flow,
        captures: CaptureSet,
        tasks: Sequence[TaskId],
        params: Mapping[str, Any],
        observers: Sequence[RunObserver],
        *,
        fresh: bool = False,
    ) -> Running:
        """Run these tasks; `fresh`: without results of earlier runs. Raises UserError or SetupError when no run could be made."""
        ...


class LiveHost:
    """A workspace of this kernel, opened when it is first needed."""

    shows_itself = False

    def __init__(self, open_workspace: Callable[[], Any] | None = None) -> None:
        """`open_workspace` is for tests; by default the workspace of the settings in force."""
        self._open = open_workspace or _open_workspace
        self._workspace: Any = None
        self._settings: Any = None
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def workspace(self) -> Any:
        """Raises SetupError when the database is in the way."""
        with self._lock:
            return self._opened()

    def _opened(self) -> Any:
        if self._workspace is None:
            self._workspace = self._open()
            # A kernel that ends in order says so to its runs.
            atexit.register(self.close)
        return self._workspace

    @property
    def task_defaults(self) -> Mapping[str, Any]:
        """Options of tasks that the installation says; the workspace is not opened for that. Raises SetupError for a bad setting."""
        if self._settings is None:
            from nbflow.settings import load_settings  # noqa: PLC0415 - loading the extension stays quick

            self._settings = self._workspace.settings if self._workspace is not None else load_settings()
        found: Mapping[str, Any] = self._settings.task_defaults
        return found

    @property
    def artifacts(self) -> ArtifactStore:
        store: ArtifactStore = self.workspace.artifacts
        return store

    def warm(self) -> None:
        """Open the workspace and connect to the cluster in the background: a person who defines a task will want to run it."""
        threading.Thread(target=self._warm, name="nbflow-warm", daemon=True).start()

    def _warm(self) -> None:
        try:
            with self._lock:
                if self._is_closed:  # before this thread had its turn: a home would be opened again that the notebook has left
                    return
                workspace = self._opened()
            workspace.warm()
        except Exception:  # noqa: BLE001 - whatever is wrong is told, as a sentence, to whoever runs the flow
            return

    def outputs(self, ref: OutputsRef) -> list[dict[str, Any]]:
        """The complete outputs of an attempt."""
        found: list[dict[str, Any]] = self.workspace.outputs(ref)
        return found

    def start(
        self,
        flow: Flow,
        captures: CaptureSet,
        tasks: Sequence[TaskId],
        params: Mapping[str, Any],
        observers: Sequence[RunObserver],
        *,
        fresh: bool = False,
    ) -> WatchedRun:
        everything = len(tasks) == len(flow.tasks)
        chosen = None if everything else tuple(tasks)
        running: WatchedRun = self.workspace.start_run(
            flow, captures, tasks=chosen, params=params, trigger="live", fresh=fresh, observers=observers
        )
        return running

    def close(self) -> None:
        """Let go of the cluster and the database."""
        with self._lock:
            workspace, self._workspace, self._is_closed = self._workspace, None, True
        if workspace is not None:
            atexit.unregister(self.close)
            workspace.close()


class CancellableHost(RunHost, Protocol):
    """A host that can be told, from another thread, to end what it advances."""

    def cancel(self) -> None: ...


class HostedRuns:
    """The host of a headless run drives the graph; it is asked over a connection and answers when the tasks have ended."""

    shows_itself = True

    def __init__(self, host: CancellableHost, artifacts: ArtifactStore) -> None:
        self._host = host
        self.artifacts = artifacts

    def start(
        self,
        flow: Flow,
        captures: CaptureSet,
        tasks: Sequence[TaskId],
        params: Mapping[str, Any],
        observers: Sequence[RunObserver],  # noqa: ARG002 - the host shows the run
        *,
        fresh: bool = False,
    ) -> Running:
        return _Asking(self._host, Advance(flow=flow, captures=captures, tasks=tuple(tasks), params=params, fresh=fresh))

    def finish(self, flow: Flow, captures: CaptureSet, tasks: Sequence[TaskId]) -> Advanced:
        """Nothing follows: run what is left and end the run."""
        return self._host.advance(Advance(flow=flow, captures=captures, tasks=tuple(tasks), final=True))


class _Asking:
    """One request to the host, waiting for its answer in a thread so that the kernel stays awake.

    Whoever waits may be interrupted between any two steps, also between the taking of a Condition's lock and the `with` that lets go of it. So there
    is none: each wait has a queue of its own, into which the answer's thread puts a word.
    """

    def __init__(self, host: CancellableHost, request: Advance) -> None:
        self._host, self._request = host, request
        self._answer: Advanced | None = None
        self._error: BaseException | None = None
        self._is_over = False
        self._waiting: list[queue.SimpleQueue[None]] = []
        threading.Thread(target=self._ask, name="nbflow-asking", daemon=True).start()

    def _ask(self) -> None:
        try:
            self._answer = self._host.advance(self._request)
        except BaseException as error:  # noqa: BLE001 - raised again by wait(), in the cell that asked
            self._error = error
        finally:
            self._is_over = True
            for waiting in tuple(self._waiting):
                waiting.put(None)

    @property
    def run_id(self) -> str:
        return self._answer.run_id if self._answer else ""

    def wait(self, timeout: float | None = None) -> bool:
        mine: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiting.append(mine)  # before the look: else the word could come in between
        try:
            if not self._is_over:
                with contextlib.suppress(queue.Empty):
                    mine.get(timeout=timeout if timeout is None else max(0, timeout))
        finally:
            self._waiting.remove(mine)
        done = self._is_over  # looked at once: what comes after it is told the next time
        if done and self._error is not None:
            raise self._error
        return done

    def cancel(self) -> None:
        self._host.cancel()

    def advanced(self) -> Advanced:
        assert self._answer is not None
        return self._answer


def _open_workspace() -> Any:
    from nbflow.app import Workspace  # noqa: PLC0415 - the database and the cluster are loaded when a run needs them

    return Workspace.open()
