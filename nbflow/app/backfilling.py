# SPDX-License-Identifier: BSD-3-Clause
"""Backfills as people ask for them: what one would do, making it, pausing and cancelling it. Schedulers do the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date as calendar_date
from datetime import datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from nbflow.app.deploying import note, read_keys
from nbflow.app.rooms import person
from nbflow.app.saying import NO_SCHEDULER
from nbflow.core.backfilling import check, due_dates, judged, say_range
from nbflow.core.backfills import MAX_ACTIVE, Backfill, BackfillDate, Progress, Reprocess
from nbflow.core.errors import UserError, nearest
from nbflow.core.parameters import check_parameters
from nbflow.core.points import instant_of
from nbflow.engine.owner import me
from nbflow.scheduler.backfilling import Backfilling
from nbflow.views.backfill_words import say_counts, say_date

if TYPE_CHECKING:
    from nbflow.app.workspace import Workspace

_TINY = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A backfill that does not exist yet, and what it would do."""

    asked: Backfill
    #: In the order of starting.
    dates: tuple[BackfillDate, ...]
    #: The first date of the range whose time has not come.
    first_later: datetime | None
    zone: tzinfo

    @property
    def work(self) -> int:
        """How many runs it would make, or run again."""
        return sum(date.verdict.is_work for date in self.dates)

    @property
    def range(self) -> str:
        return say_range(self.asked, self.zone)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A backfill and how far it is."""

    backfill: Backfill
    progress: Progress


def plan(
    workspace: Workspace,
    name: str,
    start: str | datetime,
    until: str | datetime,
    *,
    reprocess: str = "none",
    max_active: int = MAX_ACTIVE,
    reverse: bool = False,
    ignore_past: bool = False,
    params: Mapping[str, Any] | None = None,
    by: str = "",
) -> Plan:
    """What a backfill of this flow would do; nothing is done. A date without a time is the whole day, in the flow's time zone.

    Raises UserError for what cannot be backfilled.
    """
    deployment = workspace.store.deployments.get(name)
    if not deployment.version:
        raise UserError(f"Flow {name} cannot run: {deployment.error}")
    flow = workspace.store.flow(deployment.version)
    schedule = read_keys(workspace, deployment.schedule)
    asked = Backfill(
        flow=deployment.name,
        start=read_start(start, schedule.zone),
        until=read_until(until, schedule.zone),
        reprocess=_reprocess(reprocess),
        max_active=max_active,
        reverse=reverse,
        ignores_past=ignore_past,
        params=dict(params or {}),
        created_at=workspace.clock.now(),
        by=by or person(),
    )
    check(flow, schedule, asked, asked.created_at)
    check_parameters(flow, {**deployment.params, **asked.params})
    due = due_dates(schedule, asked, asked.created_at)
    existing = workspace.store.backfills.runs_at(name, asked.start, asked.until)
    return Plan(asked=asked, dates=judged(asked, due, existing), first_later=due.first_later, zone=schedule.zone)


def create(workspace: Workspace, planned: Plan) -> Backfill | None:
    """Make it: schedulers start its runs. None, and nothing was made, when there is nothing to do.

    Raises UserError when the flow has one that has not ended.
    """
    if not planned.work:
        return None
    for other in workspace.store.backfills.find(planned.asked.flow, limit=1):
        _settled(workspace, other)
    made = workspace.store.backfills.create(planned.asked, planned.dates)
    note(workspace, "backfill", made.flow, f"{made.id}: {planned.range}", by=made.by)
    return made


def standing(workspace: Workspace, id: int) -> Standing:
    """How a backfill stands now. Raises UserError."""
    return _settled(workspace, workspace.store.backfills.get(id))


def find(workspace: Workspace, flow: str = "", limit: int = 20) -> tuple[Standing, ...]:
    """The newest first. Raises UserError for a flow that is not there, and never had a backfill."""
    found = workspace.store.backfills.find(flow, limit=limit)
    if flow and not found:
        workspace.store.deployments.get(flow)
    return tuple(_settled(workspace, backfill) for backfill in found)


def named(workspace: Workspace, word: str) -> Backfill:
    """The backfill of that number, or the newest of the flow of that name. Raises UserError."""
    store = workspace.store.backfills
    if word.isdecimal():
        return store.get(int(word[:18]))
    found = store.find(word, limit=1)
    if not found:
        workspace.store.deployments.get(word)
        raise UserError(f"Flow {word} has had no backfill: type nbflow backfill create {word} --from DATE --to DATE.")
    return found[0]


def dates(workspace: Workspace, id: int) -> Iterator[BackfillDate]:
    """All its dates, in the order of starting."""
    last = -1
    while page := workspace.store.backfills.dates(id, after=last):
        yield from page
        last = page[-1].place


def warnings(workspace: Workspace, name: str) -> list[str]:
    """What keeps a backfill of this flow from going on now."""
    found = []
    if workspace.store.deployments.get(name).paused:
        found.append(f"{name} is paused, so its backfill waits, too: type nbflow flows unpause {name}.")
    if not workspace.store.deployments.schedulers():
        found.append(NO_SCHEDULER)
    return found


def nothing(planned: Plan) -> str:
    """Why nothing was made."""
    again = "" if planned.asked.reprocess is Reprocess.COMPLETED else " --reprocess failed or completed runs some of them again."
    return f"There is nothing to do for {planned.asked.flow}, {planned.range}: {say_counts(planned.dates)}.{again}"


def later(planned: Plan) -> list[str]:
    """What is left out of the range."""
    if planned.first_later is None:
        return []
    return [f"From {say_date(planned.first_later, planned.zone)} on the time has not come: those dates are left to the schedule."]


def pause(workspace: Workspace, id: int, by: str = "") -> Backfill:
    """It starts no more runs until it is unpaused; what runs goes on. Raises UserError."""
    return _switch(workspace, id, "paused", "pause backfill", by, paused=True)


def unpause(workspace: Workspace, id: int, by: str = "") -> Backfill:
    """It goes on. Raises UserError."""
    return _switch(workspace, id, "unpaused", "unpause backfill", by, paused=False)


def _switch(workspace: Workspace, id: int, done: str, what: str, by: str, *, paused: bool) -> Backfill:
    def change(stored: Backfill) -> Backfill:
        if stored.ended_at is not None or stored.is_cancelled:
            raise UserError(f"Backfill {id} of {stored.flow} cannot be {done}: it is {stored.state}.")
        return replace(stored, paused=paused)

    changed = workspace.store.backfills.change(id, change)
    note(workspace, what, changed.flow, str(id), by=by)
    return changed


def cancel(workspace: Workspace, id: int, by: str = "") -> Standing:
    """No more runs of it start, those that are queued end as failed, those that run go on to their end. Raises UserError."""
    before = workspace.store.backfills.get(id)
    if before.ended_at is not None:
        raise UserError(f"Backfill {id} of {before.flow} has ended already: it is {before.state}.")
    who = by or person()
    cancelled = workspace.store.backfills.cancel(id, who)
    note(workspace, "cancel backfill", cancelled.flow, str(id), by=who)
    _rooms(workspace).end_queued(cancelled, workspace.clock.now())
    return _settled(workspace, cancelled)


def cancel_of(workspace: Workspace, flow: str, by: str = "") -> Standing | None:
    """Cancel the backfill of a flow that has not ended, if there is one."""
    for backfill in workspace.store.backfills.find(flow, limit=1):
        if backfill.ended_at is None:
            return cancel(workspace, backfill.id, by)
    return None


# --- what people type ---------------------------------------------------------------------------------------------------


def read_start(value: str | datetime, zone: tzinfo) -> datetime:
    """Raises UserError."""
    from nbflow.authoring.schedules import read_instant  # noqa: PLC0415 - croniter is loaded when a schedule is read

    return read_instant(value, zone, "The first date")


def read_until(value: str | datetime, zone: tzinfo) -> datetime:
    """A date without a time is meant to its end. Raises UserError."""
    from nbflow.authoring.schedules import read_instant  # noqa: PLC0415 - as above

    read = read_instant(value, zone, "The last date")
    try:
        day = calendar_date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return read
    return read if day is None else instant_of(datetime.combine(day + timedelta(days=1), time()), zone) - _TINY


def _reprocess(text: str) -> Reprocess:
    words = [each.value for each in Reprocess]
    if text not in words:
        raise UserError(f'There is no way to reprocess called "{text}".{nearest(text, words)} It is none, failed or completed.')
    return Reprocess(text)


# --- how ----------------------------------------------------------------------------------------------------------------


def _settled(workspace: Workspace, backfill: Backfill) -> Standing:
    """As it stands; one whose last run has ended is closed, also where no scheduler lives."""
    store = workspace.store.backfills
    progress = store.progress(backfill.id)
    if backfill.ended_at is None and progress.is_over:
        _rooms(workspace).advance_one(backfill, workspace.clock.now())
        backfill = store.get(backfill.id)
    return Standing(backfill=backfill, progress=progress)


def _rooms(workspace: Workspace) -> Backfilling:
    return Backfilling(workspace.store, me(), workspace.settings.lease, lambda deployment: read_keys(workspace, deployment.schedule))
