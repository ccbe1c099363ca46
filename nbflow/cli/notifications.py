# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow notifications`: what people were told, what could not be sent, and whether an address works. No secret of an address is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.common import as_json, closing, open_workspace, print_json
from nbflow.core.errors import UserError

if TYPE_CHECKING:
    from nbflow.core.notifications import Notification

_STATES = ("waiting", "sent", "failed")


@click.group()
def notifications() -> None:
    """Messages about runs: list, show, test, retry, acknowledge."""


@notifications.command("list")
@click.option("--flow", default="", help="Only of this flow.")
@click.option("--run", "run_id", default="", help="Only of this run.")
@click.option("--state", type=click.Choice(_STATES), default=None, help="Only these.")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@as_json
def notifications_list(flow: str, run_id: str, state: str | None, limit: int, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """The newest messages: to whom, about what, and whether they were sent."""
    from nbflow.cli import render  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        found = workspace.store.notifications.notifications(flow=flow, run_id=run_id, state=state or "", limit=limit)
    if as_json:
        print_json({"notifications": [_row(one) for one in found]})
        return
    rows = [
        (str(one.id), one.state.value, f"{one.created_at.astimezone():%d %b %H:%M:%S}", one.shown, one.subject, one.reason) for one in found
    ]
    render.plain_table(("id", "state", "made", "to", "subject", "why not"), rows, right=("id",), empty="Nobody was told anything yet.")


@notifications.command("show")
@click.argument("id", type=int)
@as_json
def notifications_show(id: int, as_json: bool) -> None:  # noqa: FBT001 - as above
    """One message as it was, or will be, sent."""
    with closing(open_workspace()) as workspace:
        one = workspace.store.notifications.notification(id)
    if as_json:
        print_json({**_row(one), "text": one.text})
        return
    why = f": {one.reason}" if one.reason else ""
    click.echo(f"{one.state.value}{why}\nto {one.shown}\n\n{one.subject}\n\n{one.text}")


@notifications.command("test")
@click.argument("target", metavar="URL|CONNECTION|OWNER")
def notifications_test(target: str) -> None:
    """Really send a message there, now."""
    from nbflow.app.notifying import send_test  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        for shown in send_test(workspace, target):
            click.echo(f"Sent a message to {shown}.")


@notifications.command("retry")
@click.argument("id", type=int)
def notifications_retry(id: int) -> None:
    """Try a message that could not be sent again."""
    from nbflow.app.notifying import send_again  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        after = send_again(workspace, id)
    if after.reason:
        raise UserError(f"Notification {id} to {after.shown} could not be sent: {after.reason}")
    click.echo(f"Sent notification {id} to {after.shown}.")


@notifications.command("acknowledge")
@click.argument("run_id", metavar="RUN")
def notifications_acknowledge(run_id: str) -> None:
    """You see to this run: nobody else is told that it is still broken or late."""
    from nbflow.app.notifying import acknowledge  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        done = acknowledge(workspace, run_id)
    click.echo(done)


def _row(one: Notification) -> dict[str, Any]:
    return {
        "id": one.id,
        "key": one.key,
        "topic": one.topic,
        "flow": one.flow,
        "run_id": one.run_id,
        "task": one.task or None,
        "to": one.shown,
        "subject": one.subject,
        "state": one.state.value,
        "tries": one.tries,
        "reason": one.reason,
        "at": one.at.isoformat(),
        "created_at": one.created_at.isoformat(),
        "sent_at": one.sent_at.isoformat() if one.sent_at else None,
        "next_try": one.next_at.isoformat() if one.next_at else None,
    }
