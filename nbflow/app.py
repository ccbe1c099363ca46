# SPDX-License-Identifier: BSD-3-Clause
"""The hall: the only place that knows every room. `Workspace` builds them from the settings and offers the use cases the doors need."""

from __future__ import annotations

import contextlib
import getpass
import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbflow.core.errors import NbflowError, Problem, SetupError, Superseded, UserError, nearest
from nbflow.core.graph import Graph
from nbflow.core.ids import RunId, TaskId, TaskKey, manual_run_id, slug, task_key
from nbflow.core.job import CaptureKind, CaptureSet, OutputsRef, ValueRef
from nbflow.core.mapping import copy_heading, summary
from nbflow.core.model import Flow
from nbflow.core.protocols import ArtifactStore, Clock, Executor, RunObserver, RunPage, Store
from nbflow.core.records import AttemptRecord, Change, Request, RunRecord, TaskRecord
from nbflow.core.snapshot import RunSnapshot
from nbflow.core.states import RunState
from nbflow.engine.attempts import values_of
from nbflow.engine.captures import HandedOver
from nbflow.engine.driver import Driver, Surroundings
from nbflow.engine.inbox import Switchboard
from nbflow.engine.jobs import parse_bytes
from nbflow.engine.owner import is_dead, me, say_owner
from nbflow.engine.reaping import abandon, way_on
from nbflow.engine.resume import to_run_again
from nbflow.engine.values import Values
from nbflow.settings import Settings, load_settings

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


class Workspace:
    """One home: its database, its artifacts and its cluster."""

    def __init__(self, settings: Settings, rooms: Rooms | None = None) -> None:
        self.settings = settings
        self._rooms = rooms
        self._lock = threading.RLock()
        self._switchboard = Switchboard()
        self._store: Store | None = rooms.store if rooms else None
        self._artifacts: ArtifactStore | None = rooms.artifacts if rooms else None
        self._executor: Executor | None = None
        self.clock: Clock = rooms.clock if rooms else SystemClock()
        self._handles: dict[RunId, RunHandle] = {}

    @classmethod
    def open(cls, settings: Settings | None = None, **overrides: Any) -> Workspace:
        """The workspace of the settings in force. Runs whose process died are ended with a true reason. Raises SetupError."""
        workspace = cls(settings or load_settings(overrides))
        workspace.reap()
        return workspace

    # --- rooms, opened when first needed ----------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        with self._lock:
            if self._store is None:
                from nbflow.store.opening import open_store  # noqa: PLC0415 - SQLAlchemy is loaded when history is needed

                self._store = open_store(self.settings.database)
            return self._store

    @property
    def artifacts(self) -> ArtifactStore:
        with self._lock:
            if self._artifacts is None:
                from nbflow.store.artifacts import open_artifacts  # noqa: PLC0415 - fsspec likewise

                self._artifacts = open_artifacts(self.settings.artifacts)
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

    def _make_executor(self) -> Executor:
        if self.settings.dask == "inline":
            from nbflow.executors.inline import InlineExecutor  # noqa: PLC0415 - only the chosen executor is loaded
            from nbflow.operators.entry import run_job  # noqa: PLC0415

            artifacts = self.artifacts
            return InlineExecutor(lambda job, tell: run_job(job, artifacts, tell, worker="inline"))
        if self.settings.artifacts.startswith("memory://"):
            raise SetupError("artifacts_url memory:// is seen by this process only: set dask = inline, or artifacts_url to a folder.")
        from nbflow.executors.dask_executor import DaskExecutor  # noqa: PLC0415
        from nbflow.store.artifacts import open_artifacts  # noqa: PLC0415

        return DaskExecutor(
            self.settings.dask,
            home=self.settings.home,
            artifacts_url=self.settings.artifacts,
            workers=self.settings.workers,
            idle=self.settings.cluster_idle,
            artifacts=self.artifacts,
            opener=open_artifacts,
        )

    def warm(self) -> None:
        """Connect to the cluster in the background: what takes long is then done when the first task needs it."""
        threading.Thread(target=self._warm, name="nbflow-warm", daemon=True).start()

    def _warm(self) -> None:
        try:
            _ = self.executor
        except NbflowError:
            return  # whoever really needs the cluster is told then, with the same sentence

    def close(self) -> None:
        """Let go of the cluster and the database; runs of this process are abandoned."""
        for handle in self._handles.values():
            if not handle.is_over:
                handle.abandon(way_on("The process that drove this run ended.", handle.run_id))
                with contextlib.suppress(NbflowError):
                    handle.wait(10)
        with self._lock:
            if self._executor is not None:
                self._executor.close()
                self._executor = None
            if self._store is not None:
                self._store.close()
                self._store = None

    # --- what was written -------------------------------------------------------------------------------------------

    def load_flow(self, path: str | Path) -> Flow:
        """The flow of a notebook, found without running anything. Raises UserError, FlowError with every problem."""
        from nbflow.authoring.flow_builder import build_flow  # noqa: PLC0415 - IPython's transformer is loaded when a file is read
        from nbflow.authoring.notebook_file import read_notebook  # noqa: PLC0415

        notebook = read_notebook(path)
        return build_flow(notebook.cells, name=slug(Path(path).stem), path=str(Path(path).resolve()))

    def problems(self, path: str | Path) -> tuple[Problem, ...]:
        """Everything that would go wrong with a notebook, warnings too. Raises UserError when it cannot be read at all."""
        from nbflow.authoring.flow_builder import find_problems  # noqa: PLC0415 - as above
        from nbflow.authoring.notebook_file import read_notebook  # noqa: PLC0415

        return find_problems(read_notebook(path).cells, name=slug(Path(path).stem), path=str(Path(path).resolve()))

    # --- running ----------------------------------------------------------------------------------------------------

    def start_run(
        self,
        flow: Flow,
        captures: CaptureSet,
        *,
        tasks: Sequence[TaskId] | None = None,
        held: Collection[TaskId] = (),
        params: Mapping[str, Any] | None = None,
        trigger: str = "live",
        output: str = "",
        run_id: RunId | None = None,
        executor: Executor | None = None,
        observers: Sequence[RunObserver] = (),
    ) -> RunHandle:
        """Create a run and start driving it in a thread of this process.

        `tasks` restricts the run to these; what they read of others comes from the last run of the flow. `held` tasks wait until they are
        released. Raises UserError for a name that cannot travel, SetupError when the database or the cluster is in the way: then no run exists.
        """
        chosen = self._chosen(flow, tasks)
        _refuse_unsendable(flow, captures, chosen)
        _refuse_resources(flow)
        surroundings = self._surroundings(executor)
        values = self._values_from_last_run(flow, chosen)
        now = self.clock.now()
        run = RunRecord(
            run_id=run_id or manual_run_id(now),
            flow=flow.name,
            version=self.store.save_flow(flow),
            created_at=now,
            logical_date=now,
            params=dict(params or {}),
            trigger=trigger,
            path=flow.path,
            output=output,
            tasks=chosen if tasks is not None else (),
        )
        records = tuple(TaskRecord(key=TaskKey(task)) for task in chosen)
        handed = HandedOver(captures, [task for task in chosen if task not in set(held)])
        self.store.create_run(run, records, handed.encode(), handed.hashes())
        lease = self.store.claim(run.run_id, me(), self.settings.lease)
        if lease is None:
            raise Superseded(f"Run {run.run_id} was taken by another process before it began.")
        handle = Driver(
            flow=flow,
            run=run,
            records=records,
            lease=lease,
            surroundings=surroundings,
            captures=handed,
            values=values,
            held=held,
            observers=observers,
        )
        return self._begin(handle)

    def _begin(self, handle: RunHandle) -> RunHandle:
        self._handles = {known: other for known, other in self._handles.items() if not other.is_over} | {handle.run_id: handle}
        handle.start()
        return handle

    def resume_run(
        self,
        run_id: str,
        captures: CaptureSet | None = None,
        *,
        held: Collection[TaskId] = (),
        executor: Executor | None = None,
        observers: Sequence[RunObserver] = (),
    ) -> RunHandle:
        """Go on with a run whose process died, or that ended failed or cancelled, in a thread of this process; `latest` is the newest run.

        What succeeded is loaded; what failed, and what depends on it, runs again, with the flow, the parameters and the captures of the first time.
        `captures` are for tasks that were never reached then; without any the run must not have such tasks.
        Raises UserError when it succeeded or is driven by a living process, SetupError when the database or the cluster is in the way.
        """
        run = self.run(run_id)
        self.refuse_to_resume(run)
        flow = self.flow_of(run)
        handed = HandedOver.decode(self.store.captures(run.run_id))
        chosen = run.tasks or tuple(task.id for task in flow.tasks)
        if captures is not None:
            _refuse_unsendable(flow, captures, [task for task in chosen if task not in handed])
            handed.add([task for task in chosen if task not in set(held)], captures)
        missing = [task for task in chosen if task not in handed and task not in set(held)]
        if missing:
            raise UserError(
                f"Run {run.run_id} ended before the cells above task {missing[0]} had run: go on with nbflow run --resume {run.run_id}."
            )
        surroundings = self._surroundings(executor)
        lease = self.store.claim(run.run_id, me(), self.settings.lease, self._dead_holder(run.run_id))
        if lease is None:
            raise self._held_by(run.run_id)
        values = self._values_from_last_run(flow, chosen, before=run)
        own = values_of(self.store, run.run_id)
        for task in own.tasks():
            values.adopt(task, own)
        if captures is not None:
            self.store.save_captures(run.run_id, handed.encode(), handed.hashes())
        handle = Driver(
            flow=flow,
            run=self.store.run(run.run_id),
            records=self.store.task_records(run.run_id),
            lease=lease,
            surroundings=surroundings,
            captures=handed,
            values=values,
            held=held,
            observers=observers,
            goes_on=_person(),
        )
        return self._begin(handle)

    def refuse_to_resume(self, run: RunRecord) -> None:
        """Raises UserError, with the reason, when there is nothing to go on with, or a living process drives the run."""
        holder = self.store.holder(run.run_id)
        if holder and not is_dead(holder):
            raise self._held_by(run.run_id)
        if run.state is RunState.SUCCESS:
            raise UserError(f"Run {run.run_id} succeeded: there is nothing to go on with.")
        if not run.state.is_finished:
            return
        records = {record.key: record for record in self.store.task_records(run.run_id)}
        if not to_run_again(Graph.of(self.flow_of(run), run.tasks), records):
            raise UserError(f"Run {run.run_id} has no task left to run: there is nothing to go on with.")

    def _dead_holder(self, run_id: RunId) -> str:
        """The process that holds the run's lease, when it is known to have died."""
        holder = self.store.holder(run_id)
        return holder if holder and is_dead(holder) else ""

    def _held_by(self, run_id: RunId) -> UserError:
        holder = say_owner(self.store.holder(run_id)) or "another process"
        return UserError(f"Run {run_id} is being driven by {holder}: wait for its end, or type nbflow runs cancel {run_id}.")

    def _surroundings(self, executor: Executor | None) -> Surroundings:
        switchboard = self._switchboard
        if executor is None:
            executor = self.executor
        else:
            switchboard = Switchboard()
            executor.start(switchboard.tell)
        return Surroundings(
            store=self.store,
            executor=executor,
            switchboard=switchboard,
            clock=self.clock,
            artifacts=self.artifacts,
            artifacts_url=self.settings.artifacts,
            keep_limit=self.settings.keep_limit,
            parallelism=self.settings.parallelism or 16 * (executor.slots() or 4),
        )

    @staticmethod
    def _chosen(flow: Flow, tasks: Sequence[TaskId] | None) -> tuple[TaskId, ...]:
        known = tuple(task.id for task in flow.tasks)
        if tasks is None:
            return known
        for task in tasks:
            if task not in known:
                raise UserError(f'Flow {flow.name} has no task "{task}".{nearest(task, known)}')
        return tuple(task for task in known if task in set(tasks))

    def _values_from_last_run(self, flow: Flow, chosen: Collection[TaskId], *, before: RunRecord | None = None) -> Values:
        needed = {writer for task in flow.tasks if task.id in chosen for read in task.reads for writer in read.writers} - set(chosen)
        values = Values()
        if not needed:
            return values
        for run in self.store.find_runs(flow=flow.name, path=flow.path, limit=20).runs:
            if before is not None and (run.run_id == before.run_id or run.created_at > before.created_at):
                continue
            found = values_of(self.store, run.run_id)
            for task in needed & found.tasks():
                values.adopt(task, found)
            needed -= found.tasks()
            if not needed:
                break
        return values

    # --- what happened ----------------------------------------------------------------------------------------------

    def find_runs(self, *, flow: str = "", state: str = "", path: str = "", cursor: str = "", limit: int = 50) -> RunPage:
        return self.store.find_runs(flow=flow, state=state, path=path, cursor=cursor, limit=limit)

    def last_run(self, *, flow: str = "", path: str = "") -> RunRecord | None:
        """The newest run of a flow, or None."""
        runs = self.store.find_runs(flow=flow, path=path, limit=1).runs
        return runs[0] if runs else None

    def run(self, run_id: str) -> RunRecord:
        """The run of that id; `latest` is the newest of all. Raises UserError."""
        if run_id != "latest":
            return self.store.run(run_id)
        newest = self.last_run()
        if newest is None:
            raise UserError("There are no runs yet: type nbflow run NOTEBOOK.")
        return newest

    def snapshot(self, run_id: str) -> RunSnapshot:
        """The run as recorded now."""
        return RunSnapshot.of(self.store.run(run_id), self.store.task_records(run_id))

    def flow_of(self, run: RunRecord) -> Flow:
        """The flow version the run is pinned to."""
        return self.store.flow(run.version)

    def attempts(self, run_id: str, task: str = "") -> tuple[AttemptRecord, ...]:
        """The finished attempts, oldest first: of all tasks, of one, or of one copy of a mapped task (`score[3]`).

        Raises UserError for a task the run does not have.
        """
        if not task:
            return self.store.attempts(run_id)
        key = task_key(task)
        keys = {record.key for record in self.store.task_records(run_id)}
        known = {str(one) for one in keys} | {one.task_id for one in keys}
        if task not in known:
            raise UserError(f'Run {run_id} has no task "{task}".{nearest(task, known)}')
        return self.store.attempts(run_id, key.task_id, key.map_index if key.map_index >= 0 else None)

    def outputs(self, ref: OutputsRef) -> list[dict[str, Any]]:
        """The outputs a record refers to."""
        if ref.hash:
            return list(json.loads(self.artifacts.get(ref.hash)))
        return [dict(output) for output in ref.inline]

    def logs(self, run_id: str, task: str, attempt: int | None = None) -> list[dict[str, Any]]:
        """The outputs of the newest attempt of a task, or of the one of that number; of a mapped task copy by copy. Raises UserError."""
        attempts = self.attempts(run_id, task)
        chosen = {one.key: one for one in attempts if attempt is None or one.attempt == attempt}  # the newest of each
        if not chosen:
            what = f"no attempt {attempt}" if attempt is not None else "no finished attempt"
            raise UserError(f"Task {task} of run {run_id} has {what}. {self._reason(run_id, task)}".rstrip())
        if len(chosen) == 1:
            return self.outputs(next(iter(chosen.values())).outputs)
        outputs: list[dict[str, Any]] = []
        for key in sorted(chosen):
            found = self.outputs(chosen[key].outputs)
            outputs += [{"output_type": "display_data", "data": copy_heading(key), "metadata": {}}, *found] if found else []
        return outputs

    def _reason(self, run_id: str, task: str) -> str:
        records = RunSnapshot.of(self.store.run(run_id), self.store.task_records(run_id)).tasks
        key = task_key(task)
        found = records.get(key) or summary(records, key.task_id)
        return found.reason if found else ""

    def given(self, run_id: str, task: str) -> Mapping[str, ValueRef]:
        """What a task gave in a run, by name; a mapped task lists, one copy of it (`score[3]`) its own. Raises UserError when nothing succeeded."""
        self.attempts(run_id, task)
        found = values_of(self.store, run_id).find(task_key(task))
        if found is None:
            raise UserError(f"Task {task} of run {run_id} gave nothing. {self._reason(run_id, task)}".rstrip())
        return found.values

    def captures(self, run_id: str) -> CaptureSet:
        """What the kernel handed over for this run."""
        return HandedOver.decode(self.store.captures(run_id)).newest()

    def follow(self, run_id: str, *, pause: float = 0.2) -> Iterator[Sequence[Change]]:
        """The changes of a run as they are recorded, by any process, until it has ended."""
        cursor, waiting = 0, threading.Event()
        while True:
            changes = self.store.changes(run_id, cursor)
            if changes:
                cursor = changes[-1].cursor
                yield changes
            elif self.store.run(run_id).state.is_finished:
                return
            else:
                waiting.wait(pause)

    # --- asking -----------------------------------------------------------------------------------------------------

    def cancel(self, run_id: str, tasks: Sequence[str] = (), by: str = "") -> None:
        """Cancel a run, or tasks of it, whoever drives it. Raises UserError when it has ended already."""
        run = self.store.run(run_id)
        if run.state.is_finished:
            raise UserError(f"Run {run_id} has ended already: {run.state.value}.")
        keys = tuple(task_key(task) for task in tasks)
        handle = self._handles.get(run.run_id)
        if handle is not None:
            handle.cancel(keys, by or _person())
        else:
            self.store.leave_request(run_id, Request(kind="cancel", keys=keys, by=by or _person(), at=self.clock.now()))
            self.reap()

    def reap(self) -> tuple[RunId, ...]:
        """End the runs whose process died, with a true reason and the way on. Returns their ids."""
        dead = [run_id for run_id, owner in self.store.holders().items() if is_dead(owner)]
        reaped = []
        for run_id in dict.fromkeys([*dead, *self.store.lapsed_runs()]):
            run = self.store.run(run_id)
            if run_id not in dead and (self.clock.now() - run.created_at).total_seconds() < self.settings.lease:
                continue  # just created: its own process is about to claim it
            lease = self.store.claim(run_id, me(), self.settings.lease, self._dead_holder(run_id))
            if lease is not None:
                abandon(self.store, self.artifacts, lease, self.clock.now())
                reaped.append(run_id)
        return tuple(reaped)


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _refuse_unsendable(flow: Flow, captures: CaptureSet, chosen: Collection[TaskId]) -> None:
    for task in flow.tasks:
        if task.id not in chosen:
            continue
        early = captures.early.get(task.id, {})
        for read in task.reads:
            capture = early.get(read.name) or captures.names.get(read.name)
            if read.plain and not read.writers and capture is not None and capture.kind is CaptureKind.UNSENDABLE:
                raise UserError(f"Task {task.id} uses `{read.name}`, which cannot be sent to a worker: {capture.reason}")


def _refuse_resources(flow: Flow) -> None:
    for task in flow.tasks:
        for name, text in dict(task.options.resources).items():
            if name.upper() in {"MEM", "MEMORY"}:
                parse_bytes(text)
