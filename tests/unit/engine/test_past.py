# SPDX-License-Identifier: BSD-3-Clause
"""A run that waits for the run before, over the memory store: it wakes when that changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow.app import Workspace
from nbflow.app.limits import explained
from nbflow.core.errors import UserError
from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey
from nbflow.core.job import CaptureSet, Job
from nbflow.core.model import Flow, FlowOptions
from nbflow.core.options import PastCheck, TaskOptions
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.selection import Selection
from nbflow.core.states import RunState, TaskState
from nbflow.engine.past import PastRuns
from nbflow.pytest_plugin import nbflow_workspace  # noqa: F401 - the fixture
from tests.unit.engine.test_driver import fails, flow, gives, states, task, workspace_of

NOON = datetime(2026, 3, 13, 12, tzinfo=UTC)


def begun(workspace: Workspace, flow: Flow, **more: Any) -> Any:
    return workspace.start_run(flow, CaptureSet(), **more)


def bodies_that(first: Callable[[Job], Any]) -> dict[str, Any]:
    """`a` does so in the first run, and gives x in every other."""
    seen: list[str] = []

    def body(job: Job) -> Any:
        seen.append(job.context.run_id)
        return first(job) if set(seen) == {job.context.run_id} else gives(x="1")(job)

    return {"a": body, "b": gives()}


def one(**options: Any) -> Flow:
    return flow(task("a", writes=("x",), **options), task("b"))


def test_it_waits_says_so_and_wakes_when_the_past_is_put_right(tmp_path: Path) -> None:
    with workspace_of(tmp_path, bodies_that(fails)) as workspace:
        first = begun(workspace, one(depends_on_past=PastCheck.WAIT), logical_date=NOON)
        assert first.wait(30)
        second = begun(workspace, one(depends_on_past=PastCheck.WAIT))
        assert second.wait_for(["b"], 30)
        assert not second.wait(0.3)
        told = explained(workspace.store, workspace.snapshot(second.run_id), workspace.clock.now())
        assert told.tasks[TaskKey(TaskId("a"))].reason == "Waiting for its own last run: a failed on Fri 13 Mar 12:00."
        assert second.snapshot().run.state is RunState.RUNNING
        workspace.mark(first.run_id, "success", Selection(keys=(TaskKey(TaskId("a")),)))
        assert second.wait(30)
        assert states(second) == {"a": "success", "b": "success"}


def test_a_run_that_goes_on_is_waited_for(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {"a": gives(x="1"), "b": gives()}) as workspace:
        waiting = one(depends_on_past=PastCheck.WAIT)
        first = begun(workspace, waiting, held=["a"])
        second = begun(workspace, waiting)
        assert second.wait_for(["b"], 30)
        assert states(second)["a"] == "pending"
        first.release(["a"], CaptureSet())
        assert second.wait(30)
        assert states(second)["a"] == "success"


def test_skip_and_ignore(tmp_path: Path) -> None:
    with workspace_of(tmp_path, bodies_that(fails)) as workspace:
        assert begun(workspace, one()).wait(30)
        skipped = begun(workspace, one(depends_on_past=PastCheck.SKIP))
        assert skipped.wait(30)
        assert states(skipped)["a"] == "skipped"
    with workspace_of(tmp_path / "other", bodies_that(fails)) as workspace:
        assert begun(workspace, one()).wait(30)
        ignoring = begun(workspace, one(depends_on_past=PastCheck.WAIT), ignore_past=True)
        assert ignoring.wait(30)
        assert states(ignoring)["a"] == "success"


# --- which run is the one before ----------------------------------------------------------------------------------------


class History:
    """Runs with an instance of `a`, each a day after the other."""

    def __init__(self, workspace: Workspace, **options: Any) -> None:
        self.workspace, self.days = workspace, 0
        self.flow = Flow(
            name=FlowName("f"), tasks=one(depends_on_past=PastCheck.WAIT).tasks, options=FlowOptions(schedule=options.pop("schedule", {}))
        )
        self.version = workspace.store.save_flow(self.flow)

    def add(self, *states: TaskState, date: datetime | None = NOON, task: str = "a", **more: Any) -> RunRecord:
        self.days += 1
        day = None if date is None else date + timedelta(days=self.days)
        run = RunRecord(
            run_id=RunId(f"run-{self.days}"),
            flow=self.flow.name,
            version=self.version,
            created_at=NOON + timedelta(days=self.days),
            logical_date=day,
            run_type=more.pop("run_type", "scheduled"),
            **more,
        )
        records = [
            TaskRecord(key=TaskKey(TaskId(task), index if len(states) > 1 else -1), state=state) for index, state in enumerate(states)
        ]
        self.workspace.store.create_run(run, records)
        return run

    def facts(self, run: RunRecord) -> Any:
        return PastRuns(self.workspace.store, self.flow, run).facts()[TaskId("a")]


S = TaskState


def test_it_is_the_newest_with_a_smaller_logical_date(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {}) as workspace:
        history = History(workspace)
        first, second = history.add(S.FAILED), history.add(S.SUCCESS)
        history.add(S.FAILED, date=NOON - timedelta(days=30))
        history.add(S.FAILED, date=None)
        now = history.add(S.PENDING)
        assert history.facts(now).previous == second.run_id
        assert history.facts(second).previous == first.run_id
        assert history.facts(second).states == (S.FAILED,)


@pytest.mark.parametrize(("catchup", "previous"), [("all", "run-1"), ("latest", "run-2")])
def test_manual_runs_count_unless_everything_is_caught_up(tmp_path: Path, catchup: str, previous: str) -> None:
    with workspace_of(tmp_path, {}) as workspace:
        history = History(workspace, schedule={"catchup": catchup})
        history.add(S.SUCCESS)
        history.add(S.FAILED, run_type="manual")
        assert history.facts(history.add(S.PENDING)).previous == previous


@pytest.mark.parametrize(("catchup", "is_before"), [("all", True), ("latest", False)])
def test_a_run_before_the_start_counts_only_where_nothing_is_caught_up(tmp_path: Path, catchup: str, is_before: bool) -> None:  # noqa: FBT001 - a row
    with workspace_of(tmp_path, {}) as workspace:
        history = History(workspace, schedule={"catchup": catchup, "start_date": "2026-03-15"})
        history.add(S.FAILED)
        assert history.facts(history.add(S.PENDING)).is_before_start is is_before


def test_without_a_logical_date_or_in_another_deployment_there_is_no_past(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {}) as workspace:
        history = History(workspace)
        history.add(S.FAILED)
        assert history.facts(history.add(S.PENDING, date=None)).previous == ""
        assert history.facts(history.add(S.PENDING, deployment="another")).previous == ""


def test_copies_and_a_task_that_is_new(tmp_path: Path) -> None:
    with workspace_of(tmp_path, {}) as workspace:
        history = History(workspace)
        history.add(S.SUCCESS, S.FAILED, S.REMOVED)
        run = history.add(S.SUCCESS, task="other")
        assert history.facts(run).states == (S.SUCCESS, S.FAILED)
        now = history.add(S.PENDING)
        assert (history.facts(now).states, history.facts(now).was_there_before) == ((), True)


# --- a callable ---------------------------------------------------------------------------------------------------------


def weekly(answer: Any) -> Any:
    @nbflow.task(depends_on_past=lambda ctx: answer(ctx) if callable(answer) else answer)
    def load() -> int:
        return 1

    @nbflow.flow
    def sales(day: str = "monday") -> None:
        load()

    return sales


@pytest.mark.usefixtures("nbflow_workspace")
def test_a_callable_of_ctx_is_asked_once_for_each_run_and_recorded() -> None:
    asked: list[tuple[str, str]] = []

    def answer(ctx: Any) -> Any:
        asked.append((ctx.flow, ctx.params["day"]))
        return ctx.params["day"] != "monday"

    run = weekly(answer).run()
    tuesday = weekly(answer).run(day="tuesday")
    assert asked == [("sales", "monday"), ("sales", "tuesday")]
    recorded = [one.snapshot().run.past for one in (run, tuesday)]
    assert recorded == [{"load": "no"}, {"load": "wait"}]
    versions = {one.snapshot().run.version for one in (run, tuesday)}
    assert len(versions) == 1
    assert {one.state for one in (run, tuesday)} == {"success"}


@pytest.mark.usefixtures("nbflow_workspace")
def test_a_callable_that_says_nonsense_is_refused_before_the_run() -> None:
    with pytest.raises(UserError, match=r"^Task load: depends_on_past said 'maybe'; it must say True, False, \"wait\" or \"skip\"\.$"):
        weekly("maybe").run()


@pytest.mark.parametrize(
    ("line", "check"),
    [
        ("t --depends-on-past", PastCheck.WAIT),
        ("t --depends-on-past skip", PastCheck.SKIP),
        ("--depends-on-past t", PastCheck.WAIT),
        ("t --depends-on-past=skip --retries 2", PastCheck.SKIP),
        ("t --no-depends-on-past", PastCheck.NO),
    ],
)
def test_on_a_line_its_word_may_be_left_out(line: str, check: PastCheck) -> None:
    from nbflow.authoring.magic_line import parse_task_line

    name, overrides = parse_task_line(line)
    assert (name, overrides["depends_on_past"]) == ("t", check)


@pytest.mark.parametrize(("said", "check"), [(True, PastCheck.WAIT), (False, PastCheck.NO), ("skip", PastCheck.SKIP)])
def test_in_toml_and_python_too(said: Any, check: PastCheck) -> None:
    from nbflow.authoring.options_reader import read_defaults

    assert read_defaults({"depends_on_past": said}, where="[defaults]") == ({"depends_on_past": check}, [])
    _, wrong = read_defaults({"depends_on_past": "perhaps"}, where="[defaults]")
    assert wrong[0][1].startswith('depends_on_past cannot be "perhaps": it takes wait, skip, true or false.')
    assert TaskOptions(depends_on_past=check).depends_on_past is check
