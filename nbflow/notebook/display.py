# SPDX-License-Identifier: BSD-3-Clause
"""A run as it is seen in the notebook: the graph under the cell that runs it, a card and the outputs under each task's own cell.

The driver's thread only leaves notes; a thread of the display sends what has changed, a few times a second, whatever happens in between.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import ErrorInfo, ExecutorEvent, OutputMade, OutputsRef, ProgressMade, Report
from nbflow.core.mapping import is_mapped, summary
from nbflow.core.model import Flow, Task
from nbflow.core.records import Change, TaskRecord
from nbflow.core.snapshot import RunSnapshot
from nbflow.notebook.area import Area
from nbflow.notebook.channel import Bundle, Channel
from nbflow.notebook.copies import CopiesArea
from nbflow.notebook.runs import WatchedRun

_log = logging.getLogger("nbflow.notebook")
#: Seconds between two looks at what has changed, between two drawings of the graph, and until it is drawn again although nothing happened.
TICK: Final = 0.12
GRAPH_PERIOD: Final = 0.3
REFRESH: Final = 1.0
#: Seconds for which a cell waits at its end for what is still to be shown: a busy machine is slow.
SHOW_LIMIT: Final = 20.0

_numbers = itertools.count(1)


def card_id(task: str) -> str:
    """The display id of a task's card: the host of a headless run updates it by the same name."""
    return f"nbflow-card-{task}"


def next_graph_id() -> str:
    """A display id for one more graph in this kernel."""
    return f"nbflow-graph-{next(_numbers)}"


def card(flow: Flow, task: Task, record: TaskRecord | None = None, note: str = "") -> Bundle:
    """A task's card as a MIME bundle."""
    from nbflow.views.bundles import task_bundle  # noqa: PLC0415 - loading the extension stays quick

    return task_bundle(flow, task, record, datetime.now(UTC), note=note)


def graph(flow: Flow, snapshot: RunSnapshot | None = None) -> Bundle:
    """The graph as a MIME bundle, with the states of a run."""
    from nbflow.views.bundles import graph_bundle  # noqa: PLC0415 - as above

    records = snapshot.tasks if snapshot else {}
    return graph_bundle(flow, records, snapshot.run if snapshot else None, datetime.now(UTC))


def header(flow: Flow) -> Bundle:
    """The line under the `%%flow` cell."""
    from nbflow.views.bundles import header_bundle  # noqa: PLC0415 - as above

    return header_bundle(flow)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a task's outputs go: the request that defined it, and the prompt number of that."""

    parent: Mapping[str, Any]
    count: int = 0


@dataclass(frozen=True)
class _Said:
    key: TaskKey
    attempt: int
    event: ExecutorEvent


class Panel(Protocol):
    """A live panel over the picture of a run."""

    spot: Spot

    def follow(self, flow: Flow, running: WatchedRun) -> None:
        """A run of this kernel is shown from now on."""
        ...

    def changed(self, changes: Sequence[Change]) -> None: ...

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None: ...

    def bundle(self, flow: Flow, snapshot: RunSnapshot) -> Bundle:
        """The picture, with a seat for the panel."""
        ...


@dataclass(kw_only=True)
class Spot:
    """Where a run is shown as a whole: the request under whose cell, the display id there, and the live panel, if any."""

    parent: Mapping[str, Any]
    display_id: str = field(default_factory=next_graph_id)
    panel: Panel | None = None
    #: Something is shown there already.
    is_taken: bool = False
    _drawing: threading.Lock = field(default_factory=threading.Lock)

    def draw(self, channel: Channel, flow: Flow, snapshot: Callable[[], RunSnapshot]) -> None:
        """Draw it again as it is now, one thread after the other: an older picture never replaces a newer one."""
        with self._drawing:
            channel.update(self.bundle(flow, snapshot()), self.display_id, self.parent)

    def bundle(self, flow: Flow, snapshot: RunSnapshot) -> Bundle:
        return self.panel.bundle(flow, snapshot) if self.panel is not None else graph(flow, snapshot)


class LiveDisplay:
    """Shows one run in a kernel. It is a RunObserver; `follow` gives it the run and `finish` waits until everything is shown."""

    def __init__(
        self,
        channel: Channel,
        flow: Flow,
        places: Mapping[TaskId, Place],
        outputs: Callable[[OutputsRef], list[dict[str, Any]]],
        used: set[str],
        *,
        spot: Spot | None = None,
    ) -> None:
        """`outputs` reads an attempt's complete outputs; `used` holds the requests whose cells show outputs of an earlier run.

        `spot` is where the graph goes, by default below the cell being executed.
        """
        self._channel, self._flow, self._outputs = channel, flow, outputs
        self._spot = spot or Spot(parent=channel.parent())
        self._parent = self._spot.parent
        self._tasks = {task.id: task for task in flow.tasks}
        self._areas = {task: Area(channel, place.parent, place.count, card_id(task), used) for task, place in places.items()}
        self._copies = {
            task: CopiesArea(area) for task, area in self._areas.items() if task in self._tasks and is_mapped(self._tasks[task])
        }
        self._running: WatchedRun | None = None
        #: What happened, in order: a task whose state changed, or what an attempt said.
        self._notes: deque[TaskId | _Said] = deque()
        self._news = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show_all, name="nbflow-display", daemon=True)

    # --- RunObserver: called in the driver's thread ------------------------------------------------------------------

    def changed(self, changes: Sequence[Change]) -> None:
        self._notes.extend(change.key.task_id for change in changes if change.key is not None)
        self._news.set()
        if self._spot.panel is not None:
            self._spot.panel.changed(changes)

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        self._notes.append(_Said(key, attempt, event))
        self._news.set()
        if self._spot.panel is not None:
            self._spot.panel.said(key, attempt, event)

    # --- called by the cell ----------------------------------------------------------------------------------------

    def follow(self, running: WatchedRun) -> None:
        """Show the graph in its spot, and the run from now on."""
        self._running = running
        spot = self._spot
        if spot.panel is not None:
            spot.panel.follow(self._flow, running)
        snapshot = running.snapshot()
        if spot.is_taken:
            spot.draw(self._channel, self._flow, running.snapshot)
        else:
            self._channel.show(spot.bundle(self._flow, snapshot), spot.display_id)
            spot.is_taken = True
        again = (key.task_id for key, record in snapshot.tasks.items() if not record.state.is_finished)
        for task in dict.fromkeys(again):  # of a run that goes on, what has ended stays as it is shown
            if task in self._areas:
                self._areas[task].reset(self._card(task))
        self._thread.start()

    def finish(self, seconds: float = SHOW_LIMIT) -> None:
        """Wait until the end of the run is shown."""
        self._news.set()
        self._ended.wait(seconds)

    # --- the display's thread ----------------------------------------------------------------------------------------

    def _show_all(self) -> None:
        next_graph, due = 0.0, False
        try:
            while True:
                due = not self._news.wait(REFRESH) or due  # without news, time itself has moved on
                self._news.clear()
                over = self._is_over()  # asked before looking at the notes: whatever was noted before the end is then shown
                due = self._show_notes(over=over) or due
                now = time.monotonic()
                if due and (over or now >= next_graph):
                    self._spot.draw(self._channel, self._flow, self._snapshot)
                    # A graph that is slow to draw is drawn less often.
                    next_graph, due = time.monotonic() + max(GRAPH_PERIOD, 10 * (time.monotonic() - now)), False
                if over:
                    return
                time.sleep(TICK)
                if due:
                    self._news.set()
        except Exception:  # noqa: BLE001 - a view that fails must not take the kernel's messages with it
            _log.exception("the live display stopped")
        finally:
            self._ended.set()

    def _is_over(self) -> bool:
        assert self._running is not None
        try:
            return self._running.wait(0)
        except Exception:  # noqa: BLE001 - what ended the driver is raised in the cell that waits
            return True

    def _snapshot(self) -> RunSnapshot:
        assert self._running is not None
        return self._running.snapshot()

    def _show_notes(self, *, over: bool) -> bool:
        """Send what was noted since the last look; True when a state changed."""
        changed: dict[TaskId, None] = {}
        while self._notes:
            note = self._notes.popleft()
            if isinstance(note, _Said):
                self._show(note, changed)
            else:
                changed[note] = None
        for area in self._areas.values():
            area.flush()
        for copied, copies in self._copies.items():
            copies.flush(self._card(copied), now=over)
        for task in changed:
            if task in self._tasks:
                self._channel.update(self._card(task), card_id(task), self._parent)
        return bool(changed)

    def _show(self, said: _Said, changed: dict[TaskId, None]) -> None:
        area = self._areas.get(said.key.task_id)
        if area is None:
            return
        if said.key.task_id in self._copies:
            self._show_copy(said, self._copies[said.key.task_id], changed)
            return
        area.begin(said.attempt, self._card(said.key.task_id))
        match said.event:
            case OutputMade(output=output):
                area.add(output, self._card(said.key.task_id))
            case Report() as report:
                area.flush()
                area.settle(_complete(self._outputs(report.outputs), report.error), self._card(said.key.task_id))
            case ProgressMade():
                changed[said.key.task_id] = None
            case _:
                pass

    def _show_copy(self, said: _Said, copies: CopiesArea, changed: dict[TaskId, None]) -> None:
        copies.begin(said.key, said.attempt)
        match said.event:
            case OutputMade(output=output):
                copies.add(said.key, output, self._card(said.key.task_id))
            case Report() as report:
                copies.settle(said.key, _complete(self._outputs(report.outputs), report.error))
            case ProgressMade():
                changed[said.key.task_id] = None
            case _:
                pass

    def _card(self, task: TaskId) -> Bundle:
        record = summary(self._snapshot().tasks, task)
        return card(self._flow, self._tasks[task], record)


def _complete(outputs: list[dict[str, Any]], error: ErrorInfo | None) -> list[dict[str, Any]]:
    """The outputs with the error: an attempt that was ended from outside (its time, its memory) could not show it itself."""
    if error is None or any(output["output_type"] == "error" for output in outputs):
        return outputs
    traceback = list(error.traceback) or [error.sentence]
    return [*outputs, {"output_type": "error", "ename": error.ename, "evalue": error.evalue, "traceback": traceback}]


class TerminalDisplay:
    """Shows one run in a terminal: a line and the outputs of each attempt as it ends."""

    def __init__(self, channel: Channel, outputs: Callable[[OutputsRef], list[dict[str, Any]]]) -> None:
        self._channel, self._outputs = channel, outputs

    def changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.key is not None and change.task is not None and change.task.state.is_finished:
                self._channel.write(f"{change.key}: {change.reason or change.after.replace('_', ' ')}\n")

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:  # noqa: ARG002 - the protocol's
        if isinstance(event, Report):
            for output in self._outputs(event.outputs):
                if output["output_type"] != "error":  # the cell that runs the flow fails with it
                    content = {name: value for name, value in output.items() if name != "output_type"}
                    self._channel.send(output["output_type"], content, {})

    def follow(self, running: WatchedRun) -> None:
        """Nothing to draw beforehand."""

    def finish(self, seconds: float = SHOW_LIMIT) -> None:
        """Everything was written as it came."""


class HostDisplay:
    """A run that the host of a headless run shows: this kernel only says where."""

    def __init__(self, channel: Channel, flow: Flow) -> None:
        self._channel, self._flow = channel, flow

    def changed(self, changes: Sequence[Change]) -> None:
        """The host's own observer shows it."""

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        """As above."""

    def follow(self, running: object) -> None:  # noqa: ARG002 - the protocol's
        """The graph; the host updates it by its display id."""
        self._channel.show(graph(self._flow), next_graph_id())

    def finish(self, seconds: float = SHOW_LIMIT) -> None:
        """Nothing was begun here."""
