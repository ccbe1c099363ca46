# SPDX-License-Identifier: BSD-3-Clause
"""What both stores say when something cannot be done, so that they say the same."""

from __future__ import annotations

from collections.abc import Sequence

from nbflow.core.errors import Superseded, UserError, nearest
from nbflow.core.limits import DEFAULT_POOL, Board, Holder, Waiter
from nbflow.core.notifications import Notification, Sending
from nbflow.core.records import Lease, RunRecord


def superseded(lease: Lease) -> Superseded:
    who = lease.owner.partition("/")[0]  # what follows tells processes apart, not people
    return Superseded(
        f"Run {lease.run_id} is no longer driven by {who} (lease {lease.epoch} is over): nothing was written, and this driver stops."
    )


def taken(run_id: str) -> UserError:
    return UserError(f'There is a run "{run_id}" already: choose another run id, or delete that run first (nbflow runs delete {run_id}).')


def unknown(run_id: str, known: Sequence[str]) -> UserError:
    return UserError(f'There is no run "{run_id}".{nearest(run_id, known)} `nbflow runs list` shows them.')


def unfinished(run: RunRecord) -> UserError:
    return UserError(f"Run {run.run_id} is {run.state}: cancel it, or wait for its end, before you delete it.")


def check_deletion(pool: str, board: Board) -> None:
    """Raises UserError when this pool cannot be deleted."""
    if pool not in board.pools:
        raise UserError(f'There is no pool "{pool}".{nearest(pool, board.pools)} `nbflow pools list` shows them.')
    if pool == DEFAULT_POOL:
        raise UserError(f"{DEFAULT_POOL} cannot be deleted: every task that names no pool is in it.")
    users: list[Holder | Waiter] = [one for one in board.holders if one.pool == pool]
    users += [one for one in board.waiters if one.demand.pool == pool]
    for one in users:
        does = "runs in it" if isinstance(one, Holder) else "waits for it"
        raise UserError(f"Pool {pool} cannot be deleted now: task {one.key} of run {one.run_id} {does}.")


def deployment_taken(name: str) -> UserError:
    return UserError(f'There is a flow "{name}" already: choose another name with --name, or replace that one with --replace.')


def unknown_deployment(name: str, known: Sequence[str]) -> UserError:
    more = nearest(name, known) or (" `nbflow flows list` shows them." if known else " None is deployed yet: type nbflow deploy NOTEBOOK.")
    return UserError(f'There is no deployed flow "{name}".{more}')


def unknown_notification(id: int) -> UserError:
    return UserError(f"There is no notification {id}. `nbflow notifications list` shows them.")


def not_to_send_again(notification: Notification) -> UserError:
    how = "was sent" if notification.state is Sending.SENT else "is still tried"
    return UserError(f"Notification {notification.id} {how}: only one that failed can be sent again.")


def date_taken(run: RunRecord, other: str) -> UserError:
    date = run.logical_date.isoformat() if run.logical_date else ""
    return UserError(f"Flow {run.deployment} has its run for {date} already: {other}.")


def unknown_named(what: str, name: str, known: Sequence[str]) -> UserError:
    """`what`: connection or variable."""
    return UserError(f'There is no {what} "{name}".{nearest(name, known)} `nbflow {what}s list` shows them.')


def unknown_backfill(id: int) -> UserError:
    return UserError(f"There is no backfill {id}. `nbflow backfill list` shows them.")


def backfill_taken(flow: str, other: int) -> UserError:
    return UserError(f"Flow {flow} has a backfill that has not ended, {other}: wait for its end, or type nbflow backfill cancel {other}.")
