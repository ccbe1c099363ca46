# SPDX-License-Identifier: BSD-3-Clause
"""What every Store promises to those who drive runs: leases, commits, attempts, requests, the cache; over memory, SQLite and PostgreSQL."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.errors import Superseded, UserError
from nbflow.core.ids import RunId, TaskId, TaskKey, Token
from nbflow.core.job import Outcome
from nbflow.core.records import AttemptRecord, Change, Lease, Request, TaskRecord
from nbflow.core.states import RunState, TaskState
from tests.contracts.history import DRAWN, NOW, A, B, a_run, an_attempt, artifact, driven, ended, moved
from tests.unit.store.strategies import NAMES, records

pytest_plugins = ["tests.unit.store.databases"]


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

    def test_a_driver_is_asked_as_long_as_it_is_there_and_leaves_when_nothing_is_asked_of_it(self, store):
        lease, clear = driven(store), Request(kind="clear", at=NOW)
        assert store.ask_holder("run-1", clear)
        assert not store.release_unless_asked(lease)
        (left,) = store.requests("run-1")
        store.commit(lease, [], done_requests=[left.id])
        assert store.release_unless_asked(lease)
        assert (store.holder("run-1"), store.ask_holder("run-1", clear), store.requests("run-1")) == ("", False, ())

    @DRAWN
    @given(request_drawn=records(Request, id=st.just(0)))
    def test_every_field_comes_back(self, store, request_drawn):
        run_id = uuid.uuid4().hex
        store.create_run(a_run(run_id), [])
        id = store.leave_request(run_id, request_drawn)
        assert store.requests(run_id) == (replace(request_drawn, id=id),)
