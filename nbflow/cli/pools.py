# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow pools` and `nbflow tasks list`: what may run at once, and what runs and waits now."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.common import as_json, closing, open_workspace, print_json
from nbflow.core.errors import UserError

if TYPE_CHECKING:
    from nbflow.app.limits import PoolUse, UnderWay


@click.group()
def pools() -> None:
    """Pools of slots that tasks share: list, get, set, delete."""


@pools.command("list")
@as_json
def pools_list(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Every pool: its slots, those in use, and how many tasks wait for one."""
    from nbflow.app.limits import pool_uses  # noqa: PLC0415
    from nbflow.cli import render  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        uses = pool_uses(workspace.store)
    if as_json:
        print_json({"pools": [_row(use) for use in uses]})
        return
    rows = [(use.pool.name, _slots(use.pool.slots), str(use.used), str(use.waiting), use.pool.description) for use in uses]
    render.plain_table(("pool", "slots", "in use", "waiting", "description"), rows, right=("slots", "in use", "waiting"))


@pools.command("get")
@click.argument("name")
@as_json
def pools_get(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """One pool: its slots, those in use, and how many tasks wait."""
    from nbflow.app.limits import pool_use  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        use = pool_use(workspace.store, name)
    if as_json:
        print_json(_row(use))
    else:
        about = f": {use.pool.description}" if use.pool.description else ""
        click.echo(f"{use.pool.name}{about}\n{_slots(use.pool.slots)} slots, {use.used} in use, {use.waiting} waiting")


@pools.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("slots")
@click.option("--description", default=None, help="What it protects.")
@click.option("--include-deferred/--no-include-deferred", default=None, help="Whether a deferred task keeps its slots.")
def pools_set(name: str, slots: str, description: str | None, include_deferred: bool | None) -> None:  # noqa: FBT001 - as above
    """Make a pool of so many slots (-1 or infinite: any number), or change one. What runs in it runs on."""
    from dataclasses import replace  # noqa: PLC0415

    from nbflow.core.limits import Pool  # noqa: PLC0415

    count = _count(slots)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,250}", name):
        raise UserError(f'"{name}" cannot be a pool name: use 1 to 250 letters, digits, "_", "." or "-".')
    with closing(open_workspace()) as workspace:
        known = {pool.name: pool for pool in workspace.store.pools()}
        pool = replace(known.get(name) or Pool(name=name, slots=count), slots=count)
        if description is not None:
            pool = replace(pool, description=description)
        if include_deferred is not None:
            pool = replace(pool, include_deferred=include_deferred)
        workspace.store.save_pool(pool)
    click.echo(f"Pool {name} has {_slots(count)} slots.")


@pools.command("delete")
@click.argument("name")
def pools_delete(name: str) -> None:
    """Delete a pool that no task is using."""
    with closing(open_workspace()) as workspace:
        workspace.store.delete_pool(name)
    click.echo(f"Pool {name} is deleted.")


def _count(text: str) -> int:
    if text in {"-1", "infinite"}:
        return -1
    if not text.isdecimal():
        raise UserError(f'A pool cannot have "{text}" slots: write a whole number, 0 or more, or infinite.')
    return int(text)


def _slots(count: int) -> str:
    return "infinite" if count < 0 else str(count)


def _row(use: PoolUse) -> dict[str, Any]:
    pool = use.pool
    return {
        "name": pool.name,
        "slots": pool.slots,
        "used": use.used,
        "waiting": use.waiting,
        "include_deferred": pool.include_deferred,
        "description": pool.description,
    }


@click.group()
def tasks() -> None:
    """Task instances of all runs: list; one task by itself: test."""


@tasks.command("list")
@click.option("--state", default="", metavar="STATES", help="Only these, such as queued,running (queued: also those that wait for a slot).")
@as_json
def tasks_list(state: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """What runs and what waits, in dispatch order, with the reason each waits."""
    from nbflow.app.limits import states_asked, tasks_under_way  # noqa: PLC0415
    from nbflow.cli import render  # noqa: PLC0415

    states = states_asked([word.strip() for word in state.split(",") if word.strip()])
    with closing(open_workspace()) as workspace:
        found = tasks_under_way(workspace.store, states)
        now = workspace.clock.now()
    if as_json:
        print_json({"tasks": [_task_row(one) for one in found]})
        return
    rows = [
        (
            str(one.task.key),
            one.run.flow,
            one.run.run_id,
            render.state_text(one.task.state),
            one.pool,
            "" if one.weight is None else str(one.weight),
            render.took(one.since or one.task.started_at, None, now),
            one.task.reason,
        )
        for one in found
    ]
    titles = ("task", "flow", "run", "state", "pool", "weight", "for", "why")
    render.plain_table(titles, rows, right=("weight", "for"), empty="Nothing runs and nothing waits.")


def _task_row(one: UnderWay) -> dict[str, Any]:
    run, task = one.run, one.task
    return {
        "flow": run.flow,
        "run_id": run.run_id,
        "id": task.key.task_id,
        "map_index": task.key.map_index,
        "state": task.state.value,
        "attempt": task.attempt,
        "reason": task.reason,
        "pool": one.pool or None,
        "slots": one.slots or None,
        "weight": one.weight,
        "waiting_since": one.since.isoformat() if one.since else None,
        "start": task.started_at.isoformat() if task.started_at else None,
        "logical_date": run.logical_date.isoformat() if run.logical_date else None,
    }
