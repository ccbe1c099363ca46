# SPDX-License-Identifier: BSD-3-Clause
"""The smallest `run_job`: executes the source, with `print` as live output. What it runs in is under test, not the operators."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey, Token
from nbflow.core.job import AttemptBegan, ErrorInfo, ExecutorEvent, Job, JobContext, Outcome, OutputMade, Report
from nbflow.core.protocols import ArtifactStore
from nbflow.executors.sealed import seal

if TYPE_CHECKING:  # this module is loaded in children, too
    from nbflow.executors.pool import ChildPool

NAME = "tests.unit.executors.runner:run_kept"


def job(source: str, *, token: str = "t", **facts) -> Job:
    context = JobContext(flow=FlowName("f"), run_id=RunId("r"), key=TaskKey(TaskId("task")), attempt=1)
    return Job(**{"token": Token(token), "context": context, "operator": "python", "source": source, **facts})


def run_in(pool: ChildPool, job: Job, tell: Callable[[ExecutorEvent], None] = lambda _: None) -> Report | None:
    """Run the job in a child of the pool; what came of it, opened."""
    report = pool.run(seal(job), tell)
    return None if report is None else report.open()


def run_kept(job: Job, artifacts: ArtifactStore | None, tell: Callable[[ExecutorEvent], None], *, worker: str = "") -> tuple[Report, bytes]:
    """What a child is to call."""
    report = run_job(job, artifacts, tell, worker=worker)
    return report, pickle.dumps(report)


def run_job(job: Job, artifacts: ArtifactStore | None, tell: Callable[[ExecutorEvent], None], *, worker: str = "") -> Report:
    began = datetime.now(UTC)
    tell(AttemptBegan(token=job.token, at=began, worker=worker))

    def say(*words: object) -> None:
        tell(OutputMade(token=job.token, output={"output_type": "stream", "name": "stdout", "text": " ".join(map(str, words)) + "\n"}))

    namespace: dict[str, object] = {"print": say, "tell": tell}
    outcome, error = Outcome.SUCCESS, None
    try:
        exec(job.source, namespace)
    except BaseException as problem:  # noqa: BLE001 - user code
        outcome = Outcome.FAILED
        error = ErrorInfo(ename=type(problem).__name__, evalue=str(problem), traceback=tuple(traceback.format_exception(problem)))
    return Report(
        token=job.token,
        outcome=outcome,
        worker=worker,
        started_at=began,
        ended_at=datetime.now(UTC),
        error=error,
        decision=namespace.get("answer"),
    )
