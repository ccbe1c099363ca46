# SPDX-License-Identifier: BSD-3-Clause
"""Sends what is in the outbox: claim, send, write down how it went. Any number of processes may; each message is sent by one.

Between sending and writing it down lies one commit. A process that dies exactly there has its message sent again by another, with the same key
in its headers: no mail server or webhook can promise more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from nbflow.core.errors import NbflowError
from nbflow.core.notifications import Claimed, Notification, NotificationStore, Sending, tried

_log = logging.getLogger("nbflow.notify")
#: Messages sent at once: one server that hangs keeps no other address waiting.
_AT_ONCE: Final = 4
#: Seconds after which a claim lapses whose process may still live; sending takes less.
CLAIM: Final = 90.0
#: Seconds between two tries to write down how sending went.
_PAUSES: Final = (0.1, 0.5, 2.0, 5.0)


@dataclass
class Deliverer:
    """Sends the messages of one home."""

    outbox: NotificationStore
    #: This process, as claims name it.
    owner: str
    #: Sends one message. Raises NbflowError with the reason when it could not.
    send: Callable[[Notification], None]
    is_dead: Callable[[str], bool] = lambda _: False
    seconds: float = CLAIM
    wait: Callable[[float], object] = field(default_factory=lambda: threading.Event().wait)

    def deliver(self, now: Callable[[], datetime], only: Sequence[int] | None = None) -> int:
        """Everything that is to be sent by now, or `only` these messages; returns how many were tried."""
        count = 0
        while claimed := self.outbox.claim(now(), self.owner, self.seconds, limit=_AT_ONCE, is_dead=self.is_dead, only=only):
            count += len(claimed)
            if len(claimed) == 1:
                self._record(claimed[0], self._try(claimed[0]), now())
                continue
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="nbflow-notify") as threads:
                sending = {threads.submit(self._try, one): one for one in claimed}
                for done in as_completed(sending):
                    self._record(sending[done], done.result(), now())
        return count

    def _try(self, claimed: Claimed) -> str:
        """Why it could not be sent; "" when it was."""
        try:
            self.send(claimed.notification)
        except NbflowError as error:
            return str(error) or "It could not be sent."
        except Exception as error:  # noqa: BLE001 - whatever a service's plugin does, it changes no run and stops no other message
            return f"{type(error).__name__}: it could not be sent."
        return ""

    def _record(self, claimed: Claimed, reason: str, now: datetime) -> None:
        after = tried(claimed.notification, now, reason)
        if reason:
            more = "that was the last try" if after.state is Sending.FAILED else f"trying again at {after.next_at:%H:%M:%S} UTC"
            _log.warning("notification %d to %s was not sent: %s (%s)", after.id, after.shown, reason, more)
        if not self._written(claimed, after):
            _log.warning("notification %d was claimed by another process while it was sent: it may arrive twice", after.id)

    def _written(self, claimed: Claimed, after: Notification) -> bool:
        """A database that is away for a moment is waited for: what is not written down is sent again."""
        for pause in _PAUSES:
            try:
                return self.outbox.sent(claimed, after)
            except NbflowError as error:
                _log.warning("what became of notification %d could not be written down yet: %s", after.id, error)
            self.wait(pause)
        return self.outbox.sent(claimed, after)
