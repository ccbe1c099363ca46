# SPDX-License-Identifier: BSD-3-Clause
"""What one attempt is given: the values of the nearest writers that succeeded, the kernel's captures, and the task's options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from nbflow.core import messages, waiting
from nbflow.core.calls import CALL, result_name
from nbflow.core.errors import UserError
from nbflow.core.events import MapExpanded
from nbflow.core.ids import TaskId, TaskKey, Token
from nbflow.core.job import Capture, CaptureSet, Job, JobContext, ValueRef
from nbflow.core.lending import NOTHING_LENT, Lent
from nbflow.core.mapping import MAP_LIMIT, is_mapped, map_sources, places, shape_of, size_of, summary
from nbflow.core.model import Flow, Read, Task
from nbflow.core.options import DECIDING, TaskKind
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.resources import Offers, countable, memory_limit, requested, within
from nbflow.core.states import TaskState
from nbflow.engine.values import Values, namespace_after

__all__ = ["JobMaker", "Values", "namespace_after"]

#: A look that begins when the time is nearly up may take this long.
_LAST_LOOK = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class JobMaker:
    """Makes the jobs of one run."""

    flow: Flow
    artifacts_url: str
    keep_limit: int
    #: What the workers have, asked only for tasks that ask for something.
    offers: Callable[[], Offers | None] = lambda: None
    #: How urgent each task is.
    weights: Mapping[TaskId, int] = field(default_factory=dict)
    #: The connections and variables that an attempt may use.
    lend: Callable[[Task, Job], Lent] = lambda _task, _job: NOTHING_LENT

    def make(
        self,
        task: Task,
        *,
        key: TaskKey,
        token: Token,
        attempt: int,
        run: RunRecord,
        records: Mapping[TaskKey, TaskRecord],
        values: Values,
        captures: CaptureSet,
        now: datetime,
        given: Mapping[str, ValueRef] | None = None,
    ) -> Job:
        """The job of this attempt. `given`: its body has run and gave these. Raises UserError for resources that cannot be read."""
        inputs: dict[str, ValueRef] = {}
        unbound: dict[str, str] = {}
        plain: list[str] = []
        if is_mapped(task):
            bound, missing = _elements_of_copy(task, key.map_index, values, captures)
            inputs.update(bound)
            unbound.update(missing)
        for read in task.reads:
            if read.element or given is not None:
                continue
            value = self._value_of(task, key, read, values, records)
            if isinstance(value, ValueRef):
                inputs[read.name] = value
            elif value is None and read.plain:
                plain.append(read.name)
            elif value is not None:
                unbound[read.name] = value
        if given is not None:
            inputs, unbound = dict(given), {}
        early = captures.early.get(task.id, {})
        needed = [CALL, *plain, *(name for value in inputs.values() for name in value.needs)]
        request = self._request(task, records.get(key))
        job = Job(
            token=token,
            context=JobContext(
                flow=self.flow.name,
                run_id=run.run_id,
                key=key,
                attempt=attempt,
                logical_date=run.logical_date,
                interval_start=run.interval_start,
                interval_end=run.interval_end,
                run_type=run.run_type,
                params=run.params,
                events=run.events,
            ),
            operator=task.operator,
            source=task.source,
            cell=task.cell,
            inputs=inputs,
            captures=closure(needed, {**captures.names, **early} if early else captures.names, inputs),
            unbound=unbound,
            process=captures.process,
            demands=_demands(task, is_answered=given is not None),
            offers=tuple(name for name in task.writes if name not in task.demands),
            splits=self._splits.get(task.id, {}),
            mutates=tuple(read.name for read in task.reads if read.mutates and not read.element),
            decides=task.options.as_ if task.options.as_ in DECIDING else TaskKind.PLAIN,
            resumed=records[key].note.get("resumed", {}) if key in records else {},
            out=task.options.out or _answer_name(task),
            unless_exists=task.options.unless_exists,
            timeout=_time_left(task, records.get(key), now),
            memory_limit=memory_limit(request),
            resources=countable(request, self.offers() if request else None),
            priority=self.weights.get(task.id, task.options.priority),
            artifacts_url=self.artifacts_url,
            keep_limit=self.keep_limit,
        )
        lent = self.lend(task, job)
        return job if lent is NOTHING_LENT else replace(job, lent=lent)

    def _request(self, task: Task, record: TaskRecord | None) -> dict[str, float]:
        """What the attempt asks of its worker, more of it after each failure, but never more than any worker has."""
        if not task.options.resources:
            return {}
        return within(requested(task.options, record.failures if record else 0), self.offers())

    def count(self, task: Task, values: Values, captures: CaptureSet) -> MapExpanded:
        """How many copies a mapped task has, or why that cannot be said."""
        try:
            sizes = [len(_elements(task, read, values, captures)) for read in map_sources(task)]
        except UserError as problem:
            return MapExpanded(task=task.id, problem=str(problem))
        shape = shape_of(task)
        count = size_of(shape, sizes)
        if count > MAP_LIMIT:
            factors = sizes if shape.how == "product" and len(shape.parts) == len(sizes) else [count]
            return MapExpanded(task=task.id, problem=messages.too_many_copies(task.id, factors, MAP_LIMIT))
        return MapExpanded(task=task.id, count=count)

    def _value_of(
        self, task: Task, key: TaskKey, read: Read, values: Values, records: Mapping[TaskKey, TaskRecord]
    ) -> ValueRef | str | None:
        """As `_value_of`; what a task of the same mapped group gave is that of the copy with the same index."""
        if not task.mapped_group:
            return _value_of(read, values, records)
        beside = [writer for writer in read.writers if self._groups.get(writer) == task.mapped_group]
        for writer in beside:
            given = values.find(TaskKey(writer, key.map_index))
            if given is not None and read.name in given.values:
                return given.values[read.name]
        others = tuple(writer for writer in read.writers if writer not in beside)
        if beside and not others and not read.plain:
            return _why_unbound(read, beside[0], records.get(TaskKey(beside[0], key.map_index)))
        return _value_of(replace(read, writers=others), values, records)

    @cached_property
    def _groups(self) -> dict[TaskId, str]:
        return {task.id: task.mapped_group for task in self.flow.tasks if task.mapped_group}

    @cached_property
    def _splits(self) -> dict[TaskId, dict[str, TaskId]]:
        """What each task stores element by element, and for whom; the copies of a mapped task are the elements of what it gives."""
        found: dict[TaskId, dict[str, TaskId]] = {}
        mapped = {task.id for task in self.flow.tasks if is_mapped(task)}
        for task in self.flow.tasks:
            for read in map_sources(task):
                for writer in read.writers:
                    if writer not in mapped:
                        found.setdefault(writer, {}).setdefault(read.name, task.id)
        return found


def _demands(task: Task, *, is_answered: bool) -> tuple[str, ...]:
    """What the attempt must give: of an approval that asks, all but the answer."""
    if task.options.as_ is TaskKind.APPROVAL and not is_answered:
        return tuple(name for name in task.demands if name != task.options.out)
    return task.demands


def _answer_name(task: Task) -> str:
    """A function that asks gives the answer as its result."""
    return result_name(task.id) if task.options.as_ is TaskKind.APPROVAL and task.operator == "python" else ""


def _time_left(task: Task, record: TaskRecord | None, now: datetime) -> timedelta | None:
    """How long the attempt may run. A sensor's limit is the time of all its looks: the last one gets a few seconds of its own."""
    limit = task.options.timeout
    if task.options.as_ is TaskKind.APPROVAL:
        return None  # the limit is for the answer
    if task.options.as_ is not TaskKind.SENSOR or limit is None or record is None:
        return limit
    left = waiting.deadline(task.options, record.note, now) - now
    return max(left, min(limit, _LAST_LOOK))


def _elements_of_copy(task: Task, index: int, values: Values, captures: CaptureSet) -> tuple[dict[str, ValueRef], dict[str, str]]:
    """What copy `index` gets by name, or why not: what it maps over may have changed since it was made, and reading the name then says so."""
    sources = map_sources(task)
    try:
        elements = [_elements(task, read, values, captures) for read in sources]
    except UserError as problem:
        return {}, {read.element: str(problem) for read in sources}
    sizes = [len(found) for found in elements]
    shape = shape_of(task)
    if not 0 <= index < size_of(shape, sizes):
        return {}, {read.element: f"`{read.name}` has no element for copy {index} any more" for read in sources}
    return {sources[number].element: elements[number][place] for number, place in places(shape, index, sizes).items()}, {}


def _elements(task: Task, read: Read, values: Values, captures: CaptureSet) -> tuple[ValueRef, ...]:
    """What the task maps over, element by element. Raises UserError when there is none."""
    for writer in read.writers:
        if writer not in values:
            continue
        given = values.of(writer)
        if read.name in given.elements:
            return given.elements[read.name]
        if read.name in given.values:
            problem = f"{writer} gave it before {task.id} mapped over it: run {writer} again"
        else:
            problem = f"it would come from {writer}, which {given.left_out.get(read.name) or 'did not give it'}"
        raise UserError(f"{task.id} maps over `{read.name}`, but {problem}.")
    capture = captures.early.get(task.id, {}).get(read.name) or captures.names.get(read.name)
    if read.plain and capture is not None and capture.elements is not None:
        return capture.elements
    raise UserError(f"{task.id} maps over `{read.name}`, but {_nobody(read)}.")


def _nobody(read: Read) -> str:
    if not read.writers:
        return "no cell above gave it"
    first, *others = read.writers
    return f"neither {' nor '.join(read.writers)} gave it" if others else f"{first} did not give it"


def _value_of(read: Read, values: Values, records: Mapping[TaskKey, TaskRecord]) -> ValueRef | str | None:
    """The value of the nearest writer that succeeded, the sentence for why there is none, or None when the kernel's own is meant."""
    for writer in read.writers:
        if writer not in values:
            continue
        given = values.of(writer)
        value = given.values.get(read.name)
        if value is not None:
            return value
        kept_not = given.left_out.get(read.name)
        return f"`{read.name}` would come from {writer}, which {kept_not or 'deleted it'}"
    if not read.writers or read.plain:
        return None
    return _why_unbound(read, read.writers[0], summary(records, read.writers[0]))


def _why_unbound(read: Read, nearest: TaskId, record: TaskRecord | None) -> str:
    state = record.state if record is not None else TaskState.REMOVED
    word = "not part of this run" if record is None else state.value.replace("_", " ")
    return f"`{read.name}` would come from {nearest} ({word})"


def closure(names: Iterable[str], captures: Mapping[str, Capture], inputs: Mapping[str, ValueRef]) -> dict[str, Capture]:
    """The captures of `names` with everything they refer to; a name that is an input is bound by its value instead."""
    found: dict[str, Capture] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or name in inputs or name not in captures:
            continue
        capture = found[name] = replace(captures[name], elements=None)
        waiting += capture.needs
        if capture.value is not None:
            waiting += capture.value.needs
    return found
