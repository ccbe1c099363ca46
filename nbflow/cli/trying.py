# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow tasks test`: one task, here, recorded nowhere."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.common import PATH, closing, open_workspace, python_target
from nbflow.core.errors import RunFailed, UserError
from nbflow.core.job import OutputMade

if TYPE_CHECKING:
    from nbflow.app.trial import Trial
    from nbflow.core.ids import TaskKey
    from nbflow.core.job import ExecutorEvent
    from nbflow.core.records import Change


@click.command()
@click.argument("path", type=PATH)
@click.argument("task")
@click.argument("date", required=False, default="")
@click.option("-p", "--parameter", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter, as of nbflow run.")
def test(path: Path, task: str, date: str, parameters: tuple[tuple[str, str], ...]) -> None:
    """Run one task here, with the values of the last run or with those of tasks above it that run on the spot; nothing is recorded."""
    from nbflow.app.trial import Trial  # noqa: PLC0415 - only now: it brings all the rooms
    from nbflow.cli.parameters import read_parameters, typed_texts  # noqa: PLC0415 - as above
    from nbflow.preflight import require_runnable  # noqa: PLC0415 - as above
    from nbflow.python.tracing import run_file  # noqa: PLC0415 - as above

    values = read_parameters(parameters, (), None)
    target = python_target(path)
    if target is None:
        require_runnable(path, None)
    logical_date = _date(date)
    with closing(open_workspace()) as real:
        trial = Trial(real, task, logical_date)
        try:
            if target is not None:
                texts, shown = typed_texts(parameters, ()), [_Shown(task)]
                run_file(trial, target, params=values, texts=texts, logical_date=logical_date, observers=shown)
            else:
                _try_cell(trial, path, values, task)
            _show_end(trial, task)
        finally:
            trial.close()


def _try_cell(trial: Trial, path: Path, values: dict[str, Any], task: str) -> None:
    from nbflow.headless import run_notebook  # noqa: PLC0415 - as above

    trial.to_run(trial.load_flow(path))  # an unknown task is said before a kernel starts
    with tempfile.TemporaryDirectory() as folder:
        try:
            run_notebook(trial, path, params=values, output=Path(folder) / path.name, observers=[_Shown(task)])
        except RunFailed:
            if trial.handle is None:  # a cell above the task failed
                raise


def _show_end(trial: Trial, task: str) -> None:
    from nbflow.cli import render  # noqa: PLC0415 - as above
    from nbflow.core.ids import TaskId  # noqa: PLC0415 - as above
    from nbflow.core.mapping import summary  # noqa: PLC0415 - as above
    from nbflow.core.states import TaskState  # noqa: PLC0415 - as above

    record = summary(trial.handle.snapshot().tasks, TaskId(task)) if trial.handle is not None else None
    if record is None or trial.handle is None:
        raise RunFailed(f"Task {task} was not reached: a cell above it failed.")
    if record.state is TaskState.SUCCESS:
        render.values_table(trial.given(trial.handle.run_id, task))
    click.echo(f"{task} {record.state.value.replace('_', ' ')}: {record.reason}")
    if record.state not in {TaskState.SUCCESS, TaskState.SKIPPED}:
        raise RunFailed(record.reason or f"Task {task} did not succeed.")


def _date(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f'"{text}" is no date: write 2026-01-31, or 2026-01-31T03:00 for an instant in UTC.') from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class _Shown:
    """What the task shows, as it shows it; what else runs is named."""

    def __init__(self, task: str) -> None:
        self._task = task

    def changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.key is not None and change.key.task_id != self._task and change.after == "running":
                click.echo(f"running {change.key}, whose values no run has yet", err=True)

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:  # noqa: ARG002 - the observer's signature
        from nbflow.cli import render  # noqa: PLC0415 - as above

        if isinstance(event, OutputMade) and key.task_id == self._task:
            render.outputs([event.output])
