# SPDX-License-Identifier: BSD-3-Clause
"""Pages of runs, newest first. A cursor names the last run of a page, so runs that come or go meanwhile neither repeat nor hide others."""

from __future__ import annotations

from collections.abc import Sequence

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
