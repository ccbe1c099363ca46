# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow variables`: values that tasks of many flows share. One whose name says so (`api_token`) is a secret and never printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.common import as_json, closing, open_workspace, print_json

if TYPE_CHECKING:
    from nbflow.core.connections import StoredVariable


@click.group()
def variables() -> None:
    """Named values that tasks share: list, get, set, delete."""


@variables.command("list")
@as_json
def variables_list(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Every variable; secrets as ***."""
    from nbflow.cli import render  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        found = workspace.secrets.stored.variables()
    if as_json:
        print_json({"variables": [_row(one) for one in found]})
        return
    rows = [(one.name, one.shown, one.description) for one in found]
    render.plain_table(("variable", "value", "description"), rows, empty="There are no variables: nbflow variables set NAME VALUE.")


@variables.command("get")
@click.argument("name")
@as_json
def variables_get(name: str, as_json: bool) -> None:  # noqa: FBT001 - as above
    """The value of one variable; of a secret only that it is there."""
    with closing(open_workspace()) as workspace:
        one = workspace.secrets.stored.variable(name)
    if as_json:
        print_json(_row(one))
    else:
        click.echo(one.shown)


@variables.command("set")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--secret/--no-secret", default=None, help="Whether it is kept sealed and never shown (without: as its name says).")
@click.option("--description", default=None, help="What it is for (without: as before).")
def variables_set(name: str, value: str | None, secret: bool | None, description: str | None) -> None:  # noqa: FBT001 - as above
    """Make a variable, or replace it. Without VALUE, or with -, it is asked for, or read from standard input."""
    if value is None or value == "-":
        value = click.prompt("Value", hide_input=True) if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n")
    with closing(open_workspace()) as workspace:
        stored = workspace.secrets.set_variable(name, str(value), secret=secret, description=description)
    click.echo(f"Variable {name} is set{', as a secret' if stored.is_secret else ''}.")


@variables.command("delete")
@click.argument("name")
def variables_delete(name: str) -> None:
    """Delete a variable. Tasks that name it are refused from then on."""
    with closing(open_workspace()) as workspace:
        workspace.secrets.delete_variable(name)
    click.echo(f"Variable {name} is deleted.")


def _row(one: StoredVariable) -> dict[str, Any]:
    return {"name": one.name, "value": one.shown, "secret": one.is_secret, "description": one.description}
