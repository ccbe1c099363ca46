# SPDX-License-Identifier: BSD-3-Clause
"""From a deployment to its runs: what a planned run's record is, and what the deployment says once it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from nbflow.core.deployments import Deployment
from nbflow.core.ids import RunId, manual_run_id
from nbflow.core.occasions import Kind, Occasion
from nbflow.core.records import RunRecord
from nbflow.core.schedule import Schedule
from nbflow.core.timetable import PlannedRun

#: `RunRecord.trigger` of what a scheduler starts.
DEPLOYED: Final = "deployed"
_LONGEST_ID: Final = 250
#: A run knows so many of the occasions that started it, the newest.
MOST_EVENTS: Final = 1000
#: A parameter of this name is given what started the run: so a notebook that never heard of nbflow hears of it.
EVENTS: Final = "events"


def planned_run_id(kind: str, date: datetime, name: str) -> RunId:
    """`scheduled__2026-01-01T03:00:00Z~sales`: an id is unique in the whole store, and several flows are due at one instant."""
    stamp = date.astimezone(UTC)
    text = stamp.strftime("%Y-%m-%dT%H:%M:%S") + (f".{stamp.microsecond:06d}" if stamp.microsecond else "") + "Z"
    whole = f"{kind}__{text}~{name}"
    if len(whole) > _LONGEST_ID:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        whole = f"{whole[: _LONGEST_ID - 17]}~{digest}"
    return RunId(whole)


def planned_run(deployment: Deployment, schedule: Schedule, planned: PlannedRun, now: datetime, kind: str = "scheduled") -> RunRecord:
    """The run that the timetable planned, pinned to the version in force."""
    after, until = schedule.timetable.neighbours(planned.interval) if schedule.timetable else (None, None)
    return RunRecord(
        run_id=planned_run_id(kind, planned.logical_date, deployment.name),
        flow=deployment.name,
        version=deployment.version,
        logical_date=planned.logical_date,
        interval_start=planned.interval.start,
        interval_end=planned.interval.end,
        run_type=kind,
        latest_after=after or planned.interval.start,
        latest_until=until,
        created_at=now,
        params=deployment.params,
        trigger=DEPLOYED,
        deployment=deployment.name,
        run_after=planned.run_after,
        path=deployment.path,
    )


def asked_run(
    deployment: Deployment, schedule: Schedule, now: datetime, *, params: Mapping[str, Any], key: str = "", date: datetime | None = None
) -> RunRecord:
    """The run that a person or an event asks for."""
    at = date or now
    interval = schedule.timetable.manual_interval(at) if schedule.timetable else None
    return RunRecord(
        run_id=manual_run_id(now),
        flow=deployment.name,
        version=deployment.version,
        logical_date=date,
        interval_start=interval.start if interval else at,
        interval_end=interval.end if interval else at,
        created_at=now,
        params={**deployment.params, **params},
        trigger=DEPLOYED,
        deployment=deployment.name,
        run_after=now,
        idempotency_key=key,
        path=deployment.path,
    )


def started_run(deployment: Deployment, kind: Kind, occasions: Sequence[Occasion], at: datetime, *, asks: bool = False) -> RunRecord:
    """The run that these occasions start. It has no logical date; `at` makes its id. `asks`: the flow has the parameter EVENTS."""
    events = tuple(occasion.document() for occasion in occasions[-MOST_EVENTS:])
    return RunRecord(
        run_id=planned_run_id(kind.value, at, deployment.name),
        flow=deployment.name,
        version=deployment.version,
        interval_start=at,
        interval_end=at,
        run_type=kind.value,
        events=events,
        created_at=at,
        params={EVENTS: list(events), **deployment.params} if asks else deployment.params,
        trigger=DEPLOYED,
        deployment=deployment.name,
        run_after=at,
        path=deployment.path,
    )


def rescheduled(deployment: Deployment, schedule: Schedule, now: datetime) -> Deployment:
    """The deployment with its next run, after anything about it was changed; none while it is paused or has no good version."""
    if deployment.paused or not deployment.version:
        return replace(deployment, next_run=None)
    planned = schedule.next_run(deployment.last, now, deployment.since)
    return replace(deployment, next_run=planned.run_after if planned else None)


def advanced(deployment: Deployment, schedule: Schedule, planned: PlannedRun, now: datetime) -> Deployment:
    """The deployment once this run is made, or passed over."""
    missed_from, missed_until = planned.missed or (deployment.missed_from, deployment.missed_until)
    made = replace(
        deployment,
        last_start=planned.interval.start,
        last_end=planned.interval.end,
        missed_from=missed_from,
        missed_until=missed_until,
    )
    return rescheduled(made, schedule, now)
