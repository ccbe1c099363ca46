# SPDX-License-Identifier: BSD-3-Clause
"""Operators that look whether something is there: files, HTTP, a time of day, another flow's run. Their text is a Jinja template.

file   a path, a glob or an fsspec URL of either          out: the paths found
       with --conn: below the connection's folder or bucket
http   a URL; any answer below 400 will do, 404 means no  out: the text of the answer
       with --conn: a path below the connection's address
time   07:30, 07:30 Europe/Zurich, or an instant          out: that instant
flow   a flow's name, [task=T] [run=latest|same|RUN_ID] [state=success,failed]   out: the run's id
"""

from __future__ import annotations

import glob
import shlex
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

from nbflow.core.connections import Connection
from nbflow.core.context import ctx
from nbflow.core.errors import UserError
from nbflow.core.job import Outcome
from nbflow.core.states import RunState, TaskState
from nbflow.operators import reaching
from nbflow.operators.attempt import Attempt, Ending
from nbflow.operators.bash import render
from nbflow.operators.errors import ending_of

_NOT_FOUND: Final = 404
_SECONDS: Final = 30
_STATES: Final = frozenset(state.value for state in (*RunState, *TaskState) if state.is_finished)

#: Runs that share their logical date with those of other flows.
_BY_DATE: Final = frozenset({"scheduled", "backfill"})

#: What a look finds: whether it is there, and the value of `--out`.
Found = tuple[bool, Any]


def run_file(attempt: Attempt) -> Ending:
    """Is there a file at this path, pattern or URL?"""
    return _looked(attempt, look_for_file)


def run_http(attempt: Attempt) -> Ending:
    """Does this URL answer?"""
    return _looked(attempt, look_at_url)


def run_time(attempt: Attempt) -> Ending:
    """Is it that late? It waits without a worker."""
    if attempt.job.resumed:
        return _there(attempt, attempt.job.resumed["event"]["at"])
    try:
        at = read_instant(_text(attempt), datetime.now(UTC))
    except Exception as error:  # noqa: BLE001 - templates run expressions over the user's values
        return ending_of(error)
    if at <= datetime.now(UTC):
        return _there(attempt, at.isoformat())
    shown = at.strftime("%Y-%m-%d %H:%M:%S %Z")
    return Ending(outcome=Outcome.DEFERRED, trigger={"kind": "time", "at": at.astimezone(UTC).isoformat(), "shown": shown})


def run_flow(attempt: Attempt) -> Ending:
    """Has another flow's run, or a task of it, come that far? It waits without a worker."""
    if attempt.job.resumed:
        return _there(attempt, attempt.job.resumed["event"]["run_id"])
    try:
        trigger = read_run_trigger(_text(attempt), scheduled=ctx.run_type in _BY_DATE, logical_date=ctx.logical_date)
    except Exception as error:  # noqa: BLE001 - as above
        return ending_of(error)
    return Ending(outcome=Outcome.DEFERRED, trigger=trigger)


def _text(attempt: Attempt) -> str:
    text = render(attempt.job.source, attempt.namespace).strip()
    if not text:
        raise UserError(
            f"-o {attempt.job.operator} of task {attempt.job.context.key} does not say what to look for: write it below the line."
        )
    return text


def _looked(attempt: Attempt, look: Callable[[str, Connection | None], Found]) -> Ending:
    try:
        is_there, value = look(_text(attempt), ctx.conn if attempt.job.lent.conn else None)
    except Exception as error:  # noqa: BLE001 - file systems and networks raise what they like
        return ending_of(error)
    if is_there:
        return _there(attempt, value)
    return Ending(decision=False)


def _there(attempt: Attempt, value: Any) -> Ending:
    if attempt.job.out:
        attempt.namespace[attempt.job.out] = value
    return Ending(decision=True)


def look_for_file(text: str, connection: Connection | None = None) -> Found:
    """The paths that are there. Raises what the file system raises, and ImportError for a URL whose file system is not installed."""
    from fsspec.core import url_to_fs  # noqa: PLC0415 - only what looks at files needs it

    system, path = url_to_fs(reaching.below(connection, text) if connection else text, **(connection.more if connection else {}))
    system.invalidate_cache()
    found = sorted(map(str, system.glob(path))) if glob.has_magic(path) else [path] * system.exists(path)
    return bool(found), found


def look_at_url(text: str, connection: Connection | None = None) -> Found:
    """The answer's text. Raises UserError for what is no URL and for an error of the server, OSError when nobody answers."""
    text = reaching.below(connection, text) if connection else text
    if not text.startswith(("http://", "https://")):
        raise UserError(f'"{text.splitlines()[0]}" is not an address: -o http takes one that begins with http:// or https://.')
    request = urllib.request.Request(text, headers={"User-Agent": "nbflow", **reaching.headers(connection)})  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - as above
            return True, answer.read().decode(answer.headers.get_content_charset() or "utf-8", "replace")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _NOT_FOUND:
            return False, None
        raise UserError(f"{text} answers {error.code} {error.reason}.") from None


def read_instant(text: str, now: datetime) -> datetime:
    """`07:30` today in UTC, `07:30 Europe/Zurich`, or an ISO instant. Raises UserError."""
    clock, _, zone = text.partition(" ")
    try:
        if ":" in clock and "-" not in clock and "T" not in clock:
            place = ZoneInfo(zone.strip() or "UTC")
            return datetime.combine(now.astimezone(place).date(), time.fromisoformat(clock), place)
        at = datetime.fromisoformat(text)
    except (ValueError, KeyError, OSError):
        raise UserError(f'"{text}" is not a time: write 07:30, 07:30 Europe/Zurich or 2026-01-31T07:30:00+01:00.') from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def read_run_trigger(text: str, *, scheduled: bool, logical_date: datetime) -> dict[str, Any]:
    """What `sales task=load run=same` waits for. A scheduled run waits for the run of the same logical date, any other for the latest.

    Raises UserError.
    """
    flow, *words = shlex.split(text)
    chosen = {"task": "", "run": "same" if scheduled else "latest", "state": "success"}
    for word in words:
        name, equals, value = word.partition("=")
        if name not in chosen or not equals or not value:
            raise UserError(
                f'"{word}" is not understood: -o flow takes the name of a flow, then task=T, run=latest, run=same or state=success.'
            )
        chosen[name] = value
    states = chosen["state"].split(",")
    for state in states:
        if state not in _STATES:
            raise UserError(f'"{state}" is not the state of something that has ended: write one of {", ".join(sorted(_STATES))}.')
    which = {"same": "the run of the same date", "latest": "the latest run"}.get(chosen["run"], f"run {chosen['run']}")
    part = f"task {chosen['task']} of " if chosen["task"] else ""
    return {
        "kind": "run",
        "flow": flow,
        "task": chosen["task"],
        "run": chosen["run"],
        "states": states,
        "logical_date": logical_date.isoformat(),
        "shown": f"{part}{which} of {flow}",
    }
