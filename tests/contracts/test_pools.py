# SPDX-License-Identifier: BSD-3-Clause
"""What every Store promises about pools: memory, SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nbflow.core.errors import Superseded, UserError
from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey, Token
from nbflow.core.limits import PATIENCE, THE_DEFAULT, Answer, Ask, Asks, Bar, Demand, Pool, Waiter
from nbflow.core.protocols import Store
from nbflow.core.records import Change, Lease, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState

pytest_plugins = ["tests.unit.store.databases"]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
S = TaskState


class Driver:
    """A run and what its driver does with the store."""

    def __init__(self, store: Store, run_id: str = "run-1", tasks: int = 4, flow: str = "sales") -> None:
        self.store, self.flow = store, flow
        run = RunRecord(run_id=RunId(run_id), flow=FlowName(flow), created_at=NOW, state=RunState.RUNNING, path="/sales.ipynb")
        self.run, self.keys = run, [TaskKey(TaskId(f"t{n}")) for n in range(tasks)]
        store.create_run(run, [TaskRecord(key=key, state=S.SCHEDULED) for key in self.keys])
        self.lease = self.claim()

    def claim(self, seconds: float = 60, instead_of: str = "") -> Lease:
        lease = self.store.claim(self.run.run_id, "driver", seconds, instead_of)
        assert lease is not None
        return lease

    def moved(self, number: int, after: TaskState, before: TaskState = S.SCHEDULED) -> Change:
        key = self.keys[number]
        token = Token(f"{self.run.run_id}-{number}") if after is S.QUEUED else None
        return Change(at=NOW, key=key, before=before, after=after, task=TaskRecord(key=key, state=after, token=token))

    def wish(self, number: int, **demand: object) -> Ask:
        waiter = Waiter(
            run_id=self.run.run_id,
            flow=self.run.flow,
            path=self.run.path,
            key=self.keys[number],
            demand=Demand(**{"pool": "p", **demand}),
            logical_date=NOW,
        )
        return Ask(waiter=waiter, change=self.moved(number, S.QUEUED))

    def ask(self, *numbers: int, changes: tuple[Change, ...] = (), withdrawn: tuple[int, ...] = (), **demand: object) -> Answer:
        queue = tuple(self.wish(number, **demand) for number in numbers)
        asks = Asks(queue=queue, room=100, withdrawn=tuple(self.keys[number] for number in withdrawn))
        return self.store.commit_asking(self.lease, asks, changes)

    def states(self) -> list[str]:
        return [record.state.value for record in self.store.task_records(self.run.run_id)]

    def ended(self, number: int) -> Change:
        return self.moved(number, S.SUCCESS, before=S.QUEUED)


def names(answer: Answer) -> list[str]:
    return [str(ask.waiter.key) for ask in answer.granted]


def waiting(store: Store) -> list[str]:
    return sorted(f"{waiter.run_id} {waiter.key}" for waiter in store.board().waiters)


@pytest.fixture
def small(store: Store) -> Store:
    """With a pool of two slots."""
    store.save_pool(Pool(name="p", slots=2))
    return store


class TestPools:
    def test_the_default_pool_is_always_there(self, store: Store):
        assert store.pools() == (THE_DEFAULT,)

    def test_pools_come_back_by_name(self, store: Store):
        sftp = Pool(name="sftp", slots=3, include_deferred=True, description="one server")
        store.save_pool(Pool(name="zeta", slots=-1))
        store.save_pool(sftp)
        assert store.pools() == (THE_DEFAULT, sftp, Pool(name="zeta", slots=-1))

    def test_a_pool_is_changed_by_saving_it_again(self, store: Store):
        store.save_pool(replace(THE_DEFAULT, slots=7))
        assert [pool.slots for pool in store.pools()] == [7]

    def test_an_unused_pool_is_deleted(self, small: Store):
        small.delete_pool("p")
        assert [pool.name for pool in small.pools()] == ["default_pool"]

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("sfpt", r'There is no pool "sfpt"\. Did you mean "sftp"\? `nbflow pools list` shows them\.'),
            ("default_pool", r"default_pool cannot be deleted: every task that names no pool is in it\."),
        ],
    )
    def test_what_cannot_be_deleted_says_why(self, store: Store, name: str, sentence: str):
        store.save_pool(Pool(name="sftp", slots=1))
        with pytest.raises(UserError, match=sentence):
            store.delete_pool(name)

    def test_a_pool_in_use_is_not_deleted(self, small: Store):
        driver = Driver(small)
        driver.ask(0, 1, 2)
        with pytest.raises(UserError, match=r"Pool p cannot be deleted now: task t0 of run run-1 runs in it\."):
            small.delete_pool("p")
        driver.ask(changes=(driver.ended(0), driver.ended(1)))
        with pytest.raises(UserError, match=r"task t2 of run run-1 waits for it\."):
            small.delete_pool("p")


class TestAsking:
    def test_what_fits_is_granted_and_recorded_with_the_commit(self, small: Store):
        driver = Driver(small)
        before = driver.moved(3, S.SKIPPED)
        answer = driver.ask(0, 1, changes=(before,))
        assert names(answer) == ["t0", "t1"]
        assert driver.states() == ["queued", "queued", "scheduled", "skipped"]
        assert [(str(change.key), change.after) for change in small.changes("run-1")] == [
            ("t3", "skipped"),
            ("t0", "queued"),
            ("t1", "queued"),
        ]
        assert [change.cursor for change in small.changes("run-1")] == [1, 2, 3]
        assert answer.cursor == 3

    def test_what_does_not_fit_waits_and_says_why(self, small: Store):
        driver = Driver(small)
        answer = driver.ask(0, 1, 2)
        assert names(answer) == ["t0", "t1"]
        assert answer.refused[driver.keys[2]].bar is Bar.POOL
        assert waiting(small) == ["run-1 t2"]
        assert driver.states()[2] == "scheduled"

    def test_what_the_commit_frees_is_free_for_what_it_asks(self, small: Store):
        driver = Driver(small)
        driver.ask(0, 1, 2)
        assert names(driver.ask(2, changes=(driver.ended(0),))) == ["t2"]
        assert waiting(small) == []

    def test_a_running_instance_goes_on_holding_its_slot(self, small: Store):
        driver = Driver(small)
        driver.ask(0, 1)
        small.commit(driver.lease, [driver.moved(0, S.RUNNING, before=S.QUEUED)])
        assert names(driver.ask(2)) == []
        small.commit(driver.lease, [driver.moved(0, S.UP_FOR_RETRY, before=S.RUNNING)])
        assert names(driver.ask(2)) == ["t2"]

    def test_slots_are_those_asked_for(self, small: Store):
        driver = Driver(small)
        assert names(driver.ask(0, 1, slots=2)) == ["t0"]

    def test_an_instance_scheduled_by_the_same_commit_is_recorded_once(self, small: Store):
        driver = Driver(small, tasks=2)
        scheduled = replace(driver.moved(0, S.SCHEDULED, before=S.PENDING))
        assert names(driver.ask(0, changes=(scheduled,))) == ["t0"]
        assert driver.states() == ["queued", "scheduled"]

    def test_two_runs_share_a_pool(self, small: Store):
        one, two = Driver(small), Driver(small, "run-2", flow="other")
        assert names(one.ask(0)) == ["t0"]
        assert names(two.ask(0, 1)) == ["t0"]
        assert [(holder.run_id, holder.flow, holder.pool, holder.slots) for holder in small.board().holders] == [
            ("run-1", "sales", "p", 1),
            ("run-2", "other", "p", 1),
        ]

    def test_a_slot_is_left_for_the_higher_ranked_waiter_of_another_run(self, small: Store):
        one, two = Driver(small), Driver(small, "run-2")
        one.ask(0, 1)
        two.ask(0, weight=9)
        answer = one.ask(2, changes=(one.ended(0),))
        refusal = answer.refused[one.keys[2]]
        assert refusal.first is not None
        assert refusal.first.run_id == "run-2"
        assert names(two.ask(0, weight=9)) == ["t0"]

    def test_a_waiter_whose_lease_lapsed_does_not_count(self, small: Store):
        one, two = Driver(small), Driver(small, "run-2")
        two.lease = two.claim(-1, instead_of="driver")
        one.ask(0, 1)
        two.ask(0, weight=9)
        assert waiting(small) == []
        assert names(one.ask(2, changes=(one.ended(0),))) == ["t2"]

    def test_a_withdrawn_waiter_is_gone(self, small: Store):
        driver = Driver(small)
        driver.ask(0, 1, 2)
        driver.ask(withdrawn=(2,))
        assert waiting(small) == []

    @pytest.mark.parametrize("how", ["release", "claim"])
    def test_nobody_waits_for_a_driver_that_is_gone(self, small: Store, how: str):
        driver = Driver(small)
        driver.ask(0, 1, 2)
        if how == "release":
            small.release(driver.lease)
        else:
            driver.lease = driver.claim(instead_of="driver")
        assert waiting(small) == []

    def test_a_superseded_driver_is_granted_nothing(self, small: Store):
        driver = Driver(small)
        driver.claim(instead_of="driver")
        with pytest.raises(Superseded):
            driver.ask(0)
        assert small.board().holders == ()
        assert driver.states()[0] == "scheduled"

    def test_a_waiter_keeps_its_age_and_counts_who_overtook_it(self, small: Store):
        one, two = Driver(small, tasks=6), Driver(small, "run-2")
        one.ask(0, 1)
        two.ask(0, slots=2)
        since = small.board().waiters[0].since
        one.ask(2, weight=9, changes=(one.ended(0),))
        two.ask(0, slots=2)
        one.ask(3, weight=9, changes=(one.ended(1),))
        (waiter,) = small.board().waiters
        assert (waiter.since, waiter.overtaken) == (since, 2)

    def test_an_overdue_waiter_keeps_the_pool_until_it_fits(self, small: Store):
        one, two = Driver(small, tasks=PATIENCE + 3), Driver(small, "run-2")
        one.ask(0, 1)
        two.ask(0, slots=2)
        last = PATIENCE + 1
        for number in range(2, last + 1):
            assert names(one.ask(number, weight=9, changes=(one.ended(number - 2),)))
        assert names(one.ask(last + 1, weight=9, changes=(one.ended(last - 1),))) == []
        small.commit(one.lease, [one.ended(last)])
        assert names(one.ask(last + 1, weight=9)) == []
        assert names(two.ask(0, slots=2)) == ["t0"]

    @pytest.mark.parametrize("limit", ["max_active_tasks", "max_active"])
    def test_a_limit_holds_over_all_runs_of_the_flow(self, store: Store, limit: str):
        one, two, other = Driver(store), Driver(store, "run-2"), Driver(store, "run-3", flow="other")
        assert names(one.ask(0, pool="default_pool", **{limit: 1})) == ["t0"]
        answer = two.ask(0, pool="default_pool", **{limit: 1})
        assert answer.refused[two.keys[0]].bar.value == limit
        assert names(other.ask(0, pool="default_pool", **{limit: 1})) == ["t0"]

    def test_parallelism_counts_every_run(self, store: Store):
        one, two = Driver(store), Driver(store, "run-2", flow="other")
        asks = Asks(queue=(one.wish(0, pool="default_pool"), one.wish(1, pool="default_pool")), room=9, parallelism=1)
        assert names(store.commit_asking(one.lease, asks, ())) == ["t0"]
        assert names(store.commit_asking(two.lease, replace(asks, queue=(two.wish(0, pool="default_pool"),)), ())) == []

    def test_a_pool_that_was_never_made_grants_nothing(self, store: Store):
        driver = Driver(store)
        assert driver.ask(0).refused[driver.keys[0]].bar is Bar.NO_POOL

    def test_waiters_and_slots_of_a_deleted_run_are_gone(self, small: Store):
        driver = Driver(small)
        driver.ask(0, 1, 2)
        small.commit(
            driver.lease, [Change(at=NOW, key=None, before="running", after="failed", run=replace(driver.run, state=RunState.FAILED))]
        )
        small.delete_run("run-1")
        assert small.board().holders == small.board().waiters == ()


def test_unfinished_tasks_are_those_of_runs_that_go_on(small: Store):
    driver, done = Driver(small), Driver(small, "run-0")
    small.commit(done.lease, [Change(at=NOW, key=None, before="running", after="failed", run=replace(done.run, state=RunState.FAILED))])
    driver.ask(0)
    assert [(run.run_id, str(task.key)) for run, task in small.unfinished_tasks([S.QUEUED])] == [("run-1", "t0")]
    assert [str(task.key) for _, task in small.unfinished_tasks([S.SCHEDULED])] == ["t1", "t2", "t3"]
