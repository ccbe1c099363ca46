# SPDX-License-Identifier: BSD-3-Clause
"""Hosting a run of a deployed flow of a `.py` file: its stored version is traced in a process of its own, and driven from here.

There is no executed notebook: what its tasks print and give stands in the records, as of any run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from nbflow.app import Workspace
from nbflow.app.reading import flow_in_file
from nbflow.app.tracing import FileTrace, NotWanted, trace_for_run
from nbflow.authoring.python_file import Target
from nbflow.core.errors import Superseded, UserError
from nbflow.core.model import Flow
from nbflow.core.records import Lease, RunRecord
from nbflow.engine.inbox import monotonic
from nbflow.engine.lease import LeaseKeeper
from nbflow.engine.versions import environment_of
from nbflow.headless.stored_version import lay_out

_WITHOUT_LIMIT: Final = float("inf")


def drive_python(workspace: Workspace, run: RunRecord, lease: Lease) -> None:
    """Drive the run to its end, under this lease. Raises UserError when its flow cannot be traced, Superseded when it is somebody else's meanwhile."""
    flow = workspace.flow_of(run)
    try:
        traced = _traced(workspace, run, flow, lease)
    except NotWanted:  # it was cancelled while its file was read: there is nothing to run
        workspace.take_up(lease, held=[task.id for task in flow.tasks]).wait()
        return
    as_traced = _as_deployed(traced, flow)
    begun = replace(run, params=traced.params, past=traced.past, environment=environment_of(as_traced, traced.captures))
    handle = workspace.take_up_as(lease, begun, as_traced, traced.captures)
    handle.wait()


def traced_version(workspace: Workspace, run: RunRecord, lease: Lease) -> tuple[Flow, str]:
    """The flow with the run's parameters, as the version of the run has it, and that as a version. Raises UserError."""
    flow = workspace.flow_of(run)
    known = {parameter.name for parameter in flow.parameters}
    given = replace(run, params={name: value for name, value in run.params.items() if name in known})
    found = _as_deployed(_traced(workspace, given, flow, lease), flow)
    source, files = workspace.store.source(run.version), workspace.store.files(run.version)
    return found, workspace.store.save_flow(found, source=source, files=files)


def _as_deployed(traced: FileTrace, flow: Flow) -> Flow:
    """The traced flow, by the name and at the place that it is deployed as."""
    assert traced.flow is not None
    return replace(traced.flow, name=flow.name, path=flow.path, entry=flow.entry)


def _traced(workspace: Workspace, run: RunRecord, flow: Flow, lease: Lease) -> FileTrace:
    """The flow with the run's parameters. The lease is kept meanwhile; a cancellation, and the flow's time limit, end it."""
    stored = lay_out(workspace, run)
    folder = Path(run.path).parent
    lost: list[Superseded] = []
    limit = flow.options.run_timeout
    until = monotonic() + limit.total_seconds() if limit else _WITHOUT_LIMIT

    def is_wanted() -> bool:
        if lost:
            raise lost[0]
        if limit and monotonic() > until:
            raise UserError(f"Reading {run.path} took longer than run_timeout ({limit}).")
        return not any(request.kind == "cancel" and not request.keys for request in workspace.store.requests(run.run_id))

    keeper = LeaseKeeper(workspace.store, lease, lost.append)
    keeper.start()
    try:
        return trace_for_run(
            Target(stored.file, flow_in_file(flow)),
            params=run.params,
            texts={},
            artifacts_url=workspace.settings.artifacts,
            defaults=flow.options.installation,
            logical_date=run.logical_date or run.created_at,
            cwd=folder,
            folder=str(folder),
            is_wanted=is_wanted,
        )
    finally:
        keeper.stop()
