# SPDX-License-Identifier: BSD-3-Clause
"""Which waiting instances need not run, because an earlier attempt was made of the same (`--cache`)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from nbflow.core import messages
from nbflow.core.cache_key import cache_key, is_cached, modules_of, read_sources
from nbflow.core.ids import RunId, TaskKey, Token
from nbflow.core.job import Job, Outcome, ValueRef
from nbflow.core.mapping import without_items
from nbflow.core.model import Flow, Task
from nbflow.core.protocols import ArtifactStore
from nbflow.core.records import AttemptRecord, TaskRecord
from nbflow.engine.in_flight import InFlight
from nbflow.engine.surroundings import Surroundings
from nbflow.engine.versions import versions_of


@dataclass(frozen=True, kw_only=True)
class Reused:
    """An instance that need not run: the attempt as its own history tells it, and the run that made the values."""

    attempt: AttemptRecord
    run_id: RunId


class Reuse:
    """Finds earlier results for the instances of one run, and remembers under which key new ones are found.

    An instance is looked for once, before its first attempt: whoever clears it wants it to run.
    """

    def __init__(self, *, flow: Flow, surroundings: Surroundings, attempts: InFlight, fresh: bool) -> None:
        self._at, self._attempts, self._is_fresh = surroundings, attempts, fresh
        self._cached = {task.id: task for task in flow.tasks if is_cached(task.options)}
        self._keys: dict[TaskKey, str] = {}
        #: Results that were read, and the runs all of whose results were.
        self._known: dict[str, tuple[RunId, AttemptRecord]] = {}
        self._read: set[RunId] = set()
        self._versions: dict[tuple[frozenset[str], tuple[str, ...]], Mapping[str, str]] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether any task takes results of earlier runs."""
        return bool(self._cached)

    def find(self, waiting: Sequence[TaskKey], records: Mapping[TaskKey, TaskRecord], now: datetime) -> list[Reused]:
        """Those among the waiting instances that an earlier attempt answers for."""
        asked = [key for key in waiting if key.task_id in self._cached and key not in self._keys]
        if not asked:
            return []
        jobs = {key: self._attempts.job(key, Token(""), 1) for key in asked}
        self._keys.update({key: self._key(self._cached[key.task_id], job) for key, job in jobs.items()})
        wanted = [] if self._is_fresh else [key for key in asked if not records[key].attempt]
        found = self._look([self._keys[key] for key in wanted])
        reused = []
        for key in wanted:
            run_id, attempt = found.get(self._keys[key], (RunId(""), None))
            if attempt is not None and self._counts(attempt, self._cached[key.task_id], jobs[key], now):
                reused.append(Reused(attempt=_as_own(attempt, key, jobs[key], run_id, now), run_id=run_id))
        return reused

    def _look(self, keys: Sequence[str]) -> Mapping[str, tuple[RunId, AttemptRecord]]:
        """What the store has under these keys. Where one result is found, those of the tasks below are most likely of the same run."""
        unknown = [key for key in keys if key not in self._known]
        if unknown:
            found = self._at.store.cached(unknown)
            self._known.update(found)
            for run_id in {run_id for run_id, _ in found.values()} - self._read:
                self._read.add(run_id)
                self._known.update(self._at.store.cached_by(run_id))
        return self._known

    def entries(self, attempts: Iterable[AttemptRecord]) -> dict[str, Token]:
        """Of attempts that ran and succeeded: key -> attempt."""
        ran = (one for one in attempts if one.outcome == Outcome.SUCCESS.value and one.started_at is not None and not one.already)
        return {self._keys[one.key]: one.token for one in ran if one.key in self._keys}

    def forget(self, keys: Iterable[TaskKey]) -> None:
        """These are to run again, perhaps with other inputs."""
        for key in keys:
            self._keys.pop(key, None)

    def _key(self, task: Task, job: Job) -> str:
        reading = read_sources(job, self._at.as_python)
        modules, path = modules_of(job, reading), (*job.process.sys_path, job.process.cwd)
        versions = self._versions.get((modules, path))
        if versions is None:
            versions = self._versions[modules, path] = versions_of(modules, [folder for folder in path if folder])
        return cache_key(task, job, reading, versions)

    def _counts(self, attempt: AttemptRecord, task: Task, job: Job, now: datetime) -> bool:
        """Whether it is young enough, gave what is asked for now, and all of that is still there."""
        age = task.options.cache_for
        if age is not None and (attempt.ended_at is None or now - attempt.ended_at > age):
            return False
        return still_gives(attempt, job, self._at.artifacts)


def still_gives(attempt: AttemptRecord, job: Job, artifacts: ArtifactStore) -> bool:
    """Whether an earlier attempt gave all that is asked of this job, and all of that is still there."""
    if not attempt.values.keys() >= set(job.demands) or not attempt.elements.keys() >= job.splits.keys():
        return False
    return _are_there(attempt, artifacts)


def _as_own(attempt: AttemptRecord, key: TaskKey, job: Job, run_id: str, now: datetime) -> AttemptRecord:
    return replace(
        attempt,
        key=key,
        attempt=1,
        token=Token(uuid.uuid4().hex),
        reason=messages.from_cache(run_id),
        started_at=None,
        ended_at=now,
        worker="",
        inputs=without_items(job.inputs),
        peak_bytes=0,
        cpu_seconds=0.0,
    )


def _are_there(attempt: AttemptRecord, artifacts: ArtifactStore) -> bool:
    refs: list[ValueRef] = [*attempt.values.values(), *(ref for refs in attempt.elements.values() for ref in refs)]
    if any(ref.let_go for ref in refs):
        return False
    hashes = {ref.hash for ref in refs if ref.inline is None} | ({attempt.outputs.hash} if attempt.outputs.hash else set())
    return all(artifacts.keep(hash) for hash in hashes)
