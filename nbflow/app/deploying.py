# SPDX-License-Identifier: BSD-3-Clause
"""Deploying: a version of a notebook or Python flow is stored with its graph and the modules it imports, and scheduled: use cases of the hall."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nbflow.app.arriving import named_assets, refuse_itself
from nbflow.app.housekeeping import delete_run
from nbflow.app.limits import refuse
from nbflow.app.notifying import refuse_notices
from nbflow.app.reading import Read, read_flow, read_flows, refuse_missing, with_parameters
from nbflow.app.rooms import own_cluster, person
from nbflow.authoring.moving_dates import refuse_other_dates
from nbflow.core.deployments import AuditEntry, DeployedVersion, Deployment
from nbflow.core.errors import UserError
from nbflow.core.ids import FlowName, TaskKey, flow_name
from nbflow.core.model import Flow
from nbflow.core.parameters import check_parameters
from nbflow.core.planning import EVENTS, asked_run, rescheduled
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.schedule import Schedule

if TYPE_CHECKING:
    from nbflow.app.workspace import Workspace

#: Seconds git may take to say where a file stands.
_GIT_PATIENCE: Final = 10.0
_LONGEST_KEY: Final = 250


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What came of a deployment."""

    deployment: Deployment
    schedule: Schedule
    #: There was nothing of that name before.
    is_new: bool
    #: The version differs from the one before.
    is_changed: bool


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How a flow is to be deployed."""

    #: "": the name it has.
    name: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    #: Keys of its schedule; None takes one back.
    said: Mapping[str, Any] = field(default_factory=dict)
    #: Whatever has the name is replaced.
    replaces: bool = False
    by: str = ""
    source: str = "command"
    signature: str = ""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A deployment that can be made: all that could be wrong with it was looked at."""

    read: Read
    before: Deployment | None
    #: The deployment but for its version.
    made: Deployment
    schedule: Schedule


def deploy(
    workspace: Workspace,
    path: Path | str,
    *,
    name: str = "",
    params: Mapping[str, Any] | None = None,
    said: Mapping[str, Any] | None = None,
    replace_other: bool = False,
    by: str = "",
    source: str = "command",
    signature: str = "",
) -> Deployed:
    """Store this version of a notebook, or of a flow of a `.py` file (`flows.py:sales`), and schedule it.

    A name that is deployed from this file gets a new version of it. `params` and `said` (keys of a schedule) hold over what the file says; what
    an earlier deployment of the name gave stays unless it is given again, and None takes a key back.
    Raises UserError, FlowError: then everything is as it was.
    """
    found = read_flow(workspace, path)
    wish = Wish(name=name, params=params or {}, said=said or {}, replaces=replace_other, by=by, source=source, signature=signature)
    return store(workspace, prepared(workspace, found, wish))


def deploy_file(workspace: Workspace, path: Path | str, wish: Wish) -> tuple[Deployed, ...]:
    """As `deploy`, of every flow of a `.py` file when the path names none of them. Raises UserError, FlowError: then everything is as it was."""
    found = read_flows(workspace, path)
    if len(found) > 1 and (wish.name or wish.params):
        file, names = Path(path).name, ", ".join(each.flow.name for each in found)
        what = "--name names one" if wish.name else "-p is for one"
        raise UserError(f"{file} defines {len(found)} flows ({names}), and {what}: write {file}:{found[0].flow.name}.")
    ready = [prepared(workspace, each, wish) for each in found]
    return tuple(store(workspace, each) for each in ready)


def prepared(workspace: Workspace, found: Read, wish: Wish) -> Prepared:
    """Raises UserError for whatever is in the way; nothing has happened then."""
    chosen = flow_name(wish.name) if wish.name else found.flow.name
    before = _deployment_or_none(workspace, chosen)
    file = found.flow.path
    if before is not None and before.version and not wish.replaces and before.path != file:
        gone = "" if Path(before.path).exists() else " (which is not there any more)"
        raise UserError(
            f'There is a flow "{chosen}" already, of {before.path}{gone}: choose another name with --name, or replace that one with --replace.'
        )
    kept = None if wish.replaces else before
    values = {**(kept.params if kept else {}), **wish.params}
    check_parameters(found.flow, values)
    if values and found.flow.entry:
        found = with_parameters(workspace, found, values)
    found = replace(found, flow=replace(found.flow, name=chosen))
    own_cluster(found.flow, workspace.settings)
    refuse(workspace.limit_problems(found.flow))
    refuse_notices(workspace, found.flow)
    said = {**(kept.said if kept else {}), **wish.said}
    said = {key: value for key, value in said.items() if value is not None}
    keys = {**workspace.settings.flow_defaults, **found.flow.options.schedule, **said}
    schedule = read_keys(workspace, keys)
    refuse_itself(chosen, schedule)
    if schedule.timetable is not None:
        refuse_missing(found.flow, values)
    elif schedule.starts:
        refuse_missing(found.flow, {EVENTS: [], **values})
    if kept is not None and kept.version:
        _refuse_moved_dates(workspace, found, kept)
    commit, is_dirty = git_state(Path(file).parent, [Path(file), *(found.root / name for name in found.files)])
    now = workspace.clock.now()
    made = Deployment(
        name=chosen,
        path=file,
        params=values,
        said=said,
        schedule=keys,
        deployed_at=now,
        by=wish.by or person(),
        source=wish.source,
        signature=wish.signature,
        commit=commit,
        is_dirty=is_dirty,
        since=now,
        outlets=named_assets(task.options.outlets for task in found.flow.tasks),
        inlets=named_assets(task.options.inlets for task in found.flow.tasks),
    )
    return Prepared(read=found, before=before, made=made, schedule=schedule)


def _refuse_moved_dates(workspace: Workspace, found: Read, before: Deployment) -> None:
    """The very same file says other dates than when it was read before: they were computed. Raises UserError."""
    stored = workspace.store.flow(before.version)
    if stored.entry != found.flow.entry or not found.flow.entry:
        return  # TOML cannot compute
    if workspace.store.source(before.version) == found.source and workspace.store.files(before.version) == found.files:
        refuse_other_dates(stored, found.flow.options.schedule)


def store(workspace: Workspace, ready: Prepared) -> Deployed:
    """Store the version and schedule it."""
    before, made = ready.before, ready.made
    version = workspace.store.save_flow(ready.read.flow, source=ready.read.source, files=ready.read.files)
    is_changed = before is None or before.version != version
    made = replace(made, version=version, number=(before.number if before else 0) + is_changed)
    deployment = _write(workspace, made, ready.schedule, before)
    if is_changed:
        workspace.store.deployments.add_version(
            DeployedVersion(
                name=made.name,
                number=deployment.number,
                version=version,
                path=made.path,
                deployed_at=made.deployed_at,
                by=made.by,
                commit=made.commit,
                is_dirty=made.is_dirty,
            )
        )
    note(workspace, "deploy", made.name, f"version {deployment.number}", by=made.by)
    return Deployed(deployment=deployment, schedule=ready.schedule, is_new=before is None, is_changed=is_changed)


def _write(workspace: Workspace, made: Deployment, schedule: Schedule, before: Deployment | None) -> Deployment:
    """Keeps, of the deployment before, what has run, and that it is paused; a schedule that is another one begins now."""
    now = made.deployed_at
    if before is None:
        workspace.store.deployments.create(rescheduled(made, schedule, now))
        return workspace.store.deployments.get(made.name)

    def change(stored: Deployment) -> Deployment:
        same = stored.schedule == made.schedule
        kept = replace(
            made,
            paused=stored.paused,
            pause_reason=stored.pause_reason,
            since=stored.since if same else now,
            last_start=stored.last_start,
            last_end=stored.last_end,
            counted_from=stored.counted_from,
        )
        return rescheduled(kept, schedule, now)

    return workspace.store.deployments.change(made.name, change)


def git_state(folder: Path, files: Sequence[Path]) -> tuple[str, bool]:
    """The commit the folder is at and whether one of the files differs from it; "" where there is no git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return "", False
    return commit, bool(_git(folder, "status", "--porcelain", "--", *map(str, files)))


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - words of our own and file names behind `--`
            ["git", "-C", str(folder), *words],  # noqa: S607 - the person's own git
            capture_output=True,
            text=True,
            timeout=_GIT_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def read_keys(workspace: Workspace, keys: Mapping[str, Any]) -> Schedule:
    """The schedule that these keys say. Raises UserError."""
    from nbflow.authoring.schedules import read_schedule  # noqa: PLC0415 - croniter is loaded when a schedule is read

    return read_schedule(keys, workspace.settings.timezone)


# --- what is deployed ---------------------------------------------------------------------------------------------------


def undeploy(workspace: Workspace, name: str, by: str = "") -> None:
    """It runs no more, and a backfill of it is cancelled; its history stays. Raises UserError."""
    from nbflow.app.backfilling import cancel_of  # noqa: PLC0415 - which needs this module

    workspace.store.deployments.delete(name)
    note(workspace, "undeploy", name, by=by)
    cancel_of(workspace, name, by)


def delete_flow(workspace: Workspace, name: str, by: str = "") -> int:
    """Undeploy it and delete its runs and backfills; returns how many runs. Raises UserError when one of them has not ended."""
    from nbflow.app.backfilling import find  # noqa: PLC0415 - which needs this module

    deployments = workspace.store.deployments
    deployments.get(name)
    for stands in find(workspace, name, limit=1):
        if stands.backfill.ended_at is None:
            id = stands.backfill.id
            raise UserError(f"Flow {name} has a backfill that has not ended: cancel it first (nbflow backfill cancel {id}).")
    active = deployments.active(name)
    if active:
        raise UserError(f"Flow {name} has runs that have not ended, such as {active[0].run_id}: cancel them first (nbflow runs cancel).")
    undeploy(workspace, name, by)
    count = 0
    while ended := deployments.ended(name, 100):
        for run in ended:
            delete_run(workspace, run.run_id)
        count += len(ended)
    workspace.store.backfills.delete_of(name)
    return count


def pause(workspace: Workspace, name: str, reason: str = "", by: str = "") -> Deployment:
    """Nothing of it starts until it is unpaused; what runs goes on. Raises UserError."""
    who = by or person()
    changed = workspace.store.deployments.change(
        name, lambda stored: replace(stored, paused=True, pause_reason=reason or f"Paused by {who}.", next_run=None)
    )
    note(workspace, "pause", name, reason, by=who)
    return changed


def unpause(workspace: Workspace, name: str, by: str = "") -> Deployment:
    """It goes on; what was missed meanwhile is caught up as `catchup` says. Failed runs are counted afresh. Raises UserError."""
    now = workspace.clock.now()

    def change(stored: Deployment) -> Deployment:
        resumed = replace(stored, paused=False, pause_reason="", counted_from=now)
        return rescheduled(resumed, read_keys(workspace, stored.schedule), now)

    changed = workspace.store.deployments.change(name, change)
    note(workspace, "unpause", name, by=by)
    return changed


def reschedule(workspace: Workspace, name: str, said: Mapping[str, Any], by: str = "") -> Deployed:
    """Give a deployed version other keys of its schedule; None takes one back. Raises UserError, then everything is as it was."""
    now = workspace.clock.now()
    before = workspace.store.deployments.get(name)
    kept = {key: value for key, value in {**before.said, **said}.items() if value is not None}
    header = workspace.store.flow(before.version).options.schedule if before.version else {}
    keys = {**workspace.settings.flow_defaults, **header, **kept}
    if said.get("schedule", "") is None:
        keys.pop("schedule", None)
        kept["schedule"] = []
    schedule = read_keys(workspace, keys)
    refuse_itself(before.name, schedule)
    changed = workspace.store.deployments.change(
        name, lambda stored: rescheduled(replace(stored, said=kept, schedule=keys, since=now), schedule, now)
    )
    note(workspace, "schedule", name, json.dumps(dict(said)), by=by)
    return Deployed(deployment=changed, schedule=schedule, is_new=False, is_changed=False)


def trigger(
    workspace: Workspace,
    name: str,
    *,
    params: Mapping[str, Any] | None = None,
    key: str = "",
    date: datetime | None = None,
    by: str = "",
) -> RunRecord:
    """Ask for a run of a deployed flow; a scheduler starts it. The same key asks for the same run again. Raises UserError: then there is none."""
    if len(key) > _LONGEST_KEY:
        raise UserError(f"The idempotency key has {len(key)} characters: {_LONGEST_KEY} are the most.")
    deployment = workspace.store.deployments.get(name)
    if not deployment.version:
        raise UserError(f"Flow {name} cannot run: {deployment.error}")
    flow = workspace.store.flow(deployment.version)
    check_parameters(flow, params or {})
    refuse_missing(flow, {**deployment.params, **(params or {})})
    schedule = read_keys(workspace, deployment.schedule)
    run = asked_run(deployment, schedule, workspace.clock.now(), params=params or {}, key=key, date=date)
    added = workspace.store.deployments.add_run(run, records_of(flow))
    note(workspace, "trigger", name, added.run_id, by=by)
    return added


def records_of(flow: Flow) -> tuple[TaskRecord, ...]:
    """The task instances of a new run."""
    return tuple(TaskRecord(key=TaskKey(task.id)) for task in flow.tasks)


def note(workspace: Workspace, what: str, about: str, detail: str = "", by: str = "") -> None:
    """An entry of the audit log."""
    workspace.store.deployments.note(AuditEntry(at=workspace.clock.now(), by=by or person(), what=what, about=about, detail=detail))


def _deployment_or_none(workspace: Workspace, name: FlowName) -> Deployment | None:
    try:
        return workspace.store.deployments.get(name)
    except UserError:
        return None
