# SPDX-License-Identifier: BSD-3-Clause
"""One driver in a process of its own: a run whose tasks all want the pool `p`. `python -m tests.integration.pool_driver URL FOLDER NAME TASKS`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from nbflow.app import Rooms, SystemClock, Workspace
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import AttemptBegan, CaptureSet, Job, Outcome, Report
from nbflow.core.model import Flow, Task
from nbflow.core.options import TaskOptions
from nbflow.executors.inline import InlineExecutor
from nbflow.settings import Settings
from nbflow.store.artifacts import open_artifacts
from nbflow.store.opening import open_store


def run_job(job: Job, tell: object) -> Report:
    now = datetime.now(UTC)
    tell(AttemptBegan(token=job.token, at=now, worker="here"))  # type: ignore[operator]  # the executor's function
    return Report(token=job.token, outcome=Outcome.SUCCESS, started_at=now, ended_at=now)


def main(url: str, folder: str, name: str, tasks: str) -> None:
    clock = SystemClock()
    rooms = Rooms(store=open_store(url), artifacts=open_artifacts(folder), executor=InlineExecutor(run_job), clock=clock)
    workspace = Workspace(Settings(home=Path(folder)), rooms)
    wants = TaskOptions(pool="p")
    flow = Flow(name=FlowName(name), tasks=tuple(Task(id=TaskId(f"t{n}"), source="x", options=wants) for n in range(int(tasks))))
    handle = workspace.start_run(flow, CaptureSet())
    handle.wait()
    sys.stdout.write(handle.snapshot().run.state.value)
    workspace.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
