# SPDX-License-Identifier: BSD-3-Clause
"""What every Store promises about keeping house, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from nbflow.core.deployments import Deployment
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.job import ErrorInfo, OutputsRef, ValueRef
from nbflow.core.records import Change, Request, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.core.tallies import BOUNDS, Tally
from tests.contracts.history import NOW, A, a_run, an_attempt, artifact, driven, ended, moved

pytest_plugins = ["tests.unit.store.databases"]

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def past(store, run_id, *, days=0, state=RunState.SUCCESS, attempts=(), **more):
    """A run that ended so many days ago."""
    run = a_run(run_id, created_at=NOW - days * DAY, **more)
    lease = driven(store, run)
    store.commit(lease, [replace(ended(run, state), at=run.created_at)], attempts)
    store.release(lease)
    return store.run(run_id)


def ids(page):
    return [run.run_id for run in page.runs]


class TestOld:
    def test_finished_runs_come_page_by_page_the_oldest_first(self, store):
        for days in (3, 1, 2):
            past(store, f"r{days}", days=days)
        driven(store, a_run("goes-on", created_at=NOW - 9 * DAY))
        page = store.house.old(NOW, limit=2)
        assert ids(page) == ["r3", "r2"]
        assert ids(store.house.old(NOW, limit=2, cursor=page.next)) == ["r1"]
        assert ids(store.house.old(NOW - 2 * DAY)) == ["r3"]
        assert store.house.old(NOW - 9 * DAY).runs == ()

    def test_runs_of_one_flow(self, store):
        past(store, "a", days=2)
        past(store, "b", days=1, flow="other")
        assert ids(store.house.old(NOW, flow="other")) == ["b"]

    def test_those_that_gave_something_up_are_left_out_of_what_still_has_it(self, store):
        past(store, "a", days=2)
        past(store, "b", days=1)
        store.house.thin("a", values=True, outputs=False)
        assert ids(store.house.old(NOW, has_values=True)) == ["b"]
        assert ids(store.house.old(NOW, has_outputs=True)) == ["a", "b"]
        store.house.thin("a", values=False, outputs=True)
        assert ids(store.house.old(NOW, has_outputs=True)) == ["b"]
        assert ids(store.house.old(NOW)) == ["a", "b"]

    def test_the_run_that_follows_in_its_flow(self, store):
        for days, kind in ((3, "scheduled"), (2, "manual"), (1, "scheduled")):
            past(store, f"r{days}", days=days, logical_date=NOW - days * DAY, run_type=kind, deployment="sales")
        past(store, "other", days=2, flow="other", deployment="other", logical_date=NOW - 2 * DAY)
        first = store.run("r3")
        assert store.house.following(first, manual=True).run_id == "r2"
        assert store.house.following(first, manual=False).run_id == "r1"
        assert store.house.following(store.run("r1"), manual=True) is None

    def test_the_run_that_follows_in_a_flow_that_nobody_deployed(self, store):
        past(store, "r3", days=3, logical_date=NOW - 3 * DAY, path="/n.ipynb")
        past(store, "r1", days=1, logical_date=NOW - DAY, path="/n.ipynb")
        past(store, "elsewhere", days=2, logical_date=NOW - 2 * DAY, path="/other.ipynb")
        past(store, "undated", days=2, path="/n.ipynb")
        assert store.house.following(store.run("r3"), manual=True).run_id == "r1"
        assert store.house.following(store.run("undated"), manual=True) is None

    def test_which_ids_are_runs(self, store):
        past(store, "a")
        assert store.house.known(["a", "b"]) == {"a"}
        assert store.house.known([]) == frozenset()

    def test_the_versions_of_runs_that_have_not_ended(self, store):
        past(store, "a", version="v1")
        driven(store, a_run("b", version="v2"))
        assert store.house.versions_in_use() == {"v2"}

    def test_since_when_something_runs(self, store):
        assert store.house.running_since() is None
        for days in (1, 2):
            run = a_run(f"r{days}", created_at=NOW - days * DAY)
            lease = driven(store, run)
            begun = replace(run, state=RunState.RUNNING)
            store.commit(lease, [Change(at=NOW, key=None, before="queued", after="running", run=begun)])
        past(store, "r3", days=3)
        assert store.house.running_since() == NOW - 2 * DAY


class TestThinning:
    def whole(self, store, run_id="a"):
        error = ErrorInfo(ename="E", evalue="e", frames="5" * 64)
        values = {"x": artifact("1"), "small": ValueRef(hash="9" * 64, format="json", size=1, inline=b"1", shown="1")}
        attempt = an_attempt(f"t-{run_id}", outcome="failed", values=values, inputs={"i": artifact("2")}, error=error)
        attempt = replace(attempt, outputs=OutputsRef(hash="3" * 64, size=9), elements={"x": (artifact("4"),)})
        run = past(store, run_id, days=2, attempts=[attempt])
        return run, attempt

    def test_values_go_and_what_was_printed_stays(self, store):
        self.whole(store)
        assert store.house.thin("a", values=True, outputs=False) == tuple(digit * 64 for digit in "1245")
        (attempt,) = store.attempts("a")
        assert attempt.values["x"] == replace(artifact("1"), let_go=True)  # its hash still tells what it was
        assert attempt.inputs["i"].let_go
        assert attempt.elements["x"][0].let_go
        assert attempt.error.frames == ""
        assert attempt.values["small"] == ValueRef(hash="9" * 64, format="json", size=1, inline=b"1", shown="1")
        assert attempt.outputs.hash == "3" * 64
        assert store.delete_run("a") == ("3" * 64,)

    def test_what_was_printed_goes_and_values_stay(self, store):
        _, whole = self.whole(store)
        assert store.house.thin("a", values=False, outputs=True) == ("3" * 64,)
        assert store.attempts("a") == (replace(whole, outputs=OutputsRef()),)

    def test_an_artifact_of_another_run_too_stays(self, store):
        self.whole(store, "a")
        self.whole(store, "b")
        assert store.house.thin("a", values=True, outputs=True) == ()
        assert store.house.unreferenced(["1" * 64, "6" * 64]) == ("6" * 64,)
        assert store.house.thin("b", values=True, outputs=True) == tuple(digit * 64 for digit in "12345")

    def test_what_the_kernel_handed_over_goes_with_the_values(self, store):
        past(store, "a", days=1)
        store.save_captures("a", b"captured", ["7" * 64])
        assert store.house.thin("a", values=False, outputs=True) == ()
        assert store.captures("a") == b"captured"
        assert store.house.thin("a", values=True, outputs=False) == ("7" * 64,)
        assert store.captures("a") is None

    def test_a_run_that_goes_on_or_is_gone_is_left_alone(self, store):
        lease = driven(store, a_run("a"))
        attempt = an_attempt(values={"x": artifact("1")})
        store.commit(lease, [], [attempt])
        assert store.house.thin("a", values=True, outputs=True) == ()
        assert store.attempts("a") == (attempt,)
        assert store.house.thin("nobody", values=True, outputs=True) == ()

    def test_the_artifacts_that_runs_refer_to(self, store):
        self.whole(store, "a")
        self.whole(store, "b")
        assert store.house.referenced(limit=3) == ("1" * 64, "2" * 64, "3" * 64)
        assert store.house.referenced(after="3" * 64) == ("4" * 64, "5" * 64)


class TestCounting:
    def one(self, **more):
        return Tally(**{"what": "runs", "flow": "sales", "state": "success", **more}).with_one(SECOND)

    def test_a_run_that_ends_is_counted_once_by_whoever_comes(self, store):
        past(store, "a")
        (end,) = store.house.ended()
        assert (end.run_id, end.cursor) == ("a", 1)
        with ThreadPoolExecutor(4) as pool:
            counted = list(pool.map(lambda _: store.house.count(end.number, [self.one()]), range(4)))
        assert sorted(counted) == [False, False, False, True]
        assert store.house.ended() == ()
        assert store.house.tallies() == (self.one(),)

    def test_counts_add_up_and_outlive_their_runs(self, store):
        for name in ("a", "b"):
            past(store, name)
        for end in store.house.ended():
            store.house.count(end.number, [self.one(), self.one(state="failed")])
        store.delete_run("a")
        twice = replace(self.one(), count=2, micros=2_000_000, buckets=tuple(2 * (bound == 1.0) for bound in (*BOUNDS, 0)))
        assert store.house.tallies() == (replace(twice, state="failed"), twice)

    def test_a_run_that_was_cleared_ends_again(self, store):
        run = past(store, "a")
        lease = store.claim("a", "driver", 60)
        again = replace(run, state=RunState.QUEUED, clear_number=1)
        store.commit(lease, [Change(at=NOW, key=None, before="success", after="queued", run=again)])
        store.commit(lease, [moved(), ended(again), moved()])
        store.commit(lease, [], run=replace(run, output="/out.ipynb"))
        assert [(end.run_id, end.cursor) for end in store.house.ended()] == [("a", 1), ("a", 4)]

    def test_a_run_that_is_deleted_before_it_was_counted_is_not(self, store):
        past(store, "a")
        store.delete_run("a")
        assert store.house.ended() == ()


class TestFigures:
    def test_of_an_empty_store(self, store):
        figures = store.house.figures(NOW)
        assert (figures.active_runs, figures.active_tasks, figures.oldest_queued, figures.first_lapse) == ({}, {}, None, None)
        assert (figures.held_leases, figures.lapsed_leases, figures.flows, figures.paused_flows) == (0, 0, 0, 0)

    def test_of_what_is_going_on(self, store):
        due = NOW - 3 * SECOND
        store.deployments.create(Deployment(name="sales", deployed_at=NOW, since=NOW, next_run=due))
        store.deployments.create(Deployment(name="off", deployed_at=NOW, since=NOW, next_run=due - DAY, paused=True))
        store.deployments.add_run(a_run("waits", deployment="sales", run_after=NOW - 9 * SECOND), [TaskRecord(key=A)])
        store.deployments.add_run(a_run("paused", deployment="off", run_after=NOW - DAY), [])
        lease = driven(store, a_run("held"), seconds=50)
        store.commit(lease, [moved()])
        driven(store, a_run("lapsed"), seconds=0)
        past(store, "ended")
        figures = store.house.figures(NOW)
        assert figures.active_runs == {("sales", "queued"): 4}
        assert figures.active_tasks == {"scheduled": 1, "pending": 4}
        assert (figures.oldest_queued, figures.oldest_due) == (NOW - 9 * SECOND, due)
        assert (figures.held_leases, figures.lapsed_leases) == (1, 1)
        assert 0 < figures.first_lapse <= 50
        assert (figures.flows, figures.paused_flows) == (2, 1)


class TestDatabases:
    def test_it_has_an_identity_that_stays(self, store):
        assert store.house.identity() == store.house.identity()
        assert store.house.identity().isalnum()

    def test_what_fits_together_is_not_complained_about(self, store):
        past(store, "a", attempts=[an_attempt(values={"x": artifact("1")})])
        lease = driven(store, a_run("b"))
        store.commit(lease, [moved()], entries={"k" * 64: an_attempt("t2").token})
        store.leave_request("b", Request(kind="cancel", at=NOW))
        assert store.house.complaints() == ()

    def test_nothing_of_a_deleted_run_is_left(self, store):
        past(store, "a", attempts=[an_attempt(values={"x": artifact("1")})])
        store.house.thin("a", values=True, outputs=True)
        store.delete_run("a")
        assert store.house.complaints() == ()
        past(store, "a", days=1)
        assert ids(store.house.old(NOW, has_values=True)) == ["a"]


@pytest.mark.parametrize("index", [-1, 3])
def test_copies_keep_their_index(store, index):
    key = TaskKey(TaskId("m"), index)
    lease = driven(store, a_run("a"), tasks=(key,))
    store.commit(lease, [moved(key=key)], [an_attempt(key=key, values={"x": artifact("1")})])
    run = store.run("a")
    store.commit(lease, [ended(run)])
    assert store.house.thin("a", values=True, outputs=False) == ("1" * 64,)
    assert store.attempts("a")[0].key == key
    assert store.task_records("a")[0].state is TaskState.SCHEDULED
