# SPDX-License-Identifier: BSD-3-Clause
"""Keeping house: old runs go, then what only they held; and files that nobody knows.

The database comes first: a row never refers to a file that was taken away before it. What dies between the two leaves files that no row knows,
and the next sweep finds them. A file is taken away only when it is old: older than a day, and than every run that is running, since whoever runs
may have stored it and not said so yet.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from nbflow.app.rooms import DATABASE, Opened
from nbflow.core.errors import UserError
from nbflow.core.ids import RunId, TaskKey
from nbflow.core.model import Flow
from nbflow.core.options import OnFailure, PastCheck
from nbflow.core.past import check_of
from nbflow.core.records import RunRecord
from nbflow.core.retention import Needed, Retention, why_kept, why_whole
from nbflow.core.states import RunState, TaskState

_log = logging.getLogger("nbflow.house")
#: A file that no run refers to stays for as long.
GRACE: Final = timedelta(days=1)
#: How many earlier runs a task with `--on-failure last-good` looks through (engine/last_good.py).
_LOOK_BACK: Final = 100
#: The log of the home's cluster is begun anew when it is longer.
_LONGEST_LOG: Final = 8 * 1024 * 1024
_PREFIXES: Final = tuple(f"{number:02x}" for number in range(256))


# --- one run ------------------------------------------------------------------------------------------------------------


def delete_run(rooms: Opened, run_id: str) -> int:
    """Delete a run that has ended, with its files; returns how many artifacts went. Raises UserError.

    Files of the last day stay until the next sweep.
    """
    hashes = rooms.store.delete_run(run_id)
    _remove_folder(rooms.settings.home / "runs" / run_id)
    return 0 if other_databases(rooms) else _discard(rooms, hashes, unreferenced_before(rooms))


def unreferenced_before(rooms: Opened) -> datetime:
    """What nobody refers to and was stored before this instant belongs to nobody."""
    since = rooms.store.house.running_since()
    day = rooms.clock.now() - GRACE
    return min(day, since) if since is not None else day


def _discard(rooms: Opened, hashes: Sequence[str], before: datetime) -> int:
    """Take these artifacts away, as far as they are old and still nobody's."""
    return sum(rooms.artifacts.discard(hash, before) for hash in rooms.store.house.unreferenced(hashes))


def other_databases(rooms: Opened) -> tuple[str, ...]:
    """The marks of other databases whose artifacts are in the same place: which of them are whose, nobody can tell."""
    mine = f"{DATABASE}{rooms.store.house.identity()}"
    return tuple(mark for mark in rooms.artifacts.marks(DATABASE) if mark != mine)


def _remove_folder(folder: Path) -> bool:
    """The executed notebook of a run and its page; an output that a person named lies elsewhere and stays."""
    if folder.name in {"", ".", ".."} or not folder.is_dir() or folder.is_symlink():  # dots may be a run id too
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


# --- all of them --------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Cleaned:
    """What was done, or would be."""

    runs: list[RunRecord] = field(default_factory=list)
    #: Runs that gave up their values, or what they printed.
    thinned: int = 0
    artifacts: int = 0
    files: int = 0
    #: Old runs that stay, by the reason.
    spared: Counter[str] = field(default_factory=Counter)
    #: There is more to look at.
    has_more: bool = False


class Housekeeper:
    """Applies a retention to one home. What it does can be done in parts, and by several at once."""

    def __init__(self, rooms: Opened, retention: Retention, stops: Callable[[], bool] = lambda: False) -> None:
        """`stops` says that there is no more time."""
        self._rooms, self._retention, self._stops = rooms, retention, stops
        #: Where the next part begins.
        self._cursors = {"runs": "", "values": "", "outputs": ""}
        self._prefix = 0
        self._begin()

    def _begin(self) -> None:
        """What holds for one part: looked up once."""
        self._needs = Needs(self._rooms, self._retention)
        self._others = other_databases(self._rooms)
        self._before = unreferenced_before(self._rooms)

    # all at once, for a person

    def clean(self, *, flow: str = "", dry_run: bool = False) -> Cleaned:
        """Everything that is due now."""
        done = Cleaned()
        for run, why in self._old_runs(flow):
            if why:
                done.spared[why] += 1
            elif dry_run:
                done.runs.append(run)
            else:
                self._delete(run, done)
        if dry_run:
            return done
        for what in ("values", "outputs"):
            while self._thin(what, done, flow):
                pass
        for _ in _PREFIXES:
            self._sweep_artifacts(done)
        self._sweep_files(done)
        return done

    def _old_runs(self, flow: str) -> Iterator[tuple[RunRecord, str]]:
        cursor, more = "", True
        while more:
            found, cursor = self._page_of_runs(flow, cursor)
            yield from found
            more = bool(cursor)

    # a little at a time, for a scheduler

    def turn(self) -> Cleaned:
        """A page of runs, a page of values, a page of outputs, a 256th of the artifacts; after the last of them the home's files."""
        done = Cleaned()
        self._begin()
        if self._retention.is_anything:
            found, self._cursors["runs"] = self._page_of_runs("", self._cursors["runs"], limit=50)
            for run, why in found:
                if not why and not self._stops():
                    self._delete(run, done)
            for what in ("values", "outputs"):
                self._thin(what, done, "", limit=20)
            done.has_more = any(self._cursors.values())
        if self._stops():
            return done
        if self._prefix == 0:
            self._sweep_files(done)
        self._sweep_artifacts(done)
        return done

    # how

    def _page_of_runs(self, flow: str, cursor: str, limit: int = 200) -> tuple[list[tuple[RunRecord, str]], str]:
        spans = [span for span in (self._retention.runs, self._retention.failed) if span is not None]
        if not spans:
            return [], ""
        now = self._rooms.clock.now()
        page = self._rooms.store.house.old(now - min(spans), flow=flow, cursor=cursor, limit=limit)
        old = (run for run in page.runs if why_kept(run, replace(self._retention, keep_last=0), Needed(), now) == "")
        return [(run, why_kept(run, self._retention, self._needs.of(run), now)) for run in old], page.next

    def _delete(self, run: RunRecord, done: Cleaned) -> None:
        with suppress(UserError):  # somebody else was quicker, or it goes on
            hashes = self._rooms.store.delete_run(run.run_id)
            done.runs.append(run)
            _remove_folder(self._rooms.settings.home / "runs" / run.run_id)
            self._discard(hashes, done)

    def _discard(self, hashes: Sequence[str], done: Cleaned) -> None:
        if hashes and not self._others:
            done.artifacts += _discard(self._rooms, hashes, self._before)

    def _thin(self, what: str, done: Cleaned, flow: str, limit: int = 200) -> bool:
        """Take values or outputs from a page of runs. Whether there are more."""
        is_values = what == "values"
        span = self._retention.artifacts if is_values else self._retention.logs
        if span is None:
            return False
        now, house = self._rooms.clock.now(), self._rooms.store.house
        page = house.old(now - span, flow=flow, has_values=is_values, has_outputs=not is_values, cursor=self._cursors[what], limit=limit)
        for run in page.runs:
            if self._stops():
                return False
            if why_whole(run, span, self._needs.of(run), now, values=is_values):
                continue
            gone = house.thin(run.run_id, values=is_values, outputs=not is_values)
            done.thinned += 1
            self._discard(gone, done)
            if not is_values:
                done.files += _remove_folder(self._rooms.settings.home / "runs" / run.run_id)
        self._cursors[what] = page.next
        return bool(page.next)

    def _sweep_artifacts(self, done: Cleaned) -> None:
        """Artifacts that no run refers to: their run was deleted and the file was too new then, or a process died in between."""
        digits, self._prefix = _PREFIXES[self._prefix], (self._prefix + 1) % len(_PREFIXES)
        if not self._others:
            self._discard(self._rooms.artifacts.stored(digits, self._before), done)

    def _sweep_files(self, done: Cleaned) -> None:
        """Half-written files and old marks beside the artifacts; folders of runs that are not there; the log of the cluster."""
        before = self._before
        if self._others:
            _log.warning(
                "Artifacts in %s belong to another database too: what no run of this one refers to is left alone. "
                "If that one is gone, delete its mark marks/%s there.",
                self._rooms.settings.artifacts.rpartition("@")[2],
                self._others[0],
            )
        else:
            done.files += self._rooms.artifacts.sweep(before)
        home = self._rooms.settings.home
        folders = [entry for entry in _folders(home / "runs") if entry.stat().st_mtime < before.timestamp()]
        known = self._rooms.store.house.known([folder.name for folder in folders])
        for folder in folders:
            if RunId(folder.name) not in known:
                done.files += _remove_folder(folder)
        done.files += self._sweep_versions(home / "versions")
        log = home / "cluster.log"
        with suppress(OSError):
            if log.stat().st_size > _LONGEST_LOG:  # whoever writes it appends
                with log.open("r+b") as file:
                    file.truncate(0)

    def _sweep_versions(self, place: Path) -> int:
        """Versions that were laid out for their runs: whoever needs one again lays it out again, and its run has not ended then."""
        count = 0
        for folder in _folders(place):
            if folder.stat().st_mtime < self._before.timestamp():
                used = self._rooms.store.house.versions_in_use()
                count += not any(version.startswith(folder.name) for version in used) and _remove_folder(folder)
        return count


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []


# --- what else knows a run ----------------------------------------------------------------------------------------------


class Needs:
    """Looks up what else knows a run; what is true of a whole flow, once."""

    def __init__(self, rooms: Opened, retention: Retention) -> None:
        self._rooms, self._retention = rooms, retention
        self._recent: dict[tuple[str, str], frozenset[RunId]] = {}
        self._good: dict[tuple[str, str], frozenset[RunId]] = {}
        self._flows: dict[str, Flow | None] = {}

    def of(self, run: RunRecord) -> Needed:
        place = (run.flow, run.path)
        if place not in self._recent:
            store, keep = self._rooms.store, self._retention.keep_last
            newest = store.find_runs(flow=run.flow, path=run.path, limit=keep).runs if keep else ()
            self._recent[place] = frozenset(one.run_id for one in newest)
            self._good[place] = frozenset(self._good_runs(run))
        return Needed(
            is_recent=run.run_id in self._recent[place],
            is_last_good=run.run_id in self._good[place],
            is_past=self._is_past(run),
            cached_at=self._cached_at(run),
        )

    def _flow(self, version: str) -> Flow | None:
        if version not in self._flows:
            try:
                self._flows[version] = self._rooms.store.flow(version)
            except KeyError:
                self._flows[version] = None
        return self._flows[version]

    def _good_runs(self, run: RunRecord) -> Iterator[RunId]:
        """The newest that went well; and of each task that falls back on its last good value, the newest in which it did."""
        store = self._rooms.store
        for good in store.find_runs(flow=run.flow, path=run.path, state=RunState.SUCCESS.value, limit=1).runs:
            yield good.run_id
        newest = store.find_runs(flow=run.flow, path=run.path, limit=_LOOK_BACK).runs
        flow = self._flow(newest[0].version) if newest else None
        falling = {task.id for task in flow.tasks if task.options.on_failure is OnFailure.LAST_GOOD} if flow is not None else set()
        found: set[TaskKey] = set()
        for one in newest if falling else ():
            for record in store.task_records(one.run_id):
                is_good = record.state is TaskState.SUCCESS and not record.note.get("last_good")
                if record.key.task_id in falling and is_good and record.key not in found:
                    found.add(record.key)
                    yield one.run_id

    def _is_past(self, run: RunRecord) -> bool:
        """Unless the runs that ask how it went are there, and went well: none of them asks again."""
        if run.logical_date is None or not self._asks_for_past(run):
            return False
        house = self._rooms.store.house
        ways = (True,) if run.run_type == "manual" else (True, False)
        following = [house.following(run, manual=manual) for manual in ways]
        return any(one is None or one.state is not RunState.SUCCESS for one in following)

    def _asks_for_past(self, run: RunRecord) -> bool:
        flow = self._flow(run.version)
        return flow is not None and any(check_of(task.options, run.past, task.id) is not PastCheck.NO for task in flow.tasks)

    def _cached_at(self, run: RunRecord) -> datetime | None:
        """When the newest of its results was made that `--cache` may still take."""
        found = self._rooms.store.cached_by(run.run_id)
        if not found:
            return None
        flow, now = self._flow(run.version), self._rooms.clock.now()
        limits = {task.id: task.options.cache_for for task in flow.tasks} if flow is not None else {}
        made = []
        for _, attempt in found.values():
            at, span = attempt.ended_at or now, limits.get(attempt.key.task_id)
            if span is None or now - at <= span:
                made.append(at)
        return max(made, default=None)
