# SPDX-License-Identifier: BSD-3-Clause
"""Deploying: a version of a notebook is stored with its graph and the modules it imports, and scheduled. Everything here is a use case of the hall."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nbflow.app.limits import refuse
from nbflow.app.rooms import own_cluster, person
from nbflow.core.deployments import AuditEntry, DeployedVersion, Deployment
from nbflow.core.errors import UserError
from nbflow.core.ids import FlowName, TaskId, TaskKey, flow_name, slug
from nbflow.core.model import Flow, Task
from nbflow.core.parameters import check_parameters
from nbflow.core.planning import asked_run, rescheduled
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.schedule import Schedule
from nbflow.operators.notebook_marks import says_nbflow

if TYPE_CHECKING:
    from nbflow.app.workspace import Workspace
    from nbflow.authoring.notebook_file import NotebookFile

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
class Read:
    """A notebook, as it would be stored."""

    flow: Flow
    source: bytes
    files: Mapping[str, bytes]


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
    """Store this version of the notebook and schedule it. A name that is deployed from this file gets a new version of it.

    `params` and `said` (keys of a schedule) hold over what the notebook says; what an earlier deployment of the name gave stays unless it is
    given again, and None takes a key back. Raises UserError, FlowError: then everything is as it was.
    """
    file = Path(path).resolve()
    found = read_flow(file)
    chosen = flow_name(name) if name else found.flow.name
    before = _deployment_or_none(workspace, chosen)
    if before is not None and before.version and not replace_other and Path(before.path) != file:
        raise UserError(
            f'There is a flow "{chosen}" already, of {before.path}: choose another name with --name, or replace that one with --replace.'
        )
    flow = replace(found.flow, name=chosen, path=str(file))
    values = {**(before.params if before and not replace_other else {}), **(params or {})}
    check_parameters(flow, values)
    own_cluster(flow)
    refuse(workspace.limit_problems(flow))
    kept = {**(before.said if before and not replace_other else {}), **(said or {})}
    kept = {key: value for key, value in kept.items() if value is not None}
    keys = {**workspace.settings.flow_defaults, **flow.options.schedule, **kept}
    schedule = read_keys(workspace, keys)
    commit, is_dirty = git_state(file.parent, [file, *(file.parent / name for name in found.files)])
    version = workspace.store.save_flow(flow, source=found.source, files=found.files)
    now = workspace.clock.now()
    who = by or person()
    is_changed = before is None or before.version != version
    made = Deployment(
        name=chosen,
        version=version,
        number=(before.number if before else 0) + is_changed,
        path=str(file),
        params=values,
        said=kept,
        schedule=keys,
        deployed_at=now,
        by=who,
        source=source,
        signature=signature,
        commit=commit,
        is_dirty=is_dirty,
        since=now,
    )
    deployment = _write(workspace, made, schedule, before)
    if is_changed:
        workspace.store.deployments.add_version(
            DeployedVersion(
                name=chosen,
                number=deployment.number,
                version=version,
                path=str(file),
                deployed_at=now,
                by=who,
                commit=commit,
                is_dirty=is_dirty,
            )
        )
    note(workspace, "deploy", chosen, f"version {deployment.number}", by=who)
    return Deployed(deployment=deployment, schedule=schedule, is_new=before is None, is_changed=is_changed)


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


def read_flow(path: Path) -> Read:
    """What a notebook would be stored as. One that never heard of nbflow, in any language, is one task. Raises UserError, FlowError."""
    from nbflow.authoring.flow_builder import build_flow  # noqa: PLC0415 - IPython's transformer is loaded when a file is read
    from nbflow.authoring.modules import local_modules  # noqa: PLC0415 - as above
    from nbflow.authoring.notebook_file import read_notebook, require_python  # noqa: PLC0415 - as above

    if path.suffix == ".py":
        raise UserError(
            f"{path.name} is a Python file: only notebooks can be deployed. Put the flow in a cell of a notebook, or run it there."
        )
    notebook = read_notebook(path, any_language=True)
    source = stripped(path)
    is_flow = any(cell.kind == "code" and says_nbflow(cell.source) for cell in notebook.cells)
    is_python = notebook.language.lower() in {"python", "python3", "ipython", ""}
    if is_flow:
        require_python(notebook)
    name = slug(path.stem)
    if not is_python:
        return Read(flow=_plain(Flow(name=name), notebook), source=source, files={})
    flow = build_flow(notebook.cells, name=name, path=str(path))
    files = local_modules(notebook.cells, path.parent)
    return Read(flow=flow if flow.tasks else _plain(flow, notebook), source=source, files=files)


def _plain(flow: Flow, notebook: NotebookFile) -> Flow:
    """A notebook without tasks as a flow of one."""
    cells = [[cell.kind, cell.source, list(cell.tags)] for cell in notebook.cells]
    text = json.dumps({"kernel": notebook.kernel_name, "cells": cells}, ensure_ascii=True)
    return replace(flow, tasks=(Task(id=TaskId(flow.name), operator="notebook", source=text),))


def stripped(path: Path) -> bytes:
    """The notebook without what its execution left in it."""
    document = json.loads(path.read_text(encoding="utf-8-sig"))
    for cell in document.get("cells", ()):
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    for left in ("widgets", "papermill", "nbflow"):
        document.get("metadata", {}).pop(left, None)
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


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
    """It runs no more; its history stays. Raises UserError."""
    workspace.store.deployments.delete(name)
    note(workspace, "undeploy", name, by=by)


def delete_flow(workspace: Workspace, name: str, by: str = "") -> int:
    """Undeploy it and delete its runs; returns how many. Raises UserError when one of them has not ended."""
    deployments = workspace.store.deployments
    deployments.get(name)
    active = deployments.active(name)
    if active:
        raise UserError(f"Flow {name} has runs that have not ended, such as {active[0].run_id}: cancel them first (nbflow runs cancel).")
    undeploy(workspace, name, by)
    count = 0
    while ended := deployments.ended(name, 100):
        for run in ended:
            for hash in workspace.store.delete_run(run.run_id):
                workspace.artifacts.delete(hash)
        count += len(ended)
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
