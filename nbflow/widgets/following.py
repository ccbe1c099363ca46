# SPDX-License-Identifier: BSD-3-Clause
"""Keeps a panel at a run: change log -> snapshot -> deltas -> the panel's traits. One thread, and whatever happens at most 15 times a second."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from nbflow.core.errors import NbflowError
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import ExecutorEvent, OutputMade, ProgressMade
from nbflow.core.model import Flow
from nbflow.core.records import AttemptRecord, Change, RunRecord
from nbflow.core.snapshot import RunSnapshot, fold, reasons
from nbflow.core.states import TaskState
from nbflow.views.bundles import task_payload
from nbflow.views.panel import panel_payload
from nbflow.widgets.entries import Entry, Log, plain

if TYPE_CHECKING:
    from nbflow.app import Workspace
    from nbflow.widgets.panel import FlowPanel

_log = logging.getLogger("nbflow.widgets")
#: Seconds between two deltas, between two looks at a run that goes on, and at one that has ended (another process may take it up again).
_PACE: Final = 1 / 15
_LIVE: Final = 0.5
_QUIET: Final = 5.0
#: Waiting tasks say what they wait for in flows up to this size; in larger ones the sentences recorded last are shown.
_EXPLAINED: Final = 500
_RUNS_LISTED: Final = 20
#: Seconds that closing waits for the query under way.
_LETTING_GO: Final = 10.0
_WAITING: Final = frozenset({TaskState.PENDING, TaskState.UP_FOR_RETRY})


class Driven(Protocol):
    """A run that this process drives."""

    @property
    def is_over(self) -> bool: ...

    def snapshot(self) -> RunSnapshot: ...


@dataclass
class _Shown:
    """The run that a panel shows (none: the flow as it was understood), and what the panel was told of it."""

    flow: Flow
    snapshot: RunSnapshot | None
    driven: Driven | None = None
    #: The end of the run was told (also of a run that had ended before it was chosen).
    is_settled: bool = False
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: What attempts said of themselves while they ran, by task.
    progress: dict[TaskId, tuple[float | None, str]] = field(default_factory=dict)
    logs: dict[TaskId, tuple[int, Log]] = field(default_factory=dict)

    @property
    def run(self) -> RunRecord | None:
        return self.snapshot.run if self.snapshot else None


class Follower:
    """Follows the run a panel shows, of this process (it is a RunObserver of such a run) or of any other by the store."""

    def __init__(self, panel: FlowPanel, workspace: Workspace, *, flow: str = "", path: str = "", newest: bool = False) -> None:
        """`flow` and `path` say whose runs can be chosen; `newest`: go to a newer run of them as soon as there is one."""
        self._panel, self._workspace = panel, workspace
        self._flow, self._path, self._newest = flow, path, newest
        self._shown: _Shown | None = None
        self._lock = threading.RLock()
        self._news = threading.Event()
        self._closed = False
        #: What the log shown is of: the task and its attempt; it is read anew when that changes.
        self._log_of: tuple[str | None, int, str] = (None, 0, "")
        self._dirty: set[TaskId] = set()
        #: Called after a run that is shown has ended, in the follower's thread.
        self.when_settled: Callable[[], None] = lambda: None
        panel.observe(lambda _: self._news.set(), "selected")
        panel.on_show(self.show)
        if newest:
            self._news.set()
        self._thread = threading.Thread(target=self._follow, name="nbflow-panel", daemon=True)
        atexit.register(self.close)  # after the workspace registered its own end, so before it
        self._thread.start()

    # --- for whoever has the panel ----------------------------------------------------------------------------------------

    def show(self, run_id: str) -> None:
        """Show that run. What is in the way (there is no such run, the database is away) is said in the panel."""
        try:
            run = self._workspace.run(run_id)
            snapshot = self._from_store(run)
            self._show(_Shown(flow=self._workspace.flow_of(run), snapshot=snapshot, is_settled=snapshot.run.state.is_finished))
            self._panel.notice = ""
        except (NbflowError, KeyError) as error:
            self._panel.notice = str(error)

    def show_flow(self, flow: Flow) -> None:
        """Show the flow itself, before any run."""
        self._show(_Shown(flow=flow, snapshot=None))

    def drive(self, flow: Flow, driven: Driven) -> None:
        """Show a run that this process drives; this follower is told by it from now on."""
        snapshot = driven.snapshot()
        with self._lock:
            before = self._shown
            shown = _Shown(flow=flow, snapshot=snapshot, driven=driven)
            if before is not None and before.run is not None and before.run.run_id == snapshot.run.run_id:
                shown.progress, shown.logs = before.progress, before.logs
        self._show(shown)

    @property
    def run(self) -> RunRecord | None:
        """The run that is shown."""
        return self._shown.run if self._shown else None

    @property
    def flow(self) -> Flow | None:
        return self._shown.flow if self._shown else None

    def tail(self) -> tuple[str, list[str]]:
        """The task whose log is shown, and its lines without colours."""
        return self._panel.selected or "", plain(self._panel.log)

    def close(self) -> None:
        """Stop, and wait until the store is let go of: whoever closes it next must not do so under a query."""
        self._closed = True
        self._news.set()
        atexit.unregister(self.close)
        if self._thread is not threading.current_thread():
            self._thread.join(_LETTING_GO)

    # --- RunObserver: called in the driver's thread ---------------------------------------------------------------------------

    def changed(self, changes: Sequence[Change]) -> None:
        with self._lock:
            self._dirty.update(change.key.task_id for change in changes if change.key is not None)
        self._news.set()

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        with self._lock:
            shown = self._shown
            if shown is None or shown.driven is None:
                return
            if isinstance(event, ProgressMade):
                shown.progress[key.task_id] = (event.fraction, event.text)
                self._dirty.add(key.task_id)
            elif isinstance(event, OutputMade):
                number, log = shown.logs.get(key.task_id, (0, Log()))
                if number < attempt:
                    log = Log()
                shown.logs[key.task_id] = (max(number, attempt), log)
                log.add(event.output, self._workspace.clock.now())
        self._news.set()

    # --- the thread -------------------------------------------------------------------------------------------------------------

    def _show(self, shown: _Shown) -> None:
        now = self._workspace.clock.now()
        with self._lock:
            self._shown, self._log_of = shown, (None, 0, "")  # what changed since the snapshot was taken stays to be looked at
            payload = panel_payload(shown.flow, shown.snapshot.tasks if shown.snapshot else {}, shown.run, now)
            shown.told = {task["id"]: dict(task) for task in payload["tasks"]}
            with self._panel.hold_sync():
                self._panel.graph = payload
                self._panel.run = self._run_now(shown, now)
                self._panel.runs = self._choices(shown.run)
                if self._panel.selected not in {None, *shown.told}:
                    self._panel.selected = None
        self._news.set()

    def _run_now(self, shown: _Shown, now: datetime) -> dict[str, Any]:
        run, snapshot = shown.run, shown.snapshot
        if run is None or snapshot is None:
            return {"run_id": None, "state": None, "sentence": "", "elapsed": None}
        elapsed = snapshot.seconds(now) if run.started_at else None
        return {"run_id": run.run_id, "state": str(run.state), "sentence": snapshot.sentence(now), "elapsed": elapsed}

    def _follow(self) -> None:
        pause = threading.Event()
        while not self._closed:
            self._news.wait(self._patience())
            self._news.clear()
            if self._closed:
                return
            try:
                self._look()
            except NbflowError as error:
                self._panel.notice = str(error)
            except Exception:  # noqa: BLE001 - a view that fails must not take its kernel with it
                _log.exception("the panel stopped")
                self._panel.notice = "The panel stopped for a reason of its own: type %nbflow panel for a new one."
                return
            pause.wait(_PACE)

    def _patience(self) -> float:
        run = self.run
        return _LIVE if run is not None and not run.state.is_finished else _QUIET

    def _look(self) -> None:
        if self._newest:
            self._go_to_newest()
        now = self._workspace.clock.now()
        with self._lock:
            shown = self._shown
            if shown is None or shown.snapshot is None:
                self._tell_log(shown)
                return
            before = shown.snapshot.run
            dirty, self._dirty = self._dirty | self._catch_up(shown), set()
            changed = self._deltas(shown, dirty, now)
            self._panel.update(changed)
            self._tell_run(shown, now)
            run = shown.snapshot.run
            ends, shown.is_settled = run.state.is_finished and not shown.is_settled, run.state.is_finished
            if ends:
                self._choose_failed(shown)
            self._tell_log(shown)
            settled = run.state.is_finished and (ends or changed or run is not before)
        if settled:
            self._panel.runs = self._choices(run)
            self.when_settled()

    def _go_to_newest(self) -> None:
        newest = self._workspace.last_run(flow=self._flow, path=self._path)
        if newest is None:
            who = f"Flow {self._flow} has" if self._flow else "Nothing has"
            self._panel.notice = f"{who} not run yet."
        elif self.run is None or newest.run_id != self.run.run_id:
            self.show(newest.run_id)

    @staticmethod
    def _is_here(shown: _Shown) -> bool:
        return shown.driven is not None and not shown.driven.is_over

    def _catch_up(self, shown: _Shown) -> set[TaskId]:
        """Take the snapshot on; returns the tasks that changed."""
        assert shown.snapshot is not None
        before = shown.snapshot
        if shown.driven is not None:
            shown.snapshot = shown.driven.snapshot()
            if not shown.driven.is_over:
                return set()
            shown.driven = None  # whoever takes the run up again writes into the store
        if shown.snapshot.is_finished:
            run = self._workspace.run(before.run.run_id)
            if run != shown.snapshot.run:  # somebody took it up again
                shown.snapshot = self._from_store(run)
        while changes := self._changes(shown.snapshot):
            shown.snapshot = fold(shown.snapshot, changes)
        return {key.task_id for key, record in shown.snapshot.tasks.items() if before.tasks.get(key) != record}

    def _changes(self, snapshot: RunSnapshot) -> Sequence[Change]:
        return () if snapshot.is_finished else self._workspace.store.changes(snapshot.run.run_id, snapshot.cursor)

    def _from_store(self, run: RunRecord) -> RunSnapshot:
        """The run as recorded now. What is recorded while it is read is read twice, which does no harm."""
        cursor = 0
        while not run.state.is_finished and (changes := self._workspace.store.changes(run.run_id, cursor)):
            cursor = changes[-1].cursor
        return replace(self._workspace.snapshot(run.run_id), cursor=cursor)

    def _deltas(self, shown: _Shown, dirty: Iterable[TaskId], now: datetime) -> dict[str, dict[str, Any]]:
        """What is different from what the panel was told: of the tasks that changed, and of those that time changes."""
        assert shown.snapshot is not None
        records, run = shown.snapshot.tasks, shown.snapshot.run
        wanted = set(dirty)
        why: Mapping[TaskKey, str] = {}
        if not run.state.is_finished:
            wanted.update(key.task_id for key, record in records.items() if record.state is TaskState.RUNNING)
            if len(records) <= _EXPLAINED:
                why = reasons(shown.flow, shown.snapshot, now)
                wanted.update(key.task_id for key, record in records.items() if record.state in _WAITING)
        found: dict[str, dict[str, Any]] = {}
        for task in shown.flow.tasks:
            if task.id not in wanted:
                continue
            status = task_payload(task, records, now)
            single = TaskKey(task.id)
            if single in why and records[single].state in _WAITING:
                status["reason"] = why[single]
            fraction, text = shown.progress.get(task.id, (None, "")) if status["state"] == "running" else (None, "")
            status |= {"progress": fraction, "note": text}
            told = shown.told.setdefault(task.id, {})
            change = {key: value for key, value in status.items() if told.get(key, None) != value}
            if change:
                told.update(change)
                found[task.id] = change
        return found

    def _tell_run(self, shown: _Shown, now: datetime) -> None:
        after, before = self._run_now(shown, now), self._panel.run
        grown = (after["elapsed"] or 0) - (before.get("elapsed") or 0)
        if grown >= 1 or {**after, "elapsed": 0} != {**before, "elapsed": 0}:
            self._panel.update_run(**after)

    def _choose_failed(self, shown: _Shown) -> None:
        """A run that has just failed shows why, unless somebody looks at something else."""
        assert shown.snapshot is not None
        failed = [key.task_id for key, record in shown.snapshot.tasks.items() if record.state is TaskState.FAILED]
        if failed and self._panel.selected is None:
            self._panel.selected = failed[0]

    # --- the log of the chosen task ---------------------------------------------------------------------------------------------

    def _tell_log(self, shown: _Shown | None) -> None:
        selected = self._panel.selected
        if shown is None or selected is None:
            self._log_of = (None, 0, "")
            return
        task = shown.told.get(selected, {})
        attempt, state = int(task.get("attempt") or 0), str(task.get("state") or "")
        number, live = shown.logs.get(TaskId(selected), (0, None))
        of = (selected, attempt, "live" if live is not None and number == attempt and state == "running" else state)
        if of == self._log_of:
            if live is not None and of[2] == "live":
                gone, fresh = live.news()
                self._panel.append_log(fresh, gone)
            return
        self._log_of = of
        if live is not None and of[2] == "live":
            live.news()
            entries, title = list(live.entries), self._title(shown, selected, attempt)
        else:
            entries, title = self._recorded(shown, selected, state, live)
        with self._panel.hold_sync():
            self._panel.log_title = title
            self._panel.log = entries

    def _title(self, shown: _Shown, task: str, attempt: int, worker: str = "") -> str:
        assert shown.snapshot is not None
        record = shown.snapshot.tasks.get(TaskKey(TaskId(task)))
        worker = worker or (record.worker if record else "")
        attempts = shown.told.get(task, {}).get("attempts") or 1
        many = f"attempt {attempt} of {max(attempts, attempt)}" if attempts > 1 or attempt > 1 else f"attempt {attempt}"
        where = worker.rpartition("://")[2].removeprefix("127.0.0.1:")
        return ", ".join(["log", *([many] if attempt else []), *([f"worker {where}"] if where else [])])

    def _recorded(self, shown: _Shown, task: str, state: str, live: Log | None) -> tuple[list[Entry], str]:
        """What the newest attempt of the task is known to have shown; the times are those it was heard at, where this process heard it."""
        if shown.run is None:
            return [], "log"
        newest: dict[TaskKey, AttemptRecord] = {one.key: one for one in self._workspace.attempts(shown.run.run_id, task)}
        if not newest:
            reason = shown.told.get(task, {}).get("reason", "")
            elsewhere = state in {"running", "queued"} and not self._is_here(shown)
            told = "Another process runs it: what it shows comes here when the attempt has ended." if elsewhere else reason
            return ([{"text": told}] if told else []), "log"
        entries: list[Entry] = []
        for key in sorted(newest):
            if key.map_index >= 0:
                entries.append({"text": str(key)})
            entries += Log.of(self._workspace.outputs(newest[key].outputs)).entries
            error = newest[key].error
            if error is not None and not any(entry.get("level") == "E" for entry in entries):
                entries += Log.of([{"output_type": "error", "traceback": list(error.traceback) or [error.sentence]}]).entries
        last = next(iter(newest.values()))
        if live is not None and len(newest) == 1:
            for entry, heard in zip(entries, live.entries, strict=False):
                if entry.get("text") == heard.get("text") and "time" in heard:
                    entry["time"] = heard["time"]
        return entries, self._title(shown, task, last.attempt, last.worker)

    # --- the runs one may choose from -------------------------------------------------------------------------------------------

    def _choices(self, run: RunRecord | None) -> list[dict[str, str]]:
        flow = self._flow or (run.flow if run else "")
        if not flow:
            return []
        runs = list(self._workspace.find_runs(flow=flow, path=self._path, limit=_RUNS_LISTED).runs)
        if run is not None and all(one.run_id != run.run_id for one in runs):
            runs.append(run)
        today = self._workspace.clock.now().astimezone().date()
        return [{"run_id": one.run_id, "label": _label(one, today, newest=place == 0)} for place, one in enumerate(runs)]


def _label(run: RunRecord, today: Any, *, newest: bool) -> str:
    """`This run, 09:12`, `Today 09:12, failed`, `Fri 13 Mar 03:00, succeeded`."""
    at = (run.started_at or run.created_at).astimezone()
    clock = f"{at:%H:%M}"
    if newest and not run.state.is_finished:
        return f"This run, {clock}"
    day = "Today" if at.date() == today else f"{at:%a} {at.day} {at:%b}"
    word = {"success": "succeeded"}.get(run.state.value, run.state.value)
    return f"{day} {clock}, {word}"
