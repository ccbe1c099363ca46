# SPDX-License-Identifier: BSD-3-Clause
"""Hosting a run of a deployment in this process: the stored version is executed in the notebook's own folder, unattended.

The driver begins before the first cell: the run is running from then on, holds its lease, and can be cancelled while plain cells run.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nbflow.app import Workspace
from nbflow.app.rooms import person
from nbflow.core.errors import NbflowError, StoreError, Superseded, UserError
from nbflow.core.events import ClearRequested
from nbflow.core.hosting import Advance, Advanced
from nbflow.core.model import Flow
from nbflow.core.records import Lease, RunRecord
from nbflow.engine.inbox import monotonic
from nbflow.engine.lease import LeaseKeeper
from nbflow.engine.owner import is_dead
from nbflow.headless.cells import CellsExecutor
from nbflow.headless.host import HostedRun
from nbflow.headless.latest import clear_for_latest
from nbflow.headless.python_flow import drive_python
from nbflow.headless.stored_version import lay_out
from nbflow.operators.notebook_host import NotebookInfo, Show
from nbflow.scheduler.failing import pause_if_failing

if TYPE_CHECKING:
    from nbflow.operators.kernels import KernelPool

_log = logging.getLogger("nbflow.scheduler")
#: Seconds for which a host waits for the database, to give back a run that it had to leave, and between two looks.
_PATIENCE: Final = 600.0
_TICK: Final = 0.5


def host_run(workspace: Workspace, run_id: str, scheduler: str, pool: KernelPool | None = None) -> None:
    """Execute the run that this scheduler has taken, to its end. What is in the way of it ends the run as failed, with the reason.

    Raises UserError when the run is somebody else's meanwhile: then nothing was done.
    """
    run = workspace.store.run(run_id)
    is_python = bool(workspace.flow_of(run).entry)
    output = Path(run.output) if run.output else workspace.settings.home / "runs" / run.run_id / Path(run.path or "notebook.ipynb").name
    run, lease = workspace.take_over(run_id, scheduler, "" if is_python else str(output))
    if run.state.is_finished:
        workspace.store.release(lease)
        return
    try:
        _require_folder(run)
        if is_python:
            drive_python(workspace, run, lease)
        else:
            _execute(workspace, run, lease, output, pool)
    except Superseded:
        return  # somebody else goes on with it, and says how it ended
    except StoreError as error:
        _log.warning("run %s goes on when the database is back: %s", run_id, error)
        _give_back(workspace, run, lease)
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the run must not stay as it is
        if not isinstance(error, NbflowError):
            _log.exception("run %s could not be hosted", run_id)
        if not _fail(workspace, lease, str(error) or type(error).__name__):
            return
    _count_failures(workspace, run)


def resume_deployed(workspace: Workspace, run: RunRecord, tasks: Sequence[str] = (), *, latest: bool = False) -> None:
    """Go on with a run of a deployment in this process, because a person asks: what failed runs again, or `tasks`, with what depends on them.

    With `latest` it does so in the newest deployed version, to which the run belongs from then on. Raises UserError.
    """
    if latest:
        clear_for_latest(workspace, run, tasks)
    elif run.state.is_finished:
        again = workspace.tasks_to_run_again(run, tasks)
        workspace.apply(run.run_id, ClearRequested(keys=again, by=person(), waits=True))
    holder = workspace.store.holder(run.run_id)
    host_run(workspace, run.run_id, holder if is_dead(holder) else "")


def _require_folder(run: RunRecord) -> None:
    folder = Path(run.path).parent
    if not folder.is_dir():
        what = "file" if run.path.endswith(".py") else "notebook"
        raise UserError(
            f"The folder of the {what}, {folder}, is not there any more: put it back, or deploy the {what} from where it is now."
        )


def _execute(workspace: Workspace, run: RunRecord, lease: Lease, output: Path, pool: KernelPool | None) -> None:
    from nbflow.operators.notebook_run import execute_notebook  # noqa: PLC0415 - papermill is loaded when a notebook is to run

    # Until a driver keeps the lease itself: on a busy machine a kernel may take longer to start than a lease lasts.
    keeper = LeaseKeeper(workspace.store, lease, lambda _: None)
    keeper.start()
    try:
        stored = lay_out(workspace, run)
        output.parent.mkdir(parents=True, exist_ok=True)
        flow = workspace.flow_of(run)
        known = {parameter.name for parameter in flow.parameters}
        params = {name: value for name, value in run.params.items() if name in known}
        host = DeployedHost(workspace, run, lease, flow, begun=keeper.stop)
        execute_notebook(stored.file, output, parameters=params, host=host, cwd=Path(run.path).parent, modules=stored.folder, pool=pool)
    finally:
        keeper.stop()


def _fail(workspace: Workspace, lease: Lease, why: str) -> bool:
    """End a run that no driver could end; False when it is somebody else's meanwhile."""
    if workspace.store.run(lease.run_id).state.is_finished:
        return True
    try:
        workspace.give_up(lease, why)
    except Superseded:
        return False
    return True


def _give_back(workspace: Workspace, run: RunRecord, lease: Lease) -> None:
    """As soon as the database is back: that it was away says nothing about the run. If it stays away, the lease lapses like that of a dead host."""
    until = monotonic() + _PATIENCE
    while monotonic() < until:
        try:
            workspace.give_back(run, lease)
        except StoreError:
            threading.Event().wait(_TICK)
        except Superseded:
            return
        else:
            return


def _count_failures(workspace: Workspace, run: RunRecord) -> None:
    with contextlib.suppress(UserError):  # undeployed meanwhile
        deployment = workspace.store.deployments.get(run.deployment)
        limit = int(deployment.schedule.get("max_consecutive_failed_runs") or 0)
        pause_if_failing(workspace.store.deployments, run.deployment, limit, workspace.clock.now())


class DeployedHost:
    """The host of one run."""

    def __init__(self, workspace: Workspace, run: RunRecord, lease: Lease, flow: Flow, *, begun: Callable[[], None]) -> None:
        """`begun` is called when a driver has the run."""
        self._workspace, self._run, self._lease, self._flow, self._begun = workspace, run, lease, flow, begun

    def begin(self, info: NotebookInfo, stop: Callable[[str], None]) -> DeployedRun:
        """The stored version was checked when it was deployed."""
        hosted = DeployedRun(self._workspace, info, stop, run=self._run, lease=self._lease, flow=self._flow)
        self._begun()
        return hosted


class DeployedRun(HostedRun):
    """A run that is there already, and is driven from before the first cell."""

    def __init__(
        self, workspace: Workspace, info: NotebookInfo, stop: Callable[[str], None], *, run: RunRecord, lease: Lease, flow: Flow
    ) -> None:
        super().__init__(
            workspace,
            info,
            stop,
            trigger=run.trigger,
            run_id=run.run_id,
            resumes=True,
            again=(),
            latest=False,
            fresh=False,
            ignore_past=False,
            observers=(),
        )
        self._view.flow = flow
        self.installation = flow.options.installation  # as it was deployed
        is_plain = any(task.operator == "notebook" and not task.cell.number for task in flow.tasks)
        if is_plain:
            self._cells = CellsExecutor(stop)
        held = () if is_plain else tuple(task.id for task in flow.tasks)
        self._handle = workspace.take_up(lease, held=held, executor=self._cells, observers=[self._view, self])
        self._view.handle = self._handle
        self.watch()

    def advance(self, request: Advance, show: Show) -> Advanced:
        """A notebook with nbflow in it but no task is one task itself: there is nothing to advance but its cells."""
        if self._cells is not None and self._handle is not None:
            return self._handle.advanced()
        return super().advance(request, show)

    def _start_plain(self) -> None:
        """Its one task is in the run since the run began."""
