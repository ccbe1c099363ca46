# SPDX-License-Identifier: BSD-3-Clause
"""The outbox in this process: what `core/notifications.py` promises, over the runs of a MemoryStore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from nbflow.core.notifications import Claimed, Notification, Sending, Watched
from nbflow.store.sentences import not_to_send_again, unknown_notification

if TYPE_CHECKING:
    from nbflow.store.memory import MemoryStore


@dataclass
class _Kept:
    """One message, and whose claim it is."""

    notification: Notification
    owner: str = ""
    expires_at: datetime | None = None
    epoch: int = 0


class MemoryNotifications:
    """Every method takes the lock of the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        #: Run -> what is known of it, and when to look again.
        self._watched: dict[str, tuple[Watched, datetime | None]] = {}
        self._kept: dict[int, _Kept] = {}
        self._keys: set[tuple[str, str]] = set()

    # runs

    def watch(self, run_id: str, now: datetime) -> Watched:
        with self._store.lock:
            self.begin(run_id, 0, now)
            return self._watched[run_id][0]

    def begin(self, run_id: str, cursor: int, now: datetime) -> None:
        """Under the lock: watch the run from this cursor on."""
        known, _ = self._watched.get(run_id, (None, None))
        fresh = known or Watched(run_id=run_id, cursor=cursor, since=now, revision=-1)
        self._watched[run_id] = (replace(fresh, revision=fresh.revision + 1), _ALWAYS)

    def look_again(self, run_id: str, now: datetime) -> None:
        """Under the lock: something about the run that does not stand in its log is to be told."""
        cursor = self._store.cursor_of(run_id)
        if cursor is not None:
            self.begin(run_id, cursor, now)

    def watched(self, now: datetime, limit: int = 100, *, without: Sequence[str] = ()) -> tuple[Watched, ...]:
        with self._store.lock:
            found = [
                seen
                for seen, look_at in self._watched.values()
                if (cursor := self._store.cursor_of(seen.run_id)) is not None and seen.run_id not in without
                if cursor > seen.cursor or (look_at is not None and look_at <= now)
            ]
        return tuple(sorted(found, key=lambda seen: (seen.since, seen.run_id))[:limit])

    def settle(
        self, seen: Watched, *, cursor: int, look_at: datetime | None, is_over: bool, notifications: Sequence[Notification] = ()
    ) -> bool:
        with self._store.lock:
            if not self._is_as(seen):
                return False
            if is_over and self._store.cursor_of(seen.run_id) in {cursor, None}:
                del self._watched[seen.run_id]
            else:
                self._watched[seen.run_id] = (replace(seen, cursor=cursor, revision=seen.revision + 1), look_at)
            for one in notifications:
                self._add(one)
            return True

    def forget(self, seen: Watched) -> None:
        with self._store.lock:
            if self._is_as(seen):
                del self._watched[seen.run_id]

    def acknowledge(self, run_id: str, by: str) -> bool:
        with self._store.lock:
            if run_id not in self._watched:
                return False
            seen, _ = self._watched[run_id]
            self._watched[run_id] = (replace(seen, acknowledged=by, revision=seen.revision + 1), _ALWAYS)
            return True

    def delete(self, run_id: str) -> None:
        """Under the lock. What is still to be sent is sent."""
        self._watched.pop(run_id, None)
        for id, kept in list(self._kept.items()):
            if kept.notification.run_id == run_id and kept.notification.next_at is None:
                self._keys.discard((kept.notification.key, kept.notification.address_hash))
                del self._kept[id]

    def _is_as(self, seen: Watched) -> bool:
        known, _ = self._watched.get(seen.run_id, (None, None))
        return known is not None and (known.revision, known.cursor) == (seen.revision, seen.cursor)

    # the outbox

    def _add(self, one: Notification) -> None:
        unique = (one.key, one.address_hash)
        if unique not in self._keys:
            self._keys.add(unique)
            id = max(self._kept, default=0) + 1
            self._kept[id] = _Kept(replace(self._store.kept(one), id=id))

    def claim(
        self,
        now: datetime,
        owner: str,
        seconds: float,
        *,
        limit: int = 1,
        is_dead: Callable[[str], bool] = lambda _: False,
        only: Sequence[int] | None = None,
    ) -> tuple[Claimed, ...]:
        with self._store.lock:
            clock = self._store.after(0)
            due = [
                (kept.notification.next_at, id)
                for id, kept in self._kept.items()
                if kept.notification.next_at is not None and kept.notification.next_at <= now and (only is None or id in only)
                if not kept.owner or kept.expires_at is None or kept.expires_at <= clock or is_dead(kept.owner)
            ]
            found = []
            for _, id in sorted(due)[:limit]:
                kept = self._kept[id]
                kept.owner, kept.expires_at, kept.epoch = owner, self._store.after(seconds), kept.epoch + 1
                found.append(Claimed(notification=kept.notification, owner=owner, epoch=kept.epoch))
            return tuple(found)

    def sent(self, claimed: Claimed, after: Notification) -> bool:
        with self._store.lock:
            kept = self._kept.get(claimed.notification.id)
            if kept is None or (kept.owner, kept.epoch) != (claimed.owner, claimed.epoch):
                return False
            kept.notification, kept.owner, kept.expires_at = self._store.kept(after), "", None
            return True

    def notifications(self, *, flow: str = "", run_id: str = "", state: str = "", limit: int = 50) -> tuple[Notification, ...]:
        with self._store.lock:
            found = [kept.notification for _, kept in sorted(self._kept.items(), reverse=True)]
        return tuple(one for one in found if flow in ("", one.flow) and run_id in ("", one.run_id) and state in ("", one.state))[:limit]

    def notification(self, id: int) -> Notification:
        with self._store.lock:
            return self._one(id).notification

    def send_again(self, id: int, now: datetime) -> Notification:
        with self._store.lock:
            kept = self._one(id)
            if kept.notification.state is not Sending.FAILED:
                raise not_to_send_again(kept.notification)
            kept.notification = replace(kept.notification, state=Sending.WAITING, tries=0, next_at=now)
            return kept.notification

    def _one(self, id: int) -> _Kept:
        if id not in self._kept:
            raise unknown_notification(id)
        return self._kept[id]


_ALWAYS = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
