# SPDX-License-Identifier: BSD-3-Clause
"""A run of a deployment goes on with the newest deployed version, because a person asks: what has run well stays as it ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nbflow.app import Workspace
from nbflow.app.rooms import person
from nbflow.core.deployments import Deployment
from nbflow.core.errors import UserError, nearest
from nbflow.core.events import ClearRequested
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskKey, task_key
from nbflow.core.machine import RunMachine
from nbflow.core.model import Flow
from nbflow.core.records import Lease, RunRecord
from nbflow.core.renewing import Renewed, renewed
from nbflow.core.states import TaskState
from nbflow.engine.captures import HandedOver
from nbflow.engine.owner import is_dead, me
from nbflow.engine.resume import GoingOn
from nbflow.headless.python_flow import traced_version


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """A run under the newest version: how it stands there, and what is to run."""

    flow: Flow
    stands: Renewed
    keys: tuple[TaskKey, ...]


@dataclass(frozen=True, kw_only=True)
class Cleared:
    """What is to run again, in which version."""

    deployment: Deployment
    keys: tuple[TaskKey, ...]


def clear_for_latest(workspace: Workspace, run: RunRecord, tasks: Sequence[str] = (), *, dry_run: bool = False) -> Cleared:
    """Put back what failed, or these tasks, with what depends on them; the run is then one of the newest version, and waits for who hosts it.

    Tasks that are gone from that version are removed, new ones are to run. Raises UserError: then the run is as it was.
    """
    deployment = _deployment(workspace, run)
    lease = workspace.store.claim(run.run_id, me(), workspace.settings.lease, _dead_holder(workspace, run))
    if lease is None:
        raise UserError(
            f"Run {run.run_id} goes on with its own version: wait for its end, or type nbflow runs cancel {run.run_id}, then ask again."
        )
    try:
        run = workspace.store.run(run.run_id)
        if not run.state.is_finished:
            raise UserError(f"Run {run.run_id} has not ended: cancel it first (nbflow runs cancel {run.run_id}), then ask again.")
        renewal = _renewal(workspace, run, deployment, tasks, lease)
        if not dry_run:
            _record(workspace, lease, renewal)
    finally:
        workspace.store.release(lease)
    return Cleared(deployment=deployment, keys=renewal.keys)


def _deployment(workspace: Workspace, run: RunRecord) -> Deployment:
    try:
        return workspace.store.deployments.get(run.deployment)
    except UserError:
        raise UserError(
            f"Flow {run.deployment} is not deployed any more, so there is no newest version: deploy it again, or leave out --latest."
        ) from None


def _dead_holder(workspace: Workspace, run: RunRecord) -> str:
    holder = workspace.store.holder(run.run_id)
    return holder if holder and is_dead(holder) else ""


def _renewal(workspace: Workspace, run: RunRecord, deployment: Deployment, tasks: Sequence[str], lease: Lease) -> Renewal:
    flow = workspace.store.flow(deployment.version)
    moved = replace(run, version=deployment.version, path=deployment.path)
    version = deployment.version
    if flow.entry:
        flow, version = traced_version(workspace, moved, lease)
    stands = renewed(replace(run, path=deployment.path), workspace.store.task_records(run.run_id), flow, version, workspace.clock.now())
    records = {record.key: record for record in stands.records}
    named = _named(workspace, run, deployment, flow, tasks)
    again = GoingOn(tasks=named).again(Graph.of(flow, stands.run.tasks), records)
    new = tuple(key for key, record in records.items() if record.state is TaskState.PENDING)
    if not again and not new:
        raise UserError(
            f"No task of run {run.run_id} has failed, and version {deployment.number} has no new one: name the task to run again."
        )
    return Renewal(flow=flow, stands=stands, keys=tuple(dict.fromkeys((*again, *new))))


def _named(workspace: Workspace, run: RunRecord, deployment: Deployment, flow: Flow, tasks: Sequence[str]) -> tuple[TaskKey, ...]:
    """The instances a person means. Raises UserError for one that neither the run nor the new version has, or only the run."""
    known = [task.id for task in flow.tasks]
    keys = tuple(task_key(task) for task in tasks)
    for key in keys:
        if key.task_id not in known:
            workspace.keys_of(run, [str(key)])
            hint = nearest(key.task_id, known)
            raise UserError(f"Task {key} is gone from version {deployment.number} of {deployment.name}: leave it out.{hint}")
    return keys


def _record(workspace: Workspace, lease: Lease, renewal: Renewal) -> None:
    """All of it in one commit."""
    stands, at = renewal.stands, workspace.clock.now()
    machine = RunMachine(renewal.flow, stands.run, stands.records)
    step = machine.handle(ClearRequested(keys=renewal.keys, by=person(), waits=True), at)
    handed = HandedOver.decode(workspace.store.captures(lease.run_id))
    handed.forget({key.task_id for key in renewal.keys})
    workspace.store.commit(lease, [*stands.changes, *step.changes])
    workspace.store.save_captures(lease.run_id, handed.encode(), handed.hashes())
