# SPDX-License-Identifier: BSD-3-Clause
"""Callables of `ctx` that say for a run whether a task depends on its past: asked once, when the run begins, and recorded with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nbflow.authoring.trace import Traced
from nbflow.core.context import Context
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId, TaskKey, manual_run_id
from nbflow.core.job import JobContext
from nbflow.core.past import answered


def ask_past(traced: Traced, params: Mapping[str, Any], logical_date: datetime) -> dict[TaskId, str]:
    """What the callables of a flow's tasks say: `no`, `wait` or `skip`, by task. Raises UserError for another answer, and what they raise."""
    found: dict[TaskId, str] = {}
    for id, body in traced.bodies.items():
        if body.asks_past is None:
            continue
        job = JobContext(
            flow=traced.flow.name,
            run_id=manual_run_id(logical_date),
            key=TaskKey(id),
            attempt=1,
            logical_date=logical_date,
            params=params,
        )
        ctx = Context()
        with ctx.during(job):
            said = body.asks_past(ctx)
        try:
            found[id] = answered(said)
        except ValueError as error:
            raise UserError(f'Task {id}: depends_on_past said {error}; it must say True, False, "wait" or "skip".') from None
    return found
