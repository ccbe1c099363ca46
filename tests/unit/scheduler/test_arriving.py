# SPDX-License-Identifier: BSD-3-Clause
"""What happened starts the flows that wait for it, each time once: assets, ends of other flows, files."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from nbflow.core.model import Flow, Parameter, Task
from nbflow.core.occasions import Kind, Occasion
from nbflow.core.options import TaskOptions
from nbflow.core.records import Change, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.core.watching import MOST_FILES, Thing
from tests.unit.scheduler.world import START, Launched, Looked, World

SECOND = timedelta(seconds=1)


@pytest.fixture
def world():
    return World()


def update(world, *assets):
    for asset in assets:
        world.store.occasions.update(Occasion(kind=Kind.ASSET, subject=asset, at=world.clock.now(), by="me"))


def runs(world, name="sales"):
    deployments = world.store.deployments
    return sorted([*deployments.active(name), *deployments.ended(name, 1000)], key=lambda run: run.created_at)


def causes(world, name="sales"):
    """What started each run: the subjects of its events."""
    return [[event.get("asset") or event.get("path") or event["flow"] for event in run.events] for run in runs(world, name)]


class TestAssets:
    def test_an_update_starts_a_run_that_knows_it(self, world):
        world.deploy(on=["asset:logs"])
        world.tick()
        assert runs(world) == []
        update(world, "logs")
        world.tick(SECOND)
        (run,) = runs(world)
        assert run.run_id == "asset__2023-01-01T00:00:01Z~sales"
        assert (run.run_type, run.logical_date, run.interval_start) == ("asset", None, world.clock.now())
        assert run.events == ({"kind": "asset", "asset": "logs", "at": START.isoformat(), "by": "me"},)
        assert list(world.launched.runs) == [run.run_id]
        world.tick(SECOND)
        assert len(runs(world)) == 1

    def test_an_expression_counts_updates_since_the_last_run_it_started(self, world):
        world.deploy(assets="a & (b | c)")
        update(world, "a", "a")
        world.tick(SECOND)
        assert runs(world) == []
        update(world, "c")
        world.tick(SECOND)
        assert causes(world) == [["a", "a", "c"]]
        world.end_all()
        update(world, "b")
        world.tick(SECOND)
        assert len(runs(world)) == 1, "a has to come again"
        update(world, "a")
        world.tick(SECOND)
        assert causes(world)[1:] == [["b", "a"]]

    def test_on_and_assets_are_alternatives(self, world):
        world.deploy(on=["asset:x", "asset:y"], assets="a & b")
        update(world, "a")
        world.tick(SECOND)
        assert runs(world) == []
        update(world, "y")
        world.tick(SECOND)
        assert causes(world) == [["a", "y"]]

    def test_updates_gather_while_as_many_runs_as_may_are_active(self, world):
        world.deploy(on=["asset:a"])
        for _ in range(3):
            update(world, "a")
            world.tick(SECOND)
        assert causes(world) == [["a"]]
        world.end_all()
        world.tick(SECOND)
        assert causes(world) == [["a"], ["a", "a"]]

    def test_what_happens_while_a_flow_is_paused_starts_nothing_and_what_came_before_waits(self, world):
        world.deploy(assets="a & b")
        update(world, "a")
        world.store.deployments.change("sales", lambda stored: replace(stored, paused=True))
        update(world, "b")
        world.tick(SECOND)
        world.store.deployments.change("sales", lambda stored: replace(stored, paused=False))
        world.tick(SECOND)
        assert runs(world) == []
        update(world, "b")
        world.tick(SECOND)
        assert causes(world) == [["a", "b"]]

    def test_of_an_asset_that_waits_for_others_the_newest_updates_are_kept(self, world):
        world.deploy(assets="a & b")
        for _ in range(1005):
            update(world, "a")
        world.tick(SECOND)
        assert len(world.store.occasions.waiting("sales")) == 1000
        update(world, "b")
        world.tick(SECOND)
        (run,) = runs(world)
        assert len(run.events) == 1000
        assert run.events[-1]["asset"] == "b"

    def test_another_expression_is_asked_of_what_has_come(self, world):
        world.deploy(assets="a & b")
        update(world, "a")
        world.tick(SECOND)
        world.store.deployments.change("sales", lambda stored: replace(stored, schedule={"assets": "a & c"}))
        world.tick(SECOND)
        assert runs(world) == []
        world.store.deployments.change("sales", lambda stored: replace(stored, schedule={"assets": "a | c"}))
        world.tick(SECOND)
        assert causes(world) == [["a"]]

    def test_a_schedule_starts_it_as_well(self, world):
        world.deploy(schedule="@daily", on=["asset:a"], max_active_runs=5)
        update(world, "a")
        world.tick(timedelta(days=1))
        assert [run.run_type for run in runs(world)] == ["asset", "scheduled"]

    @pytest.mark.parametrize(("overlap", "active", "left"), [("skip", 1, 0), ("cancel_previous", 2, 0)])
    def test_overlap(self, world, overlap, active, left):
        world.deploy(on=["asset:a"], on_overlap=overlap)
        for _ in range(2):
            update(world, "a")
            world.tick(SECOND)
        assert len(runs(world)) == active
        assert len(world.store.occasions.waiting("sales")) == left
        asked = [request.kind for run in runs(world) for request in world.store.requests(run.run_id)]
        assert asked == (["cancel"] if overlap == "cancel_previous" else [])

    def test_a_flow_that_fails_again_and_again_pauses_itself(self, world):
        world.deploy(on=["asset:a"], max_consecutive_failed_runs=2)
        for _ in range(3):
            update(world, "a")
            world.tick(SECOND)
            world.end_all(RunState.FAILED)
        assert len(runs(world)) == 2
        assert world.store.deployments.get("sales").pause_reason == "Paused: its last 2 runs failed."

    def test_of_two_schedulers_one_starts_it(self, world):
        world.deploy(on=["asset:a"], max_active_runs=9)
        other = world.another("other", Launched())
        update(world, "a")
        seen = world.store.occasions.waiting("sales")
        world.tick(SECOND)
        assert not world.store.occasions.start("sales", [occasion.id for occasion in seen], None)
        other.tick(world.clock.now() + SECOND)
        assert len(runs(world)) == 1


class TestOutlets:
    """A task's success updates its outlets in the commit that records it."""

    def succeed(self, world, note=None):
        task = Task(id="clean", source="x = 1", options=TaskOptions(outlets=("logs",)))
        world.deploy("etl", flow=Flow(name="etl", tasks=(task,)), on=["asset:start"])
        update(world, "start")
        world.tick(SECOND)
        (run_id,) = [run for run in world.launched.runs if run.endswith("~etl")]
        (record,) = world.store.task_records(run_id)
        done = replace(record, state=TaskState.SUCCESS, note=note or {})
        change = Change(at=world.clock.now(), key=record.key, before=record.state, after=done.state, task=done, updates=("logs",))
        world.store.commit(world.launched.runs[run_id], [change])
        return run_id

    def test_it_starts_who_waits_for_it(self, world):
        world.deploy("report", on=["asset:logs"])
        run_id = self.succeed(world)
        world.tick(SECOND)
        (run,) = runs(world, "report")
        (event,) = run.events
        assert (event["asset"], event["flow"], event["run_id"], event["task"]) == ("logs", "etl", run_id, "clean")
        (use,) = [use for use in world.store.occasions.assets() if use.name == "logs"]
        assert (use.count, use.starts) == (1, ("report",))

    def test_a_refused_commit_updates_nothing(self, world):
        world.deploy("report", on=["asset:logs"])
        self.succeed(world)
        assert isinstance(world.store.task_records(next(iter(world.launched.runs)))[0], TaskRecord)
        world.tick(SECOND)
        assert len(world.store.occasions.updates_of("logs")) == 1


class TestFlows:
    @pytest.mark.parametrize(
        ("on", "state", "count"),
        [
            ("flow:etl", RunState.SUCCESS, 1),
            ("flow:etl", RunState.FAILED, 0),
            ("flow:etl:success", RunState.SUCCESS, 1),
            ("flow:etl:failed", RunState.FAILED, 1),
            ("flow:etl:failed", RunState.SUCCESS, 0),
            ("flow:etl:failed", RunState.CANCELLED, 0),
            ("flow:other", RunState.SUCCESS, 0),
        ],
    )
    def test_the_end_of_another_flow(self, world, on, state, count):
        world.deploy("etl", schedule="@hourly")
        world.deploy(on=[on])
        world.tick(timedelta(hours=1))
        (ended,) = world.launched.runs
        world.end(ended, state)
        world.tick(SECOND)
        world.tick(SECOND)
        assert len(runs(world)) == count
        for run in runs(world):
            assert run.run_type == "flow"
            assert run.events[0]["run_id"] == ended
            assert run.events[0]["state"] == state.value

    def test_each_end_starts_a_run(self, world):
        world.deploy("etl", schedule="@hourly", max_active_runs=9)
        world.deploy(on=["flow:etl"])
        for _ in range(3):
            world.tick(timedelta(hours=1))
            world.end(next(run for run in world.launched.runs if run.endswith("~etl")))
        world.tick(SECOND)
        assert causes(world) == [["etl"]] * 3
        assert len({run.run_id for run in runs(world)}) == 3

    def test_what_a_person_marked_starts_nothing(self, world):
        world.deploy("etl", schedule="@hourly")
        world.deploy(on=["flow:etl"])
        world.tick(timedelta(hours=1))
        (run_id,) = world.launched.runs
        run = world.store.run(run_id)
        marked = replace(run, state=RunState.SUCCESS, by_hand=True)
        change = Change(at=world.clock.now(), key=None, before=run.state, after=marked.state, run=marked)
        world.store.commit(world.launched.runs[run_id], [change])
        world.tick(SECOND)
        assert runs(world) == []


class TestFiles:
    """The looks are those of `Looked`: what it holds is what there is."""

    @pytest.fixture
    def files(self):
        return Looked()

    @pytest.fixture
    def world(self, files):
        return World(looks=files)

    def look(self, world, times=1):
        for _ in range(times):
            world.tick(timedelta(seconds=10))
            world.tick()

    def test_what_was_there_starts_nothing_and_what_comes_does_once_it_is_stable(self, world, files):
        files.put("old.csv", START)
        world.deploy(on=["file:*.csv"])
        self.look(world, 3)
        assert runs(world) == []
        files.put("new.csv", world.clock.now(), "half")
        self.look(world)
        files.put("new.csv", world.clock.now(), "whole")
        self.look(world)
        assert runs(world) == [], "it grows"
        self.look(world)
        (run,) = runs(world)
        assert run.run_type == "file"
        assert run.run_id.startswith("file__2023-01-01T00:0")
        assert [(event["path"], event["change"]) for event in run.events] == [("new.csv", "new")]
        self.look(world, 3)
        assert len(runs(world)) == 1

    def test_a_change_is_news_and_coming_back_unchanged_is_not(self, world, files):
        files.put("a.csv", START)
        world.deploy(on=["file:*.csv"])
        self.look(world, 2)
        files.put("a.csv", world.clock.now(), "other")
        self.look(world, 2)
        assert [run.events[0]["change"] for run in runs(world)] == ["changed"]
        gone = files.files.pop("a.csv")
        self.look(world, 2)
        files.files["a.csv"] = gone
        self.look(world, 3)
        assert len(runs(world)) == 1

    def test_a_file_that_came_between_deployment_and_first_look_is_news(self, world, files):
        world.deploy(on=["file:*.csv"])
        files.put("early.csv", START + SECOND)
        self.look(world, 2)
        assert causes(world) == [["early.csv"]]

    def test_each_file_starts_a_run(self, world, files):
        world.deploy(on=["file:*.csv"])
        self.look(world)
        for name in "abc":
            files.put(f"{name}.csv", world.clock.now())
        self.look(world, 2)
        assert causes(world) == [["a.csv"], ["b.csv"], ["c.csv"]]

    def test_what_happens_while_it_is_paused_starts_nothing(self, world, files):
        world.deploy(on=["file:*.csv"])
        self.look(world)
        world.store.deployments.change("sales", lambda stored: replace(stored, paused=True))
        files.put("a.csv", world.clock.now())
        self.look(world, 2)
        now = world.clock.now()
        world.store.deployments.change("sales", lambda stored: replace(stored, paused=False, counted_from=now))
        self.look(world, 3)
        assert runs(world) == []
        files.put("b.csv", world.clock.now())
        self.look(world, 2)
        assert causes(world) == [["b.csv"]]

    def test_a_place_that_does_not_answer_is_said_and_keeps_nothing_else_from_starting(self, world, files):
        world.deploy(on=["file:s3://gone/*.csv"])
        world.deploy("other", on=["file:*.csv"])
        self.look(world)
        files.wrong["s3://gone/*.csv"] = "s3://gone/*.csv cannot be looked at: no route."
        files.put("a.csv", world.clock.now())
        self.look(world, 2)
        (watch,) = world.store.occasions.watches("sales")
        assert watch.error == "s3://gone/*.csv cannot be looked at: no route."
        assert causes(world, "other") == [["a.csv"]]
        looks = files.looks["s3://gone/*.csv"]
        self.look(world, 30)
        assert files.looks["s3://gone/*.csv"] - looks < 6, "later each time"
        files.wrong.clear()
        self.look(world, 60)
        (watch,) = world.store.occasions.watches("sales")
        assert (watch.error, watch.failures) == ("", 0)

    def test_a_pattern_that_matches_too_much_is_said(self, world, files):
        world.deploy(on=["file:*"])
        files.files |= {f"f{number}": Thing("s", START) for number in range(MOST_FILES + 1)}
        self.look(world)
        (watch,) = world.store.occasions.watches("sales")
        assert watch.error == "* matches 10001 files, and 10000 are the most: write a narrower pattern."

    def test_a_path_that_is_not_absolute_starts_in_the_notebooks_folder(self, world, files):
        world.deploy(on=["file:in/*.csv"])
        self.look(world)
        assert list(files.asked) == ["/n/in/*.csv"]

    def test_a_parameter_called_events_is_given_what_started_the_run(self, world, files):
        asks = Flow(name="asks", tasks=(Task(id="a", source="x"),), parameters=(Parameter(name="events", default="[]"),))
        world.deploy("asks", flow=asks, on=["file:*.csv"])
        world.deploy("does", on=["file:*.csv"])
        self.look(world)
        files.put("a.csv", world.clock.now())
        self.look(world, 2)
        (run,) = runs(world, "asks")
        assert run.params == {"events": [dict(event) for event in run.events]}
        assert runs(world, "does")[0].params == {}

    def test_two_schedulers_look_in_turn_and_start_each_file_once(self, world, files):
        other = world.another("other", Launched(), looks=Looked(files.files))
        world.deploy(on=["file:*.csv"], max_active_runs=99)
        self.look(world)
        for number in range(5):
            files.put(f"{number}.csv", world.clock.now())
            for _ in range(2):
                world.tick(timedelta(seconds=10))
                other.tick(world.clock.now())
                world.tick()
                other.tick(world.clock.now())
        self.look(world, 3)
        assert sorted(causes(world)) == [[f"{number}.csv"] for number in range(5)]
