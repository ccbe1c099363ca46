# SPDX-License-Identifier: BSD-3-Clause
"""Going on with a run whose driver is gone: how its last attempts ended, and which of its tasks run again."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId, TaskKey, Token
from nbflow.core.job import Outcome, Report
from nbflow.core.protocols import ArtifactStore, Executor
from nbflow.core.records import TaskRecord
from nbflow.core.states import FAILED_LIKE, TaskState

#: Why an attempt is lost that had begun, and one that had not.
DRIVER_GONE: Final = "the process that drove this run ended"
NEVER_BEGAN: Final = "the process that drove this run ended before it began"


@dataclass(frozen=True, kw_only=True)
class GoingOn:
    """A person asks to go on with a run that had a driver before."""

    by: str = ""
    #: Run these again, and what depends on them, instead of what failed.
    tasks: tuple[TaskKey, ...] = ()

    #: What is to run was cleared before.
    is_cleared: bool = False
    #: Nobody asks: its driver died, or it has had none yet. What has ended stays as it is, and who wanted the run cancelled still does.
    unattended: bool = False

    def again(self, graph: Graph, records: Mapping[TaskKey, TaskRecord]) -> tuple[TaskKey, ...]:
        """The instances to clear."""
        if (self.is_cleared or self.unattended) and not self.tasks:
            return ()
        return with_downstream(graph, self.tasks) if self.tasks else to_run_again(graph, records)


def settle(records: Iterable[TaskRecord], executor: Executor, artifacts: ArtifactStore) -> dict[Token, Report]:
    """How each attempt that was handed over by a driver that is gone (or asleep) ended: nothing of any of them runs when this returns.

    An attempt that left its manifest is adopted. One that has not begun never will, since its started mark is taken here. Any other is ended.
    Raises SetupError when that is not certain.
    """
    reports: dict[Token, Report] = {}
    begun: dict[Token, TaskRecord] = {}
    for record in records:
        if record.token is None:
            continue
        report = manifest(artifacts, record.token)
        if report is not None:
            reports[record.token] = report
        elif artifacts.mark(f"{record.token}.started", b"taken back"):
            reports[record.token] = _lost(record, NEVER_BEGAN, began=False)
        else:
            begun[record.token] = record
    if begun:
        executor.end(tuple(begun))
    for token, record in begun.items():
        reports[token] = manifest(artifacts, token) or _lost(record, DRIVER_GONE, began=True)
    return reports


def manifest(artifacts: ArtifactStore, token: Token) -> Report | None:
    """The report of an attempt as it was written down where the values are, before it was sent; None while there is none."""
    data = artifacts.manifest(token)
    report: Report | None = pickle.loads(data) if data is not None else None  # noqa: S301 - written by our own workers
    return report


def _lost(record: TaskRecord, reason: str, *, began: bool) -> Report:
    assert record.token is not None
    now = datetime.now(UTC)
    started_at = (record.started_at or now) if began else None
    return Report(token=record.token, outcome=Outcome.LOST, worker=record.worker, started_at=started_at, ended_at=now, reason=reason)


def with_downstream(graph: Graph, keys: Iterable[TaskKey]) -> tuple[TaskKey, ...]:
    """These instances, then every task below them, with all its copies, in the order written."""
    asked = tuple(dict.fromkeys(keys))
    below = graph.descendants(*(key.task_id for key in asked))
    whole = {key.task_id for key in asked if key.map_index < 0}
    return (*asked, *(TaskKey(id) for id in graph.ids if id in below and id not in whole))


def to_run_again(graph: Graph, records: Mapping[TaskKey, TaskRecord]) -> tuple[TaskKey, ...]:
    """The instances to clear: what failed or was ended with the run, and what depends on it. What succeeded or skipped itself stays."""
    copies: dict[TaskId, list[TaskRecord]] = {}
    for record in records.values():
        copies.setdefault(record.key.task_id, []).append(record)
    again: dict[TaskKey, None] = {}
    below: set[TaskId] = set()
    for id in graph.order:
        for record in copies.get(id, ()):
            if _is_seed(record) or (id in below and _depends(record)):
                again[record.key] = None
        stands = all(record.state is TaskState.SUCCESS or _chose(record) for record in copies.get(id, ()))
        if not stands and (id in below or any(record.key in again for record in copies.get(id, ()))):
            below.update(graph.downstream(id))
    return tuple(again)


def _is_seed(record: TaskRecord) -> bool:
    return record.state in FAILED_LIKE or (record.state is TaskState.SKIPPED and record.note.get("cause") in {"run", "failure"})


def _depends(record: TaskRecord) -> bool:
    return record.state is TaskState.SKIPPED and not _chose(record)


def _chose(record: TaskRecord) -> bool:
    """Skipped by its own code, or by a person."""
    return record.state is TaskState.SKIPPED and record.note.get("cause") in {"itself", "mark"}
