# SPDX-License-Identifier: BSD-3-Clause
"""From *may run* to *can run*: which scheduled instances are handed to the executor now (semantics.md 7)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from nbflow.core.ids import TaskKey


def grant(waiting: Sequence[TaskKey], occupying: int, *, parallelism: int, max_active_tasks: int | None = None) -> tuple[TaskKey, ...]:
    """The instances that get a slot, in the order of `waiting`.

    `occupying` counts the queued and running ones; `parallelism` is the limit of the driver, `max_active_tasks` that of the flow.
    """
    limit = parallelism if max_active_tasks is None else min(parallelism, max_active_tasks)
    return tuple(islice(waiting, max(0, limit - occupying)))
