# SPDX-License-Identifier: BSD-3-Clause
"""How things are named: flows, tasks, runs, attempts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple, NewType

from nbflow.core.errors import UserError

FlowName = NewType("FlowName", str)
TaskId = NewType("TaskId", str)
RunId = NewType("RunId", str)
#: A fresh uuid for each hand-over to the executor; only a report with the current token counts.
Token = NewType("Token", str)

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,250}")
_COPY = re.compile(r"(.+)\[(\d{1,9})\]")
_RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]{1,250}")


class TaskKey(NamedTuple):
    """A task instance within its run. `map_index` is -1 for a task that is not mapped."""

    task_id: TaskId
    map_index: int = -1

    def __str__(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


def task_key(text: str) -> TaskKey:
    """What a person writes for a task instance: `score`, or `score[3]` for one copy of a mapped task. A mapped task's name means all of it."""
    found = _COPY.fullmatch(text)
    return TaskKey(TaskId(found[1]), int(found[2])) if found else TaskKey(TaskId(text))


def flow_name(text: str) -> FlowName:
    """`text` as a flow name. Raises UserError when a character is not allowed."""
    if not _NAME.fullmatch(text):
        raise UserError(f'"{text}" cannot be a flow name: use 1 to 250 letters, digits, "_", "." or "-".')
    return FlowName(text)


def task_id(text: str) -> TaskId:
    """`text` as a task id; a dot separates groups. Raises UserError when a character is not allowed."""
    if not _NAME.fullmatch(text) or any(not part for part in text.split(".")):
        raise UserError(f'"{text}" cannot be a task name: use letters, digits, "_" or "-", with single dots between groups.')
    return TaskId(text)


def run_id(text: str) -> RunId:
    """`text` as a run id (no slash: it becomes a folder name). Raises UserError when a character is not allowed."""
    if not _RUN_ID.fullmatch(text) or text in {".", ".."}:
        raise UserError(f'"{text}" cannot be a run id: use 1 to 250 letters, digits or any of "_ . ~ : + -".')
    return RunId(text)


def manual_run_id(now: datetime) -> RunId:
    """`manual__<instant>` with microseconds, so that two runs started by hand differ."""
    return RunId("manual__" + now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def slug(text: str) -> FlowName:
    """A file's stem as a flow name: every run of other characters becomes one underscore."""
    return FlowName(re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.")[:250] or "flow")
