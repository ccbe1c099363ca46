# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow run` on a terminal: a table that moves while the run does; a line for each ended task where nobody watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from nbflow.cli.render import console, record_text, run_table, task_table, took
from nbflow.core.ids import TaskKey
from nbflow.core.job import ExecutorEvent
from nbflow.core.mapping import in_place
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import TaskState
from nbflow.headless import NotebookOutcome, resume_notebook, run_notebook
from nbflow.python.tracing import run_file, trace_again

if TYPE_CHECKING:
    from nbflow.app import Workspace
    from nbflow.authoring.python_file import Target


def run_with_progress(
    workspace: Workspace,
    path: Path | None,
    *,
    resume: str = "",
    again: Sequence[str] = (),
    latest: bool = False,
    params: Mapping[str, Any],
    output: Path | None = None,
    kernel: str | None = None,
    cwd: Path | None = None,
    fresh: bool = False,
    ignore_past: bool = False,
    quiet: bool = False,
) -> NotebookOutcome:
    """Run a notebook headlessly, or go on with the run `resume` (its tasks `again` run again, with the `latest` code if wanted), and show it.

    Ends with the table of tasks and where the executed notebook is.
    """
    out = console(stderr=quiet)
    watcher = _Silent() if quiet else _Table(workspace, out) if out.is_terminal else _Lines(workspace, out)
    with watcher:
        if resume or path is None:
            run = workspace.run(resume)
            now = trace_again(workspace, run) if latest and not run.deployment else None
            outcome = resume_notebook(workspace, resume, tasks=again, latest=latest, now=now, kernel=kernel, cwd=cwd, observers=[watcher])
        else:
            outcome = run_notebook(
                workspace,
                path,
                params=params,
                output=output,
                kernel=kernel,
                cwd=cwd,
                fresh=fresh,
                ignore_past=ignore_past,
                observers=[watcher],
            )
    if not quiet:
        _show_end(workspace, outcome, out)
    return outcome


def run_python_with_progress(
    workspace: Workspace,
    target: Target,
    *,
    params: Mapping[str, Any],
    texts: Mapping[str, str],
    cwd: Path | None = None,
    fresh: bool = False,
    ignore_past: bool = False,
    quiet: bool = False,
) -> NotebookOutcome:
    """Run a flow of a `.py` file and show it; ends with the table of tasks."""
    out = console(stderr=quiet)
    watcher = _Silent() if quiet else _Table(workspace, out) if out.is_terminal else _Lines(workspace, out)
    with watcher:
        outcome = run_file(
            workspace, target, params=params, texts=texts, cwd=cwd, fresh=fresh, ignore_past=ignore_past, observers=[watcher]
        )
    if not quiet:
        _show_end(workspace, outcome, out)
    return outcome


def _show_end(workspace: Workspace, outcome: NotebookOutcome, out: Any) -> None:
    """The table, the tracebacks (one of a single line is a sentence that the table has said), and where the executed notebook is."""
    run_table(workspace.snapshot(outcome.run_id), workspace.clock.now())
    for traceback in map(Text.from_ansi, outcome.tracebacks):
        if "\n" in traceback.plain.strip():
            out.print(traceback, soft_wrap=True)
    if outcome.output is not None:
        out.print(f"executed notebook: {outcome.output}", soft_wrap=True)


class _Silent:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def changed(self, changes: Sequence[Change]) -> None:
        """Nobody watches."""

    def said(self, key: TaskKey, attempt: int, event: ExecutorEvent) -> None:
        """Nobody watches."""


class _Lines(_Silent):
    """One line for each task that ended."""

    def __init__(self, workspace: Workspace, out: Any) -> None:
        self._clock, self._out = workspace.clock, out

    def changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            record = change.task
            if record is not None and record.state.is_finished and record.state is not TaskState.REMOVED:
                duration = took(record.started_at, record.ended_at, self._clock.now()) if record.attempt else ""
                self._out.print(record_text(record), Text(str(record.key)), duration, Text(record.reason), soft_wrap=True)


class _Table(_Silent):
    """The table itself, redrawn eight times a second."""

    def __init__(self, workspace: Workspace, out: Any) -> None:
        self._clock = workspace.clock
        self._records: dict[TaskKey, TaskRecord] = {}
        self._run: RunRecord | None = None
        self._live = Live(get_renderable=self._draw, console=out, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.task is not None:
                self._records[change.task.key] = change.task
            if change.run is not None:
                self._run = change.run
        self._records = in_place(self._records.values())

    def _draw(self) -> Group | Text:
        if self._run is None:
            return Text("starting the kernel and the cluster ...", style="dim")
        return Group(task_table(list(self._records.values()), self._clock.now()))
