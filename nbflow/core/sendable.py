# SPDX-License-Identifier: BSD-3-Clause
"""What cannot leave the kernel is refused before anything runs."""

from __future__ import annotations

from collections.abc import Collection

from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId
from nbflow.core.job import CaptureKind, CaptureSet
from nbflow.core.model import Flow


def refuse_unsendable(flow: Flow, captures: CaptureSet, tasks: Collection[TaskId]) -> None:
    """Raises UserError for the first plain name of these tasks that cannot travel."""
    wanted = set(tasks)
    for task in flow.tasks:
        if task.id not in wanted:
            continue
        early = captures.early.get(task.id, {})
        for read in task.reads:
            capture = early.get(read.name) or captures.names.get(read.name)
            if read.plain and not read.writers and capture is not None and capture.kind is CaptureKind.UNSENDABLE:
                raise UserError(f"Task {task.id} uses `{read.name}`, which cannot be sent to a worker: {capture.reason}")
