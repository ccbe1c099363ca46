# SPDX-License-Identifier: BSD-3-Clause
"""What every Store promises, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbflow.core.errors import Superseded, UserError
from nbflow.core.ids import RunId, TaskId, TaskKey, Token
from nbflow.core.job import Outcome, OutputsRef, ValueRef
from nbflow.core.model import CellRef, Edge, Flow, FlowOptions, Task
from nbflow.core.records import AttemptRecord, Change, Lease, Request, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState
from tests.unit.store.strategies import NAMES, records

pytest_plugins = ["tests.unit.store.databases"]

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


class TestFlows:
    def test_a_saved_flow_comes_back(self, store):
        flow = Flow(name="f", tasks=(Task(id="a", source="x = 1"), Task(id="b")), edges=(Edge(upstream="a", downstream="b", names=("x",)),))
        assert store.flow(store.save_flow(flow)) == flow

    def test_saving_again_gives_the_same_version(self, store):
        flow = Flow(name="f", tasks=(Task(id="a", source="x = 1"),))
        assert store.save_flow(flow, source=b"notebook") == store.save_flow(flow, source=b"notebook")

    def test_another_source_is_another_version(self, store):
        one, two = (Flow(name="f", tasks=(Task(id="a", source=source),)) for source in ("x = 1", "x = 2"))
        assert store.save_flow(one) != store.save_flow(two)

    def test_another_option_of_the_header_is_another_version(self, store):
        assert store.save_flow(Flow(name="f")) != store.save_flow(Flow(name="f", options=FlowOptions(fail_fast=True)))

    def test_the_newest_place_of_the_cells_is_kept(self, store):
        here, there = (Flow(name="f", path=path, tasks=(Task(id="a", cell=CellRef(number=n)),)) for path, n in (("/a", 1), ("/b", 2)))
        version = store.save_flow(here)
        assert store.save_flow(there) == version
        assert store.flow(version) == there

    def test_an_unknown_version_is_a_key_error(self, store):
        with pytest.raises(KeyError):
            store.flow("0" * 64)

    @DRAWN
    @given(flow=records(Flow, name=NAMES))
    def test_every_field_of_a_flow_comes_back(self, store, flow):
        assert store.flow(store.save_flow(flow)) == flow


class TestRuns:
    def test_a_created_run_comes_back(self, store):
        run = a_run(params={"day": "2026-01-01", "n": [1, None, 2.5]}, tasks=("a", "b"), path="/n b.ipynb")
        store.create_run(run, [])
        assert store.run("run-1") == run

    def test_its_task_instances_come_back_in_the_order_given(self, store):
        tasks = [TaskRecord(key=TaskKey(TaskId(name))) for name in ("z", "a", "m")]
        store.create_run(a_run(), tasks)
        assert store.task_records("run-1") == tuple(tasks)

    def test_copies_that_come_later_stand_with_their_task(self, store):
        lease = driven(store, tasks=(A, B))
        store.commit(lease, [moved(TaskKey(TaskId("a"), index)) for index in (10, 2)])
        assert [str(task.key) for task in store.task_records("run-1")] == ["a", "a[2]", "a[10]", "b"]

    def test_a_taken_id_is_refused_and_leaves_the_first_run(self, store):
        store.create_run(a_run(flow="one"), [TaskRecord(key=A)])
        with pytest.raises(UserError, match='There is a run "run-1" already'):
            store.create_run(a_run(flow="two"), [TaskRecord(key=B)])
        assert store.run("run-1").flow == "one"
        assert [task.key for task in store.task_records("run-1")] == [A]

    def test_an_unknown_id_names_the_nearest(self, store):
        store.create_run(a_run("manual__2026"), [])
        with pytest.raises(UserError, match=r'There is no run "manual_2026"\. Did you mean "manual__2026"\?'):
            store.run("manual_2026")

    def test_a_run_that_is_not_there_has_no_history(self, store):
        assert store.task_records("x") == store.attempts("x") == store.changes("x") == store.requests("x") == ()
        assert store.captures("x") is None

    def test_captures_come_back(self, store):
        store.create_run(a_run(), [])
        assert store.captures("run-1") is None
        store.save_captures("run-1", b"\0first")
        store.save_captures("run-1", b"\0second")
        assert store.captures("run-1") == b"\0second"

    def test_captures_come_with_the_run_itself(self, store):
        store.create_run(a_run(), [], b"captured", ["1" * 64])
        assert store.captures("run-1") == b"captured"

    def test_captures_of_an_unknown_run_are_refused(self, store):
        with pytest.raises(UserError, match="There is no run"):
            store.save_captures("run-9", b"")

    def test_a_path_of_odd_bytes_is_kept_and_found(self, store):
        odd = "/tmp/\udcff\0é.ipynb"
        store.create_run(a_run(path=odd), [])
        assert store.run("run-1").path == odd
        assert len(store.find_runs(path=odd).runs) == 1

    @DRAWN
    @given(run=records(RunRecord, run_id=NAMES), tasks=st.lists(records(TaskRecord), max_size=4, unique_by=lambda task: task.key))
    def test_every_field_comes_back(self, store, run, tasks):
        run = replace(run, run_id=RunId(uuid.uuid4().hex), deployment=f"{run.deployment[:200]}-{uuid.uuid4().hex}")
        store.create_run(run, tasks)
        assert store.run(run.run_id) == run
        assert {task.key: task for task in store.task_records(run.run_id)} == {task.key: task for task in tasks}


class TestFindingRuns:
    @pytest.fixture
    def seven(self, store):
        for number in range(7):
            store.create_run(
                a_run(
                    f"r{number}",
                    created_at=NOW + timedelta(seconds=number // 2),  # pairs of one instant
                    flow="even" if number % 2 == 0 else "odd",
                    state=RunState.RUNNING if number < 3 else RunState.SUCCESS,
                    path=f"/{number % 3}.ipynb",
                ),
                [],
            )

    def ids(self, page):
        return [run.run_id for run in page.runs]

    @pytest.mark.usefixtures("seven")
    def test_the_newest_stand_first_and_ties_are_broken_by_id(self, store):
        page = store.find_runs()
        assert self.ids(page) == ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]
        assert page.next == ""

    @pytest.mark.usefixtures("seven")
    def test_pages_follow_each_other_without_gap_or_repetition(self, store):
        first = store.find_runs(limit=3)
        second = store.find_runs(limit=3, cursor=first.next)
        third = store.find_runs(limit=3, cursor=second.next)
        assert self.ids(first) + self.ids(second) + self.ids(third) == ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]
        assert third.next == ""

    @pytest.mark.usefixtures("seven")
    def test_a_full_last_page_has_no_next(self, store):
        assert store.find_runs(limit=7).next == ""

    @pytest.mark.usefixtures("seven")
    def test_runs_that_come_and_go_do_not_move_a_page(self, store):
        first = store.find_runs(limit=3)
        store.create_run(a_run("new", created_at=NOW + timedelta(days=1)), [])
        store.delete_run("r4")
        assert self.ids(store.find_runs(limit=3, cursor=first.next)) == ["r3", "r2", "r1"]

    @pytest.mark.usefixtures("seven")
    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ({"flow": "odd"}, ["r5", "r3", "r1"]),
            ({"state": "running"}, ["r2", "r1", "r0"]),
            ({"path": "/1.ipynb"}, ["r4", "r1"]),
            ({"flow": "odd", "state": "running"}, ["r1"]),
            ({"flow": "nobody"}, []),
        ],
    )
    def test_filters_narrow(self, store, wanted, found):
        assert self.ids(store.find_runs(**wanted)) == found

    @pytest.mark.usefixtures("seven")
    def test_filters_and_pages_go_together(self, store):
        first = store.find_runs(flow="even", limit=2)
        assert self.ids(store.find_runs(flow="even", limit=2, cursor=first.next)) == ["r2", "r0"]

    def test_the_state_found_is_the_newest_committed(self, store):
        lease = driven(store)
        store.commit(lease, [ended(a_run())])
        assert self.ids(store.find_runs(state="success")) == ["run-1"]
        assert store.find_runs(state="queued").runs == ()

    @pytest.mark.parametrize("cursor", ["x", "12", "x.y", ".r", "1."])
    def test_a_cursor_that_is_none_is_refused(self, store, cursor):
        with pytest.raises(UserError, match="is not a cursor"):
            store.find_runs(cursor=cursor)


class TestEarlierRuns:
    def add(self, store, run_id, day, **more):
        date = NOW + timedelta(days=day) if day is not None else None
        run = a_run(run_id, created_at=NOW + timedelta(days=day or 0), logical_date=date, **more)
        store.create_run(run, [])
        return run

    @pytest.mark.parametrize("deployment", ["", "nightly"])
    def test_the_newest_logical_date_comes_first_and_later_ones_do_not_come(self, store, deployment):
        runs = [self.add(store, f"run-{day}", day, deployment=deployment, run_type="scheduled") for day in (3, 1, 2, 5)]
        assert [run.run_id for run in store.earlier_runs(runs[0], manual=True, limit=10)] == ["run-2", "run-1"]
        assert [run.run_id for run in store.earlier_runs(runs[0], manual=True, limit=1)] == ["run-2"]

    @pytest.mark.parametrize("deployment", ["", "nightly"])
    def test_manual_ones_count_where_they_are_asked_for(self, store, deployment):
        self.add(store, "scheduled", 1, deployment=deployment, run_type="scheduled")
        self.add(store, "manual", 2, deployment=deployment)
        now = self.add(store, "now", 3, deployment=deployment)
        assert [run.run_id for run in store.earlier_runs(now, manual=False, limit=10)] == ["scheduled"]
        assert [run.run_id for run in store.earlier_runs(now, manual=True, limit=1)] == ["manual"]

    def test_other_flows_files_and_deployments_have_a_past_of_their_own(self, store):
        self.add(store, "another-flow", 1, flow="another")
        self.add(store, "another-file", 1, path="/another.ipynb")
        self.add(store, "deployed", 1, deployment="nightly")
        assert store.earlier_runs(self.add(store, "now", 2), manual=True, limit=10) == ()

    def test_without_a_logical_date_there_is_none_earlier(self, store):
        self.add(store, "first", 1)
        assert store.earlier_runs(self.add(store, "now", None), manual=True, limit=10) == ()


class TestCache:
    def test_an_entry_is_an_attempt_and_its_run(self, store):
        attempt = an_attempt(outcome="success", values={"x": artifact("a")}, decision=["b"])
        store.commit(driven(store), [], [attempt], entries={"k" * 64: "t1"})
        assert store.cached(["k" * 64, "other"]) == {"k" * 64: ("run-1", attempt)}

    def test_there_is_nothing_under_a_key_that_was_never_recorded(self, store):
        assert store.cached([]) == store.cached(["k"]) == {}

    def test_the_newest_attempt_of_a_key_counts(self, store):
        for number in (1, 2):
            lease = driven(store, a_run(f"run-{number}"))
            store.commit(lease, [], [an_attempt(f"t{number}", outcome="success")], entries={"k": f"t{number}"})
        run_id, attempt = store.cached(["k"])["k"]
        assert (run_id, attempt.token) == ("run-2", "t2")

    def test_many_keys_are_found_at_once(self, store):
        attempts = [an_attempt(f"t{number}", outcome="success") for number in range(600)]
        entries = {f"k{number}": f"t{number}" for number in range(600)}
        store.commit(driven(store), [], attempts, entries=entries)
        found = store.cached([*entries, "another"])
        assert {key: attempt.token for key, (_, attempt) in found.items()} == entries

    def test_all_that_a_run_made_is_found_at_once(self, store):
        store.commit(driven(store), [], [an_attempt("t1", outcome="success"), an_attempt("t2", B)], entries={"k": "t1", "l": "t2"})
        store.commit(driven(store, a_run("run-2")), [], [an_attempt("t3", outcome="success")], entries={"l": "t3"})
        assert {key: (run_id, attempt.token) for key, (run_id, attempt) in store.cached_by("run-1").items()} == {"k": ("run-1", "t1")}
        assert store.cached_by("nowhere") == {}

    def test_an_entry_goes_with_its_run(self, store):
        run = a_run()
        store.commit(driven(store, run), [ended(run)], [an_attempt(outcome="success")], entries={"k": "t1"})
        store.commit(driven(store, a_run("run-2")), [], [an_attempt("t2", outcome="success")], entries={"l": "t2"})
        store.delete_run("run-1")
        assert store.cached(["k", "l"]).keys() == {"l"}

    def test_values_that_another_run_took_stay_when_the_first_goes(self, store):
        run = a_run()
        store.commit(driven(store, run), [ended(run)], [an_attempt(values={"x": artifact("a")})], entries={"k": "t1"})
        store.commit(driven(store, a_run("run-2")), [], [an_attempt("t2", values={"x": artifact("a")})])
        assert store.delete_run("run-1") == ()

    def test_a_driver_that_was_superseded_records_no_entry(self, store):
        old = driven(store)
        store.release(old)
        store.claim("run-1", "other", 60)
        with pytest.raises(Superseded):
            store.commit(old, [], [an_attempt(outcome="success")], entries={"k": "t1"})
        assert store.cached(["k"]) == {}


class TestLeases:
    def test_a_free_run_is_claimed_with_epoch_one(self, store):
        store.create_run(a_run(), [])
        assert store.claim("run-1", "me", 60) == Lease(run_id=RunId("run-1"), owner="me", epoch=1, seconds=60)

    def test_while_somebody_holds_it_nobody_else_gets_it(self, store):
        driven(store)
        assert store.claim("run-1", "other", 60) is None

    def test_a_lapsed_lease_is_claimed_by_the_next(self, store):
        driven(store, seconds=0)
        assert store.claim("run-1", "other", 60).epoch == 2

    def test_the_holder_itself_gets_no_second_lease(self, store):
        lease = driven(store)
        assert store.claim("run-1", "driver", 60) is None
        store.renew(lease)

    def test_a_lease_given_back_is_free_and_over(self, store):
        lease = driven(store)
        store.release(lease)
        with pytest.raises(Superseded):
            store.commit(lease, [moved()])
        assert store.claim("run-1", "other", 60).epoch == 2

    def test_giving_back_a_superseded_lease_changes_nothing(self, store):
        old = driven(store, seconds=0)
        new = store.claim("run-1", "other", 60)
        store.release(old)
        store.renew(new)
        assert store.claim("run-1", "third", 60) is None

    def test_renewing_puts_off_the_lapse(self, store):
        lease = driven(store, seconds=0)
        store.renew(replace(lease, seconds=60))
        assert store.claim("run-1", "other", 60) is None

    def test_a_commit_puts_off_the_lapse(self, store):
        lease = driven(store, seconds=0)
        store.commit(replace(lease, seconds=60), [moved()])
        assert store.claim("run-1", "other", 60) is None

    def test_a_lapsed_driver_may_go_on_when_nobody_took_over(self, store):
        lease = driven(store, seconds=0)
        assert store.commit(lease, [moved()]) == 1

    def test_an_unknown_run_cannot_be_claimed(self, store):
        assert store.claim("run-9", "me", 60) is None

    def test_a_live_lease_is_claimed_instead_of_a_holder_that_is_dead(self, store):
        old = driven(store)
        assert store.claim("run-1", "other", 60, instead_of="somebody") is None
        new = store.claim("run-1", "other", 60, instead_of=old.owner)
        assert new.epoch > old.epoch
        with pytest.raises(Superseded):
            store.renew(old)

    def test_holders_are_named_until_they_give_the_lease_back_or_the_run_ends(self, store):
        lease = driven(store)
        assert (store.holders(), store.holder("run-1")) == ({"run-1": lease.owner}, lease.owner)
        store.commit(lease, [ended(a_run())])
        assert (store.holders(), store.holder("run-1")) == ({}, lease.owner)
        store.release(lease)
        assert store.holder("run-1") == store.holder("unknown") == ""

    def test_a_holder_whose_lease_has_lapsed_holds_nothing(self, store):
        lease = driven(store, seconds=0)
        assert (store.holders(), store.holder("run-1")) == ({"run-1": lease.owner}, "")

    def test_unfinished_runs_without_a_live_lease_are_lapsed_oldest_first(self, store):
        for number, state in enumerate([RunState.RUNNING, RunState.QUEUED, RunState.SUCCESS, RunState.RUNNING]):
            store.create_run(a_run(f"r{number}", state=state, created_at=NOW - timedelta(seconds=number)), [])
        store.claim("r0", "me", 60)
        store.claim("r1", "me", 0)
        assert store.lapsed_runs() == ("r3", "r1")

    def test_of_many_claimants_one_gets_the_lease(self, store):
        store.create_run(a_run(), [])
        together = threading.Barrier(6)

        def claim(name):
            together.wait()
            return store.claim("run-1", name, 60)

        with ThreadPoolExecutor(6) as pool:
            leases = [lease for lease in pool.map(claim, "aabcde") if lease]
        assert len(leases) == 1
        assert leases[0].epoch == 1


class TestCommit:
    def test_changes_get_cursors_from_one_and_come_back_in_order(self, store):
        lease = driven(store)
        changes = [moved(A), moved(B), moved(A, "scheduled", "queued", token=Token("t1"))]
        assert store.commit(lease, changes[:2]) == 2
        assert store.commit(lease, changes[2:]) == 3
        assert store.changes("run-1") == tuple(replace(change, cursor=number) for number, change in enumerate(changes, 1))

    def test_changes_are_read_from_a_cursor_and_up_to_a_limit(self, store):
        lease = driven(store)
        store.commit(lease, [moved(reason=str(number)) for number in range(5)])
        assert [change.cursor for change in store.changes("run-1", after=1, limit=3)] == [2, 3, 4]
        assert store.changes("run-1", after=5) == ()

    def test_the_records_are_those_of_the_newest_change(self, store):
        run = a_run()
        lease = driven(store, run)
        store.commit(lease, [moved(A), moved(A, "scheduled", "skipped", reason="branch"), ended(run)])
        assert store.task_records("run-1")[0].reason == "branch"
        assert store.task_records("run-1")[1] == TaskRecord(key=B)
        assert store.run("run-1").state is RunState.SUCCESS

    def test_a_commit_without_changes_keeps_the_cursor(self, store):
        lease = driven(store)
        assert store.commit(lease, []) == 0
        store.commit(lease, [moved()])
        assert store.commit(lease, [], [an_attempt()]) == 1

    def test_the_runs_record_is_updated_without_a_change(self, store):
        lease = driven(store)
        store.commit(lease, [], run=a_run(output="/out.ipynb"))
        assert store.run("run-1").output == "/out.ipynb"
        assert store.changes("run-1") == ()

    def test_the_cursor_goes_on_under_the_next_driver(self, store):
        store.commit(driven(store, seconds=0), [moved()])
        assert store.commit(store.claim("run-1", "other", 60), [moved()]) == 2

    def test_a_superseded_commit_writes_nothing_at_all(self, store):
        old = driven(store, seconds=0)
        request = store.leave_request("run-1", Request(kind="cancel", at=NOW))
        new = store.claim("run-1", "other", 60)
        with pytest.raises(Superseded, match=r"Run run-1 is no longer driven by driver.*nothing was written"):
            store.commit(old, [moved(), ended(a_run())], [an_attempt()], [request], run=a_run(output="/lost"))
        assert store.changes("run-1") == store.attempts("run-1") == ()
        assert store.run("run-1") == a_run()
        assert store.task_records("run-1") == (TaskRecord(key=A), TaskRecord(key=B))
        assert [request.id for request in store.requests("run-1")] == [request]
        assert store.commit(new, [moved()]) == 1

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param(moved(B, note={"x": object()}), id="a value that is not JSON"),
            pytest.param(replace(moved(B), at=NOW.replace(tzinfo=None)), id="an instant without a zone"),
        ],
    )
    def test_a_commit_of_something_that_cannot_be_kept_writes_nothing(self, store, bad):
        lease = driven(store)
        with pytest.raises((UserError, TypeError)):
            store.commit(lease, [moved(A), bad])
        assert store.changes("run-1") == ()
        assert store.commit(lease, [moved(A)]) == 1

    def test_thousands_of_changes_are_one_commit(self, store):
        keys = [TaskKey(TaskId("a"), index) for index in range(2_000)]
        lease = driven(store, tasks=keys)
        assert store.commit(lease, [moved(key) for key in keys]) == 2_000
        assert len(store.changes("run-1")) == 2_000
        assert {task.state for task in store.task_records("run-1")} == {TaskState.SCHEDULED}

    def test_the_cursor_has_no_gap_under_two_threads(self, store):
        lease = driven(store)
        other = driven(store, a_run("run-2"))
        together = threading.Barrier(4)

        def drive(held):
            together.wait()
            return [store.commit(held, [moved()] * count) for count in (1, 2, 3) * 5]

        with ThreadPoolExecutor(4) as pool:
            ends = list(pool.map(drive, [lease, lease, other, other]))
        for run_id in ("run-1", "run-2"):
            assert [change.cursor for change in store.changes(run_id)] == list(range(1, 61))
        assert len(set(ends[0]) | set(ends[1])) == 30

    def test_readers_in_other_threads_see_whole_commits(self, store):
        lease = driven(store)
        seen, done = [], threading.Event()

        def read():
            while not done.is_set():
                seen.append(len(store.changes("run-1")))

        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(read)
            for _ in range(30):
                store.commit(lease, [moved(), moved(), moved()])
            done.set()
            reader.result()
        assert all(count % 3 == 0 for count in seen)
        assert seen == sorted(seen)

    @DRAWN
    @given(
        changes=st.lists(
            records(Change, cursor=st.just(0), run=st.none(), before=NAMES, after=NAMES)
            | records(Change, cursor=st.just(0), key=st.none(), task=st.none()),
            max_size=4,
        )
    )
    def test_every_field_of_a_change_comes_back(self, store, changes):
        run = a_run(uuid.uuid4().hex)
        changes = [change if change.run is None else replace(change, run=replace(change.run, run_id=run.run_id)) for change in changes]
        lease = driven(store, run)
        store.commit(lease, changes)
        assert store.changes(run.run_id) == tuple(replace(change, cursor=number) for number, change in enumerate(changes, 1))


class TestAttempts:
    def test_they_come_back_oldest_first_of_one_task_or_of_all(self, store):
        lease = driven(store)
        first, second, third = an_attempt("t1", A), an_attempt("t2", B), an_attempt("t3", A, 2)
        store.commit(lease, [], [first, second])
        store.commit(lease, [], [third])
        assert store.attempts("run-1") == (first, second, third)
        assert store.attempts("run-1", "a") == (first, third)
        assert store.attempts("run-1", "a", 0) == ()
        assert store.attempts("run-1", "a", -1) == (first, third)

    def test_the_end_of_an_attempt_replaces_its_beginning(self, store):
        lease = driven(store)
        store.commit(lease, [], [an_attempt("t1", started_at=NOW), an_attempt("t2", B)])
        over = an_attempt("t1", outcome=Outcome.SUCCESS, started_at=NOW, ended_at=NOW, values={"x": artifact("1")})
        store.commit(lease, [], [over])
        assert [attempt.token for attempt in store.attempts("run-1")] == ["t1", "t2"]
        assert store.attempts("run-1", "a") == (over,)

    @DRAWN
    @given(attempt=records(AttemptRecord, outcome=st.sampled_from([*map(str, Outcome), "running"])))
    def test_every_field_comes_back(self, store, attempt):
        attempt = replace(attempt, token=Token(uuid.uuid4().hex))
        run = a_run(uuid.uuid4().hex)
        store.commit(driven(store, run), [], [attempt])
        assert store.attempts(run.run_id) == (attempt,)


class TestRequests:
    def test_they_wait_in_order_until_they_are_done(self, store):
        lease = driven(store)
        cancel, clear = Request(kind="cancel", at=NOW), Request(kind="clear", keys=(A,), by="ann", at=NOW, arguments={"n": 1})
        one, two = store.leave_request("run-1", cancel), store.leave_request("run-1", clear)
        assert store.requests("run-1") == (replace(cancel, id=one), replace(clear, id=two))
        store.commit(lease, [], done_requests=[one])
        assert store.requests("run-1") == (replace(clear, id=two),)

    def test_ids_are_not_used_again(self, store):
        lease = driven(store)
        one = store.leave_request("run-1", Request(kind="cancel", at=NOW))
        two = store.leave_request("run-1", Request(kind="cancel", at=NOW))
        store.commit(lease, [], done_requests=[one, two])
        assert store.leave_request("run-1", Request(kind="cancel", at=NOW)) > two

    def test_those_of_another_run_stay(self, store):
        lease = driven(store)
        driven(store, a_run("run-2"))
        other = store.leave_request("run-2", Request(kind="cancel", at=NOW))
        store.commit(lease, [], done_requests=[other])
        assert len(store.requests("run-2")) == 1
        assert store.requests("run-1") == ()

    def test_an_unknown_run_takes_none(self, store):
        with pytest.raises(UserError, match='There is no run "run-9"'):
            store.leave_request("run-9", Request(kind="cancel", at=NOW))

    @DRAWN
    @given(request_drawn=records(Request, id=st.just(0)))
    def test_every_field_comes_back(self, store, request_drawn):
        run_id = uuid.uuid4().hex
        store.create_run(a_run(run_id), [])
        id = store.leave_request(run_id, request_drawn)
        assert store.requests(run_id) == (replace(request_drawn, id=id),)


class TestDeleting:
    def finished(self, store, run_id, *attempts):
        run = a_run(run_id)
        lease = driven(store, run)
        store.commit(lease, [ended(run)], attempts)
        store.release(lease)

    def test_nothing_of_the_run_stays(self, store):
        self.finished(store, "run-1", an_attempt())
        store.save_captures("run-1", b"c")
        store.leave_request("run-1", Request(kind="clear", at=NOW))
        store.delete_run("run-1")
        with pytest.raises(UserError, match="There is no run"):
            store.run("run-1")
        assert store.find_runs().runs == store.task_records("run-1") == store.attempts("run-1") == store.changes("run-1") == ()
        assert store.requests("run-1") == ()
        assert store.captures("run-1") is None
        assert store.claim("run-1", "me", 60) is None

    def test_its_id_may_be_used_again_from_the_beginning(self, store):
        self.finished(store, "run-1", an_attempt())
        store.delete_run("run-1")
        lease = driven(store)
        assert lease.epoch == 1
        assert store.commit(lease, [moved()]) == 1
        assert len(store.changes("run-1")) == 1

    def test_artifacts_that_only_it_referred_to_are_returned(self, store):
        inline = ValueRef(hash="f" * 64, format="json", size=1, inline=b"1")
        mine = an_attempt("t1", values={"x": artifact("1"), "y": inline}, inputs={"z": artifact("2")}, outputs=OutputsRef(hash="3" * 64))
        self.finished(store, "run-1", mine)
        self.finished(store, "run-2", an_attempt("t2", inputs={"z": artifact("2")}))
        assert store.delete_run("run-1") == ("1" * 64, "3" * 64)
        assert store.delete_run("run-2") == ("2" * 64,)

    def test_what_the_captures_of_another_run_need_is_kept(self, store):
        self.finished(store, "run-1", an_attempt(values={"x": artifact("1")}))
        store.create_run(a_run("run-2"), [])
        store.save_captures("run-2", b"", ["1" * 64])
        assert store.delete_run("run-1") == ()

    def test_an_unfinished_run_is_refused_and_stays(self, store):
        lease = driven(store)
        with pytest.raises(UserError, match="Run run-1 is queued: cancel it"):
            store.delete_run("run-1")
        assert store.commit(lease, [moved()]) == 1

    def test_an_unknown_run_is_refused(self, store):
        with pytest.raises(UserError, match='There is no run "run-9"'):
            store.delete_run("run-9")

    def test_its_driver_is_superseded(self, store):
        run = a_run()
        lease = driven(store, run)
        store.commit(lease, [ended(run)])
        store.delete_run("run-1")
        with pytest.raises(Superseded):
            store.commit(lease, [moved()])
