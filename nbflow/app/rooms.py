# SPDX-License-Identifier: BSD-3-Clause
"""The rooms of one home, built from its settings and opened when they are first needed."""

from __future__ import annotations

import contextlib
import getpass
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from nbflow.core.errors import NbflowError, SetupError, UserError
from nbflow.core.ids import RunId
from nbflow.core.model import Flow
from nbflow.core.protocols import ArtifactStore, Clock, Executor, Store
from nbflow.core.resources import Offers
from nbflow.engine.driver import Driver
from nbflow.engine.inbox import Switchboard
from nbflow.engine.reaping import way_on
from nbflow.settings import Settings

if TYPE_CHECKING:
    from nbflow.app.secrets import Secrets

#: How the mark begins by which a database says that artifacts are its own: who keeps house deletes none that may be another's.
DATABASE: Final = "database."
#: What `Workspace.start_run` returns: the driver itself is the handle of a run in this process.
RunHandle = Driver


class SystemClock:
    """The clock of real life."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """The rooms a workspace is built from; tests bring their own."""

    store: Store
    artifacts: ArtifactStore
    executor: Executor
    clock: Clock


class Opened:
    """The rooms of one home, each opened when it is first needed."""

    def __init__(self, settings: Settings, rooms: Rooms | None = None) -> None:
        self.settings = settings
        self._rooms = rooms
        self._lock = threading.RLock()
        self._switchboard = Switchboard()
        self._store: Store | None = rooms.store if rooms else None
        self._artifacts: ArtifactStore | None = rooms.artifacts if rooms else None
        self._executor: Executor | None = None
        #: Clusters that flows of this process have for themselves, by what their headers say.
        self._own_executors: dict[str, tuple[Executor, Switchboard]] = {}
        self.clock: Clock = rooms.clock if rooms else SystemClock()
        self._handles: dict[RunId, RunHandle] = {}
        self._is_closed = False

    # --- rooms, opened when first needed ----------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        with self._lock:
            if self._store is None:
                from nbflow.store.opening import open_store  # noqa: PLC0415 - SQLAlchemy is loaded when history is needed

                self._store = open_store(self.settings.database)
            return self._store

    @property
    def secrets(self) -> Secrets:
        """Connections and variables, which the key of this home opens."""
        from nbflow.app.secrets import Secrets  # noqa: PLC0415 - most commands need none
        from nbflow.store.sealing import Sealer  # noqa: PLC0415

        return Secrets(self.store, Sealer(self.settings.home, self.settings.secret_key), self.clock)

    @property
    def artifacts(self) -> ArtifactStore:
        with self._lock:
            if self._artifacts is None:
                from nbflow.store.artifacts import open_artifacts  # noqa: PLC0415 - fsspec likewise

                self._artifacts = open_artifacts(self.settings.artifacts)
                with contextlib.suppress(NbflowError):  # values can be read where nothing can be written
                    self._artifacts.mark(f"{DATABASE}{self.store.house.identity()}")
            return self._artifacts

    @property
    def executor(self) -> Executor:
        """Where attempts run, connected. Raises SetupError when the cluster is not there."""
        with self._lock:
            if self._executor is None:
                executor = self._rooms.executor if self._rooms else self._make_executor()
                executor.start(self._switchboard.tell)
                self._executor = executor
            return self._executor

    def executor_of(self, flow: Flow) -> tuple[Executor, Switchboard]:
        """Where attempts of this flow run: on its own cluster when its header has a table [cluster]. Raises UserError, SetupError."""
        spec = own_cluster(flow, self.settings)
        if not spec or self._rooms is not None:
            return self.executor, self._switchboard
        with self._lock:
            if spec not in self._own_executors:
                switchboard = Switchboard()
                executor = self._make_executor(spec)
                executor.start(switchboard.tell)
                self._own_executors[spec] = (executor, switchboard)
            return self._own_executors[spec]

    def _make_executor(self, dask: str = "") -> Executor:
        dask = dask or self.settings.dask
        if dask == "inline":
            from nbflow.executors.inline import InlineExecutor  # noqa: PLC0415 - only the chosen executor is loaded
            from nbflow.operators.entry import run_job  # noqa: PLC0415

            artifacts = self.artifacts
            return InlineExecutor(lambda job, tell: run_job(job, artifacts, tell, worker="inline"))
        if self.settings.artifacts.startswith("memory://"):
            raise SetupError("artifacts_url memory:// is seen by this process only: set dask = inline, or artifacts_url to a folder.")
        from nbflow.executors.dask_executor import DaskExecutor  # noqa: PLC0415
        from nbflow.store.artifacts import open_artifacts  # noqa: PLC0415

        return DaskExecutor(
            dask,
            home=self.settings.home,
            artifacts_url=self.settings.artifacts,
            workers=self.settings.workers,
            idle=self.settings.cluster_idle,
            artifacts=self.artifacts,
            opener=open_artifacts,
        )

    def slots(self) -> int | None:
        """Attempts that the cluster runs at once; None when it is not connected and nobody knows."""
        if self._executor is not None:
            return self._executor.slots()
        if self._rooms is None and self.settings.dask == "local":
            from nbflow.executors.cluster import read_facts  # noqa: PLC0415 - as above

            facts = read_facts(self.settings.home)
            return facts.slots if facts is not None else None
        return None

    def offers(self) -> Offers | None:
        """What workers have to give; of a local cluster also when it does not run. Raises SetupError when another one is not there."""
        if self._rooms is None and self._executor is None and self.settings.dask == "local":
            from nbflow.executors.cluster import living_offers  # noqa: PLC0415 - as above

            return Offers(where="the local cluster", workers=(living_offers(self.settings.home),))
        return None if self.settings.dask == "inline" else self.executor.offers()

    def drives(self, run_id: str) -> bool:
        """Whether a thread of this process drives that run, whatever its lease says."""
        handle = self._handles.get(RunId(run_id))
        return handle is not None and not handle.is_over

    def warm(self) -> None:
        """Connect to the cluster in the background: what takes long is then done when the first task needs it."""
        threading.Thread(target=self._warm, name="nbflow-warm", daemon=True).start()

    def _warm(self) -> None:
        try:
            with self._lock:
                if not self._is_closed:  # before this thread had its turn: a cluster would be started for nobody
                    _ = self.executor
        except NbflowError:
            return  # whoever really needs the cluster is told then, with the same sentence

    def close(self) -> None:
        """Let go of the cluster and the database; runs of this process are abandoned."""
        for handle in list(self._handles.values()):
            if not handle.is_over:
                handle.abandon(way_on("The process that drove this run ended.", handle.run_id))
                with contextlib.suppress(NbflowError):
                    handle.wait(10)
        with self._lock:
            self._is_closed = True
            for executor, _ in self._own_executors.values():
                executor.close()
            self._own_executors = {}
            if self._executor is not None:
                self._executor.close()
                self._executor = None
            if self._store is not None:
                self._store.close()
                self._store = None


def person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def own_cluster(flow: Flow, settings: Settings) -> str:
    """The cluster that the flow's header asks for, as the setting `dask` would say it; "" when it asks for none. Raises UserError."""
    if not flow.options.cluster:
        return ""
    from nbflow.executors.cluster_class import BadCluster, from_table  # noqa: PLC0415 - only flows with a cluster of their own

    try:
        zone = flow.options.schedule.get("timezone") or settings.flow_defaults.get("timezone") or settings.timezone
        return str(from_table(flow.options.cluster, str(zone)))
    except BadCluster as error:
        raise UserError(f"[cluster] of flow {flow.name}: {error}.") from None
