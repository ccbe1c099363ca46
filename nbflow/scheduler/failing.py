# SPDX-License-Identifier: BSD-3-Clause
"""A flow that fails again and again pauses itself (semantics.md 2, rule 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from nbflow.core.deployments import AuditEntry, Deployment, DeploymentStore
from nbflow.core.states import RunState


def pause_if_failing(deployments: DeploymentStore, name: str, limit: int, now: datetime) -> bool:
    """Pause the flow when its newest `limit` runs (since somebody unpaused it) all failed; whether it did. 0: never. Backfills do not count."""
    if not limit:
        return False
    ended = deployments.ended(name, limit, backfills=False)
    if len(ended) < limit or any(run.state is not RunState.FAILED for run in ended):
        return False
    since = deployments.get(name).counted_from
    if since is not None and any(run.created_at < since for run in ended):
        return False
    why = f"Paused: its last {limit} runs failed." if limit > 1 else "Paused: its last run failed."
    paused = False

    def change(stored: Deployment) -> Deployment:
        nonlocal paused
        paused = not stored.paused
        if not paused:
            return stored
        return replace(stored, paused=True, pause_reason=why, paused_by=ended[0].run_id, paused_at=now, next_run=None)

    deployments.change(name, change)
    if paused:
        deployments.note(AuditEntry(at=now, by="nbflow", what="pause", about=name, detail=why))
    return paused
