# SPDX-License-Identifier: BSD-3-Clause
"""A little history to write into a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import HealthCheck, settings

from nbflow.core.ids import RunId, TaskId, TaskKey, Token
from nbflow.core.job import ValueRef
from nbflow.core.records import AttemptRecord, Change, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
A, B = TaskKey(TaskId("a")), TaskKey(TaskId("b"))
DRAWN = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def a_run(run_id="run-1", **more):
    return RunRecord(**{"run_id": RunId(run_id), "flow": "sales", "created_at": NOW, **more})


def moved(key=A, before="pending", after="scheduled", **more):
    return Change(at=NOW, key=key, before=before, after=after, task=TaskRecord(key=key, state=TaskState(after), **more))


def ended(run, state=RunState.SUCCESS):
    return Change(at=NOW, key=None, before=run.state, after=state, run=replace(run, state=state, ended_at=NOW))


def an_attempt(token="t1", key=A, number=1, outcome="running", **more):
    return AttemptRecord(key=key, attempt=number, token=Token(token), outcome=outcome, **more)


def artifact(hash):
    return ValueRef(hash=hash * 64, format="npy", size=1_000_000)


def driven(store, run=None, tasks=(A, B), seconds=60):
    """A run and the lease of its driver."""
    run = run or a_run()
    store.create_run(run, [TaskRecord(key=key) for key in tasks])
    return store.claim(run.run_id, "driver", seconds)
