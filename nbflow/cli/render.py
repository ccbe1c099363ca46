# SPDX-License-Identifier: BSD-3-Clause
"""Tables for a terminal: plain and complete when piped, coloured and live on a screen."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nbflow.core.callbacks import CallbackRecord
from nbflow.core.durations import say_duration
from nbflow.core.job import ValueRef
from nbflow.core.messages import SUCCEEDED, plural
from nbflow.core.occasions import say_event
from nbflow.core.records import AttemptRecord, RunRecord, TaskRecord
from nbflow.core.snapshot import RunSnapshot
from nbflow.core.states import RunState, TaskState
from nbflow.views.glyphs import record_view, state_view

#: Of what started a run, the newest.
_EVENTS_SHOWN = 5


def console(*, stderr: bool = False) -> Console:
    """Where tables go; without a screen, lines are never wrapped or cut."""
    out = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not out.is_terminal:
        out = Console(stderr=stderr, highlight=False, width=200)
    return out


def state_text(state: TaskState | RunState, word: str = "") -> Text:
    """Glyph and word of a state, in its colour on a terminal that has one."""
    view = state_view(TaskState(state.value))
    return Text.assemble((f"{view.glyph} ", view.colour), word or view.word)


def record_text(record: TaskRecord) -> Text:
    """Glyph and word of a task instance: a success that did not run is called what it is."""
    view = record_view(record)
    return Text.assemble((f"{view.glyph} ", view.colour), view.word)


def took(start: datetime | None, end: datetime | None, now: datetime) -> str:
    """`12.4 s`, or nothing when it has not started."""
    return "" if start is None else say_duration(((end or now) - start).total_seconds())


def run_table(snapshot: RunSnapshot, now: datetime) -> None:
    """The tasks of a run, and the sentence it ends with."""
    out = console()
    out.print(task_table(snapshot.tasks.values(), now))
    run = snapshot.run
    out.print(f"run {run.run_id}", style="dim", soft_wrap=True)
    for event in run.events[-_EVENTS_SHOWN:]:
        out.print(Text(f"started because {say_event(event)}"), style="dim", soft_wrap=True)
    if len(run.events) > _EVENTS_SHOWN:
        out.print(f"and by {plural(len(run.events) - _EVENTS_SHOWN, 'event')} before", style="dim", soft_wrap=True)
    out.print(state_text(run.state), snapshot.sentence(now), soft_wrap=True)


def failed_callbacks(called: Iterable[CallbackRecord]) -> None:
    """What a run's callbacks could not do: its state does not depend on them, so nothing else shows it."""
    for one in called:
        if one.state == "failed":
            console().print(Text(f"Callback {one.name}, {one.about}, failed: {one.reason}"), soft_wrap=True)


def failure_sentence(snapshot: RunSnapshot, now: datetime) -> str:
    """How a run that did not end well ended, with the reason of the first task that failed: all that a log of stderr alone shows."""
    told = snapshot.sentence(now)
    why = next((record.reason for record in snapshot.tasks.values() if record.state is TaskState.FAILED), "")
    return told if why in told else f"{told} {why}"


def task_table(records: Iterable[TaskRecord], now: datetime) -> Table:
    """One row for each task instance: state, task, attempts, duration, reason."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("task", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("attempt", justify="right")
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for record in records:
        reason = "" if record.reason == SUCCEEDED else record.reason
        table.add_row(
            Text(str(record.key)),
            record_text(record),
            str(record.attempt or ""),
            took(record.started_at, record.ended_at, now) if record.attempt else "",
            Text(reason),
        )
    return table


def runs_table(runs: Sequence[RunRecord], now: datetime, *, more: bool) -> None:
    """The newest runs, one a row."""
    out = console()
    if not runs:
        out.print("No runs yet. Type nbflow run NOTEBOOK, or nbflow demo.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in ("run", "flow", "state", "began", "took"):
        table.add_column(name, no_wrap=True, justify="right" if name == "took" else "left")
    for run in runs:
        began = (run.started_at or run.created_at).astimezone().strftime("%a %d %b %H:%M:%S")
        table.add_row(run.run_id, run.flow, state_text(run.state), began, took(run.started_at, run.ended_at, now))
    out.print(table)
    if more:
        out.print("There are more: raise --limit, or use --json for the cursor.", style="dim")


def plain_table(titles: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Sequence[str] = (), empty: str = "") -> None:
    """Rows as they are, the last column folded; `empty` where there are none."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", no_wrap=title != titles[-1], overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    console().print(empty if empty and not table.row_count else table)


def attempts_table(attempts: Sequence[AttemptRecord]) -> None:
    """How each attempt went, the oldest first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in ("task", "attempt", "outcome", "started", "took", "worker"):
        table.add_column(title, no_wrap=True)
    table.add_column("why", overflow="fold")
    for one in attempts:
        started = f"{one.started_at.astimezone():%a %d %b %H:%M:%S}" if one.started_at else ""
        lasted = took(one.started_at, one.ended_at, one.ended_at) if one.ended_at else ""
        table.add_row(Text(str(one.key)), str(one.attempt), one.outcome, started, lasted, Text(one.worker), Text(one.reason))
    console().print(table if attempts else "No attempt has ended yet.")


def values_table(given: Mapping[str, ValueRef]) -> None:
    """What a task gave, or was given."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("bytes", justify="right")
    table.add_column("format")
    for name, ref in given.items():
        table.add_row(Text(name), Text(ref.shown), f"{ref.size:,}", ref.format)
    console().print(table if given else "Nothing.")


def outputs(items: Iterable[Mapping[str, Any]], *, title: str = "") -> None:
    """Outputs of a task as a terminal can show them: streams as they are, tracebacks with their colours, the rest by its text."""
    out = sys.stdout
    if title:
        out.write(f"--- {title} ---\n")
    coloured = out.isatty()
    for item in items:
        text = plain_text(item)
        if text:
            shown = text if coloured else Text.from_ansi(text).plain if "\x1b" in text else text
            out.write(shown if shown.endswith("\n") else shown + "\n")


def plain_text(output: Mapping[str, Any]) -> str:
    """An nbformat output as text."""
    match output.get("output_type"):
        case "stream":
            return "".join(output["text"])
        case "error":
            return "\n".join(output["traceback"])
        case "display_data" | "execute_result":
            data = output.get("data", {})
            return "".join(data.get("text/plain", f"[{', '.join(data)}]"))
    return ""
