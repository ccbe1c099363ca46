# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow db` and `nbflow runs delete`: keeping house."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.common import PATH, as_json, closing, open_workspace, print_json
from nbflow.core.errors import SetupError, UserError

if TYPE_CHECKING:
    from nbflow.app.housekeeping import Cleaned


@click.group()
def db() -> None:
    """The database and what is kept beside it: upgrade, check, clean, backup."""


@db.command("upgrade")
@click.option("--force", is_flag=True, help="Although leases say that somebody works on it.")
def db_upgrade(force: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Bring the database to the schema of this nbflow. Of an SQLite database a copy is made beside it first."""
    from nbflow.settings import load_settings  # noqa: PLC0415 - main.py says why
    from nbflow.store.upgrading import upgrade  # noqa: PLC0415 - as above

    done = upgrade(load_settings().database, force=force)
    if done.before == done.after:
        click.echo(f"The database is at schema {done.after} already.")
        return
    kept = f" As it was before, it is {done.backup}." if done.backup else ""
    click.echo(f"The database went from schema {done.before} to {done.after}.{kept}")


@db.command("backup")
@click.argument("file", type=PATH)
def db_backup(file: Path) -> None:
    """Copy the database to FILE, while others work on it: one SQLite file, or what pg_dump writes. Artifacts are not in it."""
    from nbflow.settings import load_settings  # noqa: PLC0415 - main.py says why
    from nbflow.store.upgrading import backup  # noqa: PLC0415 - as above

    settings = load_settings()
    backup(settings.database, file)
    where = settings.artifacts.rpartition("@")[2]
    click.echo(
        f"Copied the database to {file}. It holds runs, states, logs and small values; larger ones lie in {where}: copy that after it."
    )


@db.command("check")
@click.option("--deep", is_flag=True, help="Read every artifact and compare it with its hash.")
@as_json
def db_check(deep: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Does what is recorded fit together? One line for each finding, with what to do; exit code 3 when there is any."""
    from nbflow.app.checking import findings  # noqa: PLC0415 - main.py says why
    from nbflow.app.workspace import Workspace  # noqa: PLC0415 - as above
    from nbflow.settings import load_settings  # noqa: PLC0415 - as above

    with closing(Workspace(load_settings())) as workspace:  # nothing is reaped before it was looked at
        found = []
        for finding in findings(workspace, deep=deep):
            found.append(finding)
            if not as_json:
                click.echo(finding)
    if as_json:
        print_json({"findings": found})
    elif not found:
        click.echo("Everything fits together." if deep else "Everything fits together. With --deep every stored value is read, too.")
    if found:
        sys.exit(SetupError.exit_code)


@db.command("clean")
@click.option(
    "--before",
    default="",
    metavar="T",
    help="Runs that ended before this date, or longer ago than this (90d). Default: as the setting retention says.",
)
@click.option("--flow", default="", help="Only runs of this flow.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def db_clean(before: str, flow: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete old runs with all they kept, and files that nobody knows. What runs, the cache, the last good value or the past need stays."""
    from nbflow.app.housekeeping import Housekeeper  # noqa: PLC0415 - main.py says why
    from nbflow.core.retention import Retention  # noqa: PLC0415 - as above

    with closing(open_workspace()) as workspace:
        retention = workspace.settings.kept
        if before:
            span = _span(before, workspace.clock.now())
            retention = Retention(runs=span, failed=span, keep_last=0)
        house = Housekeeper(workspace, retention)
        planned = house.clean(flow=flow, dry_run=True)
        if planned.runs and not dry_run and not yes and not click.confirm(f"{_what(planned, is_plan=True)} Go on?", err=as_json):
            raise UserError("Everything was left as it is.")
        done = planned if dry_run else house.clean(flow=flow)
    if as_json:
        print_json(_row(done, dry_run=dry_run))
    else:
        click.echo(_what(done, is_plan=dry_run))
        for why, count in done.spared.most_common():
            click.echo(f"Kept {_runs(count)}: {why[0].lower()}{why[1:]}")


@click.command("delete")
@click.argument("run_ids", nargs=-1, required=True, metavar="RUN...")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(run_ids: tuple[str, ...], yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Delete runs that have ended, with everything they kept."""
    from nbflow.app.housekeeping import delete_run  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        runs = [workspace.run(run_id) for run_id in dict.fromkeys(run_ids)]
        unfinished = next((run for run in runs if not run.state.is_finished), None)
        if unfinished is not None:
            raise UserError(f"Run {unfinished.run_id} is {unfinished.state.value}: cancel it, or wait for its end, before you delete it.")
        if not yes and not click.confirm(f"Delete {', '.join(run.run_id for run in runs)}?"):
            raise UserError("Everything was left as it is.")
        for run in runs:
            delete_run(workspace, run.run_id)
    click.echo(f"Deleted {_runs(len(runs))}.")


def _span(said: str, now: datetime) -> timedelta:
    """How long ago: a date, an instant, or a duration. Raises UserError."""
    from nbflow.core.retention import read_span  # noqa: PLC0415 - main.py says why

    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        try:
            return read_span(said)
        except UserError:
            raise UserError(f'--before is "{said}", but takes a date such as 2026-01-31, or a duration such as 90d.') from None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    if at > now:
        raise UserError(f"--before is {said}, which is still to come.")
    return now - at


def _what(done: Cleaned, *, is_plan: bool) -> str:
    flows = Counter(run.flow for run in done.runs)
    named = ", ".join(f"{count} of {flow}" for flow, count in flows.most_common(5)) + (", ..." if len(flows) > 5 else "")
    runs = f"{_runs(len(done.runs))}{f' ({named})' if named else ''}"
    if is_plan:
        return f"This would delete {runs}."
    thinned = f" {_runs(done.thinned)} gave up values or logs." if done.thinned else ""
    return f"Deleted {runs}, {done.artifacts} stored values and {done.files} other files or folders.{thinned}"


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


def _row(done: Cleaned, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "runs": [run.run_id for run in done.runs],
        "thinned": done.thinned,
        "artifacts": done.artifacts,
        "files": done.files,
        "kept": dict(done.spared),
    }
