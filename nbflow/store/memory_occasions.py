# SPDX-License-Identifier: BSD-3-Clause
"""What happened that deployments wait for, in this process: what `occasions.py` promises, over a MemoryStore."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from nbflow.core.deployments import Deployment
from nbflow.core.occasions import MOST_UPDATES, AssetUse, Kind, Occasion, occasions_of
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.watching import Watch
from nbflow.store.asset_uses import asset_uses
from nbflow.store.referring import Reference, is_same, references
from nbflow.store.sentences import taken

if TYPE_CHECKING:
    from nbflow.store.memory import MemoryStore


@dataclass
class _Waiting:
    """One occasion of one deployment."""

    name: str
    occasion: Occasion
    is_fresh: bool = True


class MemoryOccasions:
    """Every method takes the lock of the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._references: dict[str, frozenset[Reference]] = {}
        #: The newest of each asset.
        self._updates: dict[str, deque[Occasion]] = {}
        self._count = 0
        self._waiting: dict[int, _Waiting] = {}
        self._last = 0
        self._watches: dict[tuple[str, str], Watch] = {}

    # where it happens, under the lock

    def record(self, run_id: str, changes: Iterable[Change]) -> None:
        for occasion in occasions_of(changes, lambda: self._store.run(run_id)):
            self._record(occasion)

    def change(self, before: Deployment | None, after: Deployment | None) -> None:
        """As References.change."""
        if is_same(before, after):
            return
        old, new = references(before), references(after)
        name = (after or before).name  # type: ignore[union-attr]  # one of them refers to something
        self._references[name] = new
        self._waiting = {
            id: each for id, each in self._waiting.items() if each.name != name or (each.occasion.kind.value, each.occasion.subject) in new
        }
        for each in self._of(name):
            each.is_fresh = True
        for role, subject in old - new:
            if role == "file":
                del self._watches[name, subject]
        for role, subject in new - old:
            if role == "file" and after is not None:
                self._watches[name, subject] = Watch(name=name, url=subject, due=after.since)

    def update(self, occasion: Occasion) -> Occasion:
        with self._store.lock:
            self._record(occasion)
            return self._updates[occasion.subject][-1]

    def _record(self, occasion: Occasion) -> None:
        occasion = self._store.kept(occasion)
        if occasion.kind is Kind.ASSET:
            self._count += 1
            self._updates.setdefault(occasion.subject, deque(maxlen=MOST_UPDATES)).append(replace(occasion, id=self._count))
        for name in sorted(self._references):
            if (occasion.kind.value, occasion.subject) in self._references[name] and self._is_open(name):
                self._last += 1
                self._waiting[self._last] = _Waiting(name, replace(occasion, id=self._last))

    # assets

    def assets(self) -> tuple[AssetUse, ...]:
        with self._store.lock:
            counts = {asset: (len(updates), updates[-1]) for asset, updates in self._updates.items()}
            roles = [(subject, role, name) for name in sorted(self._references) for role, subject in self._references[name]]
            return asset_uses(counts, [entry for entry in roles if entry[1] in {"asset", "outlet", "inlet"}])

    def updates_of(self, asset: str, limit: int = 50) -> tuple[Occasion, ...]:
        with self._store.lock:
            return tuple(reversed(self._updates.get(asset, ())))[:limit]

    # who waits

    def pending(self, limit: int = 100, *, without: Collection[str] = ()) -> tuple[str, ...]:
        with self._store.lock:
            fresh = [each.name for _, each in sorted(self._waiting.items()) if each.is_fresh and self._is_open(each.name)]
            return tuple(name for name in dict.fromkeys(fresh) if name not in without)[:limit]

    def waiting(self, name: str) -> tuple[Occasion, ...]:
        with self._store.lock:
            return tuple(each.occasion for each in self._of(name))

    def looked(self, name: str, ids: Sequence[int]) -> None:
        with self._store.lock:
            for each in self._of(name):
                each.is_fresh = each.is_fresh and each.occasion.id not in ids

    def start(self, name: str, ids: Sequence[int], run: RunRecord | None, tasks: Sequence[TaskRecord] = ()) -> bool:
        with self._store.lock:
            if not self._is_open(name) or any(id not in self._waiting or self._waiting[id].name != name for id in ids):
                return False
            self._refuse_taken([run] if run is not None else [])
            for id in set(ids):
                del self._waiting[id]
            if run is not None:
                self._store.add(run, tasks)
            return True

    # files

    def due_watches(self, now: datetime, limit: int = 100) -> tuple[Watch, ...]:
        with self._store.lock:
            due = [each for each in self._watches.values() if each.due <= now and self._is_open(each.name)]
        return tuple(sorted(due, key=lambda each: (each.due, each.name, each.url))[:limit])

    def watches(self, name: str) -> tuple[Watch, ...]:
        with self._store.lock:
            return tuple(self._watches[key] for key in sorted(self._watches) if key[0] == name)

    def take_watch(self, watch: Watch, until: datetime) -> Watch | None:
        with self._store.lock:
            return self._put(replace(watch, due=until))

    def settle_watch(self, watch: Watch, runs: Sequence[tuple[RunRecord, Sequence[TaskRecord]]] = ()) -> bool:
        with self._store.lock:
            if not self._is_open(watch.name) or not self._is_current(watch):
                return False
            self._refuse_taken([run for run, _ in runs])
            self._put(self._store.kept(watch))
            for run, tasks in runs:
                self._store.add(run, tasks)
            return True

    # under the lock

    def _of(self, name: str) -> list[_Waiting]:
        return [each for _, each in sorted(self._waiting.items()) if each.name == name]

    def _is_open(self, name: str) -> bool:
        return self._store.deployments.is_open(name)

    def _is_current(self, watch: Watch) -> bool:
        stored = self._watches.get((watch.name, watch.url))
        return stored is not None and stored.revision == watch.revision

    def _put(self, watch: Watch) -> Watch | None:
        if not self._is_current(watch):
            return None
        self._watches[watch.name, watch.url] = replace(watch, revision=watch.revision + 1)
        return self._watches[watch.name, watch.url]

    def _refuse_taken(self, runs: Sequence[RunRecord]) -> None:
        for run in runs:
            if self._store.other_of(run) is not None:
                raise taken(run.run_id)
