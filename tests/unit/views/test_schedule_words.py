# SPDX-License-Identifier: BSD-3-Clause
"""Schedules in plain words (ui.md, sentence 8)."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from nbflow.authoring.schedules import read_schedule
from nbflow.views.schedule_words import say_schedule, say_ticks


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 3 * * *", "Every day at 03:00, Europe/Zurich."),
        ("@daily", "Every day at 00:00, Europe/Zurich."),
        ("@hourly", "Every hour at :00, Europe/Zurich."),
        ("30 8,18 * * *", "Every day at 08:30 and 18:30, Europe/Zurich."),
        ("0 9 * * mon-fri", "Every weekday at 09:00, Europe/Zurich."),
        ("0 9 * * 1,3", "Every Monday and Wednesday at 09:00, Europe/Zurich."),
        ("*/15 * * * *", "Every 15 minutes, Europe/Zurich."),
        ("*/15 * * * 0", "Every 15 minutes, every Sunday, Europe/Zurich."),
        ("* * * * *", "Every minute, Europe/Zurich."),
        ("*/10 * * * * *", "Every 10 seconds, Europe/Zurich."),
        ("30 0 3 * * *", "Every day at 03:00:30, Europe/Zurich."),
        ("15 */2 * * *", "Every 2 hours at :15, Europe/Zurich."),
        ("*/30 1-3 * * *", "Every day at 6 times from 01:00 to 03:30, Europe/Zurich."),
        ("0 0 1 * *", "On day 1 of every month at 00:00, Europe/Zurich."),
        ("0 0 1,15 */6 *", "On days 1 and 15 in January and July at 00:00, Europe/Zurich."),
        ("0 0 L * *", "On the last day of every month at 00:00, Europe/Zurich."),
        ("0 0 L feb *", "On the last day of the month in February at 00:00, Europe/Zurich."),
        ("0 0 * * fri#2", "On the second Friday of the month at 00:00, Europe/Zurich."),
        ("0 0 * * L5", "On the last Friday of the month at 00:00, Europe/Zurich."),
        ("0 0 13 * 5", "On day 13 of every month and every Friday at 00:00, Europe/Zurich."),
        ("0 0 15W * *", 'As the cron "0 0 15W * *" says, Europe/Zurich.'),
        (["0 9 * * 1-5", "0 12 * * *"], "Every weekday at 09:00; every day at 12:00, Europe/Zurich."),
        ("every 15m", "Every 15 minutes."),
        ("every 1h30m", "Every 1h30m."),
        ("every 2 months", "Every 2 months."),
        ("every day", "Every day."),
        ("@once", "Once."),
        ("@continuous", "Again as soon as it has ended."),
        ([], "Only when it is started."),
    ],
)
def test_words(text: object, words: str) -> None:
    assert say_schedule(read_schedule({"schedule": text, "timezone": "Europe/Zurich"})) == words


@pytest.mark.parametrize(
    ("cron", "start", "notes"),
    [
        ("0 2 * * *", "2026-03-28", ["", "Clocks jump from 02:00 to 03:00 at this moment.", ""]),
        ("30 * * * *", "2026-10-25T00:00", ["", "Clocks go back on Sun 25 Oct, from 03:00 to 02:00.", ""]),
        ("0 12 * * *", "2026-03-28T13:00", ["Clocks go forward on Sun 29 Mar, from 02:00 to 03:00.", "", ""]),
    ],
)
def test_clock_changes_are_marked(cron: str, start: str, notes: list[str]) -> None:
    schedule = read_schedule({"schedule": cron, "timezone": "Europe/Zurich"})
    since = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert say_ticks(schedule, since, [run.run_after for run in islice(schedule.coming(since), 3)]) == notes
