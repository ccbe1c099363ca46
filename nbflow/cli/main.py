# SPDX-License-Identifier: BSD-3-Clause
"""The command line. Exit codes: 0 done and well, 1 the run failed, 2 wrong use, 3 the installation or the cluster is in the way.

Nothing heavy is imported before a command needs it: `nbflow --help` answers in under 200 ms.
"""

from __future__ import annotations

import sys
import traceback

import click

from nbflow import __version__
from nbflow.cli.assets import assets
from nbflow.cli.backfill import backfill
from nbflow.cli.changing import clear, mark
from nbflow.cli.connections import connections
from nbflow.cli.deploying import deploy, flows, undeploy
from nbflow.cli.house import db, delete
from nbflow.cli.looking import check, doctor, graph
from nbflow.cli.notifications import notifications
from nbflow.cli.pools import pools, tasks
from nbflow.cli.running import demo, run
from nbflow.cli.runs import runs
from nbflow.cli.schedule import schedule
from nbflow.cli.scheduling import metrics, scheduler, up
from nbflow.cli.trying import test
from nbflow.cli.variables import variables
from nbflow.core.errors import NbflowError


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


# In the order of what a person does first; click sorts the help.
for _command in (
    run,
    demo,
    graph,
    check,
    runs,
    tasks,
    pools,
    schedule,
    doctor,
    deploy,
    undeploy,
    flows,
    backfill,
    scheduler,
    up,
    db,
    metrics,
):
    cli.add_command(_command)

for _command in (assets, connections, variables, notifications):
    cli.add_command(_command)

for _command in (clear, delete, mark):
    runs.add_command(_command)

tasks.add_command(test)


if __name__ == "__main__":
    main()
