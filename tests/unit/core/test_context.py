# SPDX-License-Identifier: BSD-3-Clause
"""`ctx` answers for the attempt inside a run, and for now outside."""

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nbflow.core.connections import Connection
from nbflow.core.context import FailTask, SkipTask, ctx
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskKey
from nbflow.core.job import JobContext
from nbflow.core.lending import NOTHING_LENT, Lent

JOB = JobContext(
    flow="sales", run_id="r", key=TaskKey("etl.load", 2), attempt=3, logical_date=datetime(2026, 1, 2, 3, tzinfo=UTC), params={"day": 1}
)


def test_outside_a_run_it_answers_for_now():
    assert abs(ctx.logical_date - datetime.now(UTC)) < timedelta(minutes=1)
    assert (ctx.task, ctx.map_index, ctx.attempt, ctx.params) == ("", -1, 1, {})
    assert ctx.run_id.startswith("manual__")
    ctx.progress(0.5, "nobody listens")


def test_inside_a_run_it_answers_for_the_attempt():
    with ctx.during(JOB):
        assert (ctx.flow, ctx.run_id, ctx.task, ctx.map_index, ctx.attempt) == ("sales", "r", "etl.load", 2, 3)
        assert (ctx.ds, ctx.ts) == ("2026-01-02", "2026-01-02T03:00:00+00:00")
        assert ctx.data_interval == (JOB.logical_date, JOB.logical_date)
    assert ctx.task == ""


def test_a_scheduled_run_is_about_its_interval():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    job = replace(JOB, interval_start=start, interval_end=start + timedelta(days=1), run_type="scheduled")
    with ctx.during(job):
        assert ctx.data_interval == (start, start + timedelta(days=1))
        assert ctx.run_type == "scheduled"
    assert ctx.run_type == "manual"


def test_progress_stays_between_nothing_and_all():
    heard = []
    with ctx.during(JOB, lambda fraction, text: heard.append((fraction, text))):
        ctx.progress(7, "done")
        ctx.progress(text="thinking")
    assert heard == [(1.0, "done"), (None, "thinking")]


def test_parameters_cannot_be_changed_through_it():
    with ctx.during(JOB):
        ctx.params["day"] = 2
        assert ctx.params["day"] == 1


def test_it_travels_by_name():
    assert pickle.loads(pickle.dumps(ctx)) is ctx


def test_skip_and_fail_carry_their_reason():
    assert SkipTask("nothing new").reason == "nothing new"
    assert pickle.loads(pickle.dumps(FailTask("broken"))).reason == "broken"


def test_the_execution_date_is_the_logical_date():
    job = JobContext(flow="f", run_id="r", key=TaskKey("t"), attempt=1, logical_date=datetime(2026, 1, 2, tzinfo=UTC))
    with ctx.during(job):
        assert ctx.execution_date == ctx.logical_date == job.logical_date
        assert (ctx.ds, ctx.ts) == ("2026-01-02", "2026-01-02T00:00:00+00:00")
        assert ctx.data_interval == (job.logical_date, job.logical_date)


def test_connections_and_variables_are_those_that_the_attempt_was_lent():
    one = Connection(name="db", url="postgresql://me:TopSecret1@db/x")
    with ctx.during(JOB, lent=Lent(conn="db", connections={"db": one}, variables={"region": "eu"})):
        assert ctx.conn is ctx.connection("db") is one
        assert (ctx.var("region"), ctx.var("colour", "red"), ctx.connection("lake", None)) == ("eu", "red", None)
        with pytest.raises(
            UserError, match=r'Task etl\.load was not given the variable "colour": write ctx\.var\("colour"\) with the name'
        ):
            ctx.var("colour")
    with ctx.during(JOB), pytest.raises(UserError, match=r"Task etl\.load has no connection: write --conn NAME"):
        _ = ctx.conn


def test_outside_a_task_there_are_none():
    with pytest.raises(UserError, match=r'ctx\.var\("region"\) answers inside a task only: write it in a %%task cell\.'):
        ctx.var("region", "eu")
    with pytest.raises(UserError, match=r"ctx\.conn answers inside a task only"):
        _ = ctx.conn
    with pytest.raises(UserError, match=r'ctx\.connection\("db"\) answers inside a task only'):
        ctx.connection("db", None)


def test_what_is_lent_travels_and_its_bytes_show_no_secret():
    lent = Lent(conn="db", connections={"db": Connection(name="db", url="postgresql://me:TopSecret1@db/x")}, hidden=("TopSecret1",))
    data = pickle.dumps(lent)
    assert pickle.loads(data) == lent
    assert b"TopSecret1" not in data
    assert pickle.loads(pickle.dumps(NOTHING_LENT)) is NOTHING_LENT
