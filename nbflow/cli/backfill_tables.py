# SPDX-License-Identifier: BSD-3-Clause
"""Tables of `nbflow backfill`, and the bar that follows one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from nbflow.app import backfilling
from nbflow.app.deploying import read_keys
from nbflow.cli.render import console, plain_table, state_text
from nbflow.core.backfilling import say_range
from nbflow.core.errors import UserError
from nbflow.views.backfill_words import say_counts, say_date, say_progress, say_state, say_verdict

if TYPE_CHECKING:
    from datetime import tzinfo

    from nbflow.app import Workspace
    from nbflow.app.backfilling import Plan, Standing
    from nbflow.core.backfills import Backfill, BackfillDate

#: Rows of a table that is not asked for as JSON.
_MOST_ROWS: Final = 60
#: Seconds between two looks.
_PERIOD: Final = 0.5


def plan_table(planned: Plan) -> None:
    """One row for each date, in the order of starting."""
    rows = [
        (say_date(date.logical_date, planned.zone), say_verdict(date), date.run_id, _state(date)) for date in planned.dates[:_MOST_ROWS]
    ]
    plain_table(("date", "what", "run", "it is"), rows)
    _more(len(planned.dates))
    console().print(f"{planned.asked.flow}, {planned.range}: {say_counts(planned.dates)}. Nothing was done.", soft_wrap=True)


def backfills_table(workspace: Workspace, found: Sequence[Standing]) -> None:
    """One row for each backfill."""
    rows = [
        (
            str(one.backfill.id),
            one.backfill.flow,
            _range(workspace, one.backfill),
            one.backfill.reprocess.value,
            one.backfill.state,
            _bar(one),
            one.backfill.by,
            say_progress(one.progress),
        )
        for one in found
    ]
    titles = ("id", "flow", "dates", "reprocess", "state", "", "by", "progress")
    plain_table(titles, rows, right=("id",), empty="No backfill yet. Type nbflow backfill create FLOW --from DATE --to DATE.")


def backfill_card(workspace: Workspace, stands: Standing) -> None:
    """One backfill: a line for each thing to know, and its dates."""
    backfill, zone, out = stands.backfill, _zone(workspace, stands.backfill), console()
    rows = {
        "backfill": f"{backfill.id} of {backfill.flow}",
        "dates": _range(workspace, backfill) + (", the latest first" if backfill.reverse else ""),
        "reprocess": backfill.reprocess.value,
        "limit": f"at most {backfill.max_active} at once",
        "past": "no task depends on its past" if backfill.ignores_past else "",
        "parameters": ", ".join(f"{name}={value!r}" for name, value in backfill.params.items()),
        "asked": f"{backfill.created_at.astimezone():%a %d %b %Y %H:%M} by {backfill.by or 'nobody known'}",
        "state": backfill.state + (f" by {backfill.cancelled_by}" if backfill.is_cancelled else ""),
        "progress": say_progress(stands.progress),
    }
    for name, text in rows.items():
        if text:
            out.print(Text(f"{name:<11}{text}"), soft_wrap=True)
    shown = list(islice(backfilling.dates(workspace, backfill.id), _MOST_ROWS))
    plain_table(("date", "run", "it is"), [(say_date(date.logical_date, zone), date.run_id, _stands(date)) for date in shown])
    _more(stands.progress.total + stands.progress.passed)


def follow(workspace: Workspace, id: int, *, quiet: bool = False) -> Standing:
    """Until the backfill has ended, with a bar on a terminal, else with a line whenever something has changed."""
    out = console(stderr=quiet)
    pause = threading.Event()
    stands = backfilling.standing(workspace, id)
    columns = (TextColumn("backfill {task.fields[id]} of {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, TextColumn("{task.fields[told]}"), console=out, disable=not out.is_terminal)
    with bar:
        told = ""
        task = bar.add_task(stands.backfill.flow, id=id, told="", total=None)
        while True:
            said = f"{say_progress(stands.progress)} ({stands.backfill.state})"
            bar.update(task, total=stands.progress.total, completed=stands.progress.ended, told=said)
            if said != told and not out.is_terminal:
                out.print(Text(said), soft_wrap=True)
            told = said
            if stands.backfill.ended_at is not None:
                return stands
            pause.wait(_PERIOD)
            stands = backfilling.standing(workspace, id)


def _more(count: int) -> None:
    if count > _MOST_ROWS:
        console().print(f"and {count - _MOST_ROWS:,} more: --json has them all.", style="dim")


def _state(date: BackfillDate) -> Text | str:
    return state_text(date.run_state) if date.run_state else ""


def _stands(date: BackfillDate) -> Text | str:
    return state_text(date.run_state) if date.run_state and say_state(date) == date.run_state.value else say_state(date)


def _bar(one: Standing, width: int = 12) -> str:
    """How much of it has ended."""
    total = max(one.progress.total, 1)
    full = one.progress.ended * width // total
    return "█" * full + "░" * (width - full)


def _range(workspace: Workspace, backfill: Backfill) -> str:
    return say_range(backfill, _zone(workspace, backfill))


def _zone(workspace: Workspace, backfill: Backfill) -> tzinfo:
    """The flow's; when it is gone, the installation's."""
    try:
        keys = workspace.store.deployments.get(backfill.flow).schedule
    except UserError:
        keys = {}
    return read_keys(workspace, keys).zone
