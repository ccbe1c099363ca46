# SPDX-License-Identifier: BSD-3-Clause
"""What one attempt is given, what it says while it runs, and what it leaves: the words between driver, executor and child process.

All of it is plain data that pickles, so that the same job runs inline, in a child of this process or in a child of a Dask worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey, Token
from nbflow.core.lending import NOTHING_LENT, Lent
from nbflow.core.model import CellRef
from nbflow.core.options import TaskKind

#: Values up to this many bytes ride in the report and stand in the database row; larger ones are artifacts under their hash.
INLINE_LIMIT: Final = 16 * 1024
#: A name that nobody demands is kept when it encodes within this many bytes.
KEEP_LIMIT: Final = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ValueRef:
    """An encoded value: content-addressed bytes, inline when small, else an artifact under `hash`."""

    #: sha256 of the encoded bytes, hexadecimal.
    hash: str
    #: How to decode: "json", "text", "bytes", "npy", "parquet", "pickle".
    format: str
    size: int
    inline: bytes | None = None
    #: What a person is shown: "DataFrame, 1438 rows x 5 columns", "3", "'abc'". At most 200 characters.
    shown: str = ""
    #: Names whose refs have the same non-empty alias are one mutable object.
    alias: str = ""
    #: Definitions of the notebook (classes, functions) that must stand in `__main__` before decoding.
    needs: tuple[str, ...] = ()
    #: Of format "list": what the copies of a mapped task gave, in map order. There are no bytes but theirs.
    items: tuple[ValueRef, ...] = ()
    #: The run does not refer to the artifact any more (setting `retention`): the hash tells what it was, the bytes may be gone.
    let_go: bool = False


class CaptureKind(StrEnum):
    """How a name of a plain cell travels to a task."""

    MODULE = "module"  # import `module`
    ATTRIBUTE = "attribute"  # from `module` import `attribute`
    DEFINITION = "definition"  # execute `source` (a def or class statement of the notebook)
    VALUE = "value"  # decode `value`
    UNSENDABLE = "unsendable"  # cannot travel; `reason` says why


@dataclass(frozen=True, kw_only=True)
class Capture:
    """One name of the kernel, ready to travel."""

    name: str
    kind: CaptureKind
    module: str = ""
    attribute: str = ""
    source: str = ""
    #: Where the definition stands, for tracebacks.
    cell: CellRef = field(default_factory=CellRef)
    line: int = 0
    value: ValueRef | None = None
    #: The value taken apart, for tasks that map over it; None: it was not. `value` is then None where nobody takes it whole.
    elements: tuple[ValueRef, ...] | None = None
    #: Other captures this one refers to (a function's global names); they travel with it.
    needs: tuple[str, ...] = ()
    #: Changes when what it means changes: normalised source plus the hashes of `needs`, or the value's hash.
    hash: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ProcessState:
    """What plain cells set in the process: restored before every attempt."""

    cwd: str = ""
    #: The notebook's folder (helper modules beside it are importable) and what plain cells added.
    sys_path: tuple[str, ...] = ()
    #: Environment variables set by plain cells; None: deleted.
    environment: Mapping[str, str | None] = field(default_factory=dict)
    #: rcParams changed from their defaults, pandas and numpy options: {"matplotlib": {...}, "pandas": {...}, "numpy": {...}}, pickled values.
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warning_filters: bytes | None = None  # pickled list, as in warnings.filters


@dataclass(frozen=True, kw_only=True)
class CaptureSet:
    """Everything tasks take from the kernel: by name, with exceptions for tasks that took a name at their definition."""

    names: Mapping[str, Capture] = field(default_factory=dict)
    early: Mapping[str, Mapping[str, Capture]] = field(default_factory=dict)  # task id -> name -> capture
    process: ProcessState = field(default_factory=ProcessState)


@dataclass(frozen=True, kw_only=True)
class JobContext:
    """What `nbflow.ctx` answers inside the attempt."""

    flow: FlowName
    run_id: RunId
    key: TaskKey
    attempt: int
    logical_date: datetime | None = None
    interval_start: datetime | None = None
    interval_end: datetime | None = None
    run_type: str = "manual"
    params: Mapping[str, Any] = field(default_factory=dict)
    #: What started the run (core/occasions.py).
    events: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attempt, ready to run anywhere."""

    token: Token
    context: JobContext
    operator: str
    source: str
    cell: CellRef = field(default_factory=CellRef)
    #: Private copies of these are bound before the body runs: values of upstream tasks.
    inputs: Mapping[str, ValueRef] = field(default_factory=dict)
    #: Names of plain cells, with everything they need.
    captures: Mapping[str, Capture] = field(default_factory=dict)
    #: Names the body reads that nobody gives, with the sentence to raise when it does: "`model` would come from t2 (skipped)".
    unbound: Mapping[str, str] = field(default_factory=dict)
    process: ProcessState = field(default_factory=ProcessState)
    #: Names it must give; a missing or unstorable one fails the attempt.
    demands: tuple[str, ...] = ()
    #: Names it may give, kept within `keep_limit`.
    offers: tuple[str, ...] = ()
    #: Names whose values are also stored element by element, and the task that maps over each: a value with no elements fails the attempt.
    splits: Mapping[str, TaskId] = field(default_factory=dict)
    #: Inputs it is known to change in place; any other input that changed gets a warning.
    mutates: tuple[str, ...] = ()
    #: What the last expression decides; PLAIN: nothing, so it is not wanted.
    decides: TaskKind = TaskKind.PLAIN
    #: What an attempt that gave its worker back goes on with (core/waiting.py); empty for any other.
    resumed: Mapping[str, Any] = field(default_factory=dict)
    #: An operator's result is bound to this name.
    out: str = ""
    #: The body does not run when this exists (a path or an fsspec URL, as a template).
    unless_exists: str = ""
    timeout: timedelta | None = None
    #: Resident bytes the attempt's process group may use.
    memory_limit: int | None = None
    #: Dask worker resources, e.g. {"GPU": 1.0}.
    resources: Mapping[str, float] = field(default_factory=dict)
    priority: int = 0
    #: Where values, outputs and the manifest go (an fsspec URL).
    artifacts_url: str = ""
    keep_limit: int = KEEP_LIMIT
    #: Connections and variables, with their secrets: they stand here only, while the attempt is in force.
    lent: Lent = field(default=NOTHING_LENT, repr=False)


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    LOST = "lost"
    #: It gave its worker back until a trigger fires, and goes on then.
    DEFERRED = "deferred"


#: `ErrorInfo.ename` of an attempt that was lost.
LOST: Final = "AttemptLost"
#: Among `ErrorInfo.classes`, the base of everything that nbflow says in a sentence.
NBFLOW_ERROR: Final = "nbflow.core.errors.NbflowError"


@dataclass(frozen=True, kw_only=True)
class ErrorInfo:
    """Why an attempt failed. `line` is the line of the *cell* (1 is the `%%task` line when there is one); 0 when unknown."""

    ename: str
    evalue: str
    line: int = 0
    #: As Jupyter shows it: lines, with ANSI colours.
    traceback: tuple[str, ...] = ()
    #: False for FailTask: no retry.
    may_retry: bool = True
    #: The class names from the exception's class up to Exception, qualified and bare, for --retry-on.
    classes: tuple[str, ...] = ()
    timed_out: bool = False
    #: The artifact that holds its frames with their locals; "" when none were kept.
    frames: str = ""

    @property
    def is_own(self) -> bool:
        """Whether nbflow says it, in a sentence that needs no name of a class before it."""
        return bool(self.evalue) and (self.ename == LOST or NBFLOW_ERROR in self.classes)

    @property
    def sentence(self) -> str:
        """`KeyError: 'temp_c'`"""
        if self.is_own:
            return self.evalue
        return f"{self.ename}: {self.evalue}" if self.evalue else self.ename


@dataclass(frozen=True, kw_only=True)
class OutputsRef:
    """The complete outputs of an attempt (a list of nbformat outputs): inline when small, else an artifact (JSON) under `hash`."""

    inline: tuple[Mapping[str, Any], ...] = ()
    hash: str = ""
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class AttemptBegan:
    """User code is about to run."""

    token: Token
    at: datetime
    worker: str


@dataclass(frozen=True, kw_only=True)
class OutputMade:
    """A live output, a hint: the report has them all. `output` is an nbformat output, or {"output_type": "clear_output"|"update_display_data", ...}."""

    token: Token
    output: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ProgressMade:
    """`ctx.progress(fraction, text)`."""

    token: Token
    fraction: float | None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The end of an attempt. Values and outputs were stored before it was sent."""

    token: Token
    outcome: Outcome
    worker: str = ""
    #: None: the user code never started.
    started_at: datetime | None = None
    ended_at: datetime
    reason: str = ""
    error: ErrorInfo | None = None
    values: Mapping[str, ValueRef] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    #: The values the job wanted taken apart, element by element.
    elements: Mapping[str, tuple[ValueRef, ...]] = field(default_factory=dict)
    outputs: OutputsRef = field(default_factory=OutputsRef)
    #: What the last expression was, as JSON, when the job wanted it.
    decision: Any = None
    #: What existed already (`unless_exists`): the body did not run.
    already: str = ""
    #: What a deferred attempt waits for (core/waiting.py).
    trigger: Mapping[str, Any] = field(default_factory=dict)
    #: E.g. an input changed in place that nbflow had not seen.
    warnings: tuple[str, ...] = ()
    peak_bytes: int = 0
    cpu_seconds: float = 0.0


#: What an executor tells its driver, from any thread.
ExecutorEvent = AttemptBegan | OutputMade | ProgressMade | Report
