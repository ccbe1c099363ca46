# SPDX-License-Identifier: BSD-3-Clause
"""All seams on one page: what each room promises the others. `app.py` brings the implementations together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from nbflow.core.ids import FlowName, RunId, TaskKey, Token
from nbflow.core.job import ExecutorEvent, Job, Report
from nbflow.core.model import Flow
from nbflow.core.records import AttemptRecord, Change, Lease, Request, RunRecord, TaskRecord
from nbflow.core.states import TaskState

if TYPE_CHECKING:  # a kernel that loads the extension needs neither pools nor schedules
    from nbflow.core.backfills import BackfillStore
    from nbflow.core.callbacks import CallbackRecord
    from nbflow.core.connections import SecretStore
    from nbflow.core.deployments import DeploymentStore
    from nbflow.core.house import HouseStore
    from nbflow.core.limits import Answer, Asks, Board, Pool
    from nbflow.core.notifications import NotificationStore
    from nbflow.core.occasions import OccasionStore
    from nbflow.core.resources import Offers


class Clock(Protocol):
    """Where instants come from: aware UTC datetimes."""

    def now(self) -> datetime: ...


class ArtifactStore(Protocol):
    """Content-addressed bytes and small named marks, on any fsspec URL. Safe to use from several threads and processes."""

    url: str

    def put(self, data: bytes) -> str:
        """Keep `data` and return its sha256 (hexadecimal). Storing the same bytes twice is one artifact."""
        ...

    def get(self, hash: str) -> bytes:
        """The bytes under `hash`, verified. Raises SetupError when they are missing or differ from their hash."""
        ...

    def has(self, hash: str) -> bool: ...

    def keep(self, hash: str) -> bool:
        """Whether it is there; then it counts as new, so that nobody discards it before a run refers to it."""
        ...

    def delete(self, hash: str) -> None: ...

    def discard(self, hash: str, before: datetime) -> bool:
        """Delete it unless it was stored, or kept, since this instant; whoever stores it meanwhile keeps it. Whether it is gone."""
        ...

    def stored(self, digits: str, before: datetime) -> tuple[str, ...]:
        """The artifacts whose hash begins with these two digits and that nobody stored or kept since this instant."""
        ...

    def sweep(self, before: datetime) -> int:
        """Delete marks, manifests and half-written files that are older; returns how many. Marks that begin with `database.` stay."""
        ...

    def marks(self, beginning: str) -> tuple[str, ...]:
        """The names of the marks that begin like this."""
        ...

    def mark(self, name: str, data: bytes = b"") -> bool:
        """Create the mark exclusively. False when it was there already."""
        ...

    def write_mark(self, name: str, data: bytes) -> None:
        """Write a mark atomically, over an older one too."""
        ...

    def read_mark(self, name: str) -> bytes | None: ...

    def delete_mark(self, name: str) -> None: ...

    def keep_manifest(self, token: str, data: bytes) -> None:
        """Write down how the attempt of this token ended: once, by the process that made the mark `<token>.started`."""
        ...

    def manifest(self, token: str) -> bytes | None:
        """What was written down, whole; None while nothing was."""
        ...


class Executor(Protocol):
    """Where attempts run. Every submitted token gets exactly one Report, unless it is cancelled first.

    That one has begun is told while it runs; of one that ended before anybody looked, the report alone says it.
    """

    #: How many attempts may run at once (None: not known yet, ask again).
    def slots(self) -> int | None: ...

    def offers(self) -> Offers | None:
        """What its workers have to give; None where resources are not counted, or nobody knows."""
        ...

    def start(self, tell: Callable[[ExecutorEvent], None]) -> None:
        """Connect. `tell` may be called from any thread. Raises SetupError when the cluster is not there."""
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Hand over; returns at once. A lost worker or child is reported as Outcome.LOST, `started_at` saying whether user code had begun."""
        ...

    def cancel(self, tokens: Sequence[Token]) -> None:
        """End these attempts for certain, children included; returns when nothing of them runs any more. Unknown tokens are ignored."""
        ...

    def end(self, tokens: Sequence[Token]) -> None:
        """As `cancel`, for attempts that another process handed over: its driver is gone, or asleep. Raises SetupError when it is not certain."""
        ...

    def close(self) -> None:
        """Cancel what still runs and disconnect. May be called twice."""
        ...


#: Runs one job in this process: the inline executor's and the child's way into the operators.
RunJob = Callable[[Job, Callable[[ExecutorEvent], None]], Report]


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """One page of runs, newest first; `next` is the cursor of the following page, "" on the last."""

    runs: tuple[RunRecord, ...]
    next: str = ""


class Store(Protocol):
    """What has happened. Every method is one short transaction; all instants come back as aware UTC datetimes."""

    @property
    def deployments(self) -> DeploymentStore:
        """What is deployed, and how runs come from it."""
        ...

    @property
    def notifications(self) -> NotificationStore:
        """Messages that are to be sent, and the runs watched for them."""
        ...

    @property
    def secrets(self) -> SecretStore:
        """Connections and variables."""
        ...

    @property
    def backfills(self) -> BackfillStore:
        """Runs for ranges of past dates."""
        ...

    @property
    def house(self) -> HouseStore:
        """Old runs, figures, and what does not fit together."""
        ...

    @property
    def occasions(self) -> OccasionStore:
        """What happened that deployments wait for: assets, files, ends of runs."""
        ...

    # flows
    def save_flow(self, flow: Flow, *, source: bytes = b"", files: Mapping[str, bytes] = MappingProxyType({})) -> str:
        """Keep this version of the flow and return its content hash (outputs of the notebook do not count). Idempotent.

        `files` are copies of the modules it imports, by their path from the notebook's folder.
        """
        ...

    def source(self, version: str) -> bytes:
        """The notebook as it was saved with this version. Raises KeyError."""
        ...

    def files(self, version: str) -> Mapping[str, bytes]:
        """The modules saved with this version."""
        ...

    def flow(self, version: str) -> Flow:
        """Raises KeyError."""
        ...

    # runs
    def create_run(self, run: RunRecord, tasks: Sequence[TaskRecord], captures: bytes | None = None, hashes: Sequence[str] = ()) -> None:
        """Create the run with its task instances and, as `save_captures` does, what its kernel handed over.

        Raises UserError when the run id is taken (run ids are unique in the store).
        """
        ...

    def run(self, run_id: str) -> RunRecord:
        """Raises UserError naming the nearest run id when there is none."""
        ...

    def find_runs(self, *, flow: str = "", state: str = "", path: str = "", cursor: str = "", limit: int = 50) -> RunPage: ...

    def earlier_runs(self, run: RunRecord, *, manual: bool, limit: int) -> tuple[RunRecord, ...]:
        """Runs of the same flow (of its deployment, if it has one) with a smaller logical date, the newest date first; `manual` ones too?

        Empty for a run without a logical date.
        """
        ...

    def task_records(self, run_id: str) -> tuple[TaskRecord, ...]: ...

    def attempts(self, run_id: str, task_id: str = "", map_index: int | None = None) -> tuple[AttemptRecord, ...]:
        """Oldest first; of one task or of all."""
        ...

    def save_captures(self, run_id: str, captures: bytes, hashes: Sequence[str] = ()) -> None:
        """The run's recorded CaptureSet (encoded), so that a resumed run sees what the first one saw.

        `hashes` are the artifacts it refers to: they are kept as long as the run is.
        """
        ...

    def captures(self, run_id: str) -> bytes | None: ...

    def delete_run(self, run_id: str) -> tuple[str, ...]:
        """Delete a finished run with its history. Returns the artifact hashes no run refers to any more."""
        ...

    # leases
    def claim(self, run_id: str, owner: str, seconds: float, instead_of: str = "") -> Lease | None:
        """Take the lease if it is free or lapsed (by the database's clock). None while somebody else holds it.

        `instead_of` names a holder whose process is known to be dead: its lease is taken before it lapses.
        """
        ...

    def holders(self) -> Mapping[RunId, str]:
        """The owner of the lease of each unfinished run that has one, lapsed ones too."""
        ...

    def holder(self, run_id: str) -> str:
        """Who holds the lease of this run now; "" when nobody does or it has lapsed."""
        ...

    def renew(self, lease: Lease) -> None:
        """Raises Superseded."""
        ...

    def release(self, lease: Lease) -> None:
        """Give it back; nothing happens when it was superseded."""
        ...

    def release_unless_asked(self, lease: Lease) -> bool:
        """As `release`, where no request is left; else False, and it is kept."""
        ...

    def lapsed_runs(self) -> tuple[RunId, ...]:
        """Unfinished runs whose lease has lapsed or that never had one."""
        ...

    # the driver's writes
    def commit(
        self,
        lease: Lease,
        changes: Sequence[Change],
        attempts: Sequence[AttemptRecord] = (),
        done_requests: Sequence[int] = (),
        *,
        run: RunRecord | None = None,
        entries: Mapping[str, Token] | None = None,
    ) -> int:
        """Record everything of one Step, or of several, in one transaction under the lease's epoch.

        `entries` are cache keys with the attempts (by token) that are their results from now on.

        Appends `changes` to the log in order, upserts their records and the attempts (by token), deletes the requests and, when given, updates
        the run's record without a change of state (its output). Returns the newest cursor. Raises Superseded, then nothing was written.
        """
        ...

    def commit_asking(
        self,
        lease: Lease,
        asks: Asks,
        changes: Sequence[Change],
        attempts: Sequence[AttemptRecord] = (),
        done_requests: Sequence[int] = (),
        *,
        entries: Mapping[str, Token] | None = None,
    ) -> Answer:
        """As `commit`, and ask for slots in the same transaction: what these changes free counts as free.

        Pools and limits are locked in one order, so that no number of drivers together exceeds them. What is refused stands as waiting until it
        is granted or withdrawn, or the lease goes to somebody else.
        """
        ...

    def note_callback(self, run_id: str, record: CallbackRecord) -> None:
        """A callback of the run was called; noting it again replaces what was noted."""
        ...

    def callbacks(self, run_id: str) -> tuple[CallbackRecord, ...]:
        """The calls that have ended, oldest first."""
        ...

    # pools
    def pools(self) -> tuple[Pool, ...]:
        """By name; `default_pool` is always there."""
        ...

    def save_pool(self, pool: Pool) -> None:
        """Make the pool, or change it. What runs in it runs on."""
        ...

    def delete_pool(self, name: str) -> None:
        """Raises UserError for an unknown one, for `default_pool`, and while a task holds its slots or waits for them."""
        ...

    def board(self) -> Board:
        """Pools, who holds their slots, and who waits for one."""
        ...

    def unfinished_tasks(self, states: Sequence[TaskState]) -> tuple[tuple[RunRecord, TaskRecord], ...]:
        """The task instances of unfinished runs that are in one of these states, those of the oldest run first."""
        ...

    # everyone else
    def cached(self, keys: Sequence[str]) -> Mapping[str, tuple[RunId, AttemptRecord]]:
        """The attempts that are the results of these cache keys, each with its run. An entry lives as long as the run that made it."""
        ...

    def cached_by(self, run_id: str) -> Mapping[str, tuple[RunId, AttemptRecord]]:
        """As `cached`, for every key whose result this run made."""
        ...

    def leave_request(self, run_id: str, request: Request) -> int:
        """Ask the run's driver for something; returns the request's id."""
        ...

    def ask_holder(self, run_id: str, request: Request) -> bool:
        """As `leave_request`, where somebody holds the run's lease and so will see it; else False, and nothing is left."""
        ...

    def requests(self, run_id: str) -> tuple[Request, ...]:
        """Those not done yet, oldest first."""
        ...

    def changes(self, run_id: str, after: int = 0, limit: int = 10_000) -> tuple[Change, ...]:
        """The change log of the run behind cursor `after`, in order."""
        ...

    def close(self) -> None: ...


class RunObserver(Protocol):
    """Who watches a run inside the driver's process. A failing observer is logged and never breaks the run."""

    def changed(self, changes: Sequence[Change]) -> None:
        """After the commit, in order."""
        ...

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        """A live output or progress of an attempt in force, or its final report."""
        ...


Params = Mapping[str, Any]
FlowRef = FlowName | str
