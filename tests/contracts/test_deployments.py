# SPDX-License-Identifier: BSD-3-Clause
"""What every Store promises about deployments and their runs, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nbflow.core.deployments import AuditEntry, DeployedVersion, Deployment, SchedulerRecord
from nbflow.core.errors import UserError
from nbflow.core.ids import RunId, TaskId, TaskKey
from nbflow.core.model import Flow, Task
from nbflow.core.records import Change, RunRecord, TaskRecord
from nbflow.core.states import RunState

pytest_plugins = ["tests.unit.store.databases"]

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DAY = timedelta(days=1)


def a_deployment(name="sales", **more):
    return Deployment(**{"name": name, "version": "v1", "path": "/n/sales.ipynb", "deployed_at": NOW, "since": NOW, **more})


def a_run(run_id="r1", deployment="sales", **more):
    return RunRecord(
        **{"run_id": RunId(run_id), "flow": deployment, "deployment": deployment, "created_at": NOW, "run_type": "scheduled", **more}
    )


TASKS = (TaskRecord(key=TaskKey(TaskId("a"))),)


def finish(store, lease, state=RunState.SUCCESS):
    run = store.run(lease.run_id)
    store.commit(lease, [Change(at=NOW, key=None, before=run.state, after=state, run=replace(run, state=state, ended_at=NOW))])
    store.release(lease)


class TestDeployments:
    def test_it_comes_back(self, store):
        whole = a_deployment(
            params={"region": "eu"},
            said={"schedule": "@daily"},
            schedule={"schedule": ["0 9 * * *"]},
            next_run=NOW,
            last_start=NOW,
            last_end=NOW,
        )
        store.deployments.create(whole)
        assert store.deployments.get("sales") == whole

    def test_a_taken_name_is_refused(self, store):
        store.deployments.create(a_deployment())
        with pytest.raises(UserError, match='There is a flow "sales" already: choose another name with --name, or replace that one'):
            store.deployments.create(a_deployment(version="v2"))
        assert store.deployments.get("sales").version == "v1"

    def test_an_unknown_name_is_said_with_the_nearest(self, store):
        with pytest.raises(UserError, match=r'There is no deployed flow "sales"\. None is deployed yet'):
            store.deployments.get("sales")
        store.deployments.create(a_deployment())
        with pytest.raises(UserError, match=r'There is no deployed flow "sale"\. Did you mean "sales"\?'):
            store.deployments.change("sale", lambda deployment: deployment)
        with pytest.raises(UserError, match="There is no deployed flow"):
            store.deployments.delete("sale")

    def test_they_are_listed_by_name(self, store):
        for name in ("b", "a", "c"):
            store.deployments.create(a_deployment(name))
        assert [each.name for each in store.deployments.find()] == ["a", "b", "c"]
        assert [each.name for each in store.deployments.find(after="a", limit=1)] == ["b"]

    def test_a_change_raises_the_revision_and_what_it_raises_leaves_everything(self, store):
        store.deployments.create(a_deployment())
        changed = store.deployments.change("sales", lambda deployment: replace(deployment, paused=True))
        assert store.deployments.get("sales") == changed
        assert changed.revision == 1
        with pytest.raises(ZeroDivisionError):
            store.deployments.change("sales", lambda deployment: replace(deployment, number=1 // 0))
        assert store.deployments.get("sales") == changed

    def test_changes_of_many_threads_are_all_there(self, store):
        store.deployments.create(a_deployment())
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: store.deployments.change("sales", lambda one: replace(one, number=one.number + 1)), range(20)))
        assert store.deployments.get("sales").number == 20

    def test_deleting_keeps_runs_and_versions(self, store):
        store.deployments.create(a_deployment())
        store.deployments.add_version(DeployedVersion(name="sales", number=1, version="v1", deployed_at=NOW))
        store.deployments.add_run(a_run(), TASKS)
        store.deployments.delete("sales")
        assert store.run("r1").deployment == "sales"
        assert store.deployments.versions("sales")

    def test_versions_come_newest_first(self, store):
        versions = [
            DeployedVersion(name="sales", number=n, version=f"v{n}", deployed_at=NOW, commit="abc", is_dirty=n == 2) for n in (1, 2)
        ]
        for version in versions:
            store.deployments.add_version(version)
        assert store.deployments.versions("sales") == tuple(reversed(versions))
        assert store.deployments.versions("other") == ()

    def test_the_modules_of_a_version_come_back_and_count_for_its_hash(self, store):
        flow = Flow(name="f", tasks=(Task(id=TaskId("a"), source="x = 1"),))
        files = {"helper.py": b"A = 1\n", "pkg/__init__.py": b""}
        version = store.save_flow(flow, source=b'{"cells": []}', files=files)
        assert store.files(version) == files
        assert store.source(version) == b'{"cells": []}'
        assert store.save_flow(flow, source=b'{"cells": []}', files={"helper.py": b"A = 2\n"}) != version
        assert store.files(store.save_flow(flow)) == {}


class TestDue:
    def test_the_longest_due_first_and_none_that_is_paused(self, store):
        store.deployments.create(a_deployment("later", next_run=NOW + DAY))
        store.deployments.create(a_deployment("b", next_run=NOW))
        store.deployments.create(a_deployment("a", next_run=NOW - DAY))
        store.deployments.create(a_deployment("paused", next_run=NOW - DAY, paused=True))
        store.deployments.create(a_deployment("never"))
        assert [each.name for each in store.deployments.due(NOW)] == ["a", "b"]
        assert [each.name for each in store.deployments.due(NOW, limit=1)] == ["a"]

    def test_a_planned_run_is_made_with_its_deployment_or_not_at_all(self, store):
        store.deployments.create(a_deployment(next_run=NOW))
        read = store.deployments.get("sales")
        following = replace(read, next_run=NOW + DAY, last_start=NOW, last_end=NOW)
        assert store.deployments.make_run(following, a_run(logical_date=NOW), TASKS)
        assert not store.deployments.make_run(following, a_run("r2", logical_date=NOW + DAY), TASKS)
        assert [run.run_id for run in store.deployments.active("sales")] == ["r1"]
        assert store.deployments.get("sales").next_run == NOW + DAY
        assert store.task_records("r1") == TASKS

    def test_a_logical_date_has_one_run(self, store):
        store.deployments.create(a_deployment(next_run=NOW))
        store.deployments.add_run(a_run("by-hand", logical_date=NOW), TASKS)
        planned = replace(store.deployments.get("sales"), next_run=NOW + DAY)
        assert store.deployments.make_run(planned, a_run(logical_date=NOW), TASKS)
        assert [run.run_id for run in store.deployments.active("sales")] == ["by-hand"]
        with pytest.raises(UserError, match=r"Flow sales has its run for 2026-01-02T03:04:05.678901.00:00 already: by-hand"):
            store.deployments.add_run(a_run("r3", logical_date=NOW), TASKS)
        store.deployments.add_run(a_run("other", deployment="other", logical_date=NOW), TASKS)

    def test_of_many_schedulers_one_makes_the_run(self, store):
        store.deployments.create(a_deployment(next_run=NOW))
        read = store.deployments.get("sales")

        def make(number):
            return store.deployments.make_run(replace(read, next_run=NOW + DAY), a_run(f"r{number}", logical_date=NOW), TASKS)

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(make, range(8)))
        assert made.count(True) == 1
        assert len(store.deployments.active("sales")) == 1


class TestAsking:
    def test_the_same_key_is_the_same_run(self, store):
        first = store.deployments.add_run(a_run(idempotency_key="k"), TASKS)
        assert store.deployments.add_run(a_run("r2", idempotency_key="k"), TASKS) == first
        assert store.deployments.add_run(a_run("r3", deployment="other", idempotency_key="k"), TASKS).run_id == "r3"

    def test_a_taken_id_is_refused(self, store):
        store.deployments.add_run(a_run(), TASKS)
        with pytest.raises(UserError, match='There is a run "r1" already'):
            store.deployments.add_run(a_run(), TASKS)


class TestTaking:
    @pytest.fixture
    def sales(self, store):
        store.deployments.create(a_deployment())
        return store.deployments

    def test_queued_runs_wait_in_turn_backfills_last(self, store, sales):
        for number, kind in enumerate(("backfill", "scheduled", "manual")):
            sales.add_run(a_run(f"r{number}", run_type=kind, run_after=NOW + number * DAY), TASKS)
        assert [run.run_id for run in sales.queued()] == ["r1", "r2", "r0"]
        assert [run.run_id for run in sales.queued(1)] == ["r1"]

    def test_never_more_than_the_limit_are_taken(self, store, sales):
        for number in range(8):
            sales.add_run(a_run(f"r{number}", logical_date=NOW + number * DAY), TASKS)
        with ThreadPoolExecutor(4) as pool:
            taken = [lease for lease in pool.map(lambda n: sales.promote(f"r{n}", 2, f"s{n}", 60), range(8)) if lease]
        assert len(taken) == 2
        assert len(sales.queued()) == 6
        finish(store, taken[0])
        left = [run.run_id for run in sales.queued()]
        assert sales.promote(left[0], 2, "s", 60) is not None
        assert sales.promote(left[1], 2, "s", 60) is None

    def test_a_run_is_taken_once(self, store, sales):
        sales.add_run(a_run(), TASKS)
        assert sales.promote("r1", 9, "one", 60) is not None
        assert sales.promote("r1", 9, "two", 60) is None
        assert sales.queued() == ()

    def test_runs_of_a_paused_or_undeployed_flow_stay(self, store, sales):
        sales.add_run(a_run(), TASKS)
        sales.add_run(a_run("gone", deployment="gone"), TASKS)
        sales.change("sales", lambda one: replace(one, paused=True))
        assert sales.queued() == ()
        assert sales.promote("r1", 9, "s", 60) is None
        assert sales.promote("gone", 9, "s", 60) is None

    def test_backfills_do_not_count(self, store, sales):
        for number, kind in enumerate(("backfill", "backfill", "scheduled")):
            sales.add_run(a_run(f"r{number}", run_type=kind), TASKS)
        assert all(sales.promote(f"r{number}", 1, "s", 60) for number in range(3))

    def test_orphans_are_those_whose_lease_has_lapsed(self, store, sales):
        for number in range(3):
            sales.add_run(a_run(f"r{number}"), TASKS)
        sales.promote("r0", 9, "dead", 0)
        sales.promote("r1", 9, "alive", 60)
        store.create_run(replace(a_run("live"), deployment=""), ())
        assert sales.orphans() == ("r0",)

    def test_active_and_ended_runs(self, store, sales):
        for number in range(4):
            sales.add_run(a_run(f"r{number}", created_at=NOW + number * DAY), TASKS)
        for number in (0, 1):
            finish(store, sales.promote(f"r{number}", 9, "s", 60), RunState.FAILED)
        assert [run.run_id for run in sales.active("sales")] == ["r2", "r3"]
        assert [run.run_id for run in sales.ended("sales", 5)] == ["r1", "r0"]
        assert [run.run_id for run in sales.ended("sales", 1)] == ["r1"]


class TestSchedulersAndAudit:
    def test_who_lives_and_who_has_left(self, store):
        one, two, gone = (SchedulerRecord(owner=name, started_at=NOW, nbflow="1") for name in ("one", "two", "gone"))
        for record in (two, one):
            store.deployments.announce(record, 60)
        store.deployments.announce(gone, 1e-6)
        store.deployments.announce(replace(two, loop_seconds=0.5), 60)
        limit = time.monotonic() + 10
        while gone in store.deployments.schedulers() and time.monotonic() < limit:
            continue  # the clock of SQLite goes on once a millisecond
        assert store.deployments.schedulers() == (one, replace(two, loop_seconds=0.5))
        store.deployments.announce(one, 0)
        assert [record.owner for record in store.deployments.schedulers()] == ["two"]

    def test_what_people_did_newest_first(self, store):
        for what, about in (("deploy", "a"), ("pause", "a"), ("deploy", "b")):
            store.deployments.note(AuditEntry(at=NOW, by="me", what=what, about=about))
        assert [entry.what for entry in store.deployments.audit("a")] == ["pause", "deploy"]
        assert [entry.about for entry in store.deployments.audit(limit=2)] == ["b", "a"]
