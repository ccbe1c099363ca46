# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow connections`: how tasks and messages reach databases, servers and messengers. No secret is ever printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.common import as_json, closing, open_workspace, print_json
from nbflow.core.errors import UserError

if TYPE_CHECKING:
    from nbflow.core.connections import StoredConnection


@click.group()
def connections() -> None:
    """Named connections of tasks and messages: list, get, set, test, delete."""


@connections.command("list")
@as_json
def connections_list(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Every connection, without its secrets."""
    from nbflow.cli import render  # noqa: PLC0415

    with closing(open_workspace()) as workspace:
        found = workspace.secrets.stored.connections()
    if as_json:
        print_json({"connections": [_row(one) for one in found]})
        return
    rows = [(one.name, one.fields["type"], one.shown, one.description) for one in found]
    render.plain_table(("connection", "type", "url", "description"), rows, empty="There are no connections: nbflow connections set NAME.")


@connections.command("get")
@click.argument("name")
@as_json
def connections_get(name: str, as_json: bool) -> None:  # noqa: FBT001 - as above
    """One connection, without its secrets."""
    with closing(open_workspace()) as workspace:
        one = workspace.secrets.stored.connection(name)
    if as_json:
        print_json(_row(one))
        return
    click.echo(f"{one.name}: {one.description}" if one.description else one.name)
    for field, value in _row(one).items():
        if field not in {"name", "description"} and value not in ("", None, {}):
            click.echo(f"  {field:<7} {', '.join(f'{key}={shown}' for key, shown in value.items()) if field == 'extra' else value}")


@connections.command("set")
@click.argument("name")
@click.argument("url", required=False)
@click.option("--password", "asks", is_flag=True, help="Ask for the password, which is then typed as it is and stands in no history.")
@click.option("--extra", default="", metavar="JSON", help="What this kind of connection needs besides; - reads it from standard input.")
@click.option("--description", default=None, help="What it is for (without: as before).")
def connections_set(name: str, url: str | None, asks: bool, extra: str, description: str | None) -> None:  # noqa: FBT001 - as above
    """Make a connection, or replace it: TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA, or any Apprise URL.

    Without URL, or with -, it is asked for, or read from standard input, so that it stands in no history of a shell.
    """
    from nbflow.core.connections import SHORTEST_SECRET, Connection, check_name, check_url, read_extra, with_password  # noqa: PLC0415

    check_name(name, "connection")
    whole = url if url and url != "-" else _asked("URL")
    check_url(name, whole)
    if asks:
        whole = with_password(whole, _asked("Password"))
    more = read_extra(name, sys.stdin.read() if extra == "-" else extra)
    with closing(open_workspace()) as workspace:
        stored = workspace.secrets.set_connection(name, whole, extra=more, description=description)
    click.echo(f"Connection {name} is set: {stored.shown}")
    if 0 < len(Connection(name=name, url=whole).password) < SHORTEST_SECRET:
        click.echo(f"Its password is shorter than {SHORTEST_SECRET} letters: it cannot be masked where a task prints it.", err=True)


@connections.command("delete")
@click.argument("name")
def connections_delete(name: str) -> None:
    """Delete a connection. Tasks that name it are refused from then on."""
    with closing(open_workspace()) as workspace:
        workspace.secrets.delete_connection(name)
    click.echo(f"Connection {name} is deleted.")


@connections.command("test")
@click.argument("name")
def connections_test(name: str) -> None:
    """Reach what a connection names: log in, ask the database, look at the folder; a messenger is sent a message."""
    with closing(open_workspace()) as workspace:
        said = workspace.secrets.try_connection(name)
        if not said:
            from nbflow.app.notifying import send_test  # noqa: PLC0415 - Apprise, for messengers only

            said = f"A message was sent to {', '.join(send_test(workspace, name))}."
    click.echo(said)


def _asked(what: str) -> str:
    """From standard input where that is a file or a pipe, else typed unseen. Raises UserError for nothing."""
    given = click.prompt(what, hide_input=True, default="", show_default=False) if sys.stdin.isatty() else sys.stdin.readline()
    if not given.strip():
        raise UserError(f"No {what} was given.")
    return str(given).strip("\r\n")


def _row(one: StoredConnection) -> dict[str, Any]:
    from nbflow.core.connections import MASK  # noqa: PLC0415

    return {
        "name": one.name,
        **one.fields,
        "url": one.shown,
        "extra": dict.fromkeys(one.extra, MASK),
        "description": one.description,
    }
