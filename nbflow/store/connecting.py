# SPDX-License-Identifier: BSD-3-Clause
"""Where a transaction gets its connection from: with SQLite each thread has its own, with PostgreSQL the threads of a process share a few.

SQLite's cost nothing but are bound to the locks of their file. A server counts its connections (PostgreSQL allows 100 unless it is told otherwise),
and a host of many runs has several threads for each: transactions are short, so that a few connections serve them all.
"""

from __future__ import annotations

import os
import select
import threading
from contextlib import suppress
from typing import Any, Final, Protocol

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.pool import NullPool, QueuePool

#: Connections of one process to a server; a thread waits for one that is free.
MOST: Final = 5
#: Seconds it waits: only a database that is stuck makes it wait as long.
_PATIENCE: Final = 30.0


class Connections(Protocol):
    """Connections of an engine. What is taken by a thread is given back by it before it takes another."""

    def take(self) -> Connection: ...

    def give_back(self, connection: Connection) -> None:
        """A connection that was lost is given up, and none takes its place until it is needed."""
        ...

    def close(self) -> None:
        """Close them all. May be called twice."""
        ...


class _Own:
    """The connection of one thread. `busy` is held while it is used: SQLite's Python module crashes when it is closed under a query."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.thread = threading.current_thread()
        self.process = os.getpid()
        self.busy = threading.RLock()
        self.is_closed = False


class OfThreads:
    """A connection for each thread, open until the thread ends."""

    def __init__(self, url: URL, arguments: dict[str, Any]) -> None:
        self.engine: Engine = create_engine(url, connect_args=arguments, poolclass=NullPool)
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int], _Own] = {}

    def take(self) -> Connection:
        own: _Own | None = getattr(self._mine, "own", None)
        if own is not None and own.process == os.getpid():
            own.busy.acquire()
            if not own.is_closed:
                return own.connection
            own.busy.release()
        # The first use in this thread, or in a forked child, which must not touch its parent's connection.
        own = self._mine.own = _Own(self.engine.connect())
        own.busy.acquire()
        with self._lock:
            gone = [number for number in self._of_this_process() if not self._open[number].thread.is_alive()]
            ended = [self._open.pop(number).connection for number in gone]
            self._open[os.getpid(), threading.get_ident()] = own
        for old in ended:
            with suppress(DBAPIError):
                old.close()
        return own.connection

    def give_back(self, connection: Connection) -> None:
        own: _Own = self._mine.own
        if connection.invalidated:
            own.is_closed = True
            with suppress(DBAPIError):
                connection.close()
        own.busy.release()

    def close(self) -> None:
        """A query under way is waited for; one that takes for ever is left alone, with its connection."""
        with self._lock:
            owns = [self._open.pop(number) for number in self._of_this_process()]
        for own in owns:
            if own.busy.acquire(timeout=_PATIENCE if own.thread.is_alive() else 0):
                own.is_closed = True
                with suppress(DBAPIError):
                    own.connection.close()
                own.busy.release()
        self.engine.dispose()

    def _of_this_process(self) -> list[tuple[int, int]]:
        """A forked child leaves its parent's connections alone: closing one would let go of the parent's file locks."""
        return [number for number in self._open if number[0] == os.getpid()]


class Shared:
    """At most a few connections, which the threads of the process share."""

    def __init__(self, url: URL, arguments: dict[str, Any]) -> None:
        self.engine: Engine = create_engine(
            url,
            connect_args=arguments,
            poolclass=QueuePool,
            pool_size=MOST,
            max_overflow=0,
            pool_timeout=_PATIENCE,
            pool_use_lifo=True,
        )
        self._process = os.getpid()
        self._lock = threading.Lock()
        event.listen(self.engine, "checkout", _refuse_what_hung_up)

    def take(self) -> Connection:
        if self._process != os.getpid():
            self._leave_to_the_parent()
        return self.engine.connect()

    def give_back(self, connection: Connection) -> None:
        with suppress(DBAPIError):
            connection.close()

    def close(self) -> None:
        self.engine.dispose(close=self._process == os.getpid())

    def _leave_to_the_parent(self) -> None:
        """A forked child has connections of its own and does not touch the others."""
        with self._lock:
            if self._process != os.getpid():
                self.engine.dispose(close=False)
                self._process = os.getpid()


def _refuse_what_hung_up(connection: Any, record: Any, proxy: Any) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    """PostgreSQL ended this idle connection: it says so, unasked, before it closes its end. Looking costs microseconds, not a round trip."""
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        is_lost = bool(poll.poll(0))
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "psycopg":  # not imported here: an extra
            raise
        is_lost = True
    if is_lost:
        raise DisconnectionError("The server ended this connection.")
