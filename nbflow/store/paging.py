# SPDX-License-Identifier: BSD-3-Clause
"""Pages of runs, newest first. A cursor names the last run of a page, so runs that come or go meanwhile neither repeat nor hide others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nbflow.core.errors import UserError
from nbflow.core.protocols import RunPage
from nbflow.core.records import RunRecord
from nbflow.store.codec import micros


def as_page(runs: Sequence[RunRecord], limit: int) -> RunPage:
    """The page, from one run more than it holds when there is a following one."""
    if len(runs) <= limit:
        return RunPage(runs=tuple(runs))
    last = runs[limit - 1]
    return RunPage(runs=tuple(runs[:limit]), next=f"{micros(last.created_at)}.{last.run_id}")


def read_page_cursor(cursor: str) -> tuple[int, str]:
    """Microseconds of creation and id of the last run of the page before. Raises UserError."""
    number, dot, run_id = cursor.partition(".")
    if not (dot and run_id and number.lstrip("-").isdecimal()):
        raise UserError(f'"{cursor}" is not a cursor of a list of runs: take `next` of the page before, or begin without one.')
    return int(number), run_id


def earlier(run: RunRecord, runs: Iterable[RunRecord], *, manual: bool) -> tuple[RunRecord, ...]:
    """Those among the runs that come before this one in its flow, the newest logical date first."""
    here = run.logical_date
    if here is None:
        return ()
    mine = (run.deployment, run.flow, run.path) if not run.deployment else (run.deployment,)
    found = [
        (one.logical_date, one.created_at, one)
        for one in runs
        if one.logical_date is not None
        and one.logical_date < here
        and ((one.deployment, one.flow, one.path) if not run.deployment else (one.deployment,)) == mine
        and (manual or one.run_type != "manual")
    ]
    return tuple(one for *_, one in sorted(found, key=lambda each: each[:2], reverse=True))


def following(run: RunRecord, runs: Iterable[RunRecord], *, manual: bool) -> RunRecord | None:
    """The one among the runs that comes next in the flow of this one."""
    found = [
        (one.logical_date, one.created_at, one.run_id, one)
        for one in runs
        if one.logical_date is not None and (manual or one.run_type != "manual") and earlier(one, [run], manual=True)
    ]
    return min(found)[3] if found else None
