# SPDX-License-Identifier: BSD-3-Clause
"""The command line. Exit codes: 0 done and well, 1 the run failed, 2 wrong use, 3 the installation or the cluster is in the way.

Nothing heavy is imported before a command needs it: `nbflow --help` answers in under 200 ms.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nbflow import __version__
from nbflow.core.errors import NbflowError, Problem, RunFailed, UserError

if TYPE_CHECKING:
    from nbflow.app import Workspace

_Command = TypeVar("_Command", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)


def main() -> None:
    """The entry point: a person's mistake is one line on stderr and an exit code, never a traceback."""
    try:
        cli(standalone_mode=False, prog_name="nbflow")
    except click.exceptions.Abort:
        click.echo("nbflow: interrupted.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except NbflowError as error:
        for line in str(error).splitlines():
            click.echo(f"nbflow: {line}", err=True)
        sys.exit(error.exit_code)
    except Exception:  # noqa: BLE001 - a fault of nbflow's own keeps its traceback, but must not look like a failed run (exit 1)
        traceback.print_exc()
        click.echo("nbflow: this is a mistake in nbflow, not in your notebook: please report the lines above.", err=True)
        sys.exit(3)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="nbflow")
def cli() -> None:
    """Notebook cells as the tasks of a DAG: run them, see them, keep what happened."""


def _as_json(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")(command)


def _open_workspace(**overrides: Any) -> Workspace:
    from nbflow.app import Workspace  # noqa: PLC0415 - see the module docstring

    return Workspace.open(**overrides)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


# --- running ----------------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("path", type=_PATH, required=False)
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
@click.option("-f", "--file", "parameter_file", type=_PATH, help="Parameters from a YAML or JSON file.")
@click.option("-o", "--output", type=_PATH, help="Where the executed notebook goes (default: in nbflow's home, see nbflow runs open).")
@click.option("-k", "--kernel", default=None, metavar="NAME", help="The kernel to use instead of the notebook's own.")
@click.option("--cwd", type=_PATH, help="Working directory of the kernel and the tasks (default: the notebook's folder).")
@click.option("--dask", default=None, metavar="WHERE", help="local, inline, tcp://HOST:PORT or scheduler_file:PATH.")
@_as_json
def run(  # noqa: PLR0917 - click passes options by name
    path: Path | None,
    resume: str,
    parameters: tuple[tuple[str, str], ...],
    raw_parameters: tuple[tuple[str, str], ...],
    parameter_file: Path | None,
    output: Path | None,
    kernel: str | None,
    cwd: Path | None,
    dask: str | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Run a notebook or a flow of a Python file (flows.py:sales) now, headlessly; exits 0 when the run succeeded and 1 when it failed."""
    if resume:
        given = {"a notebook": path, "-p": parameters, "-r": raw_parameters, "-f": parameter_file, "-o": output}
        for name, value in given.items():
            if value:
                raise UserError(f"--resume goes on with a run as it was started: leave out {name}.")
    elif path is None:
        raise UserError("Say which notebook to run: nbflow run NOTEBOOK, or nbflow run --resume RUN to go on with a run.")
    from nbflow.cli.parameters import read_parameters, typed_texts  # noqa: PLC0415
    from nbflow.preflight import require_runnable  # noqa: PLC0415

    values = read_parameters(parameters, raw_parameters, parameter_file)
    target = _python_target(path)
    if target is not None:
        _refuse_of_notebooks({"-o": output, "-k": kernel})
    elif path is not None:
        require_runnable(path, output)
    from nbflow.cli.progress import run_python_with_progress, run_with_progress  # noqa: PLC0415 - only now: they bring all the rooms
    from nbflow.cli.render import failure_sentence  # noqa: PLC0415 - as above

    with _closing(_open_workspace(dask=dask)) as workspace:
        if target is not None:
            texts = typed_texts(parameters, raw_parameters)
            outcome = run_python_with_progress(workspace, target, params=values, texts=texts, cwd=cwd, quiet=as_json)
        else:
            outcome = run_with_progress(workspace, path, resume=resume, params=values, output=output, kernel=kernel, cwd=cwd, quiet=as_json)
        if as_json:
            _print_json(_run_json(workspace, outcome.run_id))
        if not outcome.succeeded:
            raise RunFailed(failure_sentence(workspace.snapshot(outcome.run_id), workspace.clock.now()))


def _python_target(path: Path | None) -> Any:
    """The flow of a `.py` file that the path means; None for a notebook."""
    if path is None or ".py" not in str(path):
        return None
    from nbflow.authoring.python_file import read_target  # noqa: PLC0415

    return read_target(path)


def _refuse_of_notebooks(given: dict[str, Any]) -> None:
    for name, value in given.items():
        if value:
            raise UserError(f"{name} is for notebooks: a flow of a Python file is run without a kernel and leaves no executed notebook.")


@cli.command()
@click.option("-o", "--output", type=_PATH, default=Path("out"), show_default=True, help="Folder for the executed notebook and its HTML.")
def demo(output: Path) -> None:
    """The log-monitoring flow on generated data, end to end."""
    from nbflow.cli.demo import run_demo  # noqa: PLC0415

    with _closing(_open_workspace()) as workspace:
        succeeded = run_demo(workspace, output)
    if not succeeded:
        raise RunFailed("The demo did not succeed: the table above says where.")


# --- looking at a notebook --------------------------------------------------------------------------------------------


@cli.command()
@click.argument("path", type=_PATH)
@click.option("--mermaid", is_flag=True, help="Print the graph as Mermaid text.")
@click.option("--svg", type=_PATH, metavar="FILE", help="Write the graph as an SVG picture.")
@_as_json
def graph(path: Path, mermaid: bool, svg: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """The graph of a notebook or of a flow of a Python file (flows.py:sales), found without running any task."""
    from nbflow.app import SystemClock, Workspace  # noqa: PLC0415
    from nbflow.settings import load_settings  # noqa: PLC0415
    from nbflow.views import svg as svg_view  # noqa: PLC0415
    from nbflow.views import text  # noqa: PLC0415

    target = _python_target(path)
    if target is not None:
        from nbflow.python.tracing import trace_flow  # noqa: PLC0415

        flow = trace_flow(target)
    else:
        flow = Workspace(load_settings()).load_flow(path)
    if svg is not None:
        _write(svg, svg_view.graph_svg(flow, {}, None, SystemClock().now()))
        click.echo(f"Wrote {svg}.")
    elif as_json:
        _print_json(text.graph_json(flow))
    elif mermaid:
        click.echo(text.mermaid(flow))
    else:
        click.echo(text.graph_text(flow, {}))


@cli.command()
@click.argument("paths", type=_PATH, nargs=-1, required=True)
@_as_json
def check(paths: tuple[Path, ...], as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Everything that would go wrong in these notebooks and Python files, each with its cell and line; for CI."""
    from nbflow.app import Workspace  # noqa: PLC0415
    from nbflow.settings import load_settings  # noqa: PLC0415

    workspace = Workspace(load_settings())
    found = {str(path): _problems(workspace, path) for path in paths}
    if as_json:
        rows = [{"path": path, **vars_of(problem)} for path, problems in found.items() for problem in problems]
        _print_json({"problems": rows})
    else:
        for path, problems in found.items():
            for problem in problems:
                click.echo(f"{path}: {problem.severity}: {problem}", err=problem.code == "file")
            if not problems:
                click.echo(f"{path}: no problems")
    if any(problem.severity == "error" for problems in found.values() for problem in problems):
        raise UserError("")


def _problems(workspace: Workspace, path: Path) -> Sequence[Problem]:
    """A file that cannot be read is a problem like others: the files after it are looked at, too."""
    try:
        return _problems_of(workspace, path)
    except UserError as error:
        return [Problem(message=str(error), code="file")]


def _problems_of(workspace: Workspace, path: Path) -> tuple[Any, ...]:
    target = _python_target(path)
    if target is None:
        return workspace.problems(path)
    from nbflow.python.tracing import find_problems  # noqa: PLC0415

    return find_problems(target)


def vars_of(problem: Any) -> dict[str, Any]:
    """A problem as JSON."""
    return {name: getattr(problem, name) for name in ("severity", "cell", "line", "code", "message")}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None


# --- looking at what happened -----------------------------------------------------------------------------------------


@cli.group()
def runs() -> None:
    """What happened: list, show, logs, result, open, cancel."""


@runs.command("list")
@click.option("--flow", default="", help="Only runs of this flow.")
@click.option(
    "--state", default="", type=click.Choice(["", "queued", "running", "success", "failed", "cancelled"]), help="Only runs in this state."
)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--cursor", default="", help="Where the page before ended.")
@_as_json
def runs_list(flow: str, state: str, limit: int, cursor: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """The newest runs."""
    from nbflow.cli import render  # noqa: PLC0415
    from nbflow.views import text  # noqa: PLC0415

    with _closing(_open_workspace()) as workspace:
        page = workspace.find_runs(flow=flow, state=state, cursor=cursor, limit=limit)
        if as_json:
            _print_json({"runs": [text.run_row(run) for run in page.runs], "next": page.next or None})
        else:
            render.runs_table(page.runs, workspace.clock.now(), more=bool(page.next))


@runs.command("show")
@click.argument("run_id", default="latest")
@_as_json
def runs_show(run_id: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """One run: each task's state, attempts, duration and reason."""
    from nbflow.cli import render  # noqa: PLC0415

    with _closing(_open_workspace()) as workspace:
        run_id = workspace.run(run_id).run_id
        if as_json:
            _print_json(_run_json(workspace, run_id))
        else:
            render.run_table(workspace.snapshot(run_id), workspace.clock.now())


@runs.command("logs")
@click.argument("run_id")
@click.argument("task", required=False)
@click.option("--attempt", type=int, default=None, help="Which attempt (default: the newest).")
@_as_json
def runs_logs(run_id: str, task: str | None, attempt: int | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """What a task printed (or every task of the run)."""
    from nbflow.cli import render  # noqa: PLC0415

    with _closing(_open_workspace()) as workspace:
        run_id = workspace.run(run_id).run_id
        tasks = [task] if task else [attempt.key.task_id for attempt in workspace.attempts(run_id)]
        logs = {name: workspace.logs(run_id, name, attempt) for name in dict.fromkeys(tasks)}
    if as_json:
        _print_json({"run_id": run_id, "logs": [{"task": name, "outputs": outputs} for name, outputs in logs.items()]})
    else:
        for name, outputs in logs.items():
            render.outputs(outputs, title=name if task is None else "")


@runs.command("result")
@click.argument("run_id")
@click.argument("task")
@_as_json
def runs_result(run_id: str, task: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """What a task gave: names, kinds and sizes."""
    from nbflow.cli import render  # noqa: PLC0415

    with _closing(_open_workspace()) as workspace:
        given = workspace.given(workspace.run(run_id).run_id, task)
    if as_json:
        _print_json(
            {
                "values": [
                    {"name": name, "shown": ref.shown, "format": ref.format, "size": ref.size, "hash": ref.hash}
                    for name, ref in given.items()
                ]
            }
        )
    else:
        render.values_table(given)


@runs.command("open")
@click.argument("run_id", default="latest")
@click.option("--print", "only_print", is_flag=True, help="Only print where the HTML is.")
def runs_open(run_id: str, only_print: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Open the executed notebook of a run, as HTML, in a browser."""
    from nbflow.headless import notebook_html  # noqa: PLC0415

    with _closing(_open_workspace()) as workspace:
        run = workspace.run(run_id)
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
    with _closing(_open_workspace()) as workspace:
        workspace.cancel(workspace.run(run_id).run_id, tasks)
    click.echo(f"Asked the driver of {run_id} to cancel {', '.join(tasks) or 'it'}.")


def _run_json(workspace: Workspace, run_id: str) -> dict[str, Any]:
    from nbflow.views import text  # noqa: PLC0415

    snapshot = workspace.snapshot(run_id)
    return text.run_json(snapshot.run, snapshot.tasks)


# --- the installation -------------------------------------------------------------------------------------------------


@cli.command()
@_as_json
def doctor(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Versions, database, cluster, kernels, extensions: each ok or what to do."""
    from nbflow.cli.doctor import examine, show  # noqa: PLC0415
    from nbflow.core.errors import SetupError  # noqa: PLC0415

    findings = examine()
    if as_json:
        _print_json({"findings": [vars(finding) for finding in findings]})
    else:
        show(findings)
    if any(finding.state == "bad" for finding in findings):
        raise SetupError("")


class _closing:  # noqa: N801 - reads as contextlib.closing does, whose import it spares
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __enter__(self) -> Workspace:
        return self._workspace

    def __exit__(self, *_: object) -> None:
        self._workspace.close()


if __name__ == "__main__":
    main()
