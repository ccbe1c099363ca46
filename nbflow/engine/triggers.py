# SPDX-License-Identifier: BSD-3-Clause
"""Watches what deferred attempts wait for, in a thread of the driver's process. Nothing it knows is recorded: the states say it again.

A trigger is JSON: {"kind": ..., "shown": what it waits for, in words, ...}. `at` alone needs no watching, the machine looks at the time itself.
Kinds: `run` (another flow's run, or a task of it), `time` (only `at`), and those of other distributions through the entry point group
`nbflow.triggers`: a function of the trigger that returns None until it has fired.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import entry_points
from typing import Any, Final

from nbflow.core.errors import NbflowError
from nbflow.core.events import TriggerFired, Watch
from nbflow.core.protocols import Store
from nbflow.core.records import RunRecord
from nbflow.core.states import TaskState
from nbflow.engine.watchers import Watchers

_log = logging.getLogger("nbflow.triggers")
_GROUP: Final = "nbflow.triggers"
#: Seconds between two looks.
PERIOD: Final = 0.5
_PAGE: Final = 100
#: Runs of a flow that are looked at, the newest first, for one with the same logical date.
_DEEPEST: Final = 2_000


class NeverFires(Exception):
    """What is waited for cannot come any more; the text is the reason."""


class TriggerRunner:
    """Looks at each trigger until it has fired or its instance waits for it no more."""

    def __init__(self, store: Store, watchers: Watchers, tell: Callable[[TriggerFired], None]) -> None:
        self._store, self._watchers, self._tell = store, watchers, tell
        self._watched: dict[str, Watch] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, command: Watch) -> None:
        if set(command.trigger) <= {"kind", "at", "shown"}:
            return  # time alone
        with self._lock:
            self._watched[command.token] = command
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nbflow-triggers", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Returns when nothing is looked at any more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                watched = list(self._watched.values())
            for command in watched:
                if self._look(command):
                    with self._lock:
                        self._watched.pop(command.token, None)
            if self._stop.wait(PERIOD):
                return

    def _look(self, command: Watch) -> bool:
        """Whether there is nothing to look at any more."""
        record = self._watchers.snapshot.tasks.get(command.key)
        if record is None or record.state is not TaskState.DEFERRED or record.note.get("token") != command.token:
            return True
        try:
            result = look(command.trigger, self._store)
        except NeverFires as reason:
            self._tell(TriggerFired(key=command.key, token=command.token, problem=str(reason)))
            return True
        except NbflowError as error:  # a store that is busy, say: it is asked again
            _log.warning("the trigger of task %s could not be looked at: %s", command.key, error)
            return False
        except Exception as error:  # noqa: BLE001 - a trigger of somebody else may raise anything
            _log.exception("the trigger of task %s failed", command.key)
            problem = f"its trigger failed: {type(error).__name__}: {error}"
            self._tell(TriggerFired(key=command.key, token=command.token, problem=problem))
            return True
        if result is None:
            return False
        self._tell(TriggerFired(key=command.key, token=command.token, result=result))
        return True


def look(trigger: Mapping[str, Any], store: Store) -> Any:
    """What came, or None: not yet. Raises NeverFires."""
    kind = str(trigger.get("kind", ""))
    if kind == "run":
        return _look_for_run(trigger, store)
    for point in entry_points(group=_GROUP, name=kind):
        return point.load()(trigger)
    raise NeverFires(f'nobody here knows triggers of the kind "{kind}": install what brings it where the run is driven')


def _look_for_run(trigger: Mapping[str, Any], store: Store) -> dict[str, Any] | None:
    """Another run, or a task of it, in one of the states wanted."""
    run = _find_run(trigger, store)
    if run is None:
        return None
    wanted, task = set(trigger.get("states") or ["success"]), str(trigger.get("task") or "")
    states = {record.state.value for record in store.task_records(run.run_id) if record.key.task_id == task} if task else {run.state.value}
    if task and not states:
        raise NeverFires(f'run {run.run_id} of {run.flow} has no task "{task}"')
    if states <= wanted:
        return {"run_id": run.run_id, "state": ", ".join(sorted(states))}
    if run.state.is_finished:
        what = f"task {task} of run" if task else "run"
        raise NeverFires(f"{what} {run.run_id} of {run.flow} ended {', '.join(sorted(states - wanted))}")
    return None


def _find_run(trigger: Mapping[str, Any], store: Store) -> RunRecord | None:
    flow, which = str(trigger["flow"]), str(trigger.get("run") or "latest")
    if which not in {"latest", "same"}:
        return next((run for run in _runs(store, flow) if run.run_id == which), None)
    if which == "latest":
        return next(iter(store.find_runs(flow=flow, limit=1).runs), None)
    date = datetime.fromisoformat(trigger["logical_date"])
    return next((run for run in _runs(store, flow) if run.logical_date == date), None)


def _runs(store: Store, flow: str) -> list[RunRecord]:
    found: list[RunRecord] = []
    cursor = ""
    while len(found) < _DEEPEST:
        page = store.find_runs(flow=flow, limit=_PAGE, cursor=cursor)
        found += page.runs
        if not page.next:
            break
        cursor = page.next
    return found
