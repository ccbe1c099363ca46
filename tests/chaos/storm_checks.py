# SPDX-License-Identifier: BSD-3-Clause
"""What must be true after a storm, whatever died in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nbflow.app import Workspace
from nbflow.app.deploying import read_keys
from nbflow.core.ids import FlowName
from nbflow.core.records import RunRecord
from nbflow.core.states import RunState
from tests.chaos.checks import Line, history_problems
from tests.chaos.storm_flows import ACTIVE, POOL, SLOTS, StormFlow


def problems(workspace: Workspace, flows: Sequence[StormFlow], journal: Path) -> Iterator[str]:
    """Everything that is wrong, as sentences."""
    lines = lines_by_run(journal)
    for flow in flows:
        runs = workspace.store.deployments.ended(FlowName(flow.name), 100_000)
        yield from _dates(workspace, flow, runs)
        yield from _crowd(flow, runs)
        for run in runs:
            yield from (f"{run.run_id}: {what}" for what in _run(workspace, flow, run, lines.get(run.run_id, [])))
    known = {run.run_id for flow in flows for run in workspace.store.deployments.ended(FlowName(flow.name), 100_000)}
    yield from (f"{run_id} left lines in the journal and is not in the history" for run_id in lines.keys() - known)
    yield from _pool(lines.values())


def lines_by_run(journal: Path) -> dict[str, list[Line]]:
    """The complete lines of the journal, in the order written."""
    found: dict[str, list[Line]] = defaultdict(list)
    for text in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
        what, _flow, run_id, task, attempt, pid, at = text.split()
        found[run_id].append(Line(what=what, task=task, attempt=int(attempt), pid=int(pid), at=float(at)))
    return dict(found)


def _dates(workspace: Workspace, flow: StormFlow, runs: Sequence[RunRecord]) -> Iterator[str]:
    """Each due date has exactly one run."""
    deployment = workspace.store.deployments.get(FlowName(flow.name))
    schedule = read_keys(workspace, deployment.schedule)
    # A deployment that took long enough to come after the first date still has that one: catchup is "all".
    expected = Counter(planned.logical_date for planned in schedule.coming(schedule.start_date or deployment.since))
    made = Counter(run.logical_date for run in runs)
    if made != expected:
        yield f"{flow.name}: dates without a run {sorted(map(str, expected - made))}, runs too many {sorted(map(str, made - expected))}"


def _crowd(flow: StormFlow, runs: Sequence[RunRecord]) -> Iterator[str]:
    """From the recorded begin of a run to its recorded end it is active: both lie within the time for which it was taken."""
    most = _most((run.started_at.timestamp(), run.ended_at.timestamp()) for run in runs if run.started_at and run.ended_at)
    if most > ACTIVE:
        yield f"{flow.name}: {most} runs were active at once, and {ACTIVE} may be"


def _pool(journals: Iterable[Sequence[Line]]) -> Iterator[str]:
    """A body that came to its end had its slot for as long as it ran."""
    spans = []
    for lines in journals:
        began = {(line.task, line.attempt): line.at for line in lines if line.what == "start" and line.task == "narrow"}
        spans += [(began[line.task, line.attempt], line.at) for line in lines if line.what == "end" and (line.task, line.attempt) in began]
    if (most := _most(spans)) > SLOTS:
        yield f"{most} tasks ran in pool {POOL} at once, and it has {SLOTS} slots"


def _most(spans: Iterable[tuple[float, float]]) -> int:
    """How many of these spans share an instant; one that begins as another ends does not share it."""
    edges = sorted(edge for begin, end in spans for edge in ((begin, 1), (end, -1)))
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def _run(workspace: Workspace, flow: StormFlow, run: RunRecord, lines: list[Line]) -> Iterator[str]:
    wanted = RunState.SUCCESS if flow.ends_well else RunState.FAILED
    if run.state is not wanted:
        reasons = [record.reason for record in workspace.store.task_records(run.run_id) if record.reason]
        yield f"it ended {run.state}, not {wanted}: {run.reason}; {reasons}"
    yield from history_problems(run, workspace.store.changes(run.run_id, 0, 1_000_000), lines)
    attempts = workspace.store.attempts(run.run_id)
    succeeded = Counter(str(attempt.key) for attempt in attempts if attempt.outcome == "success")
    for task, ending in flow.tasks:
        if succeeded[task] != (ending != "fails"):
            yield f"{task} succeeded {succeeded[task]} times"
    known = {(str(attempt.key), attempt.attempt) for attempt in attempts}
    for task, attempt in {(line.task, line.attempt) for line in lines} - known:
        yield f"attempt {attempt} of {task} ran and is not in the history"
    for attempt in attempts:
        if attempt.outcome == "lost" and not attempt.reason:
            yield f"attempt {attempt.attempt} of {attempt.key} is lost and nobody says why"
    if holder := workspace.store.holder(run.run_id):
        yield f"it has ended and {holder} holds it"
