# SPDX-License-Identifier: BSD-3-Clause
"""Facts the machine is told (past tense) and the orders it gives (imperative)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nbflow.core.ids import RunId, TaskId, TaskKey, Token
from nbflow.core.job import ErrorInfo
from nbflow.core.past import Past
from nbflow.core.records import Change
from nbflow.core.states import RunState, TaskState

# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """The run was promoted: a driver holds its lease."""


@dataclass(frozen=True, kw_only=True)
class TasksReleased:
    """The plain cells above these tasks have run: they are no longer held back (headless notebooks run cell by cell)."""

    tasks: tuple[TaskId, ...]


@dataclass(frozen=True, kw_only=True)
class SlotGranted:
    """Dispatch took the slots: the instance may be handed to the executor under this token (scheduled -> queued)."""

    key: TaskKey
    token: Token


@dataclass(frozen=True, kw_only=True)
class MapExpanded:
    """The elements a mapped task maps over were counted: the answer to `Expand`. `problem` says why they cannot be."""

    task: TaskId
    count: int = 0
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class AttemptStarted:
    """The worker is about to run user code (queued -> running)."""

    key: TaskKey
    token: Token
    at: datetime
    worker: str = ""


@dataclass(frozen=True, kw_only=True)
class AttemptSucceeded:
    """The body ran to its end and what it gave is stored. `decision` is what its last expression decided (`--as`)."""

    key: TaskKey
    token: Token
    at: datetime
    decision: Any = None
    #: The URL of `--unless-exists`, where something was found: the body did not run.
    already: str = ""


@dataclass(frozen=True, kw_only=True)
class ResultFound:
    """An instance that may run need not: `run_id` made the same before, and what it gave is here (scheduled -> success)."""

    key: TaskKey
    run_id: RunId
    decision: Any = None


@dataclass(frozen=True, kw_only=True)
class LastGood:
    """What a task that may fall back on an earlier run has there: which run, and what its branch decided."""

    run_id: RunId
    decision: Any = None


@dataclass(frozen=True, kw_only=True)
class AttemptFailed:
    """The body raised, or the attempt was ended for its time or memory. `last_good` is looked for only where no other attempt follows."""

    key: TaskKey
    token: Token
    at: datetime
    error: ErrorInfo
    last_good: LastGood | None = None


@dataclass(frozen=True, kw_only=True)
class AttemptSkipped:
    """The body raised SkipTask."""

    key: TaskKey
    token: Token
    at: datetime
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class AttemptDeferred:
    """The body waits for something outside, and gave its worker back: `trigger` says what for (core/waiting.py)."""

    key: TaskKey
    token: Token
    at: datetime
    trigger: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TriggerFired:
    """What a deferred instance waits for is there; `token` is the one of the attempt that deferred. `problem`: it never will be."""

    key: TaskKey
    token: Token
    result: Any = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class AnswerGiven:
    """A person answers an approval."""

    key: TaskKey
    answer: str
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class AttemptLost:
    """The worker or its child is gone; whether user code had started decides who pays (semantics.md 2)."""

    key: TaskKey
    token: Token
    at: datetime
    started: bool
    reason: str
    last_good: LastGood | None = None


@dataclass(frozen=True, kw_only=True)
class PastSeen:
    """How tasks that depend on their past went the last time, as it stands now."""

    facts: Mapping[TaskId, Past]


@dataclass(frozen=True, kw_only=True)
class Woke:
    """An instant that a WakeAt named has come (or any other moment: the machine looks at the time itself)."""


@dataclass(frozen=True, kw_only=True)
class CancelRequested:
    """A person cancels these task instances, or the run when `keys` is empty."""

    keys: tuple[TaskKey, ...] = ()
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class MarkRequested:
    """A person sets the state of these task instances (success, failed, skipped), or of the run when `keys` is empty."""

    state: TaskState | RunState
    keys: tuple[TaskKey, ...] = ()
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class ClearRequested:
    """Put exactly these task instances back to pending (whoever asks has already added what is downstream).

    `waits`: nobody drives the run. One that had ended is queued, until somebody does.
    """

    keys: tuple[TaskKey, ...]
    by: str = ""
    waits: bool = False


@dataclass(frozen=True, kw_only=True)
class RunAbandoned:
    """The run's process ended and nobody can go on with it: what is unfinished is cancelled and the run fails with `reason`."""

    reason: str


Event = (
    RunStarted
    | TasksReleased
    | SlotGranted
    | MapExpanded
    | AttemptStarted
    | AttemptSucceeded
    | ResultFound
    | AttemptFailed
    | AttemptSkipped
    | AttemptDeferred
    | AttemptLost
    | TriggerFired
    | AnswerGiven
    | PastSeen
    | Woke
    | CancelRequested
    | MarkRequested
    | ClearRequested
    | RunAbandoned
)

# --- commands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Submit:
    """Hand this attempt to the executor."""

    key: TaskKey
    token: Token
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Expand:
    """Count the elements this mapped task maps over, and answer with `MapExpanded` before the next event."""

    task: TaskId


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """End this attempt wherever it hangs; nothing it reports counts any more."""

    key: TaskKey
    token: Token


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Look whether this trigger has fired, until it has or the instance waits for it no more; answer with `TriggerFired`."""

    key: TaskKey
    token: Token
    trigger: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class WakeAt:
    """Send `Woke` at this instant."""

    at: datetime


@dataclass(frozen=True, kw_only=True)
class FinishRun:
    """The run has reached a final state: let go of everything it holds."""

    state: RunState
    reason: str


Command = Submit | Expand | Cancel | Watch | WakeAt | FinishRun


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one event led to: record `changes`, then perform `commands`."""

    changes: tuple[Change, ...] = ()
    commands: tuple[Command, ...] = ()
