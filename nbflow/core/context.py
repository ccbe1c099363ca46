# SPDX-License-Identifier: BSD-3-Clause
"""What a task can ask of the run it belongs to (`ctx`), and how it ends itself early (`SkipTask`, `FailTask`).

One process runs one attempt at a time, so the attempt in force is a global of the process: threads that user code starts see it too.
Outside a run `ctx` answers for now, so that a cell which uses it also runs by hand.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, overload

from nbflow.core.connections import Connection
from nbflow.core.errors import UserError
from nbflow.core.ids import FlowName, RunId, TaskId, manual_run_id
from nbflow.core.job import JobContext
from nbflow.core.lending import NOTHING_LENT, Lent
from nbflow.core.unbroken import unbroken


class SkipTask(Exception):
    """Raise it in a task to end the attempt as skipped; the reason is shown on the task."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class FailTask(Exception):
    """Raise it in a task to fail it for good: it is not tried again."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class DataInterval(NamedTuple):
    """The span of time a run is about."""

    start: datetime
    end: datetime


#: What `ctx.progress` calls: the done fraction (None: unknown) and a text.
ReportProgress = Callable[[float | None, str], None]


class _StderrHandler(logging.Handler):
    """Writes to the `sys.stderr` of the moment: each attempt has its own."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


class Context:
    """`nbflow.ctx`: flow, run and task of the attempt that runs in this process."""

    def __init__(self) -> None:
        self._job: JobContext | None = None
        self._report: ReportProgress | None = None
        self._lent = NOTHING_LENT

    def __reduce__(self) -> str:
        """There is one in each process: it travels by name."""
        return "ctx"

    def __repr__(self) -> str:
        return f"<ctx of {self.flow} {self.run_id}, task {self.task}>" if self._job else "<ctx outside a run>"

    @property
    def flow(self) -> FlowName:
        """The flow's name; "" outside a run."""
        return self._job.flow if self._job else FlowName("")

    @property
    def run_id(self) -> RunId:
        return self._job.run_id if self._job else manual_run_id(datetime.now(UTC))

    @property
    def task(self) -> TaskId:
        """The task's name with its groups; "" outside a run."""
        return self._job.key.task_id if self._job else TaskId("")

    @property
    def map_index(self) -> int:
        """Which element of a mapped task this is; -1 when the task is not mapped."""
        return self._job.key.map_index if self._job else -1

    @property
    def attempt(self) -> int:
        """1, 2, 3 ..."""
        return self._job.attempt if self._job else 1

    @property
    def logical_date(self) -> datetime:
        """The instant the run stands for, aware and in UTC; of a run without one, the instant it was asked for."""
        if self._job is not None and (known := self._job.logical_date or self._job.interval_start) is not None:
            return known
        return datetime.now(UTC)

    @property
    def execution_date(self) -> datetime:
        """The logical date, as older flows call it."""
        return self.logical_date

    @property
    def data_interval(self) -> DataInterval:
        """The span the run is about; for a run started by hand it is the logical date itself."""
        instant, job = self.logical_date, self._job
        start = job.interval_start if job else None
        return DataInterval(start or instant, (job.interval_end if job else None) or start or instant)

    @property
    def run_type(self) -> str:
        """Why there is this run: `manual`, `scheduled` or `backfill`; `asset`, `flow` or `file` where one of these started it."""
        return self._job.run_type if self._job else "manual"

    @property
    def params(self) -> Mapping[str, Any]:
        """The run's parameters."""
        return dict(self._job.params) if self._job else {}

    @property
    def conn(self) -> Connection:
        """The connection of the task's `--conn`: .url .host .port .login .password .schema .extra. Raises UserError when it has none."""
        if self._job is None:
            raise UserError(_outside("ctx.conn"))
        if not self._lent.conn:
            raise UserError(f"Task {self.task} has no connection: write --conn NAME on its %%task line, or @task(conn=...).")
        return self.connection(self._lent.conn)

    @overload
    def connection(self, name: str) -> Connection: ...
    @overload
    def connection(self, name: str, default: None, /) -> Connection | None: ...
    def connection(self, name: str, *default: None) -> Connection | None:
        """A connection by its name, which must stand here as a text: what a task uses is known before it runs.

        With `None` a missing one is None. Raises UserError.
        """
        found = self._lent.connections.get(name)
        if found is None and not (self._job and default):
            raise UserError(self._not_lent("connection", name))
        return found

    def var(self, name: str, *default: str) -> str:
        """A variable by its name, which must stand here as a text; a missing one is the default. Raises UserError where there is none."""
        if name in self._lent.variables:
            return self._lent.variables[name]
        if self._job and default:
            return default[0]
        raise UserError(self._not_lent("variable", name))

    def _not_lent(self, what: str, name: str) -> str:
        call = f'ctx.{"var" if what == "variable" else what}("{name}")'
        if self._job is None:
            return _outside(call)
        return f'Task {self.task} was not given the {what} "{name}": write {call} with the name as a text in the task itself.'

    @property
    def events(self) -> tuple[Mapping[str, Any], ...]:
        """What started the run, oldest first: `{"kind": "file", "path": ...}`, `{"kind": "asset", "asset": ..., "run_id": ...}`, ..."""
        return tuple(dict(event) for event in self._job.events) if self._job else ()

    @property
    def ds(self) -> str:
        """The logical date as YYYY-MM-DD."""
        return self.logical_date.date().isoformat()

    @property
    def ts(self) -> str:
        """The logical date as an ISO instant."""
        return self.logical_date.isoformat()

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines from INFO up appear under the task's cell, whatever the notebook does with logging."""
        logger = logging.getLogger("nbflow.task")
        if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
            handler = _StderrHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        return logger

    def progress(self, fraction: float | None = None, text: str = "") -> None:
        """Show how far the task is: `fraction` from 0 to 1, None when unknown. Does nothing outside a run."""
        if self._report is not None:
            self._report(None if fraction is None else min(1.0, max(0.0, float(fraction))), text)

    @contextmanager
    @unbroken
    def during(self, job: JobContext, report: ReportProgress | None = None, lent: Lent = NOTHING_LENT) -> Iterator[None]:
        """Answer for this attempt inside the block."""
        before = self._job, self._report, self._lent
        self._job, self._report, self._lent = job, report, lent
        try:
            yield
        finally:
            self._job, self._report, self._lent = before


def _outside(call: str) -> str:
    """Outside a task nothing hides what a cell shows, and what it binds is handed to the tasks below and kept."""
    return f"{call} answers inside a task only: write it in a %%task cell."


ctx: Final = Context()

__all__ = ["Context", "DataInterval", "FailTask", "ReportProgress", "SkipTask", "ctx"]
