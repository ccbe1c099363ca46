# SPDX-License-Identifier: BSD-3-Clause
"""Jobs and reports on their way: pickled by whoever made them, opened by whoever they are for. Those in between read what stands outside."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import NamedTuple

from nbflow.core.ids import Token
from nbflow.core.job import Job, Report

#: Where the modules of a job come from: its working directory and its `sys.path`.
Place = tuple[str, tuple[str, ...]]


class SealedJob(NamedTuple):
    """A job, for a child."""

    token: Token
    priority: int
    timeout: timedelta | None
    memory_limit: int | None
    place: Place
    data: bytes


class SealedReport(NamedTuple):
    """The end of an attempt, for the client that had sent the job."""

    token: Token
    #: From the begin of user code to the end; None: it never began.
    seconds: float | None
    data: bytes

    def open(self) -> Report:
        report: Report = pickle.loads(self.data)  # noqa: S301 - of our own workers and children
        return report


def seal(job: Job) -> SealedJob:
    """Raises whatever pickle raises."""
    place = job.process.cwd, job.process.sys_path
    return SealedJob(job.token, job.priority, job.timeout, job.memory_limit, place, pickle.dumps(job, protocol=5))


def seal_report(report: Report, data: bytes | None = None) -> SealedReport:
    """`data` is the report as it was pickled already."""
    seconds = None if report.started_at is None else (report.ended_at - report.started_at).total_seconds()
    return SealedReport(report.token, seconds, pickle.dumps(report, protocol=5) if data is None else data)
