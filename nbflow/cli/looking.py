# SPDX-License-Identifier: BSD-3-Clause
"""What runs nothing: `nbflow graph`, `nbflow check`, `nbflow doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.common import PATH, as_json, print_json, python_target
from nbflow.core.errors import Problem, SetupError, UserError

if TYPE_CHECKING:
    from nbflow.app import Workspace


@click.command()
@click.argument("path", type=PATH)
@click.option("--mermaid", is_flag=True, help="Print the graph as Mermaid text.")
@click.option("--svg", type=PATH, metavar="FILE", help="Write the graph as an SVG picture.")
@as_json
def graph(path: Path, mermaid: bool, svg: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """The graph of a notebook or of a flow of a Python file (flows.py:sales), found without running any task."""
    from nbflow.app import SystemClock, Workspace  # noqa: PLC0415
    from nbflow.settings import load_settings  # noqa: PLC0415
    from nbflow.views import svg as svg_view  # noqa: PLC0415
    from nbflow.views import text  # noqa: PLC0415

    target, settings = python_target(path), load_settings()
    if target is not None:
        from nbflow.app.tracing import trace_flow  # noqa: PLC0415

        flow = trace_flow(target, settings.task_defaults)
    else:
        flow = Workspace(settings).load_flow(path)
    if svg is not None:
        _write(svg, svg_view.graph_svg(flow, {}, None, SystemClock().now()))
        click.echo(f"Wrote {svg}.")
    elif as_json:
        print_json(text.graph_json(flow))
    elif mermaid:
        click.echo(text.mermaid(flow))
    else:
        click.echo(text.graph_text(flow, {}))


@click.command()
@click.argument("paths", type=PATH, nargs=-1, required=True)
@as_json
def check(paths: tuple[Path, ...], as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Everything that would go wrong in these notebooks and Python files, each with its cell and line; for CI."""
    from nbflow.app import Workspace  # noqa: PLC0415
    from nbflow.settings import load_settings  # noqa: PLC0415

    workspace = Workspace(load_settings())
    found = {str(path): _problems(workspace, path) for path in paths}
    if as_json:
        rows = [{"path": path, **vars_of(problem)} for path, problems in found.items() for problem in problems]
        print_json({"problems": rows})
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
    target = python_target(path)
    if target is None:
        return workspace.problems(path)
    from nbflow.app.tracing import examined  # noqa: PLC0415

    problems, flows = examined(target, workspace.settings.task_defaults)
    return (*problems, *(problem for flow in flows for problem in workspace.limit_problems(flow)))


def vars_of(problem: Any) -> dict[str, Any]:
    """A problem as JSON."""
    return {name: getattr(problem, name) for name in ("severity", "cell", "line", "code", "message")}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None


@click.command()
@as_json
def doctor(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Versions, database, cluster, kernels, extensions: each ok or what to do."""
    from nbflow.cli.doctor import examine, show  # noqa: PLC0415

    findings = examine()
    if as_json:
        print_json({"findings": [vars(finding) for finding in findings]})
    else:
        show(findings)
    if any(finding.state == "bad" for finding in findings):
        raise SetupError("")
