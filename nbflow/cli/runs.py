# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow runs`: what happened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbflow.cli.common import as_json, closing, open_workspace, print_json, run_json
from nbflow.core.errors import RunFailed, UserError

if TYPE_CHECKING:
    from nbflow.core.job import ValueRef


@click.group()
def runs() -> None:
    """What happened: list, show, logs, result, inputs, diff, open, answer, cancel, retry, clear, mark."""


@runs.command("list")
@click.option("--flow", default="", help="Only runs of this flow.")
@click.option(
    "--state", default="", type=click.Choice(["", "queued", "running", "success", "failed", "cancelled"]), help="Only runs in this state."
)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--cursor", default="", help="Where the page before ended.")
@as_json
def runs_list(flow: str, state: str, limit: int, cursor: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """The newest runs."""
    from nbflow.cli import render  # noqa: PLC0415
    from nbflow.views import text  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        page = workspace.find_runs(flow=flow, state=state, cursor=cursor, limit=limit)
        if as_json:
            print_json({"runs": [text.run_row(run) for run in page.runs], "next": page.next or None})
        else:
            render.runs_table(page.runs, workspace.clock.now(), more=bool(page.next))


@runs.command("show")
@click.argument("run_id", default="latest")
@click.argument("task", required=False)
@as_json
def runs_show(run_id: str, task: str | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """One run: each task's state, attempts, duration and reason; with TASK, every attempt of it that has ended."""
    from nbflow.cli import render  # noqa: PLC0415
    from nbflow.views.payloads import attempt_row  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        run_id = workspace.run(run_id).run_id
        attempts = workspace.attempts(run_id, task) if task else ()
        if task and as_json:
            print_json({"run_id": run_id, "attempts": [attempt_row(attempt) for attempt in attempts]})
        elif task:
            render.attempts_table(attempts)
        elif as_json:
            print_json(run_json(workspace, run_id))
        else:
            render.run_table(workspace.snapshot(run_id), workspace.clock.now())
            render.failed_callbacks(workspace.store.callbacks(run_id))


@runs.command("logs")
@click.argument("run_id")
@click.argument("task", required=False)
@click.option("--attempt", type=int, default=None, help="Which attempt (default: the newest).")
@as_json
def runs_logs(run_id: str, task: str | None, attempt: int | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """What a task printed (or every task of the run)."""
    from nbflow.cli import render  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        run_id = workspace.run(run_id).run_id
        tasks = [task] if task else [attempt.key.task_id for attempt in workspace.attempts(run_id)]
        logs = {name: workspace.logs(run_id, name, attempt) for name in dict.fromkeys(tasks)}
    if as_json:
        print_json({"run_id": run_id, "logs": [{"task": name, "outputs": outputs} for name, outputs in logs.items()]})
    else:
        for name, outputs in logs.items():
            render.outputs(outputs, title=name if task is None else "")


@runs.command("result")
@click.argument("run_id")
@click.argument("task")
@click.argument("name", default="")
@click.option("--attempt", type=int, default=None, help="Which attempt (default: what counts).")
@as_json
def runs_result(run_id: str, task: str, name: str, attempt: int | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """What a task gave: names, kinds and sizes, of all values or of the one called NAME."""
    from nbflow.app.inspecting import given_by, only  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        run_id = workspace.run(run_id).run_id
        given = only(name, given_by(workspace, run_id, task, attempt), run_id, task)
    _show_values(given, as_json=as_json)


@runs.command("inputs")
@click.argument("run_id")
@click.argument("task")
@click.argument("name", default="")
@click.option("--attempt", type=int, default=None, help="Which attempt (default: the newest).")
@as_json
def runs_inputs(run_id: str, task: str, name: str, attempt: int | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """What a task was given: values of tasks above it and of plain cells, all of them or the one called NAME."""
    from nbflow.app.inspecting import inputs_of, only  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        run_id = workspace.run(run_id).run_id
        given = only(name, inputs_of(workspace, run_id, task, attempt).shown(), run_id, task, "was given")
    _show_values(given, as_json=as_json)


def _show_values(given: Mapping[str, ValueRef], *, as_json: bool) -> None:
    from nbflow.cli import render  # noqa: PLC0415

    if not as_json:
        render.values_table(given)
        return
    rows = [{"name": name, "shown": ref.shown, "format": ref.format, "size": ref.size, "hash": ref.hash} for name, ref in given.items()]
    print_json({"values": rows})


@runs.command("diff")
@click.argument("a")
@click.argument("b", default="latest")
@as_json
def runs_diff(a: str, b: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Compare two runs of a flow: which task differed first, and by what: code, parameter, input or environment."""
    from nbflow.app.differing import difference  # noqa: PLC0415
    from nbflow.views.difference import difference_json, difference_text  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        found = difference(workspace, a, b)
    if as_json:
        print_json(difference_json(found))
    else:
        click.echo(difference_text(found))


@runs.command("open")
@click.argument("run_id", default="latest")
@click.option("--print", "only_print", is_flag=True, help="Only print where the HTML is.")
def runs_open(run_id: str, only_print: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Open the executed notebook of a run, as HTML, in a browser."""
    from nbflow.headless import notebook_html  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        run = workspace.run(run_id)
    if not run.output and run.path.endswith(".py"):
        raise UserError(f"Run {run.run_id} is of a Python flow, which has no notebook: type nbflow runs logs {run.run_id}.")
    if not run.output:
        raise UserError(f"Run {run.run_id} has no executed notebook: it ran live, its outputs are in {run.path or 'its own notebook'}.")
    page = notebook_html(Path(run.output))
    click.echo(page)
    if not only_print:
        click.launch(page.as_uri())


@runs.command("cancel")
@click.argument("run_id")
@click.argument("tasks", nargs=-1)
def runs_cancel(run_id: str, tasks: tuple[str, ...]) -> None:
    """Cancel a run, or only these tasks of it, whoever drives it."""
    with closing(open_workspace()) as workspace:
        workspace.cancel(workspace.run(run_id).run_id, tasks)
    click.echo(f"Asked the driver of {run_id} to cancel {', '.join(tasks) or 'it'}.")


@runs.command("retry")
@click.argument("run_id")
@click.option("--task", "tasks", multiple=True, metavar="TASK", help="Run this task again, and what depends on it (default: what failed).")
@click.option("--upstream", is_flag=True, help="Also everything these tasks depend on.")
@click.option(
    "--latest", is_flag=True, help="With the code as the file is now (of a deployed flow: its newest version), instead of the run's own."
)
@click.option("--dry-run", is_flag=True, help="Say what would run again, and run nothing.")
@as_json
def runs_retry(run_id: str, tasks: tuple[str, ...], *, upstream: bool, latest: bool, dry_run: bool, as_json: bool) -> None:
    """Run tasks of a run again, with what depends on them; all else is kept. A run that goes on is asked, one that has ended goes on here."""
    from nbflow.cli.progress import run_with_progress  # noqa: PLC0415 - it brings all the rooms
    from nbflow.cli.render import failure_sentence  # noqa: PLC0415 - as above
    from nbflow.headless.latest import clear_for_latest  # noqa: PLC0415 - as above

    with closing(open_workspace()) as workspace:
        run = workspace.run(run_id)
        moves = latest and bool(run.deployment)
        if upstream:
            tasks = workspace.with_upstream(run, tasks)
        if dry_run:
            keys = clear_for_latest(workspace, run, tasks, dry_run=True).keys if moves else workspace.tasks_to_run_again(run, tasks)
            if as_json:
                print_json(
                    {"dry_run": True, "run_id": run.run_id, "tasks": [{"id": key.task_id, "map_index": key.map_index} for key in keys]}
                )
            else:
                click.echo(f"Would run {', '.join(map(str, keys))} of run {run.run_id} again.")
            return
        if not moves and workspace.ask_to_clear(run.run_id, tasks):
            if as_json:
                print_json(run_json(workspace, run.run_id))
            else:
                click.echo(f"Asked the driver of {run.run_id} to run {', '.join(tasks) or 'what failed'} again.")
            return
        outcome = run_with_progress(workspace, None, resume=run.run_id, again=tasks, latest=latest, params={}, quiet=as_json)
        if as_json:
            print_json(run_json(workspace, outcome.run_id))
        if not outcome.succeeded:
            raise RunFailed(failure_sentence(workspace.snapshot(outcome.run_id), workspace.clock.now()))


@runs.command("answer")
@click.argument("run_id")
@click.argument("task")
@click.argument("answer")
def runs_answer(run_id: str, task: str, answer: str) -> None:
    """Answer a task that waits for a person (--as approval): yes, no, or one of its choices."""
    with closing(open_workspace()) as workspace:
        run_id = workspace.run(run_id).run_id
        understood = workspace.answer(run_id, task, answer)
    click.echo(f"Answered {understood} to {task} of run {run_id}.")
