# SPDX-License-Identifier: BSD-3-Clause
"""Backfills in words: what one would do about each date, what it did, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any, Final

from nbflow.core.backfills import Backfill, BackfillDate, DateState, DateVerdict, Progress
from nbflow.core.messages import plural

_WOULD: Final[Mapping[DateVerdict, str]] = {
    DateVerdict.CREATE: "create",
    DateVerdict.RERUN: "run again",
    DateVerdict.EXISTS: "already exists",
    DateVerdict.IN_FLIGHT: "in flight, left alone",
}
_STANDS: Final[Mapping[DateState, str]] = {
    DateState.WAITING: "to come",
    DateState.TAKEN: "being made",
    DateState.PASSED: "passed over, it had its run",
    DateState.DROPPED: "dropped",
}


def say_verdict(date: BackfillDate) -> str:
    """What would be done about a date."""
    return _WOULD[date.verdict]


def say_state(date: BackfillDate) -> str:
    """How a date of a backfill stands; a date with a run of the backfill by that run's state."""
    if date.state is DateState.PASSED and not date.verdict.is_work:
        return _WOULD[date.verdict]
    if date.state is not DateState.MADE:
        return _STANDS[date.state]
    return date.run_state.value if date.run_state else "its run was deleted"


def say_date(instant: datetime, zone: tzinfo) -> str:
    """A logical date in the flow's time zone."""
    return f"{instant.astimezone(zone):%a %d %b %Y %H:%M %Z}"


def say_counts(dates: Iterable[BackfillDate]) -> str:
    """`2 to create, 1 to run again, 1 already exists, 2 in flight`."""
    found = dict.fromkeys(DateVerdict, 0)
    for date in dates:
        found[date.verdict] += 1
    parts = [
        f"{found[DateVerdict.CREATE]} to create",
        f"{found[DateVerdict.RERUN]} to run again" * bool(found[DateVerdict.RERUN]),
        f"{found[DateVerdict.EXISTS]} already there" * bool(found[DateVerdict.EXISTS]),
        f"{found[DateVerdict.IN_FLIGHT]} in flight" * bool(found[DateVerdict.IN_FLIGHT]),
    ]
    return ", ".join(part for part in parts if part)


def say_progress(progress: Progress) -> str:
    """`12 of 31 done: 10 succeeded, 2 failed; 5 running, 14 to come`."""
    ended = [f"{progress.success} succeeded" * bool(progress.success), f"{progress.failed} failed" * bool(progress.failed)]
    ended.append(f"{progress.gone} deleted" * bool(progress.gone))
    still = [f"{progress.running} running" * bool(progress.running), f"{progress.queued} queued" * bool(progress.queued)]
    still += [f"{progress.waiting + progress.taken} to come" * bool(progress.waiting + progress.taken)]
    still += [f"{progress.dropped} dropped" * bool(progress.dropped)]
    told = [", ".join(part for part in parts if part) for parts in (ended, still)]
    return f"{progress.ended} of {progress.total} done" + "".join(
        f"{sign} {text}" for sign, text in zip((":", ";" if told[0] else ":"), told, strict=True) if text
    )


def say_standing(backfill: Backfill, progress: Progress) -> str:
    """`Backfill 3 of sales is active: 12 of 31 done: ...`."""
    return f"Backfill {backfill.id} of {backfill.flow} is {backfill.state}: {say_progress(progress)}."


def say_made(backfill: Backfill, work: int, said_range: str) -> str:
    """`Backfill 3 of sales: 31 runs, 2026-01-01 to 2026-01-31, at most 10 at once.`"""
    order = ", the latest first" if backfill.reverse else ""
    return f"Backfill {backfill.id} of {backfill.flow}: {plural(work, 'run')}, {said_range}, at most {backfill.max_active} at once{order}."


def backfill_json(backfill: Backfill, progress: Progress | None = None) -> dict[str, Any]:
    """A backfill for other programs."""
    known: dict[str, Any] = {
        "id": backfill.id or None,
        "flow": backfill.flow,
        "from": backfill.start.isoformat(),
        "to": backfill.until.isoformat(),
        "reprocess": backfill.reprocess.value,
        "max_active": backfill.max_active,
        "reverse": backfill.reverse,
        "ignore_depends_on_past": backfill.ignores_past,
        "params": dict(backfill.params),
        "created_at": backfill.created_at.isoformat(),
        "by": backfill.by,
    }
    if progress is None:
        return known
    names = ("total", "waiting", "taken", "queued", "running", "success", "failed", "passed", "dropped", "gone")
    return {
        **known,
        "state": backfill.state,
        "ended_at": backfill.ended_at.isoformat() if backfill.ended_at else None,
        "progress": {name: getattr(progress, name) for name in names},
    }


def date_json(date: BackfillDate, *, planned: bool = False) -> dict[str, Any]:
    """One date; of a backfill that is only planned, without how far it is."""
    told = {
        "logical_date": date.logical_date.isoformat(),
        "interval_start": date.interval_start.isoformat(),
        "interval_end": date.interval_end.isoformat(),
        "verdict": date.verdict.value,
        "run_id": date.run_id or None,
        "run_state": date.run_state.value if date.run_state else None,
    }
    return told if planned else {**told, "state": date.state.value}
