# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow schedule preview`, as typed."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from nbflow.cli.main import cli


def preview(*words: str) -> Result:
    return CliRunner().invoke(cli, ["schedule", "preview", *words])


def test_the_next_runs_in_words_in_local_time_and_in_utc() -> None:
    shown = preview("0 2 * * *", "--timezone", "Europe/Zurich", "--start", "2026-03-28", "-n", "3").output
    assert shown.startswith("Every day at 02:00, Europe/Zurich.\n")
    assert "Sat 28 Mar 2026  02:00 CET    2026-03-28 01:00" in shown
    assert "Sun 29 Mar 2026  03:00 CEST   2026-03-29 01:00    24 h   Clocks jump from 02:00 to 03:00 at this moment." in shown
    assert "Mon 30 Mar 2026  02:00 CEST   2026-03-30 00:00    23 h" in shown


def test_json_for_other_programs() -> None:
    words = ("@daily", "--kind", "interval", "--timezone", "Europe/Zurich", "--start", "2026-03-29", "-n", "1", "--json")
    assert json.loads(preview(*words).output)["ticks"] == [
        {
            "logical_date": "2026-03-28T23:00:00+00:00",
            "run_after": "2026-03-29T22:00:00+00:00",
            "interval_start": "2026-03-28T23:00:00+00:00",
            "interval_end": "2026-03-29T22:00:00+00:00",
            "local": "2026-03-30T00:00:00+02:00",
            "note": "Clocks go forward on Sun 29 Mar, from 02:00 to 03:00.",
        }
    ]


def test_a_schedule_that_is_over_says_so() -> None:
    assert "No run comes any more." in preview("@daily", "--start", "2026-03-28T01:00", "--end", "2026-03-28T02:00").output


def test_a_mistake_is_one_sentence() -> None:
    assert str(preview("0 0 31 2 *").exception) == '"0 0 31 2 *" never comes: there is no such day in any year.'
    assert str(preview("@daily", "--timezone", "Zurich").exception).startswith('There is no time zone "Zurich".')
    assert (
        str(preview("@daily", "--start", "now").exception) == '--start must be a date such as 2026-01-01 or 2026-01-01T03:00:00, not "now".'
    )
    assert str(preview("@daily", "--start", "2026-02-01", "--end", "2026-01-01").exception).startswith("end_date (2026-01-01) is before")
