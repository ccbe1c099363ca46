# SPDX-License-Identifier: BSD-3-Clause
"""Tables of `nbflow flows`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from nbflow.app.arriving import waits
from nbflow.app.notifying import not_sent, tells
from nbflow.app.saying import NO_SCHEDULER
from nbflow.cli.render import console
from nbflow.core.deployments import DeployedVersion, Deployment
from nbflow.core.errors import UserError

if TYPE_CHECKING:
    from nbflow.app import Workspace


def flows_table(workspace: Workspace, found: Sequence[Deployment]) -> None:
    """One row for each flow."""
    out = console()
    if not found:
        out.print("Nothing is deployed yet. Type nbflow deploy NOTEBOOK.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in ("flow", "version", "schedule", "next", "note"):
        table.add_column(name, no_wrap=name in {"flow", "next"}, overflow="fold")
    for each in found:
        notes = " ".join(part for part in (_note(each), _news(workspace, each)) if part)
        table.add_row(each.name, str(each.number or ""), _words(workspace, each), _next(workspace, each), Text(notes))
    out.print(table)
    if not workspace.store.deployments.schedulers():
        out.print(NO_SCHEDULER, style="dim")


def flow_card(workspace: Workspace, deployment: Deployment) -> None:
    """One flow, a line for each thing to know."""
    out = console()
    rows = {
        "flow": deployment.name,
        "file": deployment.path + _in_file(workspace, deployment),
        "version": f"{deployment.number} ({deployment.version[:12]})" if deployment.version else "none yet",
        "deployed": f"{deployment.deployed_at.astimezone():%a %d %b %Y %H:%M} by {deployment.by or 'nobody known'}",
        "commit": f"{deployment.commit[:12]}{', with changes' if deployment.is_dirty else ''}" if deployment.commit else "",
        "parameters": ", ".join(f"{name}={value!r}" for name, value in deployment.params.items()),
        "schedule": _words(workspace, deployment),
        "next": _next(workspace, deployment),
        "missed": _missed(deployment),
        "backfill": _backfill(workspace, deployment),
        "note": _note(deployment),
        "tells": tells(workspace, deployment),
        "not told": _not_told(workspace, deployment),
    }
    for name, text in rows.items():
        if text:
            out.print(Text(f"{name:<11}{text}"), soft_wrap=True)
    for wait in waits(workspace, deployment):
        out.print(Text(f"           {wait.words}"), soft_wrap=True)
    for run in _coming(workspace, deployment):
        out.print(Text(f"           {run}"))
    for entry in workspace.store.deployments.audit(deployment.name, limit=10):
        out.print(
            Text(f"           {entry.at.astimezone():%a %d %b %H:%M}  {entry.what}  {entry.detail}  {entry.by}".rstrip()), style="dim"
        )


def _in_file(workspace: Workspace, deployment: Deployment) -> str:
    """`:sales`, of a flow of a Python file."""
    from nbflow.app.reading import flow_in_file  # noqa: PLC0415 - as below

    name = flow_in_file(workspace.store.flow(deployment.version)) if deployment.version else ""
    return f":{name}" if name else ""


def versions_table(versions: Sequence[DeployedVersion]) -> None:
    """The newest first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in ("version", "hash", "deployed", "by", "commit", "file"):
        table.add_column(name, no_wrap=name != "file", overflow="fold")
    for one in versions:
        commit = one.commit[:12] + (" with changes" if one.is_dirty else "")
        table.add_row(str(one.number), one.version[:12], f"{one.deployed_at.astimezone():%a %d %b %Y %H:%M}", one.by, commit, one.path)
    console().print(table)


def _words(workspace: Workspace, deployment: Deployment) -> str:
    from nbflow.app.deploying import read_keys  # noqa: PLC0415 - croniter is loaded when a schedule is read
    from nbflow.views.schedule_words import say_schedule  # noqa: PLC0415 - as above

    try:
        return say_schedule(read_keys(workspace, deployment.schedule)) if deployment.version else ""
    except UserError as error:
        return str(error)


def _next(workspace: Workspace, deployment: Deployment) -> str:
    from nbflow.app.deploying import read_keys  # noqa: PLC0415 - as above

    if deployment.next_run is None:
        return ""
    return f"{deployment.next_run.astimezone(read_keys(workspace, deployment.schedule).zone):%a %d %b %H:%M %Z}"


def _coming(workspace: Workspace, deployment: Deployment) -> list[str]:
    from nbflow.app.deploying import read_keys  # noqa: PLC0415 - as above

    if deployment.next_run is None:
        return []
    schedule = read_keys(workspace, deployment.schedule)
    return [f"{run.run_after.astimezone(schedule.zone):%a %d %b %Y %H:%M %Z}" for run in islice(schedule.coming(deployment.next_run), 1, 5)]


def _news(workspace: Workspace, deployment: Deployment) -> str:
    """What of an expression has come, and which files cannot be looked at."""
    found = waits(workspace, deployment)
    came = [wait.subject for wait in found if wait.came]
    return " ".join([*(wait.error for wait in found if wait.error), *([f"Updated already: {', '.join(came)}."] if came else ())])


def _missed(deployment: Deployment) -> str:
    if deployment.missed_from is None or deployment.missed_until is None:
        return ""
    return f"runs from {deployment.missed_from:%Y-%m-%d %H:%M} to {deployment.missed_until:%Y-%m-%d %H:%M} UTC were passed over"


def _not_told(workspace: Workspace, deployment: Deployment) -> str:
    found = not_sent(workspace, deployment.name)
    if not found:
        return ""
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"{found[0].shown} ({found[0].subject}): {found[0].reason.rstrip('.')}{more} (nbflow notifications list --flow {deployment.name})"
    )


def _backfill(workspace: Workspace, deployment: Deployment) -> str:
    """The one that goes on."""
    from nbflow.app.backfilling import find  # noqa: PLC0415 - as above
    from nbflow.views.backfill_words import say_progress  # noqa: PLC0415 - as above

    going = [one for one in find(workspace, deployment.name, limit=1) if one.backfill.ended_at is None]
    return f"{going[0].backfill.id} is {going[0].backfill.state}: {say_progress(going[0].progress)}" if going else ""


def _note(deployment: Deployment) -> str:
    parts = [deployment.pause_reason if deployment.paused else "", deployment.error]
    return " ".join(part.splitlines()[0] for part in parts if part)
