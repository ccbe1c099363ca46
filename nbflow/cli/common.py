# SPDX-License-Identifier: BSD-3-Clause
"""What every command shares: how a workspace is opened, and how JSON is printed.

A command group is a module of its own (`runs.py` is an example), registered in `main.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from nbflow.app import Workspace

_Command = TypeVar("_Command", bound=Callable[..., Any])
#: The type of an argument or option that names a file.
PATH: Final = click.Path(path_type=Path)


def as_json(command: _Command) -> _Command:
    """The option `--json` of every reading command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")(command)


def open_workspace(**overrides: Any) -> Workspace:
    """The workspace of the settings in force."""
    from nbflow.app import Workspace  # noqa: PLC0415 - main.py says why

    return Workspace.open(**overrides)


def print_json(value: Any) -> None:
    """For other programs, and readable by people."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def python_target(path: Path | None) -> Any:
    """The flow of a `.py` file that the path means; None for a notebook."""
    if path is None or ".py" not in str(path):
        return None
    from nbflow.authoring.python_file import read_target  # noqa: PLC0415

    return read_target(path)


class closing:  # noqa: N801 - reads as contextlib.closing does, whose import it spares
    """`with closing(open_workspace()) as workspace:`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __enter__(self) -> Workspace:
        return self._workspace

    def __exit__(self, *_: object) -> None:
        self._workspace.close()


def run_json(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """A run and its tasks, as `nbflow run --json` and `nbflow runs show --json` print them."""
    from nbflow.views import text  # noqa: PLC0415

    snapshot = workspace.snapshot(run_id)
    called = [
        {"name": one.name, "about": one.about, "state": one.state, "reason": one.reason, "at": one.at.isoformat()}
        for one in workspace.store.callbacks(run_id)
    ]
    return {**text.run_json(snapshot.run, snapshot.tasks), "callbacks": called}
