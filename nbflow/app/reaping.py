# SPDX-License-Identifier: BSD-3-Clause
"""Ending the runs whose process died: by whoever opens the workspace, and by drivers that wait for what those runs hold."""

from __future__ import annotations

from nbflow.app.rooms import Opened
from nbflow.core.ids import RunId
from nbflow.core.records import RunRecord
from nbflow.core.states import RunState
from nbflow.engine.owner import is_dead, me
from nbflow.engine.reaping import abandon


def reap(rooms: Opened) -> tuple[RunId, ...]:
    """End the runs whose process died, with a true reason and the way on; those of deployments are gone on with. Returns their ids."""
    store, lease_seconds = rooms.store, rooms.settings.lease
    dead = [run_id for run_id, owner in store.holders().items() if is_dead(owner)]
    reaped = []
    for run_id in dict.fromkeys([*dead, *store.lapsed_runs()]):
        if rooms.drives(run_id):
            continue  # this process slept: its driver renews the lease, or hears that somebody has taken over
        run = store.run(run_id)
        if waits_for_somebody(run):
            continue
        if run.deployment:
            continue  # a scheduler goes on with it
        if run_id not in dead and (rooms.clock.now() - run.created_at).total_seconds() < lease_seconds:
            continue  # just created: its own process is about to claim it
        holder = store.holder(run_id)
        lease = store.claim(run_id, me(), lease_seconds, holder if holder and is_dead(holder) else "")
        if lease is not None:
            abandon(store, rooms.artifacts, lease, rooms.clock.now())
            reaped.append(run_id)
    return tuple(reaped)


def waits_for_somebody(run: RunRecord) -> bool:
    """It was cleared after it had ended, and nobody has gone on with it yet."""
    return run.state is RunState.QUEUED and run.clear_number > 0
