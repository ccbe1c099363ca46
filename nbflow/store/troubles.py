# SPDX-License-Identifier: BSD-3-Clause
"""What a database complains of, as one sentence each. Every call of the store passes through `explained`."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFreeError

from nbflow.core.errors import StoreError

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger("nbflow.store")
#: What PostgreSQL says when it has ended a transaction by itself.
_ENDED: Final = "idle-in-transaction timeout|transaction timeout"
#: What the driver's message contains, in lower case -> the sentence; the first that fits.
_SENTENCES: Final = (
    (
        "readonly database",
        "The database {place} cannot be written: change the permissions of the file and of its folder, or choose another home.",
    ),
    ("database or disk is full", "There is no space left for the database {place}: free some, or choose another home."),
    ("no space left on device", "There is no space left for the database {place}: free some on its server."),
    ("database (table )?is locked", "The database {place} is locked by another program: close whatever else has it open, and try again."),
    ("not a database", "{place} is not a database of nbflow: move that file away, or set database_url to another one."),
    ("malformed", "The database {place} is damaged: restore it from a backup, or move it away to begin with an empty one."),
    (
        "unable to open database file",
        "The database {place} cannot be opened: check that its folder exists and may be written, or choose another home.",
    ),
    ("disk i/o error", "The disk of the database {place} reports an error: check the disk, or choose another home."),
    (
        "password authentication failed|no password supplied",
        "PostgreSQL refuses the user or the password of {place}: correct database_url.",
    ),
    (
        "too many clients|too many connections|remaining connection slots",
        "PostgreSQL takes no more connections at {place}: raise its max_connections, or end programs that are connected to it.",
    ),
    (
        _ENDED,
        "PostgreSQL at {place} has ended a transaction that took too long: this process was asleep, or somebody holds its locks (pg_stat_activity).",
    ),
    ("fatal:.* does not exist", "PostgreSQL does not know what {place} names ({line}): create it there, or correct database_url."),
    ("permission denied", "PostgreSQL does not let this user work in {place} ({line}): grant the rights, or correct database_url."),
)


class RolledBack(StoreError):
    """PostgreSQL has ended a transaction before its commit, or instead of it: its process was asleep, or the connection is lost. Nothing was written."""


def once_more(write: Callable[P, R]) -> Callable[P, R]:
    """A write that was rolled back for no fault of its own is made again, once. Whether it may still be made the lease says, which it proves first."""

    @wraps(write)
    def written(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return write(*arguments, **named)
        except RolledBack as error:
            _log.warning("%s What it was to write is written again.", error)
        return write(*arguments, **named)

    return written


@contextmanager
def explained(place: str, *, before_commit: bool = False) -> Iterator[None]:
    """Turns what the database cannot do into StoreError; an error of nbflow's own SQL keeps its traceback.

    A connection that is lost `before_commit` takes its transaction with it; one that is lost during the commit may have committed.
    """
    try:
        yield
    except DBAPIError as error:
        sentence = _sentence(error, place)
        if sentence is None:
            raise
        is_undone = (before_commit and error.connection_invalidated) or re.search(_ENDED, _said(error).lower())
        raise (RolledBack if is_undone else StoreError)(sentence) from error
    except NoneFreeError as error:
        raise StoreError(
            f"PostgreSQL at {place} does not get on: all connections of this process have been busy for half a minute. "
            "Look for locks that somebody holds (pg_stat_activity)."
        ) from error


def _said(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())


def _sentence(error: DBAPIError, place: str) -> str | None:
    said = _said(error)
    lowered = said.lower()
    for pattern, sentence in _SENTENCES:
        if re.search(pattern, lowered):
            return sentence.format(place=place, line=said.rpartition("FATAL:")[2].strip())
    if error.connection_invalidated or re.search("connection (failed|is bad|timeout)|failed to resolve host", lowered):
        return f"PostgreSQL cannot be reached at {place}: start it, or correct database_url ({said.rpartition(': ')[2][:200]})."
    return None
