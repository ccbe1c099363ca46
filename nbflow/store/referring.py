# SPDX-License-Identifier: BSD-3-Clause
"""What a deployment has to do with: assets, files, other flows. Both stores ask it; neither needs a database library for that."""

from __future__ import annotations

from nbflow.core.deployments import Deployment
from nbflow.core.occasions import read_starts

#: A role and what has it.
Reference = tuple[str, str]


def references(deployment: Deployment | None) -> frozenset[Reference]:
    """Everything it starts by, updates and reads."""
    if deployment is None:
        return frozenset()
    starts = [(kind.value, subject) for kind, subject in read_starts(deployment.schedule).subjects()]
    of_tasks = [*(("outlet", name) for name in deployment.outlets), *(("inlet", name) for name in deployment.inlets)]
    return frozenset([*starts, *of_tasks])


def is_same(before: Deployment | None, after: Deployment | None) -> bool:
    """Whether nothing changes for what it waits for, updates and reads: not even how."""
    if before is None or after is None:
        return not references(before or after)
    said = [(each.schedule.get("on"), each.schedule.get("assets"), each.outlets, each.inlets) for each in (before, after)]
    return said[0] == said[1]
