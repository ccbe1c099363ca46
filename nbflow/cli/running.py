# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow run` and `nbflow demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nbflow.cli.common import PATH, as_json, closing, open_workspace, print_json, python_target, run_json
from nbflow.core.errors import RunFailed, UserError


@click.command()
@click.argument("path", type=PATH, required=False)
@click.option(
    "--resume",
    default="",
    metavar="RUN",
    help="Go on with this run (or latest) instead: what succeeded is loaded, the rest runs, with the parameters of the first time.",
)
@click.option(
    "-p",
    "--parameter",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A parameter; numbers, true, null, lists are read as such.",
)
@click.option(
    "-r", "--raw", "raw_parameters", nargs=2, multiple=True, metavar="NAME TEXT", help="A parameter whose value is a text as it stands."
)
@click.option("-f", "--file", "parameter_file", type=PATH, help="Parameters from a YAML or JSON file.")
@click.option("-o", "--output", type=PATH, help="Where the executed notebook goes (default: in nbflow's home, see nbflow runs open).")
@click.option("-k", "--kernel", default=None, metavar="NAME", help="The kernel to use instead of the notebook's own.")
@click.option("--cwd", type=PATH, help="Working directory of the kernel and the tasks (default: the notebook's folder).")
@click.option("--ignore-past", is_flag=True, help="Tasks that depend on their past do not ask for it.")
@click.option("--fresh", is_flag=True, help="Use no results of earlier runs (tasks with --cache).")
@click.option("--notify", is_flag=True, help="Tell people how it went, as a scheduler does of deployed flows.")
@click.option("--dask", default=None, metavar="WHERE", help="local, inline, tcp://HOST:PORT or scheduler_file:PATH.")
@as_json
def run(  # noqa: PLR0917 - click passes options by name
    path: Path | None,
    resume: str,
    parameters: tuple[tuple[str, str], ...],
    raw_parameters: tuple[tuple[str, str], ...],
    parameter_file: Path | None,
    output: Path | None,
    kernel: str | None,
    cwd: Path | None,
    fresh: bool,  # noqa: FBT001 - as above
    ignore_past: bool,  # noqa: FBT001 - as above
    notify: bool,  # noqa: FBT001 - as above
    dask: str | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Run a notebook or a flow of a Python file (flows.py:sales) now, headlessly; exits 0 when the run succeeded and 1 when it failed."""
    if resume:
        given = {
            "a notebook": path,
            "-p": parameters,
            "-r": raw_parameters,
            "-f": parameter_file,
            "-o": output,
            "--fresh": fresh,
            "--ignore-past": ignore_past,
        }
        _refuse_with_resume(given)
    elif path is None:
        raise UserError("Say which notebook to run: nbflow run NOTEBOOK, or nbflow run --resume RUN to go on with a run.")
    from nbflow.cli.parameters import read_parameters, typed_texts  # noqa: PLC0415
    from nbflow.preflight import require_runnable  # noqa: PLC0415

    values = read_parameters(parameters, raw_parameters, parameter_file)
    target = python_target(path)
    if target is not None:
        _refuse_of_notebooks({"-o": output, "-k": kernel})
    elif path is not None:
        require_runnable(path, output)
    from nbflow.cli.progress import run_python_with_progress, run_with_progress  # noqa: PLC0415 - only now: they bring all the rooms
    from nbflow.cli.render import failure_sentence  # noqa: PLC0415 - as above

    with closing(open_workspace(dask=dask)) as workspace:
        if target is not None:
            texts = typed_texts(parameters, raw_parameters)
            outcome = run_python_with_progress(
                workspace, target, params=values, texts=texts, cwd=cwd, fresh=fresh, ignore_past=ignore_past, quiet=as_json
            )
        else:
            outcome = run_with_progress(
                workspace,
                path,
                resume=resume,
                params=values,
                output=output,
                kernel=kernel,
                cwd=cwd,
                fresh=fresh,
                ignore_past=ignore_past,
                quiet=as_json,
            )
        if notify:
            _tell(workspace, outcome.run_id)
        if as_json:
            print_json(run_json(workspace, outcome.run_id))
        if not outcome.succeeded:
            raise RunFailed(failure_sentence(workspace.snapshot(outcome.run_id), workspace.clock.now()))


def _refuse_with_resume(given: dict[str, Any]) -> None:
    for name, value in given.items():
        if value:
            raise UserError(f"--resume goes on with a run as it was started: leave out {name}.")


def _tell(workspace: Any, run_id: str) -> None:
    """What cannot be sent changes nothing about the run."""
    from nbflow.app.notifying import tell_of  # noqa: PLC0415 - most runs tell nobody

    for one in tell_of(workspace, run_id):
        click.echo(f"nbflow: {one.shown} was not told: {one.reason}", err=True)


def _refuse_of_notebooks(given: dict[str, Any]) -> None:
    for name, value in given.items():
        if value:
            raise UserError(f"{name} is for notebooks: a flow of a Python file is run without a kernel and leaves no executed notebook.")


@click.command()
@click.option("-o", "--output", type=PATH, default=Path("out"), show_default=True, help="Folder for the executed notebook and its HTML.")
def demo(output: Path) -> None:
    """The log-monitoring flow on generated data, end to end."""
    from nbflow.cli.demo import run_demo  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        succeeded = run_demo(workspace, output)
    if not succeeded:
        raise RunFailed("The demo did not succeed: the table above says where.")
