# SPDX-License-Identifier: BSD-3-Clause
"""What every Store promises about flows, runs and finding them, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.errors import Superseded, UserError
from nbflow.core.ids import RunId, TaskId, TaskKey
from nbflow.core.job import OutputsRef, ValueRef
from nbflow.core.model import CellRef, Edge, Flow, FlowOptions, Task
from nbflow.core.records import Request, RunRecord, TaskRecord
from nbflow.core.states import RunState
from tests.contracts.history import DRAWN, NOW, A, B, a_run, an_attempt, artifact, driven, ended, moved
from tests.unit.store.strategies import NAMES, records

pytest_plugins = ["tests.unit.store.databases"]


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
