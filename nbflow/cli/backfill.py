# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow backfill ...`: runs for a range of past dates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbflow.cli.common import PATH, as_json, closing, open_workspace, print_json
from nbflow.core.errors import RunFailed

if TYPE_CHECKING:
    from nbflow.app import Workspace
    from nbflow.app.backfilling import Plan
    from nbflow.core.backfills import Backfill


@click.group()
def backfill() -> None:
    """Runs for past dates: create, list, show, pause, unpause, cancel."""


@backfill.command("create")
@click.argument("flow")
@click.option("--from", "start", required=True, metavar="DATE", help="The first logical date, such as 2026-01-01 or 2026-01-01T06:00.")
@click.option("--to", "until", required=True, metavar="DATE", help="The last one; a date without a time is the whole day.")
@click.option(
    "--reprocess",
    default="none",
    show_default=True,
    type=click.Choice(["none", "failed", "completed"]),
    help="Which dates that have their run run again: none, those that failed, all that have ended.",
)
@click.option("--max-active", default=10, show_default=True, type=int, help="At most so many of its runs at once.")
@click.option("--reverse", is_flag=True, help="The latest date first.")
@click.option("--ignore-depends-on-past", is_flag=True, help="No task asks how it went in the run before.")
@click.option("-p", "--parameter", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter of its runs.")
@click.option("-r", "--raw", "raw_parameters", nargs=2, multiple=True, metavar="NAME TEXT", help="A parameter as it stands.")
@click.option("-f", "--file", "parameter_file", type=PATH, help="Parameters from a YAML or JSON file.")
@click.option("--dry-run", is_flag=True, help="Say what would be done about each date, and do nothing.")
@click.option("--follow", is_flag=True, help="Show a progress bar until it has ended; exit code 1 when a run failed.")
@as_json
def create(  # noqa: PLR0917 - click passes options by name
    flow: str,
    start: str,
    until: str,
    reprocess: str,
    max_active: int,
    reverse: bool,  # noqa: FBT001 - as above
    ignore_depends_on_past: bool,  # noqa: FBT001 - as above
    parameters: tuple[tuple[str, str], ...],
    raw_parameters: tuple[tuple[str, str], ...],
    parameter_file: Path | None,
    dry_run: bool,  # noqa: FBT001 - as above
    follow: bool,  # noqa: FBT001 - as above
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Make the runs of a range of past dates, a few at a time; a scheduler starts them, after everything else that is due."""
    from nbflow.app import backfilling  # noqa: PLC0415 - main.py says why
    from nbflow.cli.parameters import read_parameters  # noqa: PLC0415
    from nbflow.views.backfill_words import say_made  # noqa: PLC0415

    params = read_parameters(parameters, raw_parameters, parameter_file)
    with closing(open_workspace()) as workspace:
        planned = backfilling.plan(
            workspace,
            flow,
            start,
            until,
            reprocess=reprocess,
            max_active=max_active,
            reverse=reverse,
            ignore_past=ignore_depends_on_past,
            params=params,
        )
        if dry_run:
            _show_plan(planned, as_json=as_json)
            return
        made = backfilling.create(workspace, planned)
        if made is None:
            _nothing(planned, as_json=as_json)
            return
        if as_json and not follow:
            _print(workspace, made)
            return
        if not as_json:
            click.echo(say_made(made, planned.work, planned.range))
            _say_later(planned)
        for warning in backfilling.warnings(workspace, flow):
            click.echo(warning, err=True)
        if follow:
            _follow(workspace, made, as_json=as_json)


@backfill.command("list")
@click.option("--flow", default="", help="Only those of this flow.")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@as_json
def backfill_list(flow: str, limit: int, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """The newest backfills, and how far each is."""
    from nbflow.app import backfilling  # noqa: PLC0415 - main.py says why
    from nbflow.cli.backfill_tables import backfills_table  # noqa: PLC0415
    from nbflow.views.backfill_words import backfill_json  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        found = backfilling.find(workspace, flow, limit)
        if as_json:
            print_json({"backfills": [backfill_json(one.backfill, one.progress) for one in found]})
        else:
            backfills_table(workspace, found)


@backfill.command("show")
@click.argument("which", metavar="ID|FLOW")
@click.option("--follow", is_flag=True, help="Show a progress bar until it has ended; exit code 1 when a run failed.")
@as_json
def backfill_show(which: str, follow: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """One backfill, or the newest of a flow: how far it is, and what became of each date."""
    from nbflow.app import backfilling  # noqa: PLC0415 - main.py says why
    from nbflow.cli.backfill_tables import backfill_card  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        found = backfilling.named(workspace, which)
        if follow:
            _follow(workspace, found, as_json=as_json)
        elif as_json:
            _print(workspace, found)
        else:
            backfill_card(workspace, backfilling.standing(workspace, found.id))


@backfill.command("pause")
@click.argument("which", metavar="ID|FLOW")
def backfill_pause(which: str) -> None:
    """It starts no more runs until it is unpaused; what runs goes on."""
    from nbflow.app import backfilling  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        changed = backfilling.pause(workspace, backfilling.named(workspace, which).id)
    click.echo(f"Paused backfill {changed.id} of {changed.flow}.")


@backfill.command("unpause")
@click.argument("which", metavar="ID|FLOW")
def backfill_unpause(which: str) -> None:
    """It goes on."""
    from nbflow.app import backfilling  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        changed = backfilling.unpause(workspace, backfilling.named(workspace, which).id)
        click.echo(f"Backfill {changed.id} of {changed.flow} goes on.")
        for warning in backfilling.warnings(workspace, changed.flow):
            click.echo(warning, err=True)


@backfill.command("cancel")
@click.argument("which", metavar="ID|FLOW")
def backfill_cancel(which: str) -> None:
    """No more runs of it start; those that are queued end as failed, those that run go on to their end."""
    from nbflow.app import backfilling  # noqa: PLC0415 - main.py says why
    from nbflow.views.backfill_words import say_progress  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        done = backfilling.cancel(workspace, backfilling.named(workspace, which).id)
    click.echo(f"Cancelled backfill {done.backfill.id} of {done.backfill.flow}: {say_progress(done.progress)}.")


# --- how ----------------------------------------------------------------------------------------------------------------


def _show_plan(planned: Plan, *, as_json: bool) -> None:
    from nbflow.cli.backfill_tables import plan_table  # noqa: PLC0415 - main.py says why
    from nbflow.views.backfill_words import backfill_json, date_json  # noqa: PLC0415

    if as_json:
        dates = [date_json(date, planned=True) for date in planned.dates]
        print_json({"dry_run": True, **backfill_json(planned.asked), "dates": dates})
        return
    plan_table(planned)
    _say_later(planned)


def _nothing(planned: Plan, *, as_json: bool) -> None:
    from nbflow.app.backfilling import nothing  # noqa: PLC0415 - main.py says why
    from nbflow.views.backfill_words import backfill_json  # noqa: PLC0415

    if as_json:
        print_json({**backfill_json(planned.asked), "dates": []})
        return
    click.echo(nothing(planned))


def _say_later(planned: Plan) -> None:
    from nbflow.app.backfilling import later  # noqa: PLC0415 - main.py says why

    for line in later(planned):
        click.echo(line)


def _print(workspace: Workspace, found: Backfill) -> None:
    from nbflow.app import backfilling  # noqa: PLC0415 - main.py says why
    from nbflow.views.backfill_words import backfill_json, date_json  # noqa: PLC0415

    stands = backfilling.standing(workspace, found.id)
    dates = [date_json(date) for date in backfilling.dates(workspace, found.id)]
    print_json({**backfill_json(stands.backfill, stands.progress), "dates": dates})


def _follow(workspace: Workspace, found: Backfill, *, as_json: bool) -> None:
    from nbflow.cli.backfill_tables import follow  # noqa: PLC0415 - main.py says why
    from nbflow.views.backfill_words import say_standing  # noqa: PLC0415

    stands = follow(workspace, found.id, quiet=as_json)
    if as_json:
        _print(workspace, found)
    if stands.progress.failed or stands.progress.dropped:
        raise RunFailed(say_standing(stands.backfill, stands.progress))
