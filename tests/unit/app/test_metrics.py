# SPDX-License-Identifier: BSD-3-Clause
"""Metrics as Prometheus reads them, and health, after a small history, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nbflow import __version__
from nbflow.app import Rooms, Workspace
from nbflow.app.health import health, health_json
from nbflow.app.metrics import metrics_text
from nbflow.core.deployments import Deployment, SchedulerRecord
from nbflow.core.errors import SetupError
from nbflow.core.ids import RunId, TaskId, TaskKey
from nbflow.core.limits import Pool
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.executors.inline import InlineExecutor
from nbflow.headless.watched import Watched
from nbflow.settings import Settings
from nbflow.store.artifacts import open_artifacts
from nbflow.testing import FakeClock

pytest_plugins = ["tests.unit.store.databases"]

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.fixture
def workspace(store, tmp_path):
    rooms = Rooms(
        store=store, artifacts=open_artifacts(str(tmp_path / "a")), executor=InlineExecutor(lambda *_: None), clock=FakeClock(NOW)
    )
    return Workspace(Settings(home=tmp_path, dask="inline"), rooms)


def lived(store, run_id, *, due=NOW, waited=2.0, took=30.0, task_took=4.0, flow="sales", state=RunState.SUCCESS):
    """A run of one task, recorded as a driver does: due, begun after it waited, ended."""
    run = RunRecord(run_id=RunId(run_id), flow=flow, created_at=due, run_after=due)
    key = TaskKey(TaskId("a"))
    began, ended = due + seconds(waited), due + seconds(waited + took)
    store.create_run(run, [TaskRecord(key=key)])
    lease = store.claim(run_id, "driver", 60)
    return live_on(
        store, lease, replace(run, state=RunState.RUNNING, started_at=began), key=key, ended=ended, task_took=task_took, state=state
    )


def live_on(store, lease, running, *, key, ended, task_took, state):
    began = running.started_at
    done = TaskRecord(key=key, state=TaskState.SUCCESS, attempt=1, started_at=began, ended_at=began + seconds(task_took))
    final = replace(running, state=state, ended_at=ended)
    moves = [
        Change(at=began, key=None, before="queued", after="running", run=running),
        Change(at=began, key=key, before="pending", after="scheduled", task=replace(done, state=TaskState.SCHEDULED)),
        Change(at=began + seconds(0.2), key=key, before="scheduled", after="queued", task=replace(done, state=TaskState.QUEUED)),
        Change(at=began + seconds(0.3), key=key, before="queued", after="running", task=replace(done, state=TaskState.RUNNING)),
        Change(at=ended, key=key, before="running", after="success", task=done),
        Change(at=ended, key=None, before="running", after=state.value, run=final),
    ]
    store.commit(lease, moves)
    store.release(lease)
    return final


def read(workspace, **more):
    """Sample -> value, by name and labels."""
    text = metrics_text(workspace, **more).decode()
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families)
    return {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}


def of(name, **labels):
    return (name, *sorted(labels.items()))


def test_counts_and_durations_are_exact_and_outlive_the_runs(workspace, store):
    lived(store, "r1")
    lived(store, "r2", took=400, waited=0.05, state=RunState.FAILED)
    lived(store, "r3", took=0.1, flow="other")
    found = read(workspace)
    assert found[of("nbflow_runs_total", flow="sales", state="success")] == 1
    assert found[of("nbflow_runs_total", flow="sales", state="failed")] == 1
    assert found[of("nbflow_tasks_total", flow="sales", state="success")] == 2
    name = "nbflow_run_duration_seconds"
    assert found[of(f"{name}_sum", flow="sales", state="success")] == 30
    assert found[of(f"{name}_count", flow="sales", state="failed")] == 1
    buckets = {bound: found[of(f"{name}_bucket", flow="sales", state="success", le=bound)] for bound in ("10.0", "30.0", "+Inf")}
    assert buckets == {"10.0": 0, "30.0": 1, "+Inf": 1}
    assert found[of(f"{name}_bucket", flow="other", state="success", le="0.1")] == 1
    assert found[of("nbflow_run_queue_delay_seconds_sum", flow="sales")] == pytest.approx(2.05)
    assert found[of("nbflow_run_queue_delay_seconds_count", flow="sales")] == 2
    assert found[of("nbflow_task_duration_seconds_sum", flow="sales", state="success")] == 8
    assert found[of("nbflow_task_queue_delay_seconds_sum", flow="sales")] == pytest.approx(0.6)
    for run_id in ("r1", "r2", "r3"):
        store.delete_run(run_id)
    assert read(workspace) == found


def test_a_run_that_was_cleared_counts_what_it_did_since(workspace, store):
    ended = lived(store, "r1", state=RunState.FAILED)
    lease = store.claim("r1", "driver", 60)
    again = replace(ended, state=RunState.QUEUED, ended_at=None, clear_number=1)
    store.commit(lease, [Change(at=NOW, key=None, before="failed", after="queued", run=again)])
    running = replace(again, state=RunState.RUNNING)
    live_on(store, lease, running, key=TaskKey(TaskId("a")), ended=NOW + seconds(92), task_took=1.0, state=RunState.SUCCESS)
    found = read(workspace)
    assert (
        found[of("nbflow_runs_total", flow="sales", state="failed")] == found[of("nbflow_runs_total", flow="sales", state="success")] == 1
    )
    assert found[of("nbflow_run_queue_delay_seconds_count", flow="sales")] == 1
    assert found[of("nbflow_task_duration_seconds_sum", flow="sales", state="success")] == 5
    assert found[of("nbflow_tasks_total", flow="sales", state="success")] == 2


def test_what_goes_on_now(workspace, store):
    store.save_pool(Pool(name="sftp", slots=3))
    store.deployments.create(Deployment(name="sales", deployed_at=NOW, since=NOW, next_run=NOW - seconds(7)))
    store.deployments.create(Deployment(name="off", deployed_at=NOW, since=NOW, paused=True))
    waits = RunRecord(run_id=RunId("w"), flow="sales", deployment="sales", created_at=NOW, run_after=NOW - seconds(5))
    store.deployments.add_run(waits, [TaskRecord(key=TaskKey(TaskId("a")))])
    store.create_run(RunRecord(run_id=RunId("h"), flow="live", created_at=NOW), [])
    store.claim("h", "driver", 20)
    store.create_run(RunRecord(run_id=RunId("l"), flow="live", created_at=NOW), [])
    store.claim("l", "driver", 0)
    store.deployments.announce(SchedulerRecord(owner="here:1/x@y", started_at=NOW - seconds(60), nbflow="0", loop_seconds=0.25), 60)
    found = read(workspace)
    assert found[of("nbflow_active_runs", flow="sales", state="queued")] == 1
    assert found[of("nbflow_active_tasks", state="pending")] == 1
    assert found[of("nbflow_queue_age_seconds")] == 5
    assert found[of("nbflow_schedule_lag_seconds")] == 7
    assert (found[of("nbflow_run_leases", state="held")], found[of("nbflow_run_leases", state="lapsed")]) == (1, 1)
    assert 10 <= found[of("nbflow_run_lease_age_seconds")] < 30
    assert found[of("nbflow_pool_slots", pool="sftp")] == 3
    assert found[of("nbflow_pool_used_slots", pool="sftp")] == found[of("nbflow_pool_waiting_tasks", pool="sftp")] == 0
    assert found[of("nbflow_flows", paused="true")] == found[of("nbflow_flows", paused="false")] == 1
    assert found[of("nbflow_schedulers")] == 1
    assert found[of("nbflow_scheduler_loop_seconds", scheduler="here:1")] == 0.25
    assert found[of("nbflow_scheduler_uptime_seconds", scheduler="here:1")] == 60
    assert found[of("nbflow_info", version=__version__)] == 1


def test_a_new_installation_is_well_and_what_is_wrong_is_a_sentence(workspace, store):
    assert health(workspace).is_well
    store.deployments.create(Deployment(name="sales", deployed_at=NOW, since=NOW, next_run=NOW - seconds(600)))
    waits = RunRecord(run_id=RunId("w"), flow="sales", deployment="sales", created_at=NOW, run_after=NOW - seconds(300))
    store.deployments.add_run(waits, [])
    store.create_run(RunRecord(run_id=RunId("l"), flow="live", created_at=NOW), [])
    store.claim("l", "driver", 0)
    none, late, gone = health(workspace).problems
    assert none.startswith("Nothing will start by itself: no scheduler is running.")
    assert late.startswith("A flow has been due for 10 m 00 s and has no run")
    assert gone.startswith("Whoever drove 1 run is gone")
    store.deployments.announce(SchedulerRecord(owner="here:1/x@y", started_at=NOW), 60)
    assert health(workspace).problems[1].startswith("A run has been due for 5 m 00 s and nobody has taken it")
    told = health_json(health(workspace))
    assert (told["status"], told["schedule_lag_seconds"], told["queue_age_seconds"]) == ("degraded", 600, 300)
    assert told["schedulers"][0]["scheduler"] == "here:1"


class TestServed:
    @pytest.fixture
    def ago(self):
        return [0.0]

    @pytest.fixture
    def served(self, workspace, ago):
        watched = Watched(workspace, "127.0.0.1", 0, lambda: (0.004, ago[0]))
        yield f"http://127.0.0.1:{watched.port}"
        watched.close()

    @pytest.mark.parametrize("store", ["memory"], indirect=True)
    def test_health_metrics_and_nothing_else(self, served, store):
        with urlopen(f"{served}/health") as answer:
            told = json.load(answer)
        assert (answer.status, told["status"], told["loop_seconds"]) == (200, "ok", 0.004)
        with urlopen(f"{served}/metrics") as answer:
            text = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "nbflow_scheduler_loop_seconds{" in text
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{served}/secrets")

    @pytest.mark.parametrize("store", ["memory"], indirect=True)
    def test_a_scheduler_that_is_stuck_is_not_well(self, served, ago):
        ago[0] = 500.0
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{served}/health")
        assert caught.value.code == 503
        assert json.load(caught.value)["problems"][0] == "The scheduler has not ended a turn for 500 s: look at its log."

    @pytest.mark.parametrize("store", ["memory"], indirect=True)
    def test_a_database_that_is_away_is_said(self, served, store, monkeypatch):
        def away(_):
            raise SetupError("PostgreSQL cannot be reached at db: start it.")

        monkeypatch.setattr(store.house, "figures", away)
        for path in ("health", "metrics"):
            with pytest.raises(HTTPError) as caught:
                urlopen(f"{served}/{path}")
            assert caught.value.code == 503
            assert b"PostgreSQL cannot be reached at db: start it." in caught.value.read()

    @pytest.mark.parametrize("store", ["memory"], indirect=True)
    def test_a_port_that_is_taken_is_a_sentence(self, served, workspace):
        port = int(served.rpartition(":")[2])
        with pytest.raises(
            SetupError, match=rf"Health and metrics cannot be served on 127.0.0.1:{port} \(Address already in use\): choose"
        ):
            Watched(workspace, "127.0.0.1", port, lambda: (0.0, 0.0))
