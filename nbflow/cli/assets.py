# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow assets`: data that tasks update and flows wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.common import as_json, closing, open_workspace, print_json

if TYPE_CHECKING:
    from nbflow.core.occasions import AssetUse, Occasion


@click.group()
def assets() -> None:
    """Assets: data that tasks update and flows wait for: list, show, update."""


@assets.command("list")
@as_json
def assets_list(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Every asset: when it was updated last, which flows update it, and which it starts."""
    from nbflow.cli import render  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        found = workspace.store.occasions.assets()
    if as_json:
        print_json({"assets": [_row(use) for use in found]})
        return
    rows = [(use.name, _last(use), ", ".join(use.updated_by), ", ".join(use.starts), ", ".join(use.read_by)) for use in found]
    empty = "There are no assets yet: write --outlets NAME on the %%task line of what makes one."
    render.plain_table(("asset", "updated", "by flows", "starts", "read by"), rows, empty=empty)


@assets.command("show")
@click.argument("name")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many updates.")
@as_json
def assets_show(name: str, limit: int, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """One asset: who has to do with it, and its newest updates."""
    from nbflow.app.arriving import asset  # noqa: PLC0415 - main.py says why
    from nbflow.core.occasions import say_event  # noqa: PLC0415 - as above

    with closing(open_workspace()) as workspace:
        use = asset(workspace, name)
        updates = workspace.store.occasions.updates_of(name, limit)
    if as_json:
        print_json({**_row(use), "updates": [update.document() for update in updates]})
        return
    for title, flows in (("updated by", use.updated_by), ("read by", use.read_by), ("starts", use.starts)):
        if flows:
            click.echo(f"{title:<11}{', '.join(flows)}")
    click.echo(f"{'updates':<11}{use.count}")
    for update in updates:
        click.echo(f"           {_when(update)}  {say_event(update.document()).partition(' was updated')[2].strip()}".rstrip())


@assets.command("update")
@click.argument("name")
@click.option("-p", "--extra", "extra", nargs=2, multiple=True, metavar="NAME VALUE", help="Something to say with it; ctx.events has it.")
@as_json
def assets_update(name: str, extra: tuple[tuple[str, str], ...], as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Say that an asset was updated, by whatever did it: flows that wait for it start."""
    from nbflow.app.arriving import update_asset  # noqa: PLC0415 - main.py says why
    from nbflow.app.saying import NO_SCHEDULER  # noqa: PLC0415
    from nbflow.cli.parameters import read_parameters  # noqa: PLC0415

    said = read_parameters(extra, (), None)
    with closing(open_workspace()) as workspace:
        update = update_asset(workspace, name, said)
        starts = next((use.starts for use in workspace.store.occasions.assets() if use.name == name), ())
        no_scheduler = bool(starts) and not workspace.store.deployments.schedulers()
    if as_json:
        print_json({**update.document(), "starts": list(starts)})
        return
    click.echo(f"Asset {name} is updated." + (f" Waiting for it: {', '.join(starts)}." if starts else " No deployed flow waits for it."))
    if no_scheduler:
        click.echo(NO_SCHEDULER, err=True)


def _last(use: AssetUse) -> str:
    return _when(use.newest) if use.newest else "never"


def _when(update: Occasion) -> str:
    return f"{update.at.astimezone():%a %d %b %Y %H:%M:%S}"


def _row(use: AssetUse) -> dict[str, Any]:
    return {
        "name": use.name,
        "updated_by": list(use.updated_by),
        "read_by": list(use.read_by),
        "starts": list(use.starts),
        "count": use.count,
        "newest": use.newest.document() if use.newest else None,
    }
