# SPDX-License-Identifier: BSD-3-Clause
"""Messages that are to be sent, and what the store promises about them: each is there once, and is sent by whoever has claimed it.

a run moves     ->  its change log grows, and it is `watched` as long as there may be something to tell
a scheduler     ->  looks at it, and writes the messages together with how far it has looked: both or neither
a deliverer     ->  claims a message, sends it, and writes down how that went
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from nbflow.core.records import Change
from nbflow.core.states import RunState

#: After so long a message that could not be sent is tried again; then it has failed.
PAUSES: Final = (timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10), timedelta(hours=1))


class Sending(StrEnum):
    """How far a message has come."""

    WAITING = "waiting"
    SENT = "sent"
    #: It was tried often enough.
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One message to one address."""

    #: Of what it tells: the same for every address, and whenever it is found out again.
    key: str
    topic: str
    flow: str
    run_id: str = ""
    task: str = ""
    #: A name or URL that stands in the flow; "" for one of this installation's settings, which is looked up by its hash.
    address: str = ""
    address_hash: str
    #: The address without its secrets.
    shown: str
    subject: str
    text: str
    markdown: str = ""
    #: When what it tells happened.
    at: datetime
    created_at: datetime
    state: Sending = Sending.WAITING
    #: How often it was tried.
    tries: int = 0
    next_at: datetime | None = None
    #: Why the newest try failed.
    reason: str = ""
    sent_at: datetime | None = None
    id: int = 0


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A message that this process, and no other, may send now."""

    notification: Notification
    owner: str
    #: Raised by each claim.
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A run that somebody may want to hear of."""

    run_id: str
    #: How far its change log has been told.
    cursor: int
    #: From when on it is watched: of deadlines before that, a run that was cleared has nothing to tell.
    since: datetime
    #: Who has seen that it went wrong: nothing is escalated then.
    acknowledged: str = ""
    #: Raised by whoever wants it looked at again.
    revision: int = 0


class NotificationStore(Protocol):
    """The outbox, and the runs that are watched. Every run of a deployment is, from its making; a cleared one again."""

    def watch(self, run_id: str, now: datetime) -> Watched:
        """Have this run looked at soon, from its beginning if it was not watched."""
        ...

    def watched(self, now: datetime, limit: int = 100, *, without: Sequence[str] = ()) -> tuple[Watched, ...]:
        """Those whose log has grown since it was told, or that are to be looked at by now; none of those in `without`."""
        ...

    def settle(
        self, seen: Watched, *, cursor: int, look_at: datetime | None, is_over: bool, notifications: Sequence[Notification] = ()
    ) -> bool:
        """The log is told up to `cursor`: keep these messages, and look again at `look_at`, or when the log grows.

        `is_over`: never again, unless its log has grown meanwhile. A message whose key and address are there already is not made again.
        False, and nothing was written, when somebody else has looked at it, or asked for another look, since it was `seen`.
        """
        ...

    def forget(self, seen: Watched) -> None:
        """Nobody wants to hear of this run: watch it no more, however far it gets."""
        ...

    def acknowledge(self, run_id: str, by: str) -> bool:
        """Somebody takes care of it; False when it is not watched any more."""
        ...

    # the outbox

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
        """Take messages that are to be sent by now (`only` these, by id), the oldest first, and that nobody has claimed.

        A claim lapses after so many seconds by the database's clock, or when its owner is known to have died.
        """
        ...

    def sent(self, claimed: Claimed, after: Notification) -> bool:
        """Write down how sending went; False when somebody else has claimed it meanwhile: then nothing was written."""
        ...

    def notifications(self, *, flow: str = "", run_id: str = "", state: str = "", limit: int = 50) -> tuple[Notification, ...]:
        """The newest first."""
        ...

    def notification(self, id: int) -> Notification:
        """Raises UserError."""
        ...

    def send_again(self, id: int, now: datetime) -> Notification:
        """Have a message that failed tried again. Raises UserError for one that waits or was sent."""
        ...


def begins_again(change: Change) -> bool:
    """Whether a run of a deployment that had ended goes on with this change."""
    run = change.run
    return run is not None and bool(run.deployment) and not run.state.is_finished and change.before in _ENDED


_ENDED: Final = frozenset(state.value for state in RunState if state.is_finished)


def tried(notification: Notification, now: datetime, reason: str) -> Notification:
    """The message after one more try; `reason` is "" when it was sent."""
    tries = notification.tries + 1
    if not reason:
        return replace(notification, state=Sending.SENT, tries=tries, sent_at=now, next_at=None, reason="")
    if tries > len(PAUSES):
        return replace(notification, state=Sending.FAILED, tries=tries, next_at=None, reason=reason)
    return replace(notification, tries=tries, next_at=now + PAUSES[tries - 1], reason=reason)
