# SPDX-License-Identifier: BSD-3-Clause
"""What one attempt is given: the values of the nearest writers that succeeded, the kernel's captures, and the task's options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId, TaskKey, Token
from nbflow.core.job import Capture, CaptureSet, Job, JobContext, ValueRef
from nbflow.core.model import Flow, Read, Task
from nbflow.core.options import TaskKind
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import TaskState

_BYTES = {"": 1, "b": 1, "k": 1000, "kb": 1000, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12, "tb": 10**12}
_BYTES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


@dataclass(kw_only=True)
class Values:
    """What succeeded tasks gave in this run, and why a name one of them bound was not kept."""

    given: dict[TaskId, Mapping[str, ValueRef]] = field(default_factory=dict)
    left_out: dict[TaskId, Mapping[str, str]] = field(default_factory=dict)

    def keep(self, task: TaskId, given: Mapping[str, ValueRef], left_out: Mapping[str, str]) -> None:
        self.given[task] = given
        self.left_out[task] = left_out

    def forget(self, task: TaskId) -> None:
        self.given.pop(task, None)
        self.left_out.pop(task, None)


def namespace_after(tasks: Iterable[Task], values: Values) -> dict[str, ValueRef]:
    """The names a kernel holds after these tasks, top to bottom: the last succeeded writer of each wins, a deleted name is gone."""
    names: dict[str, ValueRef] = {}
    for task in tasks:
        if task.id not in values.given:
            continue
        for name in task.writes:
            names.pop(name, None)
        names.update(values.given[task.id])
    return names


@dataclass(frozen=True, kw_only=True)
class JobMaker:
    """Makes the jobs of one run."""

    flow: Flow
    artifacts_url: str
    keep_limit: int

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
    ) -> Job:
        """The job of this attempt. Raises UserError for resources that cannot be read."""
        inputs: dict[str, ValueRef] = {}
        unbound: dict[str, str] = {}
        plain: list[str] = []
        for read in task.reads:
            value = _value_of(read, values, records)
            if isinstance(value, ValueRef):
                inputs[read.name] = value
            elif value is None and read.plain:
                plain.append(read.name)
            elif value is not None:
                unbound[read.name] = value
        early = captures.early.get(task.id, {})
        needed = [*plain, *(name for value in inputs.values() for name in value.needs)]
        resources = dict(task.options.resources)
        memory = next((resources.pop(name) for name in list(resources) if name.upper() in {"MEM", "MEMORY"}), None)
        return Job(
            token=token,
            context=JobContext(
                flow=self.flow.name, run_id=run.run_id, key=key, attempt=attempt, logical_date=run.logical_date, params=run.params
            ),
            operator=task.operator,
            source=task.source,
            cell=task.cell,
            inputs=inputs,
            captures=_closure(needed, {**captures.names, **early}, inputs),
            unbound=unbound,
            process=captures.process,
            demands=task.demands,
            offers=tuple(name for name in task.writes if name not in task.demands),
            mutates=tuple(read.name for read in task.reads if read.mutates),
            wants_decision=task.options.as_ is TaskKind.BRANCH,
            out=task.options.out,
            timeout=task.options.timeout,
            memory_limit=None if memory is None else parse_bytes(memory),
            resources={name: _amount(task, name, text) for name, text in resources.items()},
            priority=task.options.priority,
            artifacts_url=self.artifacts_url,
            keep_limit=self.keep_limit,
        )


def parse_bytes(text: str) -> int:
    """`4GB`, `512MiB`, `2e9` as bytes. Raises UserError."""
    folded = str(text).strip().lower()
    number = folded.rstrip("bkmgti")
    unit = folded[len(number) :]
    try:
        return int(float(number) * _BYTES[unit])
    except (ValueError, KeyError):
        raise UserError(f'"{text}" is not a size: write 4GB, 512MB or a number of bytes.') from None


def _amount(task: Task, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--resources {name}={text} of task {task.id} is not a number: write {name}=1.") from None


def _value_of(read: Read, values: Values, records: Mapping[TaskKey, TaskRecord]) -> ValueRef | str | None:
    """The value of the nearest writer that succeeded, the sentence for why there is none, or None when the kernel's own is meant."""
    for writer in read.writers:
        if writer not in values.given:
            continue
        value = values.given[writer].get(read.name)
        if value is not None:
            return value
        kept_not = values.left_out.get(writer, {}).get(read.name)
        return f"`{read.name}` would come from {writer}, which {kept_not or 'deleted it'}"
    if not read.writers or read.plain:
        return None
    nearest = read.writers[0]
    record = records.get(TaskKey(nearest))
    state = record.state if record is not None else TaskState.REMOVED
    word = "not part of this run" if record is None else state.value.replace("_", " ")
    return f"`{read.name}` would come from {nearest} ({word})"


def _closure(names: Iterable[str], captures: Mapping[str, Capture], inputs: Mapping[str, ValueRef]) -> dict[str, Capture]:
    """The captures of `names` with everything they refer to; a name that is an input is bound by its value instead."""
    found: dict[str, Capture] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or name in inputs or name not in captures:
            continue
        capture = found[name] = captures[name]
        waiting += capture.needs
        if capture.value is not None:
            waiting += capture.value.needs
    return found
