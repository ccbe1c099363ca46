# SPDX-License-Identifier: BSD-3-Clause
"""Who gets a slot, against semantics.md 7: a whole installation with several drivers, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey
from nbflow.core.limits import (
    INFINITE,
    PATIENCE,
    THE_DEFAULT,
    Ask,
    Asks,
    Board,
    Demand,
    Holder,
    Place,
    Pool,
    Waiter,
    rank,
    settle,
    used_slots,
)
from nbflow.core.records import Change
from nbflow.core.states import TaskState
from nbflow.core.waits import reasons_of, say

DAY = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = Change(at=DAY, key=None, before="", after="")


def waiter(name: str, run: str = "r1", *, flow: str = "f", day: int = 0, **demand: object) -> Waiter:
    task, _, index = name.partition("[")
    key = TaskKey(TaskId(task), int(index.rstrip("]")) if index else -1)
    wants = Demand(**{"pool": "p", **demand})
    return Waiter(run_id=RunId(run), flow=FlowName(flow), key=key, demand=wants, logical_date=DAY + timedelta(days=day))


class Installation:
    """Pools, holders and waiters as the store keeps them, and a check after every grant."""

    def __init__(self, *pools: Pool, parallelism: int = 0) -> None:
        self.pools = {pool.name: pool for pool in (*pools, THE_DEFAULT)}
        self.parallelism = parallelism
        self.holders: dict[Place, Holder] = {}
        self.waiters: dict[Place, Waiter] = {}
        self.dead: set[str] = set()
        self.now = DAY

    @property
    def board(self) -> Board:
        alive = [waiter for waiter in self.waiters.values() if waiter.run_id not in self.dead]
        return Board(pools=self.pools, holders=tuple(self.holders.values()), waiters=alive)

    def ask(self, run: str, *waiters: Waiter, room: int = 1000) -> list[str]:
        """One commit of the run's driver: names of those that got a slot."""
        self.now += timedelta(seconds=1)
        asks = Asks(queue=tuple(Ask(waiter=one, change=NOTHING) for one in waiters), room=room, parallelism=self.parallelism)
        self.last = settle(RunId(run), asks, self.board)
        for place, times in self.last.overtaken.items():
            if place in self.waiters:
                self.waiters[place] = replace(self.waiters[place], overtaken=self.waiters[place].overtaken + times)
        for one in waiters:
            place = (one.run_id, one.key)
            if one.key in self.last.refused:
                self.waiters.setdefault(place, replace(one, since=self.now))
            else:
                self.waiters.pop(place, None)
        for ask in self.last.granted:
            one = ask.waiter
            held = Holder(run_id=one.run_id, flow=one.flow, path=one.path, key=one.key, state=TaskState.QUEUED)
            self.holders[one.run_id, one.key] = replace(held, pool=one.demand.pool, slots=one.demand.slots)
        self.check()
        return [str(ask.waiter.key) for ask in self.last.granted]

    def check(self) -> None:
        for name, used in used_slots(self.pools, self.holders.values()).items():
            assert self.pools[name].slots == INFINITE or used <= self.pools[name].slots, f"pool {name} has more slots in use than it has"

    def end(self, name: str, run: str = "r1") -> None:
        del self.holders[RunId(run), waiter(name).key]

    def why(self, one: Waiter) -> str:
        return say(self.last.refused[one.key], one, self.last.board)


def small(slots: int, **more: object) -> Installation:
    return Installation(Pool(name="p", slots=slots, **more))


class TestOrder:
    def test_weight_then_date_then_map_index(self):
        queue = [
            waiter("late", day=1, weight=9),
            waiter("b[1]", weight=9),
            waiter("b[0]", weight=9),
            waiter("heavy", weight=10),
            waiter("light"),
        ]
        assert small(4).ask("r1", *queue) == ["late", "b[1]", "b[0]", "heavy"]  # in the order asked
        assert [str(one.key) for one in sorted(queue, key=rank)] == ["heavy", "b[0]", "b[1]", "late", "light"]

    def test_runs_of_backfills_come_after_all_others_but_are_not_starved(self):
        queue = [waiter("light"), replace(waiter("backfilled", weight=9), comes_last=True), waiter("heavy", weight=2)]
        assert [str(one.key) for one in sorted(queue, key=rank)] == ["heavy", "light", "backfilled"]
        overdue = replace(queue[1], since=DAY, overtaken=PATIENCE)
        assert min([*queue, overdue], key=rank) == overdue

    def test_what_does_not_fit_is_passed_over_and_smaller_ones_run(self):
        here = small(3)
        assert here.ask("r1", waiter("one")) == ["one"]
        big, little = waiter("big", weight=5, slots=3), waiter("little")
        assert here.ask("r1", big, little) == ["little"]
        assert here.why(big) == "Waiting for 3 slots in pool p: 2 of 3 in use by one, little."

    def test_a_full_pool_starves_no_other(self):
        here = Installation(Pool(name="p", slots=0), Pool(name="q", slots=1))
        crowd = [waiter(f"a{n}", weight=9) for n in range(50)]
        assert here.ask("r1", *crowd, waiter("b", pool="q")) == ["b"]


class TestSharing:
    def test_a_slot_is_left_for_the_higher_ranked_waiter_of_another_run(self):
        here = small(1)
        here.ask("r1", waiter("one"))
        assert here.ask("r2", waiter("urgent", "r2", weight=5)) == []
        here.end("one")
        two = waiter("two")
        assert here.ask("r1", two) == []
        assert here.why(two) == "Waiting for a slot in pool p: urgent of r2 goes first."
        assert here.ask("r2", waiter("urgent", "r2", weight=5)) == ["urgent"]

    def test_what_is_left_over_is_granted_meanwhile(self):
        here = small(2)
        here.ask("r1", waiter("one"), waiter("other"))
        here.ask("r2", waiter("urgent", "r2", weight=5))
        here.end("one")
        here.end("other")
        assert here.ask("r1", waiter("two"), waiter("three")) == ["two"]

    def test_a_waiter_whose_driver_died_does_not_count(self):
        here = small(1)
        here.ask("r1", waiter("one"))
        here.ask("r2", waiter("urgent", "r2", weight=5))
        here.end("one")
        here.dead.add("r2")
        assert here.ask("r1", waiter("two")) == ["two"]

    def test_a_waiter_that_its_own_limit_holds_back_takes_nothing_from_others(self):
        here = small(2)
        here.ask("r2", waiter("limited[0]", "r2", max_active=1))
        assert here.ask("r2", waiter("limited[1]", "r2", weight=9, max_active=1)) == []
        assert here.ask("r1", waiter("free")) == ["free"]

    def test_of_equals_the_earlier_logical_date_goes_first(self):
        here = small(1)
        here.ask("r0", waiter("one", "r0"))
        here.ask("r2", waiter("today", "r2", day=2))
        here.ask("r1", waiter("yesterday", "r1", day=1))
        here.end("one", "r0")
        assert here.ask("r2", waiter("today", "r2", day=2)) == []
        assert here.ask("r1", waiter("yesterday", "r1", day=1)) == ["yesterday"]


class TestPools:
    def test_an_infinite_pool_is_never_full(self):
        assert len(small(INFINITE).ask("r1", *(waiter(f"t{n}", slots=7) for n in range(300)))) == 300

    def test_a_deferred_task_keeps_its_slot_only_where_the_pool_says_so(self):
        for keeps, expected in ((True, []), (False, ["two"])):
            here = small(1, include_deferred=keeps)
            here.ask("r1", waiter("one"))
            place = RunId("r1"), waiter("one").key
            here.holders[place] = replace(here.holders[place], state=TaskState.DEFERRED)
            assert here.ask("r1", waiter("two")) == expected

    @pytest.mark.parametrize("state", [TaskState.AWAITING_INPUT])
    def test_who_waits_for_a_person_holds_no_slot_anywhere(self, state: TaskState):
        here = small(1, include_deferred=True)
        here.ask("r1", waiter("one"))
        place = RunId("r1"), waiter("one").key
        here.holders[place] = replace(here.holders[place], state=state)
        assert here.ask("r1", waiter("two")) == ["two"]

    def test_a_pool_that_is_gone_or_shrunk_says_what_to_type(self):
        here = small(1)
        lost, big = waiter("lost", pool="gone"), waiter("big", slots=2)
        assert here.ask("r1", lost, big) == []
        assert here.why(lost) == "Waiting: there is no pool gone any more. Make it with nbflow pools set gone SLOTS."
        assert here.why(big) == "Waiting: it takes 2 slots and pool p has 1. Give it more with nbflow pools set p 2."


@pytest.mark.parametrize(
    ("limits", "asked", "granted", "why"),
    [
        ({"max_active_tasks": 2}, ["r1 a", "r1 b", "r2 c"], ["r1 a", "r1 b"], "another task of f to end: max_active_tasks is 2"),
        (
            {"max_active_tasks_per_run": 1},
            ["r1 a", "r1 b", "r2 c"],
            ["r1 a", "r2 c"],
            "task of this run to end: max_active_tasks_per_run is 1",
        ),
        ({"max_active": 1}, ["r1 a[0]", "r2 a[0]", "r2 b"], ["r1 a[0]", "r2 b"], "another a to end: max_active is 1"),
        (
            {"max_active_per_run": 1},
            ["r1 a[0]", "r1 a[1]", "r2 a[0]"],
            ["r1 a[0]", "r2 a[0]"],
            "a of this run to end: max_active_per_run is 1",
        ),
    ],
)
def test_limits_besides_the_pool(limits: dict[str, int], asked: list[str], granted: list[str], why: str):
    here = small(INFINITE)
    found, told = [], []
    for words in asked:
        run, name = words.split()
        one = waiter(name, run, **limits)
        if here.ask(run, one):
            found.append(words)
        else:
            told.append(here.why(one))
    assert found == granted
    assert all(why in sentence for sentence in told)
    assert told


def test_a_deferred_task_counts_for_its_own_limit_and_not_for_the_flows():
    here = small(INFINITE)
    here.ask("r1", waiter("a[0]"))
    place = RunId("r1"), waiter("a[0]").key
    here.holders[place] = replace(here.holders[place], state=TaskState.DEFERRED)
    assert here.ask("r1", waiter("a[1]", max_active=1)) == []
    assert here.ask("r1", waiter("a[1]", max_active_tasks=1)) == ["a[1]"]


def test_flows_of_one_name_in_two_files_are_two_flows():
    here = small(INFINITE)
    here.ask("r1", replace(waiter("a", max_active_tasks=1), path="/one.ipynb"))
    assert here.ask("r2", replace(waiter("b", "r2", max_active_tasks=1), path="/two.ipynb")) == ["b"]


def test_parallelism_is_that_of_the_installation():
    here = Installation(Pool(name="p", slots=9), Pool(name="q", slots=9), parallelism=2)
    assert here.ask("r1", waiter("a")) == ["a"]
    assert here.ask("r2", waiter("b", "r2", flow="g", pool="q"), waiter("c", "r2", flow="g", pool="q")) == ["b"]
    late = waiter("d")
    assert here.ask("r1", late) == []
    assert here.why(late) == "Waiting for another task to end: parallelism is 2, and these run: a, b of g."


def test_a_driver_takes_no_more_than_it_has_room_for():
    here = small(9)
    assert here.ask("r1", *(waiter(f"t{n}") for n in range(5)), room=2) == ["t0", "t1"]
    assert not here.waiters


def test_reasons_of_all_waiters_name_who_is_in_the_way():
    here = small(3)
    here.ask("r1", waiter("etl.extApp"), waiter("etl.notificationApp"))
    here.ask("r2", waiter("daemonApp", "r2", flow="g"))
    here.ask("r1", waiter("tokenApp"))
    told = reasons_of(here.board)
    assert told[RunId("r1"), waiter("tokenApp").key] == (
        "Waiting for a slot in pool p: 3 of 3 in use by extApp, notificationApp, daemonApp of g."
    )
    here.end("daemonApp", "r2")
    assert reasons_of(here.board)[RunId("r1"), waiter("tokenApp").key] == "It may run: waiting for a slot."


# --- nobody starves -----------------------------------------------------------------------------------------------------


def test_a_big_task_gets_its_pool_although_small_ones_never_stop_coming():
    here = small(3)
    here.ask("r1", waiter("s0"), waiter("s1"), waiter("s2"))
    big = waiter("big", "r2", slots=3)
    running = [0, 1, 2]
    for number in range(3, 200):
        here.end(f"s{running.pop(0)}")
        if here.ask("r2", big):
            break
        if here.ask("r1", waiter(f"s{number}")):
            running.append(number)
        else:
            here.waiters.pop((RunId("r1"), waiter(f"s{number}").key))
    else:
        pytest.fail("the big task starved")
    assert number <= PATIENCE + 6


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_waiter_is_granted_after_finitely_many_releases(data: st.DataObject):
    """Whoever comes later may be heavier, smaller, and may never stop coming."""
    slots = data.draw(st.integers(1, 4))
    here = small(slots)
    target = waiter("target", "victim", weight=-99, slots=data.draw(st.integers(1, slots)), day=99)
    rivals = 0
    standing: list[Waiter] = []
    for _ in range((PATIENCE + 12) * slots * 4):
        sizes = data.draw(st.lists(st.integers(1, slots), max_size=2)) if rivals < 60 else [1]
        for size in sizes:
            rivals += 1
            standing.append(waiter(f"rival{rivals}", "rivals", weight=100, slots=size))
        first = data.draw(st.booleans()) if rivals < 60 else False
        if first and here.ask("victim", target):
            return
        granted = set(here.ask("rivals", *standing))
        standing = [one for one in standing if str(one.key) not in granted][:6]
        here.waiters = {place: one for place, one in here.waiters.items() if place[0] == "victim" or one.key in {s.key for s in standing}}
        if not first and here.ask("victim", target):
            return
        if here.holders:
            del here.holders[next(iter(here.holders))]
    pytest.fail("the target was never granted")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_drivers_one_by_one_grant_what_one_pass_over_all_runs_would(data: st.DataObject):
    """No grant takes what a higher-ranked waiter of another run could have, and nothing that fits is refused."""
    here = Installation(Pool(name="p", slots=data.draw(st.integers(1, 4))), Pool(name="q", slots=data.draw(st.integers(1, 3))))
    wanted: dict[str, list[Waiter]] = {"r1": [], "r2": [], "r3": []}
    for number in range(data.draw(st.integers(3, 25))):
        run = data.draw(st.sampled_from(sorted(wanted)))
        if data.draw(st.booleans()):
            pool = data.draw(st.sampled_from(["p", "q"]))
            size = data.draw(st.integers(1, here.pools[pool].slots))
            limit = data.draw(st.sampled_from([None, 2]))
            one = waiter(f"t{number}", run, flow=run, pool=pool, slots=size, weight=data.draw(st.integers(0, 3)), max_active_tasks=limit)
            wanted[run].append(one)
        elif here.holders:
            del here.holders[data.draw(st.sampled_from(sorted(here.holders)))]
        expected = in_one_pass(here, run, wanted[run])
        assert set(here.ask(run, *wanted[run])) == expected
        wanted[run] = [one for one in wanted[run] if str(one.key) not in expected]


def in_one_pass(here: Installation, run: str, asking: list[Waiter]) -> set[str]:
    """What Airflow's scheduler, which sees all runs at once, would give this run."""
    free = {name: pool.slots - sum(held.slots for held in here.holders.values() if held.pool == name) for name, pool in here.pools.items()}
    active = {one: sum(held.flow == one for held in here.holders.values()) for one in ("r1", "r2", "r3")}
    others = [one for one in here.waiters.values() if one.run_id != run]
    mine = [here.waiters.get((one.run_id, one.key), one) for one in asking]
    granted = set()
    for one in sorted([*others, *mine], key=rank):
        limit = one.demand.max_active_tasks
        if one.demand.slots > free[one.demand.pool] or (limit is not None and active[one.flow] >= limit):
            continue
        free[one.demand.pool] -= one.demand.slots
        active[one.flow] += 1
        if one.run_id == run:
            granted.add(str(one.key))
    return granted
