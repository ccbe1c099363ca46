# SPDX-License-Identifier: BSD-3-Clause
"""What every Store promises about what happened and who waits for it, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from nbflow.core.errors import Superseded, UserError
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.occasions import Kind, Occasion
from nbflow.core.records import Change, TaskRecord
from nbflow.core.states import RunState, TaskState
from tests.contracts.test_deployments import NOW, TASKS, a_deployment, a_run

pytest_plugins = ["tests.unit.store.databases"]

MINUTE = timedelta(minutes=1)
CLEAN = TaskKey(TaskId("clean"), 2)


def by_hand(asset="logs", **more):
    return Occasion(kind=Kind.ASSET, subject=asset, at=NOW, by="me", **more)


def waiting(store, name="report"):
    return [(each.kind.value, each.subject) for each in store.occasions.waiting(name)]


def ids(store, name="report"):
    return [each.id for each in store.occasions.waiting(name)]


def pause(store, name="report", *, paused=True):
    store.deployments.change(name, lambda stored: replace(stored, paused=paused))


def under_way(store, **more):
    """A deployed run that somebody drives."""
    run = a_run("r-etl", deployment="etl", state=RunState.RUNNING, **more)
    store.create_run(run, TASKS)
    return store.claim(run.run_id, "me", 60)


def updating(*assets):
    task = TaskRecord(key=CLEAN, state=TaskState.SUCCESS)
    return Change(at=NOW, key=CLEAN, before="running", after="success", task=task, updates=assets)


def ending(store, state, **more):
    run = replace(store.run("r-etl"), state=state, **more)
    return Change(at=NOW, key=None, before="running", after=state, run=run)


class TestAssets:
    def test_an_update_in_a_commit_is_told_to_who_waits(self, store):
        store.deployments.create(a_deployment("report", schedule={"on": ["asset:logs"]}))
        store.deployments.create(a_deployment("other", schedule={"assets": "a & logs"}))
        store.deployments.create(a_deployment("deaf", schedule={"on": ["asset:log", "flow:logs"]}))
        lease = under_way(store)
        store.commit(lease, [updating("logs", "more")])
        for name in ("report", "other"):
            (occasion,) = store.occasions.waiting(name)
            assert occasion == Occasion(
                kind=Kind.ASSET, subject="logs", at=NOW, flow="etl", run_id="r-etl", task="clean", map_index=2, id=occasion.id
            )
        assert waiting(store, "deaf") == []
        assert sorted(store.occasions.pending()) == ["other", "report"]
        assert store.occasions.pending(without=["other"]) == ("report",)
        assert [use.subject for use in store.occasions.updates_of("more")] == ["more"]
        assert [change.updates for change in store.changes("r-etl")] == [("logs", "more")]

    def test_a_refused_commit_tells_nobody(self, store):
        store.deployments.create(a_deployment("report", schedule={"on": ["asset:logs"]}))
        lease = under_way(store)
        with pytest.raises(Superseded):
            store.commit(replace(lease, epoch=lease.epoch + 1), [updating("logs")])
        assert waiting(store) == []
        assert store.occasions.updates_of("logs") == ()

    def test_by_hand(self, store):
        store.deployments.create(a_deployment("report", schedule={"on": ["asset:logs"]}))
        first = store.occasions.update(by_hand(extra={"rows": 3}))
        second = store.occasions.update(by_hand())
        assert store.occasions.updates_of("logs") == (second, first)
        assert store.occasions.updates_of("logs", limit=1) == (second,)
        assert first.extra == {"rows": 3}
        assert waiting(store) == [("asset", "logs")] * 2

    def test_of_one_asset_the_newest_updates_are_kept(self, store, monkeypatch):
        for module in ("occasions", "memory_occasions"):
            monkeypatch.setattr(f"nbflow.store.{module}.MOST_UPDATES", 3)
        store.occasions.update(by_hand())
        store.occasions.update(by_hand("other"))
        store.commit(under_way(store), [updating(*["logs"] * 5)])
        kept = store.occasions.updates_of("logs", limit=50)
        assert len(kept) == 3
        assert {update.run_id for update in kept} == {"r-etl"}
        assert [use.count for use in store.occasions.assets()] == [3, 1]

    def test_who_has_to_do_with_an_asset(self, store):
        store.deployments.create(a_deployment("etl", outlets=("logs",), inlets=("raw",)))
        store.deployments.create(a_deployment("report", schedule={"assets": "logs & (b | c)"}, inlets=("logs",)))
        store.occasions.update(by_hand())
        newest = store.occasions.update(by_hand())
        uses = {use.name: use for use in store.occasions.assets()}
        assert sorted(uses) == ["b", "c", "logs", "raw"]
        logs = uses["logs"]
        assert (logs.updated_by, logs.read_by, logs.starts) == (("etl",), ("report",), ("report",))
        assert (logs.count, logs.newest) == (2, newest)
        assert (uses["b"].count, uses["b"].newest, uses["b"].starts) == (0, None, ("report",))
        store.deployments.change("etl", lambda stored: replace(stored, outlets=()))
        assert {use.name: use for use in store.occasions.assets()}["logs"].updated_by == ()
        store.deployments.delete("report")
        store.deployments.delete("etl")
        assert [(use.name, use.count) for use in store.occasions.assets()] == [("logs", 2)]

    def test_a_paused_deployment_is_told_nothing_and_not_looked_at(self, store):
        store.deployments.create(a_deployment("report", schedule={"on": ["asset:logs"]}))
        store.occasions.update(by_hand())
        pause(store)
        store.occasions.update(by_hand())
        assert len(waiting(store)) == 1
        assert store.occasions.pending() == ()
        assert not store.occasions.start("report", ids(store), None)
        pause(store, paused=False)
        assert store.occasions.pending() == ("report",)


class TestEnds:
    @pytest.mark.parametrize(
        ("state", "more", "heard"),
        [
            (RunState.SUCCESS, {}, ["etl:success"]),
            (RunState.FAILED, {}, ["etl:failed"]),
            (RunState.CANCELLED, {}, []),
            (RunState.SUCCESS, {"by_hand": True}, []),
            (RunState.RUNNING, {"reason": "still"}, []),
            (RunState.SUCCESS, {"deployment": ""}, []),
        ],
    )
    def test_the_end_of_a_run_is_told_once(self, store, state, more, heard):
        store.deployments.create(a_deployment("report", schedule={"on": ["flow:etl", "flow:etl:failed"]}))
        lease = under_way(store)
        store.commit(lease, [ending(store, state, **more)])
        if state.is_finished:
            store.commit(lease, [Change(at=NOW, key=None, before=state, after=state, run=store.run("r-etl"))])
        assert [subject for _, subject in waiting(store)] == heard
        for occasion in store.occasions.waiting("report"):
            assert (occasion.kind, occasion.flow, occasion.run_id) == (Kind.FLOW, "etl", "r-etl")


class TestStarting:
    @pytest.fixture(autouse=True)
    def deployed(self, store):
        store.deployments.create(a_deployment("report", schedule={"assets": "logs & more"}))
        store.occasions.update(by_hand())
        store.occasions.update(by_hand("more"))

    def test_occasions_and_their_run_go_together(self, store):
        taken = ids(store)
        assert store.occasions.start("report", taken, a_run(deployment="report"), TASKS)
        assert waiting(store) == []
        assert store.task_records("r1") == TASKS
        assert not store.occasions.start("report", taken, a_run("r2", deployment="report"), TASKS)
        assert [run.run_id for run in store.deployments.active("report")] == ["r1"]

    def test_a_taken_id_leaves_the_occasions(self, store):
        store.deployments.add_run(a_run(deployment="report"), TASKS)
        with pytest.raises(UserError, match="r1"):
            store.occasions.start("report", ids(store), a_run(deployment="report"), TASKS)
        assert len(waiting(store)) == 2

    def test_some_may_be_taken_without_a_run(self, store):
        assert store.occasions.start("report", ids(store)[:1], None)
        assert waiting(store) == [("asset", "more")]
        assert not store.occasions.start("nobody", ids(store), None)

    def test_what_was_looked_at_is_not_pending_until_something_comes(self, store):
        store.occasions.looked("report", ids(store))
        assert store.occasions.pending() == ()
        store.occasions.update(by_hand())
        assert store.occasions.pending() == ("report",)
        store.occasions.looked("report", ids(store))
        store.deployments.change("report", lambda stored: replace(stored, schedule={"assets": "logs | more"}))
        assert store.occasions.pending() == ("report",)

    def test_what_it_waits_for_no_more_is_forgotten(self, store):
        store.deployments.change("report", lambda stored: replace(stored, schedule={"on": ["asset:more"]}))
        assert waiting(store) == [("asset", "more")]
        store.deployments.delete("report")
        store.deployments.create(a_deployment("report", schedule={"on": ["asset:more"]}))
        assert waiting(store) == []

    def test_of_many_schedulers_one_starts_the_run(self, store):
        seen = ids(store)
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda n: store.occasions.start("report", seen, a_run(f"r{n}", deployment="report"), TASKS), range(8)))
        assert done.count(True) == 1
        assert len(store.deployments.active("report")) == 1


class TestWatches:
    @pytest.fixture(autouse=True)
    def deployed(self, store):
        store.deployments.create(a_deployment("report", schedule={"on": ["file:a", "file:s3://b/*", "asset:logs"]}))

    def watch(self, store, url="a"):
        return next(watch for watch in store.occasions.watches("report") if watch.url == url)

    def test_they_are_there_as_long_as_the_deployment_waits(self, store):
        assert [(watch.url, watch.due) for watch in store.occasions.due_watches(NOW)] == [("a", NOW), ("s3://b/*", NOW)]
        assert store.occasions.due_watches(NOW - MINUTE) == ()
        assert len(store.occasions.due_watches(NOW, limit=1)) == 1
        pause(store)
        assert store.occasions.due_watches(NOW) == ()
        store.deployments.change("report", lambda stored: replace(stored, schedule={"on": ["file:a", "file:c"]}))
        assert [watch.url for watch in store.occasions.watches("report")] == ["a", "c"]
        store.deployments.delete("report")
        assert store.occasions.watches("report") == ()

    def test_one_scheduler_takes_a_look(self, store):
        watch = self.watch(store)
        taken = store.occasions.take_watch(watch, NOW + MINUTE)
        assert store.occasions.take_watch(watch, NOW + MINUTE) is None
        assert [each.url for each in store.occasions.due_watches(NOW)] == ["s3://b/*"]
        assert self.watch(store) == taken

    def test_of_many_schedulers_one_takes_a_look_and_one_writes_what_it_saw(self, store):
        watch = self.watch(store)
        with ThreadPoolExecutor(4) as pool:
            taken = [each for each in pool.map(lambda _: store.occasions.take_watch(watch, NOW + MINUTE), range(8)) if each]
            (mine,) = taken
            runs = [[(a_run(f"r{number}", deployment="report"), TASKS)] for number in range(8)]
            done = list(pool.map(lambda run: store.occasions.settle_watch(replace(mine, count=1), run), runs))
        assert done.count(True) == 1
        assert len(store.deployments.active("report")) == 1

    def test_what_was_seen_and_its_runs_go_together(self, store):
        taken = store.occasions.take_watch(self.watch(store), NOW + MINUTE)
        seen = replace(taken, due=NOW + 2 * MINUTE, since=NOW, known={"/x": "1"}, settling={"/y": "2"}, count=2)
        both = [(a_run(f"r{n}", deployment="report"), TASKS) for n in range(2)]
        assert store.occasions.settle_watch(seen, both)
        assert self.watch(store) == replace(seen, revision=seen.revision + 1)
        assert not store.occasions.settle_watch(seen, [(a_run("r3", deployment="report"), TASKS)])
        assert [run.run_id for run in store.deployments.active("report")] == ["r0", "r1"]
        assert store.task_records("r1") == TASKS

    def test_a_taken_id_or_a_paused_deployment_leaves_everything(self, store):
        watch = self.watch(store)
        store.deployments.add_run(a_run(deployment="report"), TASKS)
        with pytest.raises(UserError, match="r1"):
            store.occasions.settle_watch(
                replace(watch, count=9), [(a_run("new", deployment="report"), TASKS), (a_run(deployment="report"), TASKS)]
            )
        pause(store)
        assert not store.occasions.settle_watch(replace(watch, count=9), [(a_run("new", deployment="report"), TASKS)])
        assert self.watch(store) == watch
        assert [run.run_id for run in store.deployments.active("report")] == ["r1"]
