# SPDX-License-Identifier: BSD-3-Clause
"""Sensors for flows in Python: each call is a task that ends well when what it looks for is there, and holds no worker between two looks.

    with_orders = file_sensor("/data/{{ ds }}/*.csv", task_id="wait", poke="30s", timeout="2h")
    with_orders >> load()

Options are those of `@task`. Texts are Jinja templates: `{{ ds }}`, `{{ params.day }}`. Own sensors: `@task(as_="sensor")`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from datetime import time as clock_time
from typing import Any, Unpack

from nbflow.authoring.decorators import TaskFunction
from nbflow.authoring.python_options import TaskKeywords
from nbflow.core.errors import UserError


def the_text(text: str) -> str:
    """What a sensor's operator is given."""
    return text


def file_sensor(path: str, **options: Unpack[TaskKeywords]) -> Any:
    """Waits for a file: a path, a glob, or an fsspec URL of either. Its result is the list of paths found."""
    return _sensor("file", path, "wait_for_file", options)


def http_sensor(url: str, **options: Unpack[TaskKeywords]) -> Any:
    """Waits until the URL answers; 404 means not yet, any other error fails the look. Its result is the text of the answer."""
    return _sensor("http", url, "wait_for_answer", options)


def sql_sensor(url: str = "", query: str = "", **options: Unpack[TaskKeywords]) -> Any:
    """Waits until the first value of the query's first row is neither empty, zero nor false. Its result is that value.

    `url` is SQLAlchemy's; with `conn="warehouse"` the connection says it: `sql_sensor(query="select ...", conn="warehouse")`.
    """
    return _sensor("sql", f"{url}\n{query}" if url or "conn" not in options else query, "wait_for_rows", options)


def time_sensor(at: str | datetime | clock_time, **options: Unpack[TaskKeywords]) -> Any:
    """Waits until `07:30`, `07:30 Europe/Zurich` (today, UTC where no zone is named) or an instant. Its result is that instant."""
    return _sensor("time", at.isoformat() if isinstance(at, datetime | clock_time) else at, "wait_until", options)


def run_sensor(flow: str, task: str = "", *, run: str = "", states: Iterable[str] = ("success",), **options: Unpack[TaskKeywords]) -> Any:
    """Waits for another flow's run, or for a task of it, to end in one of `states`; when it ends otherwise, the sensor fails.

    `run` is a run id, `latest`, or `same`: the run of the same logical date (the default of a scheduled run, as `latest` is of any other).
    Its result is the run's id.
    """
    words = [flow, *([f"task={task}"] if task else []), *([f"run={run}"] if run else []), f"state={','.join(states)}"]
    return _sensor("flow", " ".join(words), "wait_for_run", options)


def _sensor(operator: str, text: str, name: str, options: TaskKeywords) -> Any:
    for own in ("operator", "as_"):
        if own in options:
            raise UserError(f"{name}: {own} is what makes it a sensor: leave it out.")
    keywords = {"task_id": name, **options}
    sensor = TaskFunction(the_text, {**keywords, "operator": operator, "as_": "sensor"}, is_named="task_id" in options)
    return sensor(text)


__all__ = ["file_sensor", "http_sensor", "run_sensor", "sql_sensor", "time_sensor"]
