# SPDX-License-Identifier: BSD-3-Clause
"""What papermill's engine needs of whoever records and drives the run of a notebook: the seam between `notebook.py` and the app.

The engine executes cells in a kernel and keeps the executed notebook; the host owns the run. For one notebook the calls are, in order:

    host.begin(info, stop) -> run
    either                              run.before_cells()              once, before the first cell
    a notebook with nbflow in it        run.advance(request, show)      any number of times, each on a thread of its own, never two at once
    either                              run.cancel()                    at most once, from another thread, when a person interrupts
                                        run.finish(ending) -> RunInfo   always, once, last
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from nbflow.core.errors import SetupError
from nbflow.core.hosting import Advance, Advanced, TaskFailure
from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey
from nbflow.core.job import ErrorInfo
from nbflow.core.states import RunState, TaskState

#: The entry point group under which the app registers its host for plain `papermill --engine nbflow`.
HOST_GROUP: Final = "nbflow.host"


@dataclass(frozen=True, kw_only=True)
class NotebookInfo:
    """The notebook that is about to be executed."""

    #: The file it was read from, absolute; "" when it came from elsewhere (standard input, a URL, an object in memory).
    path: str
    #: The executed notebook, as papermill was told; "" when none is written.
    output: str
    #: The kernel's working directory, absolute.
    working_dir: str
    kernel_name: str
    #: As papermill injected them.
    params: Mapping[str, Any] = field(default_factory=dict)
    #: False: no cell mentions nbflow; the notebook runs whole, as one task.
    is_flow: bool = True
    #: The notebook with its parameters and without outputs, as JSON.
    source: str = ""
    #: Modules are imported from this folder before all others, and then from the working directory; "": as usual.
    modules: str = ""


# --- what is shown while tasks run --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OutputShown:
    """A live output of an attempt: an nbformat output, or {"output_type": "clear_output" | "update_display_data", ...}.

    A higher attempt number than before clears what the task's cell shows of the attempt before.
    """

    key: TaskKey
    attempt: int
    output: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class AttemptShown:
    """The complete outputs of an ended attempt; they replace the live ones. A failed one has its traceback as an `error` output."""

    key: TaskKey
    attempt: int
    outputs: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class CardShown:
    """A task's card, as a MIME bundle, in place of the one the kernel showed when the task was defined."""

    task: TaskId
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class GraphShown:
    """The graph, as a MIME bundle, in place of the one shown by the cell that asked for the advance."""

    data: Mapping[str, Any]


Shown = OutputShown | AttemptShown | CardShown | GraphShown
#: Callable from any thread, returns at once. What was shown before `advance` returns is in the notebook before the cell ends.
Show = Callable[[Shown], None]


# --- how it ended -------------------------------------------------------------------------------------------------------


class EndKind(StrEnum):
    """Why no further cell is executed."""

    #: Every cell was executed (failed tasks are the run's own affair).
    COMPLETE = "complete"
    #: A cell failed that no task is to blame for: see `error`.
    CELL_FAILED = "cell_failed"
    #: The kernel died, in a cell (see `error`) or while it waited for tasks behind the last one.
    KERNEL_ENDED = "kernel_ended"
    #: `%nbflow run` failed because of tasks.
    TASKS_FAILED = "tasks_failed"
    #: A person interrupted.
    INTERRUPTED = "interrupted"
    #: The host itself asked, through `stop`.
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the execution of the cells ended. After anything but COMPLETE the tasks still held will never run."""

    kind: EndKind
    #: One sentence for a person; "" when complete.
    reason: str = ""
    #: The failed cell, counted from 1 among all cells of the executed notebook; 0 when there is none.
    cell: int = 0
    error: ErrorInfo | None = None


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """How one task (`id`, or `id[3]` for a mapped instance) stands, for the notebook's metadata."""

    state: TaskState
    attempt: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """How the run stands, for the notebook's metadata and for whoever asked for the execution."""

    run_id: RunId
    flow: FlowName
    version: str
    state: RunState
    #: The sentence every view ends with.
    sentence: str = ""
    tasks: Mapping[str, TaskInfo] = field(default_factory=dict)
    #: The failed tasks that made the run fail, first of all the one to name. Not those whose failure the flow handled.
    failures: tuple[TaskFailure, ...] = ()


class HostedRun(Protocol):
    """The run of one notebook."""

    #: Where the kernel stores values it hands over (an fsspec URL).
    artifacts_url: str
    #: Options of tasks for where the notebook says nothing else, as JSON has them.
    installation: Mapping[str, Any]

    def advance(self, request: Advance, show: Show) -> Advanced:
        """Run these tasks; blocks until they have ended. The first one creates the run.

        Raises UserError, SetupError; KeyboardInterrupt when `cancel` ended it.
        """
        ...

    def before_cells(self) -> None:
        """Blocks until cells may run. A notebook without nbflow is one task, which waits for its slot as any other. Raises UserError, SetupError."""
        ...

    def cancel(self) -> None:
        """Cancel the run and everything it started; an advance under way returns or raises soon. From any thread; nothing happens twice."""
        ...

    def info(self) -> RunInfo | None:
        """How it stands; None before there is a run. From any thread."""
        ...

    def finish(self, ending: Ending) -> RunInfo | None:
        """End the run, record its output and return how it ended. None when there never was one (the host may also record one here)."""
        ...


class NotebookHost(Protocol):
    """Who records and drives runs of notebooks. Safe to use from several threads."""

    def begin(self, info: NotebookInfo, stop: Callable[[str], None]) -> HostedRun:
        """A notebook is about to be executed. `stop(sentence)` ends its execution, also inside a plain cell; from any thread.

        Raises UserError (e.g. the flow has problems: then no cell is executed), SetupError.
        """
        ...


class InstalledHost:
    """The host that the installation registers, loaded when the notebook begins: by then its kernel is on its way, and starts meanwhile."""

    def begin(self, info: NotebookInfo, stop: Callable[[str], None]) -> HostedRun:
        """Raises SetupError when there is none, or it cannot be made."""
        return find_host().begin(info, stop)


def find_host() -> NotebookHost:
    """The host that the installation registers. Raises SetupError."""
    for entry in entry_points(group=HOST_GROUP):
        host: NotebookHost = entry.load()()
        return host
    raise SetupError(
        "nbflow is not completely installed (it registers no host for notebooks): type pip install --force-reinstall jupyter-nbflow."
    )
