# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow runs clear` and `nbflow runs mark`: what happened is taken back, or called something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nbflow.cli.common import as_json, closing, open_workspace, print_json
from nbflow.core.errors import UserError

if TYPE_CHECKING:
    from nbflow.app import Workspace
    from nbflow.app.clearing import Meant

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _selecting(command: _Command) -> _Command:
    """The options that say which instances are meant."""
    for option in (
        click.option("--upstream", is_flag=True, help="Also everything these tasks depend on."),
        click.option("--downstream", is_flag=True, help="Also everything that depends on these tasks."),
        click.option("--past", is_flag=True, help="Also in the earlier runs of this flow."),
        click.option("--future", is_flag=True, help="Also in the later runs of this flow."),
        click.option("--dry-run", is_flag=True, help="Say what would be changed, and change nothing."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("run_id")
@click.argument("tasks", nargs=-1)
@_selecting
@click.option("--only-failed/--all", default=True, help="Only what failed or could not run (default), or whatever became of it.")
@click.option("--only-running", is_flag=True, help="Only what is running; with --only-failed, both.")
@click.option("--prevent-running", is_flag=True, help="Refuse when one of these tasks is running, instead of cancelling it.")
@as_json
def clear(run_id: str, tasks: tuple[str, ...], *, as_json: bool, **options: Any) -> None:
    """Put tasks of a run back to not started. A run that goes on runs them again; one that has ended waits for `nbflow run --resume RUN`."""
    only_running = options["only_running"]
    # Said alone, --only-running does not mean what failed.
    named = click.get_current_context().get_parameter_source("only_failed") is not click.core.ParameterSource.DEFAULT
    only_failed = options["only_failed"] and (named or not only_running)
    with closing(open_workspace()) as workspace:
        selection = _selection(workspace, run_id, tasks, options, only_failed=only_failed, only_running=only_running)
        prevent, dry_run = options["prevent_running"], options["dry_run"]
        chosen = workspace.meant(run_id, selection) if dry_run else workspace.clear(run_id, selection, prevent_running=prevent)
        _show(workspace, chosen, "pending", dry_run=dry_run, json=as_json)


@click.command()
@click.argument("run_id")
@click.argument("tasks", nargs=-1)
@click.option("--state", required=True, metavar="success|failed|skipped", help="What they are called from now on.")
@_selecting
@as_json
def mark(run_id: str, tasks: tuple[str, ...], state: str, *, as_json: bool, **options: Any) -> None:
    """Give tasks of a run, or without any the run itself, another state; nothing runs, and the run is judged again."""
    with closing(open_workspace()) as workspace:
        if not tasks:
            _mark_run(workspace, run_id, state, options)
            return
        selection = _selection(workspace, run_id, tasks, options)
        chosen = workspace.meant(run_id, selection) if options["dry_run"] else workspace.mark(run_id, state, selection)
        _show(workspace, chosen, state, dry_run=options["dry_run"], json=as_json)


def _mark_run(workspace: Workspace, run_id: str, state: str, options: dict[str, Any]) -> None:
    for name in ("upstream", "downstream", "past", "future"):
        if options[name]:
            raise UserError(f"--{name} is about tasks: name them, or leave it out to mark the run itself.")
    run = workspace.run(run_id)
    if options["dry_run"]:
        click.echo(f"Run {run.run_id} would be marked {state}; it is {run.state.value}.")
        return
    workspace.mark_run(run.run_id, state)
    click.echo(f"Marked run {run.run_id} {state}.")


def _selection(workspace: Workspace, run_id: str, tasks: Sequence[str], options: dict[str, Any], **states: bool) -> Any:
    from nbflow.core.selection import Selection  # noqa: PLC0415 - main.py says why

    directions = {name: options[name] for name in ("upstream", "downstream", "past", "future")}
    return Selection(keys=workspace.keys_of(workspace.run(run_id), tasks), **directions, **states)


def _show(workspace: Workspace, chosen: Sequence[Meant], state: str, *, dry_run: bool, json: bool) -> None:
    if json:
        runs = [
            {
                "run_id": meant.run.run_id,
                "tasks": [{"id": one.key.task_id, "map_index": one.key.map_index, "state": str(one.state)} for one in meant.records],
            }
            for meant in chosen
        ]
        print_json({"dry_run": dry_run, "becomes": state, "runs": runs})
        return
    from nbflow.app.clearing import said  # noqa: PLC0415 - as above

    for line in said(workspace, chosen, state, dry_run=dry_run):
        click.echo(line)
