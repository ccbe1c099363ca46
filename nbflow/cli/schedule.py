# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow schedule preview`: what a schedule means, before anything is deployed."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.common import as_json, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbflow.core.schedule import Schedule
    from nbflow.core.timetable import PlannedRun


@click.group()
def schedule() -> None:
    """When flows run: preview."""


@schedule.command("preview")
@click.argument("crons", nargs=-1, required=True, metavar="SCHEDULE...")
@click.option("--timezone", default="", metavar="TZ", help="Such as Europe/Zurich (default: the setting timezone).")
@click.option("--start", default="", metavar="T", help="From when on (default: now); without an offset it is local time.")
@click.option("--end", default="", metavar="T", help="Until when.")
@click.option("--kind", default="tick", type=click.Choice(["tick", "interval"]), help="A run at each point, or after each stretch.")
@click.option("-n", "--number", default=10, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@as_json
def preview(  # noqa: PLR0917 - click passes options by name
    crons: tuple[str, ...],
    timezone: str,
    start: str,
    end: str,
    kind: str,
    number: int,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """The next runs of a schedule in plain words, in local time and in UTC, clock changes marked.

    SCHEDULE is a cron of 5 or 6 fields (seconds first), @daily, "every 15m", @once; several crons may be given.
    """
    from nbflow.app import SystemClock  # noqa: PLC0415 - main.py says why
    from nbflow.authoring.schedules import read_instant, read_schedule, read_zone  # noqa: PLC0415
    from nbflow.settings import load_settings  # noqa: PLC0415
    from nbflow.views.schedule_words import say_schedule, say_ticks  # noqa: PLC0415

    zone_name = timezone or load_settings().timezone
    begins = read_instant(start, read_zone(zone_name), "--start") if start else SystemClock().now()
    read = {"schedule": list(crons), "timezone": zone_name, "schedule_kind": kind, "start_date": start, "end_date": end}
    understood = read_schedule(read)
    runs = list(islice(understood.coming(begins), number))
    notes = say_ticks(understood, begins, [run.run_after for run in runs])
    if as_json:
        ticks = [_tick(understood, run, note) for run, note in zip(runs, notes, strict=True)]
        print_json({"schedule": list(crons), "timezone": zone_name, "words": say_schedule(understood), "ticks": ticks})
    else:
        _show(understood, runs, notes)


def _tick(schedule: Schedule, run: PlannedRun, note: str) -> dict[str, Any]:
    return {
        "logical_date": run.logical_date.isoformat(),
        "run_after": run.run_after.isoformat(),
        "interval_start": run.interval.start.isoformat(),
        "interval_end": run.interval.end.isoformat(),
        "local": run.run_after.astimezone(schedule.zone).isoformat(),
        "note": note,
    }


def _show(schedule: Schedule, runs: Sequence[PlannedRun], notes: Sequence[str]) -> None:
    from rich import box  # noqa: PLC0415 - main.py says why
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from nbflow.cli.render import console  # noqa: PLC0415
    from nbflow.core.schedule import ScheduleKind  # noqa: PLC0415
    from nbflow.views.schedule_words import say_schedule  # noqa: PLC0415

    out = console()
    out.print(Text(say_schedule(schedule)))
    if not runs:
        out.print("No run comes any more.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    is_interval = schedule.kind is ScheduleKind.INTERVAL
    for name in ("", "local time", "UTC", "since", *(["about"] if is_interval else []), ""):
        table.add_column(name, no_wrap=name != "", justify="right" if name == "since" else "left")
    before: datetime | None = None
    for number, (run, note) in enumerate(zip(runs, notes, strict=True), start=1):
        local = run.run_after.astimezone(schedule.zone)
        since = _hours((run.run_after - before).total_seconds()) if before is not None else ""
        about = [f"{run.interval.start.astimezone(schedule.zone):%a %d %b %H:%M} on"] if is_interval else []
        seconds = ":%S" if run.run_after.second else ""
        table.add_row(
            str(number),
            local.strftime(f"%a %d %b %Y  %H:%M{seconds} %Z"),
            run.run_after.astimezone(UTC).strftime(f"%Y-%m-%d %H:%M{seconds}"),
            since,
            *about,
            Text(note),
        )
        before = run.run_after
    out.print(table)


def _hours(seconds: float) -> str:
    """`24 h`, `1 h 30 m`, `7 d 01 h`, `20 s`: exactly, unlike durations of runs. Days only where they are many, since one has 23 to 25 hours."""
    hours, rest = divmod(round(seconds), 3_600)
    days, hours = divmod(hours, 24) if hours >= 48 else (0, hours)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (rest // 60, "m"), (rest % 60, "s")) if count]
    return " ".join(parts) or "0 s"
