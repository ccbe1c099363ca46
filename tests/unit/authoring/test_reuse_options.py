# SPDX-License-Identifier: BSD-3-Clause
"""`--cache`, `--cache-for`, `--no-cache`, `--unless-exists`: on a line, in the header, in Python, and what is wrong with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from nbflow.authoring.python_options import read_task_options
from nbflow.core.cache_key import is_cached
from nbflow.core.errors import UserError

from .notebooks import errors, flow, warnings

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("header", "line", "cached"),
    [
        ("", "", False),
        ("", "--cache", True),
        ("", "--cache-for 1d", True),
        ("cache = true", "", True),
        ('cache_for = "1d"', "", True),
        ('cache_for = "1d"', "--no-cache", False),
        ("cache = true", "--no-cache", False),
        ("cache = true", "--cache-for 1d", True),
        ('cache_for = "1d"\n[groups.g]\ncache = false', "", False),
    ],
)
def test_the_nearest_that_says_anything_counts(header: str, line: str, cached: bool) -> None:  # noqa: FBT001 - a row
    made = flow(f"%%flow f\n[defaults]\n{header}", f"%%task g.t {line}\nx = 1", "%nbflow run")
    assert is_cached(made.task("g.t").options) is cached


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({"cache": True}, {"cache": True}),
        ({"cache_for": "1d"}, {"cache_for": DAY}),
        ({"cache_for": DAY}, {"cache_for": DAY}),
        ({"cache": False}, {"cache": False, "cache_for": None}),
        ({"unless_exists": "s3://b/{{ ds }}"}, {"unless_exists": "s3://b/{{ ds }}"}),
    ],
)
def test_in_python(given: dict[str, Any], chosen: dict[str, Any]) -> None:
    assert read_task_options(given, "t") == chosen


def test_how_old_takes_a_duration() -> None:
    with pytest.raises(UserError, match='cache_for cannot be "soon": it takes a duration'):
        read_task_options({"cache_for": "soon"}, "t")
    (mistake,) = errors("%%task t --cache-for soon\nx = 1", "%nbflow run")
    assert mistake.startswith('cell 1, line 1: --cache-for cannot be "soon": it takes a duration such as 30s')


def test_a_sensor_has_nothing_to_cache() -> None:
    (mistake,) = errors("%%task t --as sensor --cache\nTrue", "%nbflow run")
    assert mistake == "cell 1, line 1: --cache is for tasks that give something, not for --as sensor: leave one of both out."


def test_names_in_the_url_are_read_like_those_in_the_body() -> None:
    made = flow("folder = '/tmp'", "%%task a\nn = 1", "%%task b --unless-exists '{{ folder }}/{{ n }}/{{ ds }}'\nprint(1)", "%nbflow run")
    reads = {read.name: (read.writers, read.plain) for read in made.task("b").reads}
    assert reads == {"folder": ((), True), "n": (("a",), False)}


def test_whoever_reads_what_a_task_may_not_give_is_warned() -> None:
    (warning,) = warnings("%%task a --unless-exists out.csv\nrows = 1", "%%task b\nprint(rows)", "%nbflow run")
    assert warning == (
        "cell 1, line 1: Task a does not run when out.csv exists, and then cells below do not get `rows`: let them read what exists."
    )
