# SPDX-License-Identifier: BSD-3-Clause
"""When two attempts would give the same: a hash over everything an attempt is made of that nbflow can see.

Code by its meaning (comments and layout do not count), inputs and captured values by their content, parameters and dates where they are asked
for, what plain cells set in the process, and the versions of what is imported. Files, databases and the time of day are not seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nbflow.core.calls import CALL
from nbflow.core.job import Capture, CaptureKind, Job, JobContext, ProcessState, ValueRef
from nbflow.core.model import Task
from nbflow.core.options import TaskOptions
from nbflow.core.sources import ANYTHING, AsPython, Source, read_python, read_template

#: Raised when what is stored, or what is counted here, means something else than before.
FORMAT: Final = 1
#: Operators whose text is Python.
_PYTHON: Final = frozenset({"cell", "python"})
#: Options that decide what a task gives; the others decide when, where and how often it is tried.
_MEANING: Final = ("as_", "operator", "out", "conn", "env")
#: Variables that say where a kernel runs, not what its cells do.
_SURROUNDING: Final = ("NBFLOW_", "JUPYTER_", "JPY_", "PYDEVD_", "PYTEST_")
#: Kinds of tasks whose result says all they do.
_CACHED_KINDS: Final = frozenset({"task", "branch", "short-circuit"})
#: What `ctx` answers with the same words in every run of a task.
_SAME: Final = frozenset({"log", "progress", "flow", "task", "during", "conn", "connection", "var"})


def is_cached(options: TaskOptions) -> bool:
    """Whether the task's result may be taken from an earlier run."""
    return options.cache or options.cache_for is not None


def why_not_cached(options: TaskOptions) -> str:
    """Why a task with these options cannot take the result of an earlier run; "" when it can."""
    if is_cached(options) and options.as_ not in _CACHED_KINDS:
        return f"--cache is for tasks that give something, not for --as {options.as_}: leave one of both out."
    return ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The sources of one attempt, understood: what the key needs besides the job itself."""

    body: Source
    definitions: Mapping[str, Source]

    @property
    def modules(self) -> frozenset[str]:
        """Top-level modules that its code imports by name."""
        return frozenset().union(self.body.modules, *(source.modules for source in self.definitions.values()))

    @property
    def asks(self) -> frozenset[str]:
        return frozenset().union(self.body.asks, *(source.asks for source in self.definitions.values()))


def read_sources(job: Job, as_python: AsPython | None = None) -> Reading:
    """Understand the sources of an attempt."""
    body = read_python(job.source, as_python) if job.operator in _PYTHON else read_template(job.source)
    definitions = {name: read_python(capture.source, as_python) for name, capture in job.captures.items() if capture.source}
    return Reading(body=body, definitions=definitions)


def modules_of(job: Job, reading: Reading) -> frozenset[str]:
    """Top-level names of every module the attempt is known to use, the captured ones too."""
    captured = (capture.module.partition(".")[0] for capture in job.captures.values() if capture.module)
    return reading.modules | {module for module in captured if module}


def cache_key(task: Task, job: Job, reading: Reading, versions: Mapping[str, str]) -> str:
    """The key of this attempt. `versions` says which version of each of its modules is there."""
    document = {
        "format": FORMAT,
        "flow": job.context.flow,
        "task": job.context.key.task_id,
        "operator": job.operator,
        "options": {name: str(getattr(task.options, name, "")) for name in _MEANING},
        "source": reading.body.normal,
        "inputs": {name: _value(ref) for name, ref in job.inputs.items()},
        "same objects": _same_objects(job.inputs),
        "unbound": sorted(job.unbound),
        "captures": {name: _capture(capture, reading) for name, capture in job.captures.items()},
        "run": _asked_of_run(job, reading),
        "process": _process(job.process),
        "versions": dict(versions),
        **({"lent": job.lent.told} if job.lent.told else {}),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()


def _value(ref: ValueRef) -> list[str]:
    """Its bytes and how they are read: the text `1` and the number 1 have the same bytes."""
    if ref.items:
        return ["list", _digest(part for item in ref.items for part in _value(item))]
    return [ref.format, ref.hash]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _same_objects(inputs: Mapping[str, ValueRef]) -> list[list[str]]:
    """Names that are one mutable object: changing it under one name shows under the other."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, ref in sorted(inputs.items()):
        if ref.alias:
            groups.setdefault((ref.alias, ref.hash), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _capture(capture: Capture, reading: Reading) -> list[str]:
    match capture.kind:
        case CaptureKind.DEFINITION:
            return ["definition", reading.definitions[capture.name].normal]
        case CaptureKind.VALUE if capture.name == CALL:
            return ["call", capture.hash, *([reading.definitions[CALL].normal] if CALL in reading.definitions else [])]
        case CaptureKind.VALUE if capture.value is not None:
            return _value(capture.value)
        case _:
            return [capture.kind.value, capture.module, capture.attribute]


def _asked_of_run(job: Job, reading: Reading) -> dict[str, Any]:
    """What the code takes from the run itself: of the parameters only what travels as a value of the notebook, unless it asks for them."""
    found = {name: _answer(job.context, name) for name in sorted(reading.asks - _SAME)}
    if job.operator != "cell" and CALL not in job.captures:
        found["params"] = dict(job.context.params)
    return found


def _answer(context: JobContext, name: str) -> Any:
    if name == ANYTHING:
        return {one: str(getattr(context, one)) for one in sorted(JobContext.__dataclass_fields__)}
    if name == "ds":
        return context.logical_date.date().isoformat() if context.logical_date else ""
    if name == "map_index":
        return context.key.map_index
    found = getattr(context, name, None)
    if found is None:  # execution_date, ts, data_interval ...: they all follow from the run's dates
        return [text for one in sorted(JobContext.__dataclass_fields__) for text in _instants(getattr(context, one))]
    return dict(found) if isinstance(found, Mapping) else str(found)


def _instants(value: Any) -> Iterator[str]:
    if isinstance(value, datetime):
        yield value.isoformat()
    elif isinstance(value, tuple):
        yield from (text for part in value for text in _instants(part))


def _process(state: ProcessState) -> dict[str, Any]:
    settings = {library: {name: repr(value) for name, value in chosen.items()} for library, chosen in state.settings.items()}
    environment = {name: value for name, value in state.environment.items() if not name.startswith(_SURROUNDING)}
    return {"cwd": state.cwd, "environment": environment, "settings": settings}
