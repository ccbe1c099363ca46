# SPDX-License-Identifier: BSD-3-Clause
"""Retention: what goes and what stays, whatever the history; files that nobody knows; a death at any line."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.app import Rooms, Workspace
from nbflow.app.checking import findings
from nbflow.app.housekeeping import Housekeeper, delete_run
from nbflow.core.errors import SetupError, UserError
from nbflow.core.ids import RunId, TaskId, TaskKey, Token
from nbflow.core.job import OutputsRef, ValueRef
from nbflow.core.model import Flow, Task
from nbflow.core.options import OnFailure, PastCheck, TaskOptions
from nbflow.core.records import AttemptRecord, Change, RunRecord, TaskRecord
from nbflow.core.retention import Retention, read_retention
from nbflow.core.states import RunState, TaskState
from nbflow.executors.inline import InlineExecutor
from nbflow.settings import Settings, load_settings
from nbflow.store.artifacts import open_artifacts
from nbflow.store.memory import MemoryStore
from nbflow.testing import FakeClock

DAY = timedelta(days=1)
#: Files are as old as they are, so that the clock of the tests is ahead.
NOW = datetime.now(UTC) + 1000 * DAY
A = TaskKey(TaskId("a"))


def a_workspace(folder: Path, now: datetime = NOW) -> Workspace:
    clock = FakeClock(now)
    rooms = Rooms(
        store=MemoryStore(clock), artifacts=open_artifacts(str(folder / "artifacts")), executor=InlineExecutor(lambda *_: None), clock=clock
    )
    rooms.artifacts.mark(f"database.{rooms.store.house.identity()}")
    return Workspace(Settings(home=folder, dask="inline"), rooms)


@pytest.fixture
def workspace(tmp_path):
    return a_workspace(tmp_path)


def happened(
    workspace, run_id, *, days, state=RunState.SUCCESS, value=b"", task=None, options=None, cached="", flow="sales", **more
) -> RunRecord:
    """A run of one task that ended so many days ago and gave `value`."""
    store, at = workspace.store, NOW - days * DAY
    version = store.save_flow(Flow(name=flow, tasks=(Task(id=A.task_id, options=options or TaskOptions()),)))
    run = RunRecord(run_id=RunId(run_id), flow=flow, version=version, path=f"/{flow}.ipynb", created_at=at, **more)
    store.create_run(run, [TaskRecord(key=A)])
    lease = store.claim(run_id, "driver", 60)
    ending = TaskState(task or (state.value if state is not RunState.CANCELLED else "cancelled"))
    record = TaskRecord(key=A, state=ending, attempt=1, started_at=at, ended_at=at)
    values = {"x": ValueRef(hash=workspace.artifacts.put(value), format="bytes", size=len(value))} if value else {}
    outputs = OutputsRef(hash=workspace.artifacts.put(b"[]" + value), size=2) if value else OutputsRef()
    attempt = AttemptRecord(
        key=A, attempt=1, token=Token(f"t-{run_id}"), outcome=ending.value, started_at=at, ended_at=at, values=values, outputs=outputs
    )
    done = replace(run, state=state, started_at=at, ended_at=at if state.is_finished else None)
    moves = [
        Change(at=at, key=None, before="queued", after="running", run=replace(run, state=RunState.RUNNING, started_at=at)),
        Change(at=at, key=A, before="pending", after="scheduled", task=replace(record, state=TaskState.SCHEDULED)),
        Change(at=at, key=A, before="scheduled", after=ending.value, task=record),
    ]
    moves += [Change(at=at, key=None, before="running", after=state.value, run=done)] if state.is_finished else []
    store.commit(lease, moves, [attempt], entries={cached: attempt.token} if cached else {})
    if state.is_finished:
        store.release(lease)
    folder = workspace.settings.home / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "n.ipynb").write_text("{}")
    return store.run(run_id)


def left(workspace):
    return {run.run_id for run in workspace.store.find_runs(limit=1000).runs}


def clean(workspace, **retention):
    return Housekeeper(workspace, Retention(**{"keep_last": 0, **retention})).clean()


class TestWhatGoes:
    def test_old_runs_go_with_their_artifacts_and_folders(self, workspace, tmp_path):
        for name, days in (("old", 100), ("young", 10)):
            happened(workspace, name, days=days, value=name.encode())
        done = clean(workspace, runs=90 * DAY)
        assert ([run.run_id for run in done.runs], done.artifacts) == (["old"], 2)
        assert left(workspace) == {"young"}
        assert [path.name for path in (tmp_path / "runs").iterdir()] == ["young"]
        assert list(findings(workspace, deep=True)) == []

    def test_what_failed_stays_longer(self, workspace):
        happened(workspace, "failed", days=100, state=RunState.FAILED)
        happened(workspace, "good", days=101)
        happened(workspace, "newer", days=99)
        clean(workspace, runs=90 * DAY, failed=365 * DAY)
        assert left(workspace) == {"failed", "newer"}
        clean(workspace, runs=90 * DAY)
        assert left(workspace) == {"newer"}

    def test_the_newest_of_each_flow_stay(self, workspace):
        for number in range(4):
            happened(workspace, f"s{number}", days=100 + number, state=RunState.FAILED)
            happened(workspace, f"o{number}", days=200 + number, state=RunState.FAILED, flow="other")
        clean(workspace, runs=90 * DAY, keep_last=2)
        assert left(workspace) == {"s0", "s1", "o0", "o1"}

    def test_a_run_that_goes_on_or_was_cleared_stays(self, workspace):
        happened(workspace, "on", days=900, state=RunState.RUNNING)
        run = happened(workspace, "cleared", days=800, state=RunState.FAILED)
        lease = workspace.store.claim("cleared", "driver", 60)
        again = replace(run, state=RunState.QUEUED, clear_number=1)
        workspace.store.commit(lease, [Change(at=NOW, key=None, before="failed", after="queued", run=again)])
        clean(workspace, runs=DAY)
        assert left(workspace) == {"on", "cleared"}

    def test_the_last_good_value_stays(self, workspace):
        options = TaskOptions(on_failure=OnFailure.LAST_GOOD)
        happened(workspace, "good", days=200, state=RunState.SUCCESS, options=options)
        happened(workspace, "task-good", days=150, state=RunState.FAILED, task="success", options=options)
        happened(workspace, "bad", days=120, state=RunState.FAILED, options=options)
        clean(workspace, runs=90 * DAY)
        assert left(workspace) == {"good", "task-good"}

    def test_what_a_later_run_asks_of_its_past_stays(self, workspace):
        options = TaskOptions(depends_on_past=PastCheck.WAIT)
        for name, days, state in (("r1", 140, "success"), ("r2", 130, "success"), ("r3", 120, "failed"), ("r4", 110, "failed")):
            date = NOW - days * DAY
            happened(workspace, name, days=days, state=RunState(state), options=options, logical_date=date, run_type="scheduled")
        clean(workspace, runs=90 * DAY, failed=365 * DAY)
        assert left(workspace) == {"r2", "r3", "r4"}

    def test_results_that_the_cache_may_take_stay_as_long_as_that(self, workspace):
        happened(workspace, "cached", days=200, cached="k" * 64, value=b"v")
        happened(workspace, "newer", days=1)
        clean(workspace, runs=90 * DAY)
        assert left(workspace) == {"cached", "newer"}
        clean(workspace, runs=90 * DAY, cache=100 * DAY)
        assert left(workspace) == {"newer"}
        assert workspace.store.cached(["k" * 64]) == {}

    def test_a_result_past_its_cache_for_keeps_no_run(self, workspace):
        happened(workspace, "cached", days=200, cached="k" * 64, options=TaskOptions(cache_for=7 * DAY))
        happened(workspace, "newer", days=1)
        clean(workspace, runs=90 * DAY)
        assert left(workspace) == {"newer"}

    def test_values_go_before_their_run_and_what_was_printed_too(self, workspace, tmp_path):
        for name, days in (("old", 50), ("good", 40), ("young", 5)):
            happened(workspace, name, days=days, value=name.encode())
        done = clean(workspace, artifacts=30 * DAY, logs=20 * DAY)
        assert (done.thinned, done.artifacts) == (4, 4)
        assert left(workspace) == {"old", "good", "young"}
        assert {path.name for path in (tmp_path / "runs").iterdir()} == {"young"}
        (attempt,) = workspace.attempts("old")
        with pytest.raises(SetupError, match="Where the setting retention says artifacts, values go after that time"):
            workspace.artifacts.get(attempt.values["x"].hash)
        assert workspace.artifacts.get(workspace.attempts("young")[0].values["x"].hash) == b"young"
        assert list(findings(workspace, deep=True)) == []
        assert clean(workspace, artifacts=30 * DAY, logs=20 * DAY).artifacts == 0

    def test_an_artifact_that_another_run_refers_to_stays(self, workspace):
        happened(workspace, "old", days=100, value=b"same")
        happened(workspace, "young", days=10, value=b"same")
        assert clean(workspace, runs=90 * DAY).artifacts == 0
        assert list(findings(workspace, deep=True)) == []


class TestFiles:
    def test_versions_that_were_laid_out_stay_while_a_run_of_them_goes_on(self, workspace, tmp_path):
        run = happened(workspace, "on", days=1, state=RunState.RUNNING)
        for name in (run.version[:32], "0" * 32):
            (tmp_path / "versions" / name).mkdir(parents=True)
            (tmp_path / "versions" / name / "n.ipynb").write_text("{}")
        assert clean(workspace).files == 1
        assert [path.name for path in (tmp_path / "versions").iterdir()] == [run.version[:32]]

    def test_what_nobody_refers_to_goes(self, workspace, tmp_path):
        happened(workspace, "r", days=1, value=b"known")
        orphan = workspace.artifacts.put(b"orphan")
        workspace.artifacts.mark("t.started")
        (tmp_path / "runs" / "nobody").mkdir()
        (tmp_path / "cluster.log").write_bytes(b"x" * 9_000_000)
        done = clean(workspace)
        assert (done.artifacts, done.files) == (1, 2)
        assert not workspace.artifacts.has(orphan)
        assert [path.name for path in (tmp_path / "runs").iterdir()] == ["r"]
        assert (tmp_path / "cluster.log").stat().st_size == 0
        assert list(findings(workspace, deep=True)) == []

    def test_what_is_new_or_may_belong_to_a_run_that_is_running_stays(self, tmp_path):
        workspace = a_workspace(tmp_path, datetime.now(UTC))
        orphan = workspace.artifacts.put(b"orphan")
        (tmp_path / "runs" / "starting").mkdir(parents=True)
        done = clean(workspace, runs=DAY)
        assert (done.artifacts, done.files) == (0, 0)
        workspace = a_workspace(tmp_path / "other")
        orphan = workspace.artifacts.put(b"orphan")
        happened(workspace, "on", days=1100, state=RunState.RUNNING)  # since before the file was stored
        assert clean(workspace).artifacts == 0
        assert workspace.artifacts.has(orphan)

    def test_where_another_database_keeps_its_artifacts_too_nothing_is_taken_away(self, workspace, tmp_path, caplog):
        happened(workspace, "old", days=100, value=b"mine")
        happened(workspace, "newer", days=1)
        theirs = workspace.artifacts.put(b"theirs")
        workspace.artifacts.mark("database.theirs")
        done = clean(workspace, runs=90 * DAY)
        assert (done.artifacts, len(done.runs)) == (0, 1)
        assert workspace.artifacts.has(theirs)
        assert "belong to another database too" in caplog.text
        assert "delete its mark marks/database.theirs there" in caplog.text
        assert delete_run(workspace, "newer") == 0

    def test_a_little_at_a_time_comes_to_the_same(self, workspace):
        for number in range(120):
            happened(workspace, f"r{number:03}", days=1000 - number, value=b"%d" % number)
        workspace.artifacts.put(b"orphan")
        house = Housekeeper(workspace, Retention(runs=90 * DAY, keep_last=1))
        turns = [house.turn() for _ in range(256)]
        assert [turn.has_more for turn in turns[:4]] == [True, True, False, False]
        assert left(workspace) == {"r119"}
        assert sum(turn.artifacts for turn in turns) == 2 * 119 + 1

    def test_when_it_has_to_stop_it_stops(self, workspace):
        happened(workspace, "old", days=100)
        happened(workspace, "newer", days=1)
        assert Housekeeper(workspace, Retention(runs=DAY, keep_last=0), lambda: True).turn().runs == []
        assert left(workspace) == {"old", "newer"}


STATES = st.sampled_from([RunState.SUCCESS, RunState.SUCCESS, RunState.FAILED, RunState.CANCELLED, RunState.RUNNING])
HISTORY = st.lists(
    st.tuples(st.sampled_from("ab"), STATES, st.integers(0, 400), st.sampled_from([b"", b"1", b"2", b"3"]), st.booleans()), max_size=14
)
SPAN = st.none() | st.integers(1, 300).map(lambda days: days * DAY)


RETENTIONS = st.builds(Retention, runs=SPAN, failed=SPAN, artifacts=SPAN, logs=SPAN, keep_last=st.integers(0, 3))


@settings(max_examples=40)
@given(HISTORY, RETENTIONS)
def test_whatever_happened_nothing_that_is_needed_goes_and_no_row_is_without_its_file(history, retention):
    with TemporaryDirectory() as folder:
        workspace = a_workspace(Path(folder))
        every = []
        for number, (flow, state, days, value, is_cached) in enumerate(history):
            cached = f"{number:064}" if is_cached else ""
            every.append((happened(workspace, f"r{number}", days=days, state=state, value=value, flow=flow, cached=cached), cached))
        Housekeeper(workspace, retention).clean()
        there = left(workspace)
        for flow in "ab":
            mine = sorted((run for run, _ in every if run.flow == flow), key=lambda run: (run.created_at, run.run_id), reverse=True)
            assert {run.run_id for run in mine[: retention.keep_last]} <= there
            assert {run.run_id for run in mine if run.state is RunState.SUCCESS} == set() or any(
                run.run_id in there for run in mine if run.state is RunState.SUCCESS
            )
        for run, cached in every:
            span = retention.of(run)
            if not run.state.is_finished or span is None or run.ended_at > NOW - span or cached:
                assert run.run_id in there
            if cached:
                assert cached in workspace.store.cached([cached])
            if run.run_id in there:
                for attempt in workspace.attempts(run.run_id):
                    for ref in attempt.values.values():
                        assert ref.let_go or workspace.artifacts.has(ref.hash)
                        assert not ref.let_go or (
                            run.state is RunState.SUCCESS and not cached and run.ended_at <= NOW - retention.artifacts
                        )
            else:
                assert not (Path(folder) / "runs" / run.run_id).exists()
        assert [finding for finding in findings(workspace, deep=True) if "stored value" in finding] == []
        again = Housekeeper(workspace, retention).clean()
        assert (again.runs, again.artifacts) == ([], 0)


def test_a_death_at_any_line_leaves_no_row_without_its_file_and_the_next_one_cleans_up():
    script = Path(__file__).with_name("killed_house.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, env={**os.environ, "NBFLOW_HOME": ""})
    assert done.returncode == 0, done.stderr + done.stdout
    deaths, _, words = done.stdout.partition(" ")
    assert words == "deaths, every row with its file\n"
    assert int(deaths) > 8


class TestTheSetting:
    def test_a_time_is_about_runs(self):
        assert read_retention("90d") == Retention(runs=90 * DAY)
        assert read_retention("1y").runs == 365 * DAY

    def test_a_table(self, tmp_path):
        (tmp_path / "nbflow.toml").write_text('home = "."\n[retention]\nruns = "12w"\nfailed = "1y"\nkeep_last = 3\nlogs = "14d"\n')
        kept = load_settings(environment={}, cwd=tmp_path).kept
        assert kept == Retention(runs=84 * DAY, failed=365 * DAY, keep_last=3, logs=14 * DAY)
        assert not load_settings(environment={"NBFLOW_HOME": "x", "NBFLOW_RETENTION": "2d"}, cwd=tmp_path).kept.logs

    @pytest.mark.parametrize(
        ("text", "line", "why"),
        [
            ('retention = "soon"', 1, '"soon" is not a time to keep things: write 90d, 12w or 1y.'),
            (
                '\n[retention]\nrun = "9d"',
                3,
                'there is no "run", only runs, failed, artifacts, logs, cache, keep_last. Did you mean "runs"?',
            ),
            ('[retention]\nruns = "9d"\nkeep_last = -1', 3, "keep_last is -1, but takes a whole number, 0 or more."),
            ('[retention]\nlogs = "9 moons"', 2, 'logs: "9 moons" is not a time to keep things'),
        ],
    )
    def test_a_bad_one_is_refused_with_its_line(self, tmp_path, text, line, why):
        (tmp_path / "nbflow.toml").write_text(text)
        with pytest.raises(SetupError) as caught:
            load_settings(environment={}, cwd=tmp_path)
        assert str(caught.value).startswith(f"{tmp_path}/nbflow.toml, line {line}: retention: ")
        assert why in str(caught.value)

    def test_a_bad_variable_is_named(self, tmp_path):
        with pytest.raises(SetupError, match="NBFLOW_RETENTION: retention: "):
            load_settings(environment={"NBFLOW_RETENTION": "soon"}, cwd=tmp_path)

    def test_an_unknown_run_is_not_deleted(self, workspace):
        with pytest.raises(UserError, match='There is no run "r9"'):
            delete_run(workspace, "r9")
