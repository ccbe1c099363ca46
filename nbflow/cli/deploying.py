# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow deploy`, `undeploy` and `nbflow flows ...`: what is scheduled."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.common import PATH, as_json, closing, open_workspace, print_json
from nbflow.core.addresses import shown_keys
from nbflow.core.errors import UserError

if TYPE_CHECKING:
    from nbflow.app import Workspace
    from nbflow.core.deployments import Deployment


@click.command()
@click.argument("path", type=PATH)
@click.option("--name", default="", help="The flow's name (default: that of its header, else the file's).")
@click.option("-p", "--parameter", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter of every run of it.")
@click.option("-r", "--raw", "raw_parameters", nargs=2, multiple=True, metavar="NAME TEXT", help="A parameter as it stands.")
@click.option("-f", "--file", "parameter_file", type=PATH, help="Parameters from a YAML or JSON file.")
@click.option(
    "--schedule", "schedules", multiple=True, metavar="SCHEDULE", help='A cron, @daily, "every 15m"; repeatable; none: only by hand.'
)
@click.option("--timezone", default=None, metavar="TZ", help="Such as Europe/Zurich.")
@click.option(
    "--set", "keys", nargs=2, multiple=True, metavar="KEY VALUE", help="Another key of the schedule: catchup, max_active_runs ..."
)
@click.option("--replace", "replace_other", is_flag=True, help="Replace the flow of that name, whatever it was.")
@as_json
def deploy(  # noqa: PLR0917 - click passes options by name
    path: Path,
    name: str,
    parameters: tuple[tuple[str, str], ...],
    raw_parameters: tuple[tuple[str, str], ...],
    parameter_file: Path | None,
    schedules: tuple[str, ...],
    timezone: str | None,
    keys: tuple[tuple[str, str], ...],
    replace_other: bool,  # noqa: FBT001 - as above
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Store this version of a notebook, or of the flows of a Python file (flows.py, flows.py:sales), and schedule it.

    One flow may be deployed under several names, with other parameters each.
    """
    from nbflow.app.deploying import Wish, deploy_file  # noqa: PLC0415 - main.py says why
    from nbflow.app.saying import deployed_sentence, said_keys, warnings_of  # noqa: PLC0415
    from nbflow.cli.parameters import read_parameters  # noqa: PLC0415

    params = read_parameters(parameters, raw_parameters, parameter_file)
    said = said_keys(schedules, timezone, keys)
    with closing(open_workspace()) as workspace:
        done = deploy_file(workspace, path, Wish(name=name, params=params, said=said, replaces=replace_other))
        if as_json:
            found = [flow_json(each.deployment) for each in done]
            print_json(found[0] if len(found) == 1 else {"flows": found})
            return
        for each in done:
            click.echo(deployed_sentence(workspace, each))
        warnings = dict.fromkeys(warning for each in done for warning in warnings_of(workspace, each.deployment))
        for warning in warnings:
            click.echo(warning, err=True)


def _warn(workspace: Workspace, deployment: Deployment) -> None:
    from nbflow.app.saying import warnings_of  # noqa: PLC0415 - main.py says why

    for warning in warnings_of(workspace, deployment):
        click.echo(warning, err=True)


@click.command()
@click.argument("name")
def undeploy(name: str) -> None:
    """It runs no more; its history stays."""
    from nbflow.app.deploying import undeploy as take_away  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        take_away(workspace, name)
    click.echo(f"Undeployed {name}; its runs are kept.")


@click.group()
def flows() -> None:
    """What is deployed: list, show, pause, unpause, trigger, delete, versions."""


@flows.command("list")
@as_json
def flows_list(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Every deployed flow, when it runs next, and what is wrong with its file."""
    from nbflow.cli.flow_tables import flows_table  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        found = all_deployments(workspace)
        if as_json:
            print_json({"flows": [flow_row(workspace, each) for each in found]})
        else:
            flows_table(workspace, found)


def all_deployments(workspace: Workspace) -> list[Deployment]:
    """By name."""
    found: list[Deployment] = []
    while page := workspace.store.deployments.find(after=found[-1].name if found else "", limit=1000):
        found += page
    return found


@flows.command("show")
@click.argument("name")
@as_json
def flows_show(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """One flow: file, version, parameters, schedule, next runs, what was done to it."""
    from nbflow.cli.flow_tables import flow_card  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        deployment = workspace.store.deployments.get(name)
        if as_json:
            print_json(flow_row(workspace, deployment))
        else:
            flow_card(workspace, deployment)


@flows.command("versions")
@click.argument("name")
@as_json
def flows_versions(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """The versions of a flow, the newest first, with their git commit."""
    from nbflow.cli.flow_tables import versions_table  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        versions = workspace.store.deployments.versions(name)
        if not versions:
            workspace.store.deployments.get(name)  # says that there is no such flow
        if as_json:
            rows = [{key: getattr(one, key) for key in ("number", "version", "path", "by", "commit", "is_dirty")} for one in versions]
            stamps = [one.deployed_at.isoformat() for one in versions]
            print_json({"flow": name, "versions": [{**row, "deployed_at": at} for row, at in zip(rows, stamps, strict=True)]})
        else:
            versions_table(versions)


@flows.command("pause")
@click.argument("name")
def flows_pause(name: str) -> None:
    """Nothing of it starts until it is unpaused; what runs goes on."""
    from nbflow.app.deploying import pause  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        pause(workspace, name)
    click.echo(f"Paused {name}.")


@flows.command("unpause")
@click.argument("name")
def flows_unpause(name: str) -> None:
    """It goes on; missed runs are caught up as its `catchup` says."""
    from nbflow.app.deploying import read_keys, unpause  # noqa: PLC0415 - main.py says why
    from nbflow.views.schedule_words import say_next  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        deployment = unpause(workspace, name)
        following = say_next(read_keys(workspace, deployment.schedule), deployment.next_run, workspace.clock.now())
        click.echo(f"{name} goes on.{following}")
        _warn(workspace, deployment)


@flows.command("trigger")
@click.argument("name")
@click.option("-p", "--parameter", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter of this run.")
@click.option("-r", "--raw", "raw_parameters", nargs=2, multiple=True, metavar="NAME TEXT", help="A parameter as it stands.")
@click.option("-f", "--file", "parameter_file", type=PATH, help="Parameters from a YAML or JSON file.")
@click.option("--key", default="", metavar="KEY", help="Idempotency key: asking again with the same key gives the same run.")
@click.option("--date", default="", metavar="T", help="The run's logical date; a date has one run.")
@as_json
def flows_trigger(  # noqa: PLR0917 - click passes options by name
    name: str,
    parameters: tuple[tuple[str, str], ...],
    raw_parameters: tuple[tuple[str, str], ...],
    parameter_file: Path | None,
    key: str,
    date: str,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Ask for a run of a deployed flow now; a scheduler starts it."""
    from nbflow.app.deploying import read_keys, trigger  # noqa: PLC0415 - main.py says why
    from nbflow.app.saying import NO_SCHEDULER  # noqa: PLC0415
    from nbflow.authoring.schedules import read_instant  # noqa: PLC0415
    from nbflow.cli.parameters import read_parameters  # noqa: PLC0415

    params = read_parameters(parameters, raw_parameters, parameter_file)
    with closing(open_workspace()) as workspace:
        deployment = workspace.store.deployments.get(name)
        at: datetime | None = read_instant(date, read_keys(workspace, deployment.schedule).zone, "--date") if date else None
        run = trigger(workspace, name, params=params, key=key, date=at)
        if as_json:
            print_json({"run_id": run.run_id, "flow": run.flow, "state": run.state.value, "params": run.params})
            return
        click.echo(f"Run {run.run_id} of {name} is {run.state.value}.")
        if deployment.paused:
            click.echo(f"{name} is paused, so it waits: type nbflow flows unpause {name}.", err=True)
        elif not workspace.store.deployments.schedulers():
            click.echo(NO_SCHEDULER, err=True)


@flows.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def flows_delete(name: str, yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Undeploy a flow and delete its runs, with everything they kept."""
    from nbflow.app.deploying import delete_flow  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        workspace.store.deployments.get(name)
        if not yes and not click.confirm(f"Delete flow {name} with all its runs?"):
            raise UserError(f"Flow {name} was left as it is.")
        count = delete_flow(workspace, name)
    click.echo(f"Deleted {name} and {count} run{'' if count == 1 else 's'}.")


def flow_row(workspace: Workspace, deployment: Deployment) -> dict[str, Any]:
    """A deployment with what it waits for, and what of it has come."""
    from nbflow.app.arriving import waits  # noqa: PLC0415 - main.py says why

    return {**flow_json(deployment), "waits_for": [wait.row() for wait in waits(workspace, deployment)]}


def flow_json(deployment: Deployment) -> dict[str, Any]:
    """A deployment for other programs."""
    return {
        "flow": deployment.name,
        "version": deployment.version,
        "number": deployment.number,
        "path": deployment.path,
        "params": dict(deployment.params),
        "schedule": shown_keys(deployment.schedule),
        "paused": deployment.paused,
        "pause_reason": deployment.pause_reason,
        "next_run": deployment.next_run.isoformat() if deployment.next_run else None,
        "deployed_at": deployment.deployed_at.isoformat(),
        "by": deployment.by,
        "source": deployment.source,
        "error": deployment.error,
        "commit": deployment.commit,
        "is_dirty": deployment.is_dirty,
    }
