# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow demo`: the log-monitoring notebook, end to end, on logs it generates itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from nbflow.cli.progress import run_with_progress
from nbflow.core.errors import SetupError, UserError
from nbflow.headless import notebook_html

if TYPE_CHECKING:
    from nbflow.app import Workspace

_NAME: Final = "monitor_errors.ipynb"


def run_demo(workspace: Workspace, folder: Path) -> bool:
    """Run the demo, say where its results are and what to try next. True when it succeeded. Raises UserError, SetupError."""
    notebook = demo_notebook()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made: {error.strerror}.") from None
    click.echo(f"Running {notebook} as a flow. Its logs are generated; nothing leaves this machine.\n")
    outcome = run_with_progress(workspace, notebook, params={}, output=folder / _NAME)
    assert outcome.output is not None
    page = notebook_html(outcome.output)
    click.echo(f"as a web page:     {page}\n")
    click.echo("Try next:")
    click.echo(f"  nbflow runs show {outcome.run_id}")
    click.echo("  nbflow runs logs latest gen_reports")
    click.echo("  nbflow connections set ops-mail     and the alert is mailed: smtp://LOGIN:PASSWORD@HOST:587?to=YOU@EXAMPLE.COM")
    click.echo(f"  nbflow run {notebook} -p threshold 5000")
    click.echo(f"  jupyter lab {notebook}     and run its cells: the graph is live")
    return outcome.succeeded


def demo_notebook() -> Path:
    """Where the demo notebook is: in the installed package, or in the checkout it was installed from. Raises SetupError."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "notebooks" / _NAME, package.parent / "notebooks" / _NAME):
        if place.is_file():
            return place
    raise SetupError("The demo notebook is not part of this installation: type pip install --force-reinstall jupyter-nbflow.")
