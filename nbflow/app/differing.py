# SPDX-License-Identifier: BSD-3-Clause
"""Two runs compared: what each task was made of, what it gave, and where they part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from nbflow.core.addresses import shown
from nbflow.core.cache_key import read_sources
from nbflow.core.calls import CALL
from nbflow.core.difference import Cause, CauseKind, Result, RunDifference, TaskDifference
from nbflow.core.errors import NbflowError, UserError
from nbflow.core.graph import Graph
from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey, Token
from nbflow.core.job import Capture, CaptureKind, Job, JobContext, ValueRef
from nbflow.core.mapping import summary
from nbflow.core.model import Flow, Task
from nbflow.core.options import TaskOptions
from nbflow.core.records import AttemptRecord, RunRecord, TaskRecord
from nbflow.core.states import TaskState
from nbflow.engine.attempts import values_of
from nbflow.engine.captures import HandedOver
from nbflow.engine.jobs import closure
from nbflow.engine.values import Values

if TYPE_CHECKING:
    from nbflow.app.workspace import Workspace

#: Values larger than this are compared by their description only.
_LARGEST: Final = 256 * 1024 * 1024
#: Options that are no difference in what a task is.
_ELSEWHERE: Final = frozenset({"reads", "writes", "doc", "owner", "run"})


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One of the two runs, as far as it is compared."""

    run: RunRecord
    flow: Flow
    records: Mapping[TaskKey, TaskRecord]
    #: The newest attempt of each task.
    attempts: Mapping[TaskId, AttemptRecord]
    values: Values
    handed: HandedOver
    tasks: Mapping[TaskId, Task]


def difference(workspace: Workspace, a: str, b: str) -> RunDifference:
    """What differs between two runs of a flow; the older one is A. Raises UserError for runs of different flows."""
    sides = [_side(workspace, run_id) for run_id in (a, b)]
    if sides[0].run.flow != sides[1].run.flow:
        raise UserError(
            f"Run {sides[0].run.run_id} is one of {sides[0].run.flow} and run {sides[1].run.run_id} one of {sides[1].run.flow}: "
            "only runs of one flow can be compared."
        )
    if sides[0].run.run_id == sides[1].run.run_id:
        raise UserError(f"That is one and the same run, {sides[0].run.run_id}: name two.")
    sides.sort(key=lambda side: (side.run.created_at, side.run.run_id))
    one, two = sides
    order = [*Graph.of(two.flow).order, *(id for id in Graph.of(one.flow).order if id not in two.tasks)]
    environment = _pairs(one.run.environment, two.run.environment)
    return RunDifference(
        a=one.run,
        b=two.run,
        tasks=tuple(_task(workspace, one, two, id, environment) for id in order),
        params=_pairs({name: repr(value) for name, value in one.run.params.items()}, {n: repr(v) for n, v in two.run.params.items()}),
        environment=environment,
    )


def _side(workspace: Workspace, run_id: str) -> _Side:
    run = workspace.run(run_id)
    flow = workspace.flow_of(run)
    chosen = set(run.tasks) or {task.id for task in flow.tasks}
    return _Side(
        run=run,
        flow=flow,
        records=workspace.snapshot(run.run_id).tasks,
        attempts={one.key.task_id: one for one in workspace.attempts(run.run_id)},
        values=values_of(workspace.store, run.run_id),
        handed=HandedOver.decode(workspace.store.captures(run.run_id)),
        tasks={task.id: task for task in flow.tasks if task.id in chosen},
    )


def _task(workspace: Workspace, one: _Side, two: _Side, id: TaskId, environment: Mapping[str, tuple[str, str]]) -> TaskDifference:
    records = [summary(side.records, id) for side in (one, two)]
    states = (records[0].state if records[0] else None, records[1].state if records[1] else None)
    found = TaskDifference(id=id, states=states, seconds=(_seconds(records[0]), _seconds(records[1])))
    if id not in one.tasks or id not in two.tasks:
        only = Cause(kind=CauseKind.TASK, a="there" if id in one.tasks else "", b="there" if id in two.tasks else "")
        return replace(found, causes=(only,))
    sources = (one.tasks[id].source, two.tasks[id].source)
    causes = _causes(one, two, id, environment)
    changed = any(cause.kind is CauseKind.CODE and not cause.name for cause in causes)
    results: tuple[Result, ...] = ()
    if states == (TaskState.SUCCESS, TaskState.SUCCESS):
        results = _results(workspace, one.values, two.values, id)
    return replace(found, causes=causes, results=results, shown=_shown(workspace, one, two, id), sources=sources if changed else ("", ""))


def _seconds(record: TaskRecord | None) -> float | None:
    if record is None or record.started_at is None or record.ended_at is None:
        return None
    return (record.ended_at - record.started_at).total_seconds()


# --- what a task was made of ----------------------------------------------------------------------------------------------


def _causes(one: _Side, two: _Side, id: TaskId, environment: Mapping[str, tuple[str, str]]) -> tuple[Cause, ...]:
    from nbflow.app.running import as_python  # noqa: PLC0415 - cells with magics only

    jobs = [_job(side, id) for side in (one, two)]
    readings = [read_sources(job, as_python) for job in jobs]
    causes: list[Cause] = []
    if readings[0].body.normal != readings[1].body.normal:
        causes.append(Cause(kind=CauseKind.CODE))
    helpers = {
        name
        for reading, other in (readings, readings[::-1])
        for name, source in reading.definitions.items()
        if name not in other.definitions or other.definitions[name].normal != source.normal
    }
    causes += [Cause(kind=CauseKind.CODE, name="" if name == CALL else name) for name in sorted(helpers) if name != CALL or not causes]
    parameters = {parameter.name for flow in (one.flow, two.flow) for parameter in flow.parameters}
    plain = [_plain(job) for job in jobs]
    for name, (before, after) in _differing(*plain).items():
        kind = CauseKind.PARAMETER if name in parameters else CauseKind.VALUE
        causes.append(Cause(kind=kind, name=name, a=_said(before), b=_said(after)))
    if CALL in jobs[0].captures or jobs[0].operator != "cell":
        pairs = _pairs({n: repr(v) for n, v in one.run.params.items()}, {n: repr(v) for n, v in two.run.params.items()})
        call = [job.captures[CALL].hash if CALL in job.captures else "" for job in jobs]
        if call[0] != call[1] or CALL not in jobs[0].captures:
            causes += [Cause(kind=CauseKind.PARAMETER, name=name, a=before, b=after) for name, (before, after) in pairs.items()]
    causes += [
        Cause(kind=CauseKind.INPUT, name=name, a=_said(before), b=_said(after))
        for name, (before, after) in _differing(jobs[0].inputs, jobs[1].inputs).items()
    ]
    modules = readings[0].modules | readings[1].modules | {one.module.partition(".")[0] for job in jobs for one in job.captures.values()}
    causes += [
        Cause(kind=CauseKind.ENVIRONMENT, name=name, a=before, b=after)
        for name, (before, after) in environment.items()
        if name in modules or name in {"python", "nbflow"}
    ]
    causes += _options(one.tasks[id].options, two.tasks[id].options)
    return tuple(causes)


def _job(side: _Side, id: TaskId) -> Job:
    """What its attempt was given, as far as it is compared."""
    task, attempt = side.tasks[id], side.attempts.get(id)
    inputs = dict(attempt.inputs) if attempt is not None else {}
    captures: dict[str, Capture] = {}
    if id in side.handed:
        taken = side.handed.of(id)
        plain = [read.name for read in task.reads if read.plain and not read.element]
        needs = [name for ref in inputs.values() for name in ref.needs]
        captures = closure([CALL, *plain, *needs], {**taken.names, **taken.early.get(id, {})}, inputs)
    context = JobContext(flow=FlowName(""), run_id=RunId(""), key=TaskKey(id), attempt=1)
    return Job(token=Token(""), context=context, operator=task.operator, source=task.source, inputs=inputs, captures=captures)


def _plain(job: Job) -> dict[str, ValueRef]:
    return {
        name: capture.value
        for name, capture in job.captures.items()
        if capture.kind is CaptureKind.VALUE and capture.value is not None and name != CALL
    }


def _differing(one: Mapping[str, ValueRef], two: Mapping[str, ValueRef]) -> dict[str, tuple[ValueRef | None, ValueRef | None]]:
    names = dict.fromkeys([*one, *two])
    found = {name: (one.get(name), two.get(name)) for name in names}
    return {name: pair for name, pair in found.items() if _identity(pair[0]) != _identity(pair[1])}


def _identity(ref: ValueRef | None) -> tuple[str, str] | None:
    return None if ref is None else (ref.format, ref.hash)


def _said(ref: ValueRef | None) -> str:
    return ref.shown if ref is not None else ""


def _options(one: TaskOptions, two: TaskOptions) -> list[Cause]:
    one, two = (replace(each, notify=tuple(map(shown, each.notify))) for each in (one, two))
    names = [f.name for f in fields(TaskOptions) if f.name not in _ELSEWHERE]
    pairs = [(name, getattr(one, name), getattr(two, name)) for name in names]
    return [Cause(kind=CauseKind.OPTION, name=name.rstrip("_"), a=str(a), b=str(b)) for name, a, b in pairs if a != b]


def _pairs(one: Mapping[str, str], two: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    names = dict.fromkeys([*one, *two])
    return {name: (one.get(name, ""), two.get(name, "")) for name in names if one.get(name) != two.get(name)}


# --- what it gave -----------------------------------------------------------------------------------------------------------


def _results(workspace: Workspace, one: Values, two: Values, id: TaskId) -> tuple[Result, ...]:
    given = [dict(side.of(id).values) if id in side else {} for side in (one, two)]
    found = []
    for name in dict.fromkeys([*given[0], *given[1]]):
        before, after = given[0].get(name), given[1].get(name)
        if before is None or after is None:
            found.append(Result(name=name, is_same=False, told=f"only in {'A' if after is None else 'B'}"))
        elif _identity(before) == _identity(after):
            found.append(Result(name=name, is_same=True, told="the same"))
        else:
            same, told = _compared(workspace, before, after)
            found.append(Result(name=name, is_same=same, told=told))
    return tuple(found)


def _compared(workspace: Workspace, before: ValueRef, after: ValueRef) -> tuple[bool, str]:
    from nbflow.operators.compare import compare  # noqa: PLC0415 - values are decoded only where they differ
    from nbflow.operators.values import decode  # noqa: PLC0415 - as above

    described = f"{before.shown} -> {after.shown}" if before.shown != after.shown else f"another {after.shown}"
    if before.needs or after.needs or max(before.size, after.size) > _LARGEST:
        return False, described
    try:
        return compare(decode(before, workspace.artifacts), decode(after, workspace.artifacts))
    except NbflowError:
        return False, described


def _shown(workspace: Workspace, one: _Side, two: _Side, id: TaskId) -> str:
    from nbflow.operators.compare import compare_outputs  # noqa: PLC0415 - as above

    attempts = [side.attempts.get(id) for side in (one, two)]
    if attempts[0] is None or attempts[1] is None or attempts[0].outputs == attempts[1].outputs:
        return ""
    try:
        outputs: list[Any] = [workspace.outputs(attempt.outputs) for attempt in attempts if attempt is not None]
    except NbflowError:
        return ""
    same, told = compare_outputs(*outputs)
    return "" if same else told
